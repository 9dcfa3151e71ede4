"""Deciding step after step which puzzles are done: what hosts, simulation and studies share.

Not here: the rules by name (rules.py), what the rules of a puzzle are (trm_jax/tasks), a board's
decision (export/firmware/halting.c and loop.c).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from trm_jax.halting.rules import Halting, HaltRule, Rules


class StepReading(NamedTuple):
    """What is known of puzzles after a supervision step.

    Attributes:
      residual: |change of z_H over the last H-cycle| / |z_H|; None where nobody asks for it.
    """

    tokens: Int[np.ndarray, "batch seq"]
    q_halt: Float[np.ndarray, " batch"]
    q_continue: Float[np.ndarray, " batch"]
    residual: Float[np.ndarray, " batch"] | None = None

    def only(self, rows: Int[np.ndarray, " chosen"]) -> "StepReading":
        """Take some of the puzzles."""
        residual = None if self.residual is None else self.residual[rows]
        return StepReading(self.tokens[rows], self.q_halt[rows], self.q_continue[rows], residual)


class HaltDecision:
    """Decides step after step which puzzles of a group are done."""

    def __init__(
        self, halting: Halting, inputs: Int[np.ndarray, "batch seq"], rules: Rules | None = None
    ) -> None:
        """Begin with puzzles.

        Args:
          rules: of the puzzles; needed by `rules` alone.

        Raises:
          ValueError: the rule needs the puzzles' rules, and there are none.
        """
        if halting.rule is HaltRule.RULES and rules is None:
            raise ValueError("halting by rules: these puzzles have no rules to check; use never")
        self.halting, self._inputs, self._rules = halting, inputs, rules
        self._before: np.ndarray | None = None
        self._unchanged = np.zeros(len(inputs), np.int32)

    def step(self, reading: StepReading) -> Bool[np.ndarray, " batch"]:
        """Mark the puzzles that are done after one more step."""
        rule, bound = self.halting.rule, np.float32(self.halting.bound)
        if rule is HaltRule.Q:
            return reading.q_halt.astype(np.float32) > bound
        if rule is HaltRule.Q_CONTINUE:
            return reading.q_halt.astype(np.float32) > reading.q_continue.astype(np.float32) + bound
        if rule is HaltRule.RULES:
            return self._obey(reading.tokens)
        if rule is HaltRule.UNCHANGED:
            return self._count_unchanged(reading.tokens) >= bound
        if rule is HaltRule.RESIDUAL:
            assert reading.residual is not None
            return reading.residual.astype(np.float32) < bound
        return np.zeros(len(reading.tokens), bool)

    def _obey(self, tokens: np.ndarray) -> np.ndarray:
        assert self._rules is not None
        pairs = zip(self._inputs, tokens, strict=True)
        return np.array([self._rules(puzzle, answer) for puzzle, answer in pairs], bool)

    def _count_unchanged(self, tokens: np.ndarray) -> np.ndarray:
        """Count the steps for which every answer has stayed the same."""
        if self._before is not None:
            same = (tokens == self._before).all(axis=1)
            self._unchanged = np.where(same, self._unchanged + 1, 0)
        self._before = tokens
        return self._unchanged


def halting_steps(
    halting: Halting,
    inputs: Int[np.ndarray, "batch seq"],
    readings: Sequence[StepReading],
    rules: Rules | None = None,
) -> Int[np.ndarray, " batch"]:
    """Find the step at which every puzzle halts, from the readings of all steps.

    Returns:
      Steps counted from 1; the number of readings where the rule is never met.
    """
    decision, steps = HaltDecision(halting, inputs, rules), np.full(len(inputs), len(readings))
    running = np.ones(len(inputs), bool)
    for step, reading in enumerate(readings, start=1):
        done = decision.step(reading) & running
        steps[done] = step
        running &= ~done
    return steps.astype(np.int32)


def halted_tokens(
    readings: Sequence[StepReading], steps: Int[np.ndarray, " batch"]
) -> Int[np.ndarray, "batch seq"]:
    """Take the answer of every puzzle after its own number of steps, counted from 1."""
    return np.stack([readings[step - 1].tokens[row] for row, step in enumerate(steps)])
