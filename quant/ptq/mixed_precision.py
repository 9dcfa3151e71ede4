"""Which weights every matrix gets under a budget of bytes: an exact choice by dynamic programming.

Every matrix has choices, each with its bytes and the loss it causes when that matrix alone is
quantised (sensitivity.py). Losses of different matrices nearly add up, so the recipe sought takes
one choice per matrix, with a sum of bytes within the budget and the least sum of losses: a
multiple-choice knapsack. It is solved for all budgets at once: matrix by matrix, only those
partial sums are kept that no other one of as few bytes undercuts. Nothing is rounded to a grid of
bytes, so the result is exact.

NumPy only. Not here: how losses are measured (sensitivity.py), and what a target stores a choice
in (experiments/recipe/choices.py).

Source: Kellerer, Pferschy and Pisinger, Knapsack Problems (2004), section 11.5 (dominance lists).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


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
    picks: tuple[int, ...]


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


def _undominated(stored: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """List the positions of sums that lose less than every sum of as few bytes, by bytes."""
    order = np.lexsort((loss, stored))
    least_before = np.concatenate([[np.inf], np.minimum.accumulate(loss[order])[:-1]])
    return order[loss[order] < least_before]


def _picks(steps: Sequence[tuple[np.ndarray, np.ndarray]], end: int) -> tuple[int, ...]:
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
