"""Puzzle rows for augmented tasks that a model was not trained on: the mean row, or trained ones.

Trained rows begin at the mean row and see the demonstrations of their own augmented task alone,
moved over the canvas as in training. Questions are never looked at. The backbone is the full
precision one, whatever scheme asks later: a device gets finished rows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from trm_jax.data.arc.canvas import PAD
from trm_jax.data.arc.dataset import group_examples
from trm_jax.data.arc.task_files import TRAIN
from trm_jax.data.arc.test_time import TestTime
from trm_jax.loading import LoadedModel
from trm_jax.models.build import build
from trm_jax.training.puzzle_rows import RowRecipe, train_rows
from trm_jax.types import IGNORE_LABEL, Batch

MEAN_ROWS = 4096  # of a table read at a time


class RowSource(NamedTuple):
    """Puzzle rows by identifier.

    Attributes:
      table: the trained rows, in memory or in a mapped file.
      new: rows of the identifiers after the table's, or a single one for all of them.
    """

    table: np.ndarray
    new: np.ndarray

    def take(self, identifiers: np.ndarray) -> np.ndarray:
        """Read the rows of a batch, as float32; nothing else of the table is touched."""
        is_trained = identifiers < len(self.table)
        later = np.minimum(np.maximum(identifiers - len(self.table), 0), len(self.new) - 1)
        rows = np.array(self.new[later], np.float32)
        rows[is_trained] = self.table[identifiers[is_trained]]
        return rows


def mean_row(table: np.ndarray) -> np.ndarray:
    """Average a table, as the released loader does for tasks it has no rows for."""
    total = np.zeros(table.shape[1])
    for first in range(0, len(table), MEAN_ROWS):
        total += np.asarray(table[first : first + MEAN_ROWS], np.float64).sum(axis=0)
    return (total / len(table)).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class NewRows:
    """How new rows are made.

    Attributes:
      steps: updates of training; 0 leaves the mean row.
      seed: of training.
    """

    steps: int
    seed: int

    @property
    def name(self) -> str:
        """`mean`, or `trained-N` after N updates."""
        return f"trained-{self.steps}" if self.steps else "mean"


def row_source(
    model: LoadedModel, plan: TestTime, side: int, how: NewRows, say: Callable[[str], object]
) -> RowSource:
    """Put the rows of a model and the new ones together.

    Args:
      plan: with the names of new rows after the model's.
      side: of the canvas.
      say: told about training.
    """
    table = np.asanyarray(model.weights.puzzle_emb)
    mean = mean_row(table)[None]
    count = len(plan.identifiers) - len(table)
    if count <= 0 or not how.steps:
        return RowSource(table, mean)
    batch = demonstrations(plan, side, len(table), how.seed)
    say(f"training {count} new rows of {model.name} on {len(batch.inputs)} demonstrations")
    # the backbone alone goes to the device; its table is not needed
    weights = model.weights._replace(puzzle_emb=jnp.asarray(mean))
    recipe = RowRecipe(steps=how.steps, seed=how.seed)
    start = jnp.asarray(np.repeat(mean, count, axis=0))
    rows, losses = train_rows(build(model.config), weights, start, batch, recipe)
    tenth = max(1, how.steps // 10)
    first, last = float(losses[:tenth].mean()), float(losses[-tenth:].mean())
    say(f"mean loss of the first {tenth} updates {first:.3f}, of the last {last:.3f}")
    return RowSource(table, np.asarray(rows))


def demonstrations(plan: TestTime, side: int, num_trained: int, seed: int) -> Batch:
    """Collect the demonstrations of augmented tasks without a row; identifiers count new rows.

    Raises:
      ValueError: a task has no demonstrations.
    """
    numbers = {name: at for at, name in enumerate(plan.identifiers[num_trained:])}
    rng = np.random.RandomState(seed)
    parts = []
    for group in plan.groups:
        pairs = len(group.pairs(TRAIN))
        if not pairs:
            raise ValueError(f"task {group.task.name} has no demonstrations to train a row on")
        names = [name for name in group.names() for _ in range(pairs)]
        examples = zip(names, group_examples(group, TRAIN, side, rng), strict=True)
        parts += [(*example, numbers[name]) for name, example in examples if name in numbers]
    inputs, answers, rows = (np.array(x, np.int32) for x in zip(*parts, strict=True))
    labels = np.where(answers == PAD, IGNORE_LABEL, answers)
    return Batch(*(jnp.asarray(x, jnp.int32) for x in (inputs, labels, rows)))
