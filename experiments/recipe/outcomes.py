"""What a search found: sizes, predicted and measured losses, and puzzles solved, with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quant.ptq.mixed_precision import FrontPoint, WeightChoice
from quant.scheme import Scheme
from trm_jax.intervals import Interval, paired_difference, pairs, wilson

SHOWN = 8  # points of the front that are measured


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


@dataclass(frozen=True, kw_only=True, eq=False)
class RecipeOutcome:
    """A finished search.

    Attributes:
      matrices: (site, name of weights, stored type, bytes, loss alone) of the recipe.
      front: measured points, by bytes; the recipe is one of them.
      every: the whole front with predicted losses; bytes of the matrices alone.
      uniform: single schemes that the target takes.
      solved: full precision, the recipe, and the best single scheme that fits, if one does.
    """

    matrices: tuple[tuple[str, str, str, int, float], ...]
    chosen: FrontMeasurement
    front: tuple[FrontMeasurement, ...]
    every: tuple[FrontPoint, ...]
    uniform: tuple[FrontMeasurement, ...]
    solved: tuple[SolvedScheme, ...]


def shown_points(front: Sequence[FrontPoint], chosen: FrontPoint) -> list[FrontPoint]:
    """Take the chosen point and a few of the front, evenly over the logarithm of their bytes."""
    sizes = np.log([point.stored for point in front])
    wanted = np.linspace(sizes[0], sizes[-1], SHOWN - 1)
    near = {int(np.argmin(np.abs(sizes - size))) for size in wanted}
    return [p for i, p in enumerate(front) if i in near or p is chosen]


def find_uniform(
    choices: Sequence[Sequence[WeightChoice]], rest: int, budget: int
) -> list[tuple[str, int, float, bool]]:
    """List the single schemes: name, bytes of the model, predicted loss, whether they fit."""
    found = []
    for same in zip(*choices, strict=True):
        stored = rest + sum(choice.stored for choice in same)
        found.append((same[0].name, stored, sum(c.loss for c in same), stored <= budget))
    return found
