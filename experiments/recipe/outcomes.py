"""What a search found: sizes, predicted and measured losses, and puzzles solved, with intervals."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from quant.ptq.mixed_precision import FrontPoint, Picks, WeightChoice
from quant.ptq.sensitivity import StateLoss
from quant.scheme import Scheme
from trm_jax.intervals import Interval, paired_difference, pairs, wilson

SHOWN = 8  # points of the front that are measured
FULL, RECIPE = "full precision", "recipe"
"""Names of the first two schemes that solve puzzles; a third is the best single one that fits."""
STEP = 1.02  # between the sizes that a drop is looked for in


@dataclass(frozen=True, kw_only=True)
class FrontMeasurement:
    """A mix, its bytes (those of the whole model) and its loss.

    Attributes:
      name: of a single scheme; empty: a mix of the front.
      predicted: sum of the losses of its matrices alone.
      measured: loss of all of them together.
    """

    stored: int
    predicted: float
    measured: float
    name: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class SolvedScheme:
    """Which puzzles a scheme solves."""

    name: str
    stored: int
    scheme: Scheme
    exact: np.ndarray

    @property
    def rate(self) -> Interval:
        """Share of puzzles without a wrong cell."""
        return wilson(int(self.exact.sum()), len(self.exact))

    def difference(self, reference: "SolvedScheme") -> Interval:
        """Rate minus the reference's, in pairs."""
        return paired_difference(pairs(reference.exact, self.exact))


@dataclass(frozen=True, kw_only=True)
class TriedSize:
    """A mix whose drop on the deciding puzzles was measured.

    Attributes:
      stored: bytes of the model.
      difference: puzzles solved minus those in full precision, as a share, in pairs.
      name: of a finalist.
    """

    stored: int
    difference: Interval
    name: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class RecipeOutcome:
    """A finished search.

    Attributes:
      budget: bytes of the model: what was asked for, or what --max-drop led to.
      matrices: (site, name of weights, stored type, bytes, loss alone) of the recipe.
      front: measured points, by bytes; the recipe is one of them.
      every: the whole front with predicted losses; bytes of the matrices alone.
      uniform: single schemes that the target takes.
      solved: full precision, the recipe, and the best single scheme that fits, if one does and the
        recipe is another.
      solving_seconds: that solving them took.
      tried: sizes that the deciding puzzles were asked about; empty without --max-drop.
      final: recipes that the deciding puzzles chose from; empty where none is left to decide.
      states: losses of static activations, each rounded alone; empty where a target computes in
        floats between products.
    """

    budget: int
    matrices: tuple[tuple[str, str, str, int, float], ...]
    chosen: FrontMeasurement
    front: tuple[FrontMeasurement, ...]
    every: tuple[FrontPoint, ...]
    uniform: tuple[FrontMeasurement, ...]
    solved: tuple[SolvedScheme, ...]
    solving_seconds: float
    tried: tuple[TriedSize, ...] = ()
    final: tuple[TriedSize, ...] = ()
    states: Mapping[str, StateLoss] = field(default_factory=dict)


def shown_points(front: Sequence[FrontPoint], chosen: FrontPoint) -> list[FrontPoint]:
    """Take the chosen point and a few of the front, evenly over the logarithm of their bytes."""
    sizes = np.log([point.stored for point in front])
    wanted = np.linspace(sizes[0], sizes[-1], SHOWN - 1)
    near = {int(np.argmin(np.abs(sizes - size))) for size in wanted}
    return [p for i, p in enumerate(front) if i in near or p is chosen]


Tried = TypeVar("Tried")


def find_first(items: Sequence[Tried], holds: Callable[[Tried], bool]) -> Tried | None:
    """Find the first item that holds by bisection, where all behind one that holds do too.

    Measured rates are noisy, so neighbours of the boundary may disagree; what is returned has
    been asked and holds.

    Returns:
      None if not even the last one holds.
    """
    if not holds(items[-1]):
        return None
    low, high = 0, len(items) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(items[middle]) else (middle + 1, high)
    return items[high]


def thinned(front: Sequence[FrontPoint], rest: int) -> list[FrontPoint]:
    """Leave out points that are hardly larger than the one before, as models of `rest` more."""
    kept = [front[0]]
    for point in front[1:]:
        if point.stored + rest > STEP * (kept[-1].stored + rest):
            kept.append(point)
    return kept if kept[-1] is front[-1] else [*kept, front[-1]]


def find_uniform(choices: Sequence[Sequence[WeightChoice]]) -> list[tuple[str, Picks]]:
    """List the single schemes: name, and the same pick for every matrix."""
    return [(of.name, (i,) * len(choices)) for i, of in enumerate(choices[0])]


def best_single(uniform: Sequence[FrontMeasurement], budget: int) -> FrontMeasurement | None:
    """Take the single scheme of least loss within the bytes of a model, None: none fits."""
    fitting = [point for point in uniform if point.stored <= budget]
    return min(fitting, key=lambda point: point.measured, default=None)


def without_repeats(finalists: Mapping[str, FrontPoint]) -> dict[str, FrontPoint]:
    """Leave out finalists that are the same mix as one before."""
    first: dict[Picks, str] = {}
    for name, point in finalists.items():
        first.setdefault(point.picks, name)
    return {name: point for name, point in finalists.items() if first[point.picks] == name}
