"""What a vote over augmentations asks, and its answers on disk: append-only, resumable.

    OUT/votes.json    {"spec": {...}, "runs": [environment of every start]}
    OUT/rows.jsonl    one `VoteRow` per line, in the order in which they were finished

A row holds the answers of one model under one scheme to a few tasks under all augmentations, each
different grid once, already turned and painted back. Any number of augmentations, any set of
models and any k can be scored from rows without asking again. Schemes and tasks may be added by
resuming.
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.measurement.row_files import (
    append_line,
    digest_of,
    drop_torn_line,
    read_document,
    read_lines,
    refuse_used,
    shards_of,
    write_document,
)
from trm_jax.data.arc.augment import Augmentation
from trm_jax.data.arc.dataset import Group
from trm_jax.data.arc.task_files import TEST, Grid, Pair

FORMAT = 1
SPEC_FILE, ROWS_FILE, KIND = "votes.json", "rows.jsonl", "a vote"
IDENTITY = (
    "models_sha256",
    "tasks_sha256",
    "num_aug",
    "new_rows",
    "steps",
    "tasks_per_shard",
    "dtype",
    "seed",
)


@dataclass(frozen=True, kw_only=True)
class VoteSpec:
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

    @property
    def shards(self) -> tuple[tuple[int, int], ...]:
        """First task and end of every shard."""
        return shards_of(self.num_tasks, self.tasks_per_shard)

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the answers in a row."""
        return {name: getattr(self, name) for name in IDENTITY} | {"format": FORMAT}

    @property
    def digest(self) -> str:
        """Short hash of the identity, written into every row."""
        return digest_of(self.identity)


class VoteKey(NamedTuple):
    """The unit of work: one scheme and model on the tasks [start, stop)."""

    scheme: str
    model: int
    start: int
    stop: int


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

    @property
    def key(self) -> VoteKey:
        return VoteKey(self.scheme, self.model, self.start, self.stop)


def row_from_dict(values: dict[str, Any]) -> VoteRow:
    """Rebuild a row from JSON.

    Raises:
      TypeError, KeyError: fields are missing or unknown.
    """
    lists = {name: tuple(values[name]) for name in ("grids", "answers", "q_halt", "exact")}
    return VoteRow(**{**values, **lists})


def write_grid(grid: Grid) -> str:
    """Write a grid as its rows of digits, joined by "/"; one without cells is empty."""
    return "/".join("".join(map(str, row)) for row in grid.tolist())


def read_grid(text: str) -> Grid:
    """Read a grid back."""
    if not text:
        return np.zeros((0, 0), np.uint8)
    return np.array([[int(digit) for digit in row] for row in text.split("/")], np.uint8)


class VoteFolder:
    """The files of an evaluation."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.spec_file, self.rows_file = path / SPEC_FILE, path / ROWS_FILE

    def check(self, spec: VoteSpec, *, resume: bool) -> None:
        """Refuse a folder that this evaluation must not write into. Changes nothing.

        Raises:
          FileExistsError: the folder is in use and `resume` is off.
          ValueError: its rows are of another evaluation; the message says what differs.
        """
        refuse_used(self.path, resume=resume)
        if self.spec_file.exists():
            before = read_document(self.spec_file, KIND)["spec"]
            pairs = [(name, before.get(name), _plain(getattr(spec, name))) for name in IDENTITY]
            if differs := [f"{n} is {was}, asked for {now}" for n, was, now in pairs if was != now]:
                raise ValueError(
                    f"{self.path} holds another evaluation ({'; '.join(differs)}); choose"
                    " another --out"
                )

    def open(self, spec: VoteSpec, environment: dict[str, Any]) -> None:
        """Note the start of a run and drop a line that a kill cut off."""
        self.path.mkdir(parents=True, exist_ok=True)
        runs = [
            *(read_document(self.spec_file, KIND)["runs"] if self.spec_file.exists() else []),
            environment,
        ]
        write_document(self.spec_file, dataclasses.asdict(spec), runs)
        drop_torn_line(self.rows_file)

    def append(self, row: VoteRow) -> None:
        """Write a finished row and wait until it is on the disk."""
        append_line(self.rows_file, dataclasses.asdict(row))

    def rows(self, digest: str) -> list[VoteRow]:
        """Read the rows, a cut-off last line left out.

        Raises:
          ValueError: a line is damaged, or of another evaluation.
        """
        found = []
        for place, row in read_lines(self.rows_file, row_from_dict):
            if row.digest != digest:
                raise ValueError(f"{place} is of another evaluation; keep one in a folder")
            found.append(row)
        return found


def pending(spec: VoteSpec, rows: Iterable[VoteRow]) -> list[VoteKey]:
    """List the work that is left, scheme by scheme within a shard, so that all go on together."""
    done = {row.key for row in rows}
    keys = [
        VoteKey(scheme, model, *shard)
        for shard in spec.shards
        for model in range(len(spec.models))
        for scheme in spec.schemes
    ]
    return [key for key in keys if key not in done]


def _plain(value: Any) -> Any:
    """Write a value as JSON reads it back."""
    return json.loads(json.dumps(value))


def asked(groups: Sequence[Group]) -> Iterator[tuple[Group, int, Augmentation, Pair]]:
    """List what `question_batches` asks, in its order; the number counts augmentations."""
    for group in groups:
        for turn, augmentation in enumerate(group.augmentations()):
            for pair in group.pairs(TEST):
                yield group, turn, augmentation, pair
