"""Intervals and paired tests behind every number of a report.

A rate has a Wilson score interval, a mean a normal interval over puzzles; two schemes on the same
puzzles are compared in pairs, by McNemar's exact test and by the adjusted Wald interval of their
difference. All of it is NumPy and SciPy on counts and sums: no puzzle is needed again. Nothing
divides by zero: no puzzles is a ValueError.

    estimates    wilson, clustered_rate, mean, one_minus_mean, share
    comparisons  pairs, mcnemar, paired_difference, puzzles_needed, paired_mean, difference
    records      interval_fields, interval_of: the three fields of a number with its interval
    points       pareto

Not here: how numbers are written (experiments/render/tables.py).
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import special  # scipy.stats takes a second to import

LEVEL = 0.95

Number = float | int | np.integer | np.floating  # what is counted or summed


class Interval(NamedTuple):
    """A value and the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} [{short_number(self.low)}, {short_number(self.high)}]"


def short_number(value: Number) -> str:
    """Write three decimals, without the zero in front of the point: .930, -.002, 10.050."""
    sign, digits = ("-" if value < 0 else ""), f"{abs(value):.3f}"
    return sign + digits.removeprefix("0")


UNCHANGED = Interval(0.0, 0.0, 0.0)
"""The difference of answers from themselves: nothing is estimated."""


class Pairs(NamedTuple):
    """How two schemes differ on the same puzzles.

    Attributes:
      lost: puzzles that only the reference solves.
      gained: puzzles that only the other scheme solves.
      total: puzzles both were asked.
    """

    lost: int
    gained: int
    total: int


@functools.cache
def _quantile(level: float) -> float:
    """How many standard deviations the two-sided interval of a level reaches."""
    return float(special.ndtri((1 + level) / 2))


def wilson(successes: Number, total: int, level: float = LEVEL) -> Interval:
    """Estimate a rate with the Wilson score interval.

    Args:
      successes: their number; or the sum of scores in [0, 1], such as the share of a task's
        questions: no such score varies more than a coin of the same mean, so that the interval
        errs on the wide side.

    Raises:
      ValueError: no trials, or more successes than trials.

    Source: Wilson 1927; Newcombe 1998, method 3.
    """
    if total < 1 or not 0 <= successes <= total:
        raise ValueError(f"a rate needs 0 <= successes <= total >= 1, got {successes} of {total}")
    z = _quantile(level)
    p = float(successes) / total
    centre = p + z * z / (2 * total)
    spread = z * np.sqrt(p * (1 - p) / total + (z / (2 * total)) ** 2)
    scale = 1 + z * z / total
    # rounding must not push an end past the value: at 0 and 1 the end is the value itself
    low, high = (centre - spread) / scale, (centre + spread) / scale
    return Interval(p, min(max(float(low), 0.0), p), max(min(float(high), 1.0), p))


def clustered_rate(
    successes: Sequence[int], totals: Sequence[int], level: float = LEVEL
) -> Interval:
    """Estimate a rate over trials that come in clusters, such as schemes in models.

    A Wilson interval of fewer trials: their number is divided by the design effect, how many times
    the rate varies more between clusters than single trials would let it, 1 at least. Where no
    cluster differs because all or none succeed, every cluster counts as one trial.

    Args:
      successes, totals: of every cluster. Of a single cluster nothing between clusters is known:
        its trials count as they are.

    Raises:
      ValueError: no trials, or more successes than trials in a cluster.

    Source: Kish 1965, section 8.2; Rao and Scott 1992.
    """
    own = [wilson(s, n, level) for s, n in zip(successes, totals, strict=True)]
    total = sum(totals)
    whole = wilson(sum(successes), total, level)
    if len(own) < 2:
        return whole
    spread = whole.value * (1 - whole.value) / total
    if not spread:
        return wilson(whole.value * len(own), len(own), level)
    off = np.asarray(successes) - whole.value * np.asarray(totals)
    between = len(own) / (len(own) - 1) * float(off @ off) / total**2
    kept = total / max(1.0, between / spread)
    count = max(1, int(kept))
    return wilson(whole.value * count, count, level)


def mean(total: Number, squares: Number, count: int, level: float = LEVEL) -> Interval:
    """Estimate a mean from a sum and a sum of squares, with the normal interval.

    Args:
      total: sum over puzzles.
      squares: sum of squares over puzzles.
      count: puzzles. With one puzzle the interval has no width that could be known: NaN.

    Raises:
      ValueError: no puzzles.
    """
    if count < 1:
        raise ValueError(f"a mean needs at least one value, got {count}")
    value = float(total) / count
    if count == 1:
        return Interval(value, np.nan, np.nan)
    variance = max(float(squares) - count * value * value, 0.0) / (count - 1)
    reach = _quantile(level) * np.sqrt(variance / count)
    return Interval(value, float(value - reach), float(value + reach))


def complement(interval: Interval) -> Interval:
    """Turn an estimate of x into one of 1 - x."""
    return Interval(1 - interval.value, 1 - interval.high, 1 - interval.low)


def clipped(interval: Interval, floor: Number = 0.0) -> Interval:
    """Cut an interval to what its number can be."""
    low, high = np.clip(interval[1:], floor, 1.0)
    return Interval(interval.value, float(low), float(high))


