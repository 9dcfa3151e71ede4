"""Thresholds for tests of decisions: rounding must never decide on which side a value lies."""

import numpy as np


def between(values: np.ndarray, *, low: float, high: float, rounding: float) -> float:
    """Choose a threshold in the middle of the widest gap of some values.

    A median of an odd number of values is one of them, and a value that equals the threshold is
    above it on one CPU and below it on another.

    Args:
      values: everything that is compared with the threshold.
      low, high: values between which the threshold lies, so that some are above and some below.
      rounding: how far another order of sums moves a value.

    Raises:
      AssertionError: no gap is wide enough: the test needs other values.
    """
    inside = np.unique(values[(values >= low) & (values <= high)].astype(np.float64))
    assert len(inside) > 1, f"no gap between {low} and {high}"
    widest = int(np.argmax(np.diff(inside)))
    gap = inside[widest + 1] - inside[widest]
    assert gap > 4 * rounding, f"the widest gap is {gap}, values move by {rounding}"
    return float((inside[widest] + inside[widest + 1]) / 2)
