"""Verdicts on the paper's claims: decided by an interval, or open."""

import enum
from typing import NamedTuple

from experiments.statistics import Interval

MARGIN = 0.02
COLLAPSED = 0.10  # exact match at or below which reasoning counts as destroyed


class Verdict(enum.Enum):
    """Whether our numbers say what the paper says."""

    SAME = "confirmed"
    OTHER = "contradicted"
    OPEN = "open"


class Claim(NamedTuple):
    """One statement on one model.

    Attributes:
      where: in the paper.
      ours: the number that decides.
      why: what differs, where it is not confirmed.
    """

    text: str
    where: str
    model: str
    ours: str
    verdict: Verdict
    why: str = ""


def lossless(change: Interval) -> Verdict:
    """Decide "nothing is lost" from the interval of a change."""
    if change.low >= -MARGIN:
        return Verdict.SAME
    return Verdict.OTHER if change.high < -MARGIN else Verdict.OPEN


def loses(change: Interval) -> Verdict:
    """Decide "something is lost"."""
    opposite = {Verdict.SAME: Verdict.OTHER, Verdict.OTHER: Verdict.SAME}
    return opposite.get(lossless(change), Verdict.OPEN)


def destroyed(exact: Interval) -> Verdict:
    """Decide "puzzles are no longer solved"."""
    if exact.high <= COLLAPSED:
        return Verdict.SAME
    return Verdict.OTHER if exact.low > COLLAPSED else Verdict.OPEN


def gains(change: Interval) -> Verdict:
    """Decide "something is gained"."""
    return Verdict.SAME if change.low > 0 else Verdict.OTHER if change.high < 0 else Verdict.OPEN
