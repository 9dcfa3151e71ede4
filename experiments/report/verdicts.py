"""Verdicts on the paper's claims: decided by a 95 % interval, or open.

Not here: the claims and their numbers (evidence.py), their table (sections/claims.py).
"""

import enum
from typing import NamedTuple

from trm_jax.intervals import Interval

MARGIN = 0.02  # change of exact match that counts as none
COLLAPSED = 0.10  # exact match at or below which reasoning counts as destroyed


class ClaimVerdict(enum.Enum):
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
    verdict: ClaimVerdict
    why: str = ""


def lossless(change: Interval) -> ClaimVerdict:
    """Decide "nothing is lost" from the interval of a change."""
    if change.low >= -MARGIN:
        return ClaimVerdict.SAME
    return ClaimVerdict.OTHER if change.high < -MARGIN else ClaimVerdict.OPEN


def loses(change: Interval) -> ClaimVerdict:
    """Decide "something is lost"."""
    opposite = {ClaimVerdict.SAME: ClaimVerdict.OTHER, ClaimVerdict.OTHER: ClaimVerdict.SAME}
    return opposite.get(lossless(change), ClaimVerdict.OPEN)


def destroyed(exact: Interval) -> ClaimVerdict:
    """Decide "puzzles are no longer solved"."""
    if exact.high <= COLLAPSED:
        return ClaimVerdict.SAME
    return ClaimVerdict.OTHER if exact.low > COLLAPSED else ClaimVerdict.OPEN


def gains(change: Interval) -> ClaimVerdict:
    """Decide "something is gained"."""
    return (
        ClaimVerdict.SAME
        if change.low > 0
        else ClaimVerdict.OTHER
        if change.high < 0
        else ClaimVerdict.OPEN
    )
