"""How well signals rank damage: Spearman's and Kendall's correlation, and where they fail.

Points of one curve (a scheme on a model at several depths) move together, and so do curves of one
model: the bootstrap draws models, then as many curves of each drawn model as it has, never points.
Its intervals answer "other schemes on other models such as these", not "other puzzles"; of a single
model "other schemes on it". A handful of models makes them rough. Of fewer than MIN_CURVES curves
no correlation is given. Correlations are between the signal and the exact match lost, ties by
average ranks.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.predictor.signals import Point
from experiments.sweep.outcomes import Sweep, SweepOutcome, compare
from quant.scheme import label
from trm_jax import intervals
from trm_jax.intervals import Interval

LEVEL = 0.05
RESAMPLES = 2_000
MIN_CURVES = 8  # of fewer, a rank correlation can be almost anything by chance


class Ranking(NamedTuple):
    """How a signal ranks a group of points.

    Attributes:
      count, curves, models: points, the (model, scheme) pairs among them, and the models.
    """

    signal: str
    spearman: Interval
    kendall: Interval
    count: int
    curves: int
    models: int


class Pair(NamedTuple):
    """Two schemes whose fidelities differ beyond their intervals.

    Attributes:
      better, worse: by fidelity.
      wrong: the better one solves fewer puzzles.
      p: McNemar's exact test between the two; holds: significant after Bonferroni.
    """

    model: str
    cycles: int
    better: str
    worse: str
    fidelity: tuple[Interval, Interval]
    exact: tuple[Interval, Interval]
    wrong: bool
    p: float
    holds: bool


def spearman(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Correlate ranks (ties by average) of weighted points, once per row of weights.

    Args:
      weights: (samples, points) how often each point was drawn.

    Returns:
      One number per sample; NaN where one side does not vary.

    Raises:
      ValueError: a value is not a number, and has no rank.
    """
    check_numbers(x, y)
    ranks = [weights @ (np.less.outer(v, v) + np.equal.outer(v, v) / 2) for v in (x, y)]
    total = weights.sum(axis=1, keepdims=True)
    centred = [r - np.sum(weights * r, axis=1, keepdims=True) / total for r in ranks]
    product, first, second = (
        np.sum(weights * centred[i] * centred[j], axis=1) for i, j in ((0, 1), (0, 0), (1, 1))
    )
    return _ratio(product, first * second)


def kendall(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Compute tau-b of weighted points, once per row of weights; as `spearman`."""
    check_numbers(x, y)
    signs = [np.sign(np.subtract.outer(v, v)) for v in (x, y)]
    product, first, second = (
        np.sum((weights @ (signs[i] * signs[j])) * weights, axis=1)
        for i, j in ((0, 1), (0, 0), (1, 1))
    )
    return _ratio(product, first * second)


def check_numbers(*sides: np.ndarray) -> None:
    """Check that all values can be ranked.

    Raises:
      ValueError: one is not a number.
    """
    for values in sides:
        if np.isnan(values).any():
            places = np.flatnonzero(np.isnan(values)).tolist()
            raise ValueError(
                f"a rank correlation needs numbers, got nan at {places} of {values.size} points"
            )


def num_curves(sample: Sequence[Point]) -> int:
    """Count the (model, scheme) pairs of points."""
    return len({point.curve for point in sample})


def rank(sample: Sequence[Point], signal: str, seed: int) -> Ranking:
    """Correlate a signal with the exact match lost.

    Raises:
      ValueError: fewer than MIN_CURVES curves, of which nothing can be said.
    """
    curves: dict[tuple[str, str], list[int]] = {}
    for i, point in enumerate(sample):
        curves.setdefault(point.curve, []).append(i)
    if len(curves) < MIN_CURVES:
        raise ValueError(
            f"a rank correlation needs at least {MIN_CURVES} schemes, got {len(curves)}"
        )
    x = np.asarray([point.signals[signal] for point in sample])
    y = np.asarray([point.loss.value for point in sample])
    models: dict[str, list[list[int]]] = {}
    for (model, _), members in curves.items():
        models.setdefault(model, []).append(members)
    weights = draw_weights(list(models.values()), len(sample), np.random.default_rng(seed))
    correlations = (_interval(spearman(x, y, weights)), _interval(kendall(x, y, weights)))
    counts = (len(sample), len(curves), len(models))
    return Ranking(signal, correlations[0], correlations[1], *counts)


def draw_weights(
    models: Sequence[Sequence[Sequence[int]]], size: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw models, and curves of each drawn model as often as it was drawn.

    Args:
      models: the points of each curve of each model, by number.
      size: of the sample.

    Returns:
      (RESAMPLES + 1, points) how often each point was drawn; the first row is the sample itself.
    """
    weights = np.ones((RESAMPLES + 1, size))
    even = np.full(len(models), 1 / len(models))
    times = rng.multinomial(len(models), even, size=RESAMPLES)
    for drawn, curves in zip(times.T, models, strict=True):
        share = np.full(len(curves), 1 / len(curves))
        draws = rng.multinomial(drawn * len(curves), share)
        for column, members in zip(draws.T, curves, strict=True):
            weights[1:, members] = column[:, None]
    return weights


def judged_pairs(sweep: Sweep, cycles: int) -> list[Pair]:
    """List all pairs of schemes that fidelity orders at a depth, and whether rightly."""
    pairs = list(itertools.combinations(sweep.outcomes[1:], 2))
    judged = (_pair(sweep, *pair, cycles, LEVEL / len(pairs)) for pair in pairs)
    return [pair for pair in judged if pair is not None]


def counterexamples(sweep: Sweep, cycles: int) -> list[Pair]:
    """List the pairs that fidelity orders wrongly, McNemar's p below LEVEL, the surest first."""
    wrong = (pair for pair in judged_pairs(sweep, cycles) if pair.wrong and pair.p < LEVEL)
    return sorted(wrong, key=lambda pair: pair.p)


def _pair(
    sweep: Sweep, a: SweepOutcome, b: SweepOutcome, cycles: int, bonferroni: float
) -> Pair | None:
    high, low = sorted((a, b), key=lambda o: o.fidelity(cycles).value, reverse=True)
    if not high.fidelity(cycles).low > low.fidelity(cycles).high:
        return None
    pairs, dtype = compare(low, high, cycles), sweep.spec.dtype
    p = intervals.mcnemar(pairs)
    return Pair(
        sweep.spec.model,
        cycles,
        label(high.scheme, dtype),
        label(low.scheme, dtype),
        (high.fidelity(cycles), low.fidelity(cycles)),
        (high.exact(cycles), low.exact(cycles)),
        pairs.lost > pairs.gained,
        p,
        p < bonferroni,
    )


def _ratio(product: np.ndarray, squares: np.ndarray) -> np.ndarray:
    varies = squares > 0
    return np.where(varies, product / np.sqrt(np.where(varies, squares, 1.0)), np.nan)


def _interval(values: np.ndarray) -> Interval:
    """The first value with the percentiles of the others; NaN where they say nothing."""
    drawn = values[1:][~np.isnan(values[1:])]
    low, high = np.quantile(drawn, [0.025, 0.975]) if drawn.size else (np.nan, np.nan)
    return Interval(float(values[0]), float(low), float(high))
