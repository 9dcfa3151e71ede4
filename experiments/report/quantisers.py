"""Schemes that give the same places the same numbers of bits, and differ in the quantiser alone.

A group has one width, granularity, rounding of activations and arithmetic. Within it schemes differ
in how the grid, its ranges and the integers are chosen: min/max and rounding to nearest (the
paper's), or what `METHODS` and `RANGES` name. What one of them loses and another one does not is
the quantiser's, neither the width's nor the architecture's.

Not here: tables (sections/quantisation.py), the claim that is decided so (evidence.py).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from experiments.sweep.outcomes import Sweep, SweepOutcome
from quant.affine import Clipping, Symmetry
from quant.scheme import Ranges, Rounding, Scheme, WeightScheme, parse
from trm_jax import intervals
from trm_jax.intervals import Interval

METHODS = {
    "": "min/max",
    "-mse": "least squares clipping",
    "-gptq-first": "GPTQ, first call",
    "-gptq": "GPTQ, all cycles",
    "-gptq-norm": "GPTQ, norm-weighted",
    "-learned": "learned along trajectories",
}
"""Suffix of a scheme's weights -> words; a suffix that is not listed stands for itself."""
RANGES = {
    Ranges.ALL: "ranges of all positions",
    Ranges.CELLS: "ranges of cells",
    Ranges.FOLDED_CELLS: "ranges of cells, fold",
}


class Quantisers(NamedTuple):
    """The outcomes of one group, in the order of the sweep."""

    outcomes: tuple[SweepOutcome, ...]

    @property
    def naive(self) -> SweepOutcome | None:
        """The first that is by min/max of all positions and rounding to nearest."""
        return next((o for o in self.outcomes if is_plain(parse(o.scheme))), None)


class Rescue(NamedTuple):
    """What a better quantiser makes of the loss of the plain one, on the same grid.

    Attributes:
      plain, scheme: names of the plain scheme and of the better one.
      naive, better: changes of exact match against full precision, paired.
      beyond_half: how much more than half of the plain one's loss comes back, as a change of
        exact match; the mean over puzzles of better - (naive + full precision) / 2.
    """

    plain: str
    scheme: str
    naive: Interval
    better: Interval
    beyond_half: Interval


def make_plain(scheme: Scheme) -> Scheme:
    """Return the scheme of the same grid by min/max of everything and rounding to nearest."""
    exceptions = tuple((place, _plain_weights(w)) for place, w in scheme.exceptions)
    weights = scheme.weights and _plain_weights(scheme.weights)
    return replace(scheme, weights=weights, exceptions=exceptions, ranges=Ranges.ALL)


def is_plain(scheme: Scheme) -> bool:
    """Return whether a scheme is by min/max of everything and rounding to nearest."""
    return scheme == make_plain(scheme)


def _plain_weights(weights: WeightScheme) -> WeightScheme:
    return replace(weights, clipping=Clipping.MINMAX, rounding=Rounding.NEAREST, adaptive=False)


def group_quantisers(outcomes: Sequence[SweepOutcome]) -> list[Quantisers]:
    """Group the outcomes that differ in the quantiser alone; a group of one is left out."""
    groups: dict[Scheme, list[SweepOutcome]] = {}
    for outcome in outcomes:
        plain = make_plain(parse(outcome.scheme))
        if plain.weights:
            weights = replace(plain.weights, symmetry=Symmetry.SYMMETRIC)  # stands for any
            groups.setdefault(replace(plain, weights=weights), []).append(outcome)
    return [Quantisers(tuple(some)) for some in groups.values() if len(some) > 1]


def method_text(scheme: Scheme) -> str:
    """Say in words how a scheme's ranges and integers are chosen."""
    texts = []
    if scheme.exceptions:
        texts.append("one for each matrix")
    elif scheme.weights:
        suffix = scheme.weights.name.removeprefix(_plain_weights(scheme.weights).name)
        if scheme.weights.adaptive:
            suffix = scheme.weights.name.partition("-auto")[2]
        text = METHODS.get(suffix, suffix.removeprefix("-"))
        texts.append(f"{text}, auto grid" if scheme.weights.adaptive else text)
    if scheme.activations.is_static:
        texts.append(RANGES.get(scheme.ranges, scheme.ranges.value.removeprefix("-")))
    return "; ".join(texts)


def find_rescue(sweep: Sweep, group: Quantisers) -> Rescue | None:
    """Compare the plain quantiser of a grid with one chosen beforehand, at full depth.

    The other one is GPTQ over all cycles where weights alone are rounded, and ranges of cells
    (folded, where measured) where activations are: not the best of those measured, which would
    favour it.

    Returns:
      None if either was not measured.
    """
    naive = group.naive
    if naive is None:
        return None
    by_name = {outcome.scheme: outcome for outcome in group.outcomes}
    rescuers = (by_name.get(scheme.name) for scheme in _rescuers(parse(naive.scheme)))
    better = next(filter(None, rescuers), None)
    if better is None:
        return None
    deepest = sweep.spec.grid.deepest
    full, low, high = (o.solved(deepest) for o in (sweep.reference, naive, better))
    beyond = high.astype(float) - (low.astype(float) + full) / 2
    return Rescue(
        naive.scheme,
        better.scheme,
        sweep.change(naive, deepest),
        sweep.change(better, deepest),
        intervals.paired_mean(beyond),
    )


def _rescuers(plain: Scheme) -> list[Scheme]:
    if plain.activations.is_static:
        return [replace(plain, ranges=ranges) for ranges in (Ranges.FOLDED_CELLS, Ranges.CELLS)]
    if plain.weights is None or plain.exceptions:
        return []
    weights = replace(plain.weights, clipping=Clipping.ALIGNED, rounding=Rounding.GPTQ)
    return [replace(plain, weights=weights)]