def one_minus_mean(
    errors: Iterable[tuple[float, float]], count: int, floor: Number = 0.0
) -> Interval:
    """Estimate 1 - the mean of an error, such as a cell accuracy or a fidelity.

    Args:
      errors: sum and sum of squares of every shard.
      count: puzzles of all shards.
      floor: the least that the number can be; the interval is cut there and at 1.

    Raises:
      ValueError: no puzzles.
    """
    parts = list(errors)
    total, squares = sum(part[0] for part in parts), sum(part[1] for part in parts)
    return clipped(complement(mean(total, squares, count)), floor)


def share(part: Number, total: int) -> float:
    """Divide a count by its total.

    Raises:
      ValueError: the total is none.
    """
    if total < 1:
        raise ValueError(f"a share needs a total of at least 1, got {part} of {total}")
    return float(part) / total


def pairs(reference: np.ndarray, other: np.ndarray) -> Pairs:
    """Count how two schemes differ.

    Args:
      reference: True where the reference solves the puzzle.
      other: the same for the other scheme, puzzles in the same order.

    Raises:
      ValueError: not the same puzzles.
    """
    if reference.shape != other.shape:
        raise ValueError(f"pairs need the same puzzles, got {reference.shape} and {other.shape}")
    lost, gained = int(np.sum(reference & ~other)), int(np.sum(other & ~reference))
    return Pairs(lost, gained, reference.size)


def mcnemar(difference: Pairs) -> float:
    """Compute the two-sided exact p-value of "both solve equally many" (binomial, p = 1/2)."""
    discordant = difference.lost + difference.gained
    if discordant == 0:
        return 1.0
    fewer = min(difference.lost, difference.gained)
    return min(1.0, 2 * float(special.bdtr(fewer, discordant, 0.5)))


def paired_difference(difference: Pairs, level: float = LEVEL) -> Interval:
    """Estimate rate(other) - rate(reference) with the adjusted Wald interval for pairs.

    It keeps a width where no puzzle changed, since few puzzles prove little. A percentile bootstrap
    has none there, and where few puzzles change it holds the truth in far less than 95 % of cases
    (tests/trm_jax/test_intervals.py has both).

    Raises:
      ValueError: no puzzles.

    Source: Bonett and Price 2012 (one success added to both kinds of discordant pairs).
    """
    return _bonett_price(*_some_pairs(difference), level)


def puzzles_needed(difference: Pairs, least: float, level: float = LEVEL) -> int | None:
    """Count the puzzles from which `paired_difference` would end at `least` or above.

    It is taken that the same share of puzzles changes among more of them.

    Returns:
      None: none would do, since the difference itself is not above `least`.

    Raises:
      ValueError: no puzzles.
    """
    lost, gained, total = _some_pairs(difference)

    def is_enough(count: int) -> bool:
        shares = (lost * count / total, gained * count / total)
        return _bonett_price(*shares, count, level).low >= least

    if (gained - lost) / total <= least:
        return None
    low, high = 0, 1
    while not is_enough(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def _bonett_price(lost: Number, gained: Number, total: int, level: float) -> Interval:
    z = _quantile(level)
    down, up = (float(count + 1) / (total + 2) for count in (lost, gained))
    reach = z * float(np.sqrt((down + up - (up - down) ** 2) / (total + 2)))
    low, high = up - down - reach, up - down + reach
    return Interval(float(gained - lost) / total, max(low, -1.0), min(high, 1.0))


def paired_mean(differences: np.ndarray, level: float = LEVEL) -> Interval:
    """Estimate the mean of paired differences in [-1, 1], such as of tasks' scores.

    The interval is that of `paired_difference`, which it equals where all differences are -1, 0
    or 1: one pair of each kind is added, then the normal interval is taken.

    Raises:
      ValueError: no pairs.
    """
    if not differences.size:
        raise ValueError("a mean needs at least one value, got none")
    padded = np.append(differences, (-1.0, 1.0))
    centre, spread = float(padded.mean()), float(padded.std() / np.sqrt(padded.size))
    reach = _quantile(level) * spread
    low, high = max(centre - reach, -1.0), min(centre + reach, 1.0)
    return Interval(float(differences.mean()), low, high)


def difference(first: Interval, second: Interval) -> Interval:
    """Estimate first - second from their own intervals.

    It treats them as independent. For two numbers of the same puzzles that rise together, which is
    the common case here, the interval is wider than one from pairs would be, never narrower.

    Source: Newcombe 1998 (method 10), Zou and Donner 2008 (MOVER).
    """
    value = first.value - second.value
    below = np.hypot(first.value - first.low, second.high - second.value)
    above = np.hypot(first.high - first.value, second.value - second.low)
    return Interval(value, float(value - below), float(value + above))


def interval_fields(name: str, interval: Interval) -> dict[str, float]:
    """Make the three fields of a record that hold a number and its interval."""
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}


def interval_of(record: Mapping[str, Any], name: str) -> Interval:
    """Read the fields that `interval_fields` made."""
    return Interval(record[name], record[f"{name}_low"], record[f"{name}_high"])


def pareto(points: Sequence[tuple[Number, Number]]) -> list[tuple[float, float]]:
    """Keep the points that no other point beats: fewer bytes or more puzzles."""
    front: list[tuple[float, float]] = []
    for size, value in sorted(points, key=lambda p: (p[0], -p[1])):
        if not front or value > front[-1][1]:
            front.append((float(size), float(value)))
    return front


def _some_pairs(difference: Pairs) -> Pairs:
    if difference.total < 1:
        raise ValueError("a paired difference needs at least one puzzle, got none")
    return difference
