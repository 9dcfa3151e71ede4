"""Verdicts on the paper's claims: a 95 % interval of ours against the paper's own effect.

A point estimate decides nothing. What counts as the same size is taken from the claim: the effect
that the paper prints, as a share of what full precision solves there, times what it solves here.

    has_effect   "something changes": surely at least half of the effect, surely some but less than
                 half of it, or surely less than a tenth of it
    keeps        "nothing is lost": surely at most twice the paper's own loss, and MARGIN at least

Not here: the claims and their numbers (evidence.py), their tables (sections/claims.py).
"""

import enum
from typing import NamedTuple

from trm_jax.intervals import Interval

MARGIN = 0.02  # change of exact match that counts as none
LARGE, NONE = 0.5, 0.1  # of the paper's effect: the same size from here, no effect up to here
SMALL_LOSS = 0.05  # share of what full precision solves, up to which the paper says that it is kept


class ClaimVerdict(enum.Enum):
    """Whether our numbers say what the paper says."""

    SAME = "same direction and size"
    SMALLER = "same direction, smaller"
    OPEN = "not resolved"
    OTHER = "contradicted"


SYMBOLS = {
    ClaimVerdict.SAME: "✓",
    ClaimVerdict.SMALLER: "<",
    ClaimVerdict.OPEN: "?",
    ClaimVerdict.OTHER: "✗",
}


class Topic(enum.Enum):
    """What a claim is about: the statements of the abstract in their order, then the rest."""

    CELLS = "Cells survive while puzzles are lost"
    ARCHITECTURE = "The collapse is the architecture's: MLP mixing, not attention"
    RECOVERY = "Calibrated INT4 recovers it without training"
    FIDELITY = "Fidelity predicts damage and recovery without labels"
    DEPTH = "INT8 at a sixth of the cycles matches full depth"
    MEMORY = "It fits 8 MB, calibrated INT4 a 4 MB microcontroller, and the puzzle table shrinks"
    REST = "Further claims"


class PaperEffect(NamedTuple):
    """What the paper prints.

    Attributes:
      change: of exact match, a share in [-1, 1].
      base: exact match in full precision behind it.
    """

    change: float
    base: float

    @property
    def share(self) -> float:
        """The change as a share of what full precision solves."""
        return self.change / self.base

    def __str__(self) -> str:
        return f"{100 * self.change:+.1f} of {100 * self.base:.1f} pp"


class Claim(NamedTuple):
    """One statement on one model.

    Attributes:
      text, where: what the paper says, and where.
      model: ours, with what was varied; puzzles: n, None where nothing was counted.
      effect: the paper's, as printed.
      ours: the number that decides, with its interval.
      why: what differs, where it is not the same.
    """

    topic: Topic
    text: str
    where: str
    model: str
    puzzles: int | None
    effect: str
    ours: str
    verdict: ClaimVerdict
    why: str = ""

    @property
    def column(self) -> str:
        """The model alone, without what was varied."""
        return self.model.partition(",")[0].partition(":")[0]

    @property
    def words(self) -> str:
        """The verdict, with n where that does not resolve it."""
        is_open = self.verdict is ClaimVerdict.OPEN and self.puzzles is not None
        at = f" at n = {self.puzzles}" if is_open else ""
        return f"{SYMBOLS[self.verdict]} {self.verdict.value}{at}"


def has_effect(change: Interval, effect: float) -> ClaimVerdict:
    """Decide "it changes so" against an effect of the paper, scaled to our full precision.

    Args:
      change: ours.
      effect: what would be the paper's effect here; its sign is the direction.

    Raises:
      ValueError: there is no effect.
    """
    if effect == 0:
        raise ValueError("an effect of 0 has no direction; decide it with keeps()")
    low, high = change[1:] if effect > 0 else (-change.high, -change.low)
    size = abs(effect)
    if low >= LARGE * size:
        return ClaimVerdict.SAME
    if low > 0 and high < LARGE * size:
        return ClaimVerdict.SMALLER
    if high < NONE * size:
        return ClaimVerdict.OTHER
    return ClaimVerdict.OPEN


def keeps(change: Interval, effect: float = 0.0) -> ClaimVerdict:
    """Decide "nothing is lost" against the paper's own change, scaled to our full precision."""
    most = max(MARGIN, -2 * effect)
    if change.low >= -most:
        return ClaimVerdict.SAME
    return ClaimVerdict.OTHER if change.high < -most else ClaimVerdict.OPEN


def within(change: Interval, most: float) -> ClaimVerdict:
    """Decide "it moves by no more than so much, in either direction"."""
    if max(abs(change.low), abs(change.high)) <= most:
        return ClaimVerdict.SAME
    beyond = change.low > most or change.high < -most
    return ClaimVerdict.OTHER if beyond else ClaimVerdict.OPEN


def is_lost(change: Interval) -> bool:
    """Return whether something is surely lost."""
    return change.high < -MARGIN


def is_kept(change: Interval) -> bool:
    """Return whether surely nothing is lost."""
    return change.low >= -MARGIN
