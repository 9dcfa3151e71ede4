"""Ask ARC questions under any number of augmentations, streamed: nothing but a batch is held.

Augmentations the model was trained on come first, in the order of its identifiers: their rows of
the puzzle table are trained. Further ones are drawn anew, different from all before; their names
go on after the identifiers, and who asks appends as many rows to the table (the mean row, say,
as the released loader does for a table of another size).

The cost is one row of a batch per question and augmented task: `count_questions`.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from trm_jax.data.arc import canvas
from trm_jax.data.arc.augment import SEPARATOR, Augmentation, augmentations, parse_name
from trm_jax.data.arc.dataset import Group, check_canvas, encode_pair, group_of
from trm_jax.data.arc.task_files import MAX_SIDE, TEST, ArcTask
from trm_jax.data.batches import IGNORE_LABEL, PuzzleBatch
from trm_jax.data.format import BLANK_IDENTIFIER


class TestTime(NamedTuple):
    """What is to be asked.

    Attributes:
      groups: tasks with their augmentations.
      identifiers: names of the table's rows, those without a trained row last.
    """

    __test__ = False  # pytest: no test class

    groups: tuple[Group, ...]
    identifiers: list[str]


def plan_test_time(
    tasks: Sequence[ArcTask],
    identifiers: Sequence[str],
    num_aug: int,
    rng: np.random.RandomState,
) -> TestTime:
    """Choose the augmentations of each task.

    Args:
      tasks: whose questions are asked; new tasks may be among them.
      identifiers: names of the rows of the model's puzzle table.
      num_aug: augmentations per task beside the identity; a task may have fewer different ones.
      rng: for augmentations beyond the known ones.
    """
    by_task = _known({task.name for task in tasks}, identifiers)
    groups: list[Group] = []
    names: list[str] = []
    for task in tasks:
        chosen = by_task[task.name][:num_aug]
        missing = num_aug - len(chosen)
        chosen += list(augmentations(task, missing, rng, by_task[task.name]))
        groups.append(group_of(task, TEST, chosen))
        names += groups[-1].names()
    trained = set(identifiers)
    return TestTime(tuple(groups), [*identifiers, *(n for n in names if n not in trained)])


def _known(tasks: Collection[str], identifiers: Sequence[str]) -> dict[str, list[Augmentation]]:
    """Collect the augmentations of some tasks in the order of their identifiers."""
    by_task: dict[str, list[Augmentation]] = {task: [] for task in tasks}
    for name in identifiers:
        if SEPARATOR in name and name.split(SEPARATOR)[0] in by_task:
            task, augmentation = parse_name(name)
            by_task[task].append(augmentation)
    return by_task


def count_questions(groups: Sequence[Group]) -> int:
    """Count the rows that all batches hold together, padding left out."""
    return sum(group.num_puzzles * len(group.pairs(TEST)) for group in groups)


def question_batches(
    plan: TestTime, batch_size: int, *, side: int = MAX_SIDE
) -> Iterator[PuzzleBatch]:
    """Yield the augmented questions; `row_names(plan.identifiers, ...)` names them for `Votes`.

    Args:
      plan: what to ask.
      batch_size: rows of every batch; the last one is padded.
      side: of the canvas, in cells.

    Raises:
      ValueError: batch size below 1, or a grid larger than the canvas.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    check_canvas(plan.groups, side)
    names = {name for group in plan.groups for name in group.names()}
    rows = {name: row for row, name in enumerate(plan.identifiers) if name in names}
    parts: list[tuple[np.ndarray, np.ndarray, int]] = []
    for group in plan.groups:
        for augmentation, name in zip(group.augmentations(), group.names(), strict=True):
            for pair in group.pairs(TEST):
                parts.append((*encode_pair(pair, augmentation, side), rows[name]))
                if len(parts) == batch_size:
                    yield _batch(parts, batch_size, side, plan)
                    parts = []
    if parts:
        yield _batch(parts, batch_size, side, plan)


def _batch(
    parts: Sequence[tuple[np.ndarray, np.ndarray, int]], size: int, side: int, plan: TestTime
) -> PuzzleBatch:
    inputs = np.full((size, side * side), canvas.PAD, np.int32)
    labels = np.full((size, side * side), IGNORE_LABEL, np.int32)
    identifiers = np.full(size, plan.identifiers.index(BLANK_IDENTIFIER), np.int32)
    for at, (question, answer, row) in enumerate(parts):
        inputs[at], identifiers[at] = question, row
        labels[at] = answer  # bytes, which cannot hold the ignored label
    labels[labels == canvas.PAD] = IGNORE_LABEL
    return PuzzleBatch(inputs, labels, identifiers, len(parts))
