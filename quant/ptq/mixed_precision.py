"""Which weights every matrix gets under a budget of bytes: an exact choice by dynamic programming.

Every matrix has choices, each with its bytes and the loss it causes when that matrix alone is
quantised (sensitivity.py). Losses of different matrices nearly add up, so the recipe sought takes
one choice per matrix, with a sum of bytes within the budget and the least sum of losses: a
multiple-choice knapsack. It is solved for all budgets at once: matrix by matrix, only those
partial sums are kept that no other one of as few bytes undercuts. Nothing is rounded to a grid of
bytes, so the result is exact.

    pareto_front, best_within   the choice by losses of matrices alone
    refine                      the choice again, by losses measured around a recipe: what matrices
                                cost together is not quite the sum

NumPy only. Not here: how losses are measured (sensitivity.py), and what a target stores a choice
in (experiments/recipe/job.py).

Source: Kellerer, Pferschy and Pisinger, Knapsack Problems (2004), section 11.5 (dominance lists).
"""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

Picks = tuple[int, ...]
"""Which choice every matrix takes, by position."""
PASSES = 2  # of refining
NEAR = 2  # choices smaller and larger than a matrix's own that a pass measures
SWAPS = 8  # that a pass tries where its sums mislead


class WeightChoice(NamedTuple):
    """One way to store a matrix.

    Attributes:
      name: of the weights, `w3t-sym-gptq`.
      stored: bytes.
      loss: what it costs alone.
    """

    name: str
    stored: int
    loss: float


class FrontPoint(NamedTuple):
    """A recipe that no other of as few bytes undercuts.

    Attributes:
      stored: bytes of all matrices.
      loss: sum of the losses of all matrices.
      picks: which choice every matrix takes, by position.
    """

    stored: int
    loss: float
    picks: Picks


class MeasuredRecipe(NamedTuple):
    """A recipe and what all its matrices cost together."""

    picks: Picks
    loss: float


def pareto_front(matrices: Sequence[Sequence[WeightChoice]]) -> list[FrontPoint]:
    """Find every recipe that is the best of its size, the smallest first.

    Args:
      matrices: the choices of every matrix.

    Raises:
      ValueError: a matrix has no choice, or a loss is not a finite number.
    """
    stored, loss = np.zeros(1, np.int64), np.zeros(1)
    steps: list[tuple[np.ndarray, np.ndarray]] = []
    for position, choices in enumerate(matrices):
        _check(position, choices)
        sizes = np.array([choice.stored for choice in choices], np.int64)
        losses = np.array([choice.loss for choice in choices])
        all_stored = (stored[:, None] + sizes).ravel()
        all_loss = (loss[:, None] + losses).ravel()
        kept = _undominated(all_stored, all_loss)
        steps.append(np.divmod(kept, len(choices)))
        stored, loss = all_stored[kept], all_loss[kept]
    return [
        FrontPoint(int(stored[end]), float(loss[end]), _picks(steps, end))
        for end in range(len(stored))
    ]


def best_within(front: Sequence[FrontPoint], budget: int) -> FrontPoint:
    """Take the recipe of least loss within a budget.

    Args:
      front: of `pareto_front`.
      budget: bytes of all matrices.

    Raises:
      ValueError: even the smallest recipe is larger; the message says how large.
    """
    if front[0].stored > budget:
        raise ValueError(
            f"the matrices take at least {front[0].stored:,} bytes, got a budget of {budget:,}"
        )
    return [point for point in front if point.stored <= budget][-1]


def refine(
    matrices: Sequence[Sequence[WeightChoice]],
    picks: Picks,
    budget: int,
    measure: Callable[[Picks], float],
    *,
    passes: int = PASSES,
) -> MeasuredRecipe:
    """Choose again around a recipe, as long as that lowers the loss of all matrices together.

    In every pass each matrix is measured in its NEAR choices of either side while the others stay
    as the recipe has them. The choice by those changes is taken if its own measured loss is lower,
    else the most promising exchange of at most two matrices that lowers it.

    Args:
      matrices: the choices of every matrix; their losses alone say which are worth measuring.
      picks: the recipe to start from.
      budget: bytes of all matrices.
      measure: the loss of a recipe.

    Raises:
      ValueError: a measured loss is not a finite number.
    """
    loss = functools.cache(measure)
    best = MeasuredRecipe(picks, loss(picks))
    for _ in range(passes):
        near = [near_choices(*each) for each in zip(matrices, best.picks, strict=True)]
        around = [
            [
                matrices[at][pick]._replace(loss=loss(_swapped(best.picks, {at: pick})) - best.loss)
                for pick in of
            ]
            for at, of in enumerate(near)
        ]
        here = tuple(of.index(pick) for of, pick in zip(near, best.picks, strict=True))
        tried = [best_within(pareto_front(around), budget).picks, *_swaps(around, here, budget)]
        named = (tuple(of[i] for of, i in zip(near, each, strict=True)) for each in tried)
        measured = (MeasuredRecipe(each, loss(each)) for each in named)
        lower = next((each for each in measured if each.loss < best.loss), None)
        if lower is None:
            break
        best = lower
    return best


def near_choices(choices: Sequence[WeightChoice], pick: int) -> list[int]:
    """List a choice and NEAR smaller and larger ones that lose less alone than all smaller ones."""
    sizes, losses = zip(*((choice.stored, choice.loss) for choice in choices), strict=True)
    front = [int(i) for i in _undominated(np.array(sizes), np.array(losses)) if i != pick]
    smaller = [i for i in front if sizes[i] <= sizes[pick]]
    larger = [i for i in front if sizes[i] > sizes[pick]]
    return [*smaller[-NEAR:], pick, *larger[:NEAR]]


def _swaps(around: Sequence[Sequence[WeightChoice]], picks: Picks, budget: int) -> Iterator[Picks]:
    """List exchanges of at most two matrices within a budget, the most promising first."""
    room = budget - sum(choices[i].stored for choices, i in zip(around, picks, strict=True))
    moves = [
        (at, pick, choice.stored - choices[picks[at]].stored, choice.loss)
        for at, choices in enumerate(around)
        for pick, choice in enumerate(choices)
    ]
    exchanges = [
        (a[3] + b[3], {a[0]: a[1], b[0]: b[1]})
        for a, b in itertools.combinations(moves, 2)
        if a[0] != b[0] and a[2] + b[2] <= room and a[3] + b[3] < 0
    ]
    for _, changes in sorted(exchanges, key=lambda exchange: exchange[0])[:SWAPS]:
        yield _swapped(picks, changes)


def _swapped(picks: Picks, changes: dict[int, int]) -> Picks:
    return tuple(changes.get(at, pick) for at, pick in enumerate(picks))


def _undominated(stored: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """List the positions of sums that lose less than every sum of as few bytes, by bytes."""
    order = np.lexsort((loss, stored))
    least_before = np.concatenate([[np.inf], np.minimum.accumulate(loss[order])[:-1]])
    return order[loss[order] < least_before]


def _picks(steps: Sequence[tuple[np.ndarray, np.ndarray]], end: int) -> Picks:
    picks: list[int] = []
    for before, choice in reversed(steps):
        picks.append(int(choice[end]))
        end = int(before[end])
    return tuple(reversed(picks))


def _check(position: int, choices: Sequence[WeightChoice]) -> None:
    if not choices:
        raise ValueError(f"matrix {position} has no choice")
    for choice in choices:
        if not np.isfinite(choice.loss):
            raise ValueError(
                f"{choice.name} of matrix {position} loses {choice.loss}, which is no number to"
                " compare; repair the checkpoint"
            )
