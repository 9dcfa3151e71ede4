"""Plan an ARC data set: which augmentations of which task, in the order of the identifiers.

All augmentations are drawn before anything is written, because the released builder draws them
first and the translations after them from one stream. A plan holds eleven bytes per augmented
task; grids are made again from it one task at a time (`arc_build`), so that memory hardly grows
with the number of augmentations.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from trm_jax.data.arc_augment import (
    IDENTITY,
    Augmentation,
    augmentations,
    augmented_name,
)
from trm_jax.data.arc_tasks import TEST, TRAIN, Pair, Task
from trm_jax.data.format import BLANK_IDENTIFIER

SEED = 42  # of the released builder

Progress = Callable[[int], object]


@dataclass(frozen=True)
class Group:
    """A task with its augmentations.

    Attributes:
      task: as read.
      split: where its questions go, "train" or "test"; demonstrations go to train.
      drawn: transform and colours of each augmentation; the identity is not listed.
    """

    task: Task
    split: str
    drawn: UInt8[np.ndarray, "drawn 11"]

    @property
    def num_puzzles(self) -> int:
        """Count the augmentations and the identity."""
        return len(self.drawn) + 1

    def augmentations(self) -> Iterator[Augmentation]:
        """Yield the identity, then the augmentations."""
        yield IDENTITY
        for transform, *colours in self.drawn.tolist():
            yield Augmentation(transform, bytes(colours))

    def names(self) -> Iterator[str]:
        """Yield the names of the augmented tasks."""
        return (augmented_name(self.task.name, aug) for aug in self.augmentations())

    def pairs(self, split: str) -> tuple[Pair, ...]:
        """List the pairs of a split, in the order of the file."""
        return tuple(p for p in self.task.pairs if (self.split, TRAIN)[p.kind == TRAIN] == split)


def group_of(task: Task, split: str, drawn: Iterable[Augmentation]) -> Group:
    """Pack a task with its augmentations."""
    rows = [[augmentation.transform, *augmentation.colours] for augmentation in drawn]
    return Group(task, split, np.array(rows, np.uint8).reshape(-1, 11))


def plan(
    subsets: Mapping[str, Sequence[Task]],
    *,
    test_set_name: str,
    num_aug: int,
    rng: np.random.RandomState,
    progress: Progress = lambda done: None,
) -> tuple[Group, ...]:
    """Shuffle the tasks of each subset and draw their augmentations.

    Args:
      subsets: tasks by subset, in the order of the command line.
      test_set_name: the subset whose questions are the test split.
      num_aug: augmentations per task; a task may have fewer different ones.
      rng: NumPy's legacy generator, `RandomState(SEED)` for the published identifiers.
      progress: called with the number of tasks done.

    Raises:
      ValueError: the test set is no subset, a task comes twice, or a question that would be
        trained on has no answer.
    """
    if test_set_name not in subsets:
        raise ValueError(f"the test set {test_set_name!r} is none of the subsets {list(subsets)}")
    seen: dict[str, str] = {}
    groups = []
    for subset, tasks in subsets.items():
        split = TEST if subset == test_set_name else TRAIN
        for task in (tasks[i] for i in rng.permutation(len(tasks))):
            if task.name in seen:
                raise ValueError(f"task {task.name} is in {seen[task.name]} and in {subset}")
            seen[task.name] = subset
            _check_answers(task, split, subset)
            groups.append(group_of(task, split, augmentations(task, num_aug, rng)))
            progress(len(groups))
    return tuple(groups)


def _check_answers(task: Task, split: str, subset: str) -> None:
    if split == TRAIN and any(pair.output is None for pair in task.pairs):
        raise ValueError(
            f"task {task.name} of the subset {subset} has a question without an answer, so it"
            " cannot be trained on: add its solutions, or make the subset the test set"
        )


def identifiers(groups: Sequence[Group]) -> Iterator[str]:
    """Yield the names of the puzzle identifiers in order, blank first."""
    yield BLANK_IDENTIFIER
    for group in groups:
        yield from group.names()
