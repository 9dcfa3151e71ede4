"""Rows of a vote over augmentations: the answers of one model under one scheme to a few tasks.

    OUT/votes.json     {"spec": {...}, "runs": [environment of every start]}
    OUT/rows.jsonl     one `VoteRow` per line, in the order in which they were finished
    OUT/scores.jsonl   records of outcomes.py, made from the rows; what tables are laid out from

A row holds the answers under all augmentations, each different grid once, already turned and
painted back. Any number of augmentations, any set of models and any k can be scored from rows
without asking again. Schemes and tasks may be added by resuming.

Not here: what a kill leaves and how files are read (measurement/row_files.py); pass@k
(outcomes.py).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from experiments.measurement import folders
from experiments.measurement.row_checks import (
    MOST,
    check_all_within,
    check_different,
    check_length,
    check_shard,
    check_shards,
    check_within,
)
from experiments.measurement.row_files import FolderLayout, ResultFolder
from experiments.measurement.spec import RowSpec, Shard, shards_of
from quant.scheme import parse
from trm_jax.data.arc.augment import Augmentation
from trm_jax.data.arc.dataset import Group
from trm_jax.data.arc.task_files import TEST, Grid, Pair

SCORES_FILE = "scores.jsonl"
GRID = re.compile(r"[0-9]+(?:/[0-9]+)*")


class VoteKey(NamedTuple):
    """The unit of work: one scheme and model on the tasks [start, stop)."""

    scheme: str
    model: int
    start: int
    stop: int


@dataclass(frozen=True, kw_only=True)
class VoteSpec(RowSpec):
    """One evaluation.

    Attributes:
      models, models_sha256: checkpoints that vote together.
      tasks: name of the tasks.
      tasks_sha256: of the tasks and of the model's identifiers.
      num_tasks: the first so many.
      num_aug: augmentations per task beside the identity.
      new_rows: how puzzle rows that no model trained are made.
      schemes: full precision first.
      bytes: stored size of a model under each scheme, its puzzle table left out.
      steps: supervision steps.
      gflops: cost of one rollout.
      tasks_per_shard: the unit of work and of resuming.
      dtype: arithmetic of schemes that name none.
      seed: of further augmentations and of row training.
    """

    IDENTITY: ClassVar[tuple[str, ...]] = (
        "models_sha256",
        "tasks_sha256",
        "num_aug",
        "new_rows",
        "steps",
        "tasks_per_shard",
        "dtype",
        "seed",
    )

    models: tuple[str, ...]
    models_sha256: tuple[str, ...]
    tasks: str
    tasks_sha256: str
    num_tasks: int
    num_aug: int
    new_rows: str
    schemes: tuple[str, ...]
    bytes: tuple[int, ...]
    steps: int
    gflops: float
    tasks_per_shard: int
    dtype: str
    seed: int

    def __post_init__(self) -> None:
        """Check the numbers, the schemes and their sizes.

        Raises:
          ValueError: names the field, or an unknown scheme.
        """
        check_shards("num_tasks", self.num_tasks, "tasks_per_shard", self.tasks_per_shard)
        check_different("models_sha256", enumerate(self.models_sha256))
        check_length("models", self.models, len(self.models_sha256))
        check_different("schemes", map(parse, self.schemes))
        check_length("bytes", self.bytes, len(self.schemes))
        names = ("num_aug", "gflops", "seed")
        check_all_within({name: getattr(self, name) for name in names}, 0)
        check_within("steps", self.steps, 1)

    def check_row(self, row: "VoteRow") -> None:
        """Check a row's shard and its model."""
        check_shard(row.start, row.stop, self.tasks_per_shard)
        check_within("model", row.model, 0, len(self.models) - 1)

    @property
    def shards(self) -> tuple[Shard, ...]:
        """First task and end of every shard."""
        return shards_of(self.num_tasks, self.tasks_per_shard)

    def work_keys(self) -> list[VoteKey]:
        """List the work, scheme by scheme within a shard, so that all schemes go on together."""
        return [
            VoteKey(scheme, model, *shard)
            for shard in self.shards
            for model in range(len(self.models))
            for scheme in self.schemes
        ]


@dataclass(frozen=True, kw_only=True)
class VoteRow:
    """Answers to a shard of tasks: task by task, augmentation by augmentation, pair by pair.

    Attributes:
      model: place in `VoteSpec.models`.
      grids: the different answers, as `write_grid` writes them.
      answers: place in `grids` of each answer.
      q_halt: halting logit of each answer.
      exact: 1 where the whole canvas was right.
      seconds: wall time of the rollouts, compilation left out.
    """

    digest: str
    scheme: str
    model: int
    start: int
    stop: int
    grids: tuple[str, ...]
    answers: tuple[int, ...]
    q_halt: tuple[float, ...]
    exact: tuple[int, ...]
    seconds: float

    def __post_init__(self) -> None:
        """Check the numbers against each other, and that every answer is a grid.

        Raises:
          ValueError: names the field.
        """
        check_shard(self.start, self.stop)
        check_within("seconds", self.seconds, 0)
        for name in ("q_halt", "exact"):
            check_length(name, getattr(self, name), len(self.answers))
        for i, text in enumerate(self.grids):
            lines = text.split("/")
            if text and not (GRID.fullmatch(text) and len(set(map(len, lines))) == 1):
                raise ValueError(f"field grids[{i}] is no grid of digits: {text[:40]!r}")
        for i, place in enumerate(self.answers):
            check_within(f"answers[{i}]", place, 0, len(self.grids) - 1)
        for i, bit in enumerate(self.exact):
            check_within(f"exact[{i}]", bit, 0, 1)
        for i, logit in enumerate(self.q_halt):
            check_within(f"q_halt[{i}]", logit, -MOST)

    @property
    def key(self) -> VoteKey:
        return VoteKey(self.scheme, self.model, self.start, self.stop)


LAYOUT = FolderLayout("vote", VoteSpec, VoteRow, spec_name="votes", output=folders.VOTE)


def vote_folder(path: Path) -> ResultFolder[VoteSpec, VoteRow]:
    """Name the files of a vote."""
    return ResultFolder(path, LAYOUT)


def asked(groups: Sequence[Group]) -> Iterator[tuple[Group, int, Augmentation, Pair]]:
    """List what `question_batches` asks, in its order; the number counts augmentations."""
    for group in groups:
        for turn, augmentation in enumerate(group.augmentations()):
            for pair in group.pairs(TEST):
                yield group, turn, augmentation, pair


def write_grid(grid: Grid) -> str:
    """Write a grid as its rows of digits, joined by "/"; one without cells is empty."""
    return "/".join("".join(map(str, row)) for row in grid.tolist())


def read_grid(text: str) -> Grid:
    """Read a grid back."""
    if not text:
        return np.zeros((0, 0), np.uint8)
    return np.array([[int(digit) for digit in row] for row in text.split("/")], np.uint8)
