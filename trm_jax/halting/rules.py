"""When a reasoner stops thinking: the rules of halting, one definition for all that run a model.

    never           all supervision steps
    q, q:B          the halting logit q_halt is above B (0: an even chance that the answer is right)
    qc, qc:B        q_halt is above q_continue + B (models that learn to go on, such as HRM)
    rules           the answer obeys the rules of its puzzle and keeps what is given: no label, and
                    no trust in the model, is needed
    unchanged:K     the answer has been the same for K steps more (1 if no K is said)
    residual:B      the last H-cycle changed z_H by less than B of its length, |new - old| / |new|

A rule decides after every supervision step, and a puzzle that never meets it takes all of them.
Bounds have four decimals at most, so that a board holds them as whole numbers and compares as
this file does: in float32 (firmware/halting.c).

Not here: deciding (decision.py), which rule is taken where none is named (Task.default_halting).
"""

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

PER_UNIT = 10_000
"""Steps of a bound in one: four decimals."""
MOST_BOUND = 1000
MOST_UNCHANGED = 1024

Rules = Callable[[np.ndarray, np.ndarray], bool]
"""(puzzle, answer) -> whether the answer obeys the rules; tokens of one puzzle each."""


class HaltRule(enum.Enum):
    """What is looked at after a supervision step."""

    NEVER = "never"
    Q = "q"
    Q_CONTINUE = "qc"
    RULES = "rules"
    UNCHANGED = "unchanged"
    RESIDUAL = "residual"


BOUNDS = {HaltRule.Q: 0.0, HaltRule.Q_CONTINUE: 0.0, HaltRule.UNCHANGED: 1.0}
"""Rules whose bound may be left out."""
BOUNDED = (*BOUNDS, HaltRule.RESIDUAL)
FORMS = "never, q[:B], qc[:B], rules, unchanged[:K] or residual:B"


@dataclass(frozen=True)
class Halting:
    """A rule with its bound; `name` and `parse_halting` are each other's inverse.

    Raises:
      ValueError: a bound that the rule does not have, or out of range.
    """

    rule: HaltRule = HaltRule.NEVER
    bound: float = 0.0

    def __post_init__(self) -> None:
        if self.rule not in BOUNDED and self.bound:
            raise ValueError(f"halting by {self.rule.value} has no bound, got {self.bound:g}")
        if self.rule is HaltRule.UNCHANGED:
            if self.bound not in range(1, MOST_UNCHANGED + 1):
                most = MOST_UNCHANGED
                raise ValueError(f"unchanged:K takes 1 to {most} whole steps, got {self.bound:g}")
            return
        if not abs(self.bound) <= MOST_BOUND:
            raise ValueError(f"bounds are within {MOST_BOUND} of 0, got {self.bound:g}")
        if abs(self.units / PER_UNIT - self.bound) > 1e-9:
            raise ValueError(f"bounds have four decimals at most, got {self.bound!r}")
        if self.rule is HaltRule.RESIDUAL and self.bound <= 0:
            raise ValueError(f"residual:B takes a positive bound, got {self.bound:g}")

    @property
    def units(self) -> int:
        """The bound as a whole number: a count of steps, or ten-thousandths."""
        return int(self.bound) if self.rule is HaltRule.UNCHANGED else round(self.bound * PER_UNIT)

    @property
    def name(self) -> str:
        """As a command line and a file write it."""
        if self.rule not in BOUNDED or self.bound == BOUNDS.get(self.rule):
            return self.rule.value
        return f"{self.rule.value}:{f'{self.bound:.4f}'.rstrip('0').rstrip('.')}"


NEVER = Halting()
BY_Q = Halting(HaltRule.Q)
BY_Q_CONTINUE = Halting(HaltRule.Q_CONTINUE)
BY_RULES = Halting(HaltRule.RULES)


def parse_halting(text: str) -> Halting:
    """Read a rule.

    Raises:
      ValueError: another form, or a bound out of range.
    """
    word, colon, bound = text.strip().partition(":")
    rule = next((rule for rule in HaltRule if rule.value == word), None)
    if rule is None or (colon and rule not in BOUNDED):
        raise ValueError(f"halting reads {FORMS}, got {text[:40]!r}")
    if not colon:
        if rule is HaltRule.RESIDUAL:
            raise ValueError("residual needs a bound, e.g. residual:0.01")
        return Halting(rule, BOUNDS.get(rule, 0.0))
    if not re.fullmatch(r"-?[0-9]{1,4}(\.[0-9]{1,4})?", bound, re.ASCII):
        raise ValueError(
            f"a bound is a number of four decimals at most, e.g. {word}:0.5, got {text[:40]!r}"
        )
    return Halting(rule, float(bound))
