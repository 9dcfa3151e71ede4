"""When a reasoner stops thinking: one definition for simulation, hosts and firmware.

Read `rules.py` (the rules, their names and bounds), then `decision.py` (which puzzles are done
after a step). All of it is NumPy. Not here: halting in training (trm_jax/models/act.py), the same
rules on a board (export/firmware/halting.c).
"""

from trm_jax.halting.decision import HaltDecision, StepReading, halted_tokens, halting_steps
from trm_jax.halting.rules import (
    BY_Q,
    BY_Q_CONTINUE,
    BY_RULES,
    NEVER,
    PER_UNIT,
    Halting,
    HaltRule,
    parse_halting,
)

__all__ = [
    "BY_Q",
    "BY_Q_CONTINUE",
    "BY_RULES",
    "NEVER",
    "PER_UNIT",
    "HaltDecision",
    "HaltRule",
    "Halting",
    "StepReading",
    "halted_tokens",
    "halting_steps",
    "parse_halting",
]
