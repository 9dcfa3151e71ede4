"""Rows of an ablation: what one variant of one study did on one shard of puzzles.

    OUT/ablation.json   {"spec": {...}, "runs": [environment of every start]}
    OUT/rows.jsonl      one `AblationRow` per line, in the order in which they were finished
    OUT/trained/        models that a study trained, one folder each (retraining.py)

The identity of the spec (model, puzzles, shards, arithmetic) and the settings of a variant decide
its numbers, and its digest covers both: rows made otherwise (other weights, fewer training steps)
never mix. The number of puzzles is in neither, and variants may be added: an ablation can be
widened by resuming it.

Not here: what a kill leaves and how files are read (measurement/row_files.py); rates and
intervals (tables.py).
"""

import dataclasses
import enum
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

from experiments.measurement import folders
from experiments.measurement.row_checks import (
    MOST,
    ROOM,
    check_different,
    check_flags,
    check_moments,
    check_shard,
    check_within,
)
from experiments.measurement.row_files import FolderLayout, ResultFolder
from experiments.measurement.shards import Moments
from experiments.measurement.spec import MeasurementSpec, differences, digest_of

Facts = dict[str, float | str | bool]
"""Named numbers, words and choices: `bytes`, `parameters`, `train_seconds`, ..."""


class AblationStudy(enum.Enum):
    """A study; the value is its name on the command line and in rows."""

    ACTIVATIONS = "activations"
    EMBEDDING = "embedding"
    MIXER = "mixer"
    TRUNCATION = "truncation"
    PRUNING = "pruning"
    DISTILLATION = "distillation"
    LINEAR_ATTENTION = "linear_attention"
    QAT = "qat"
    TOOLKITS = "toolkits"


@dataclass(frozen=True, kw_only=True)
class PlannedVariant:
    """A variant as the spec lists it.

    Attributes:
      reference: the variant of the same study that it is compared with (itself: a reference).
      settings: what decides its numbers beside the model and the puzzles.
      digest: written into its rows.
    """

    study: str
    variant: str
    reference: str
    settings: Facts
    digest: str

    @property
    def name(self) -> tuple[str, str]:
        return self.study, self.variant


def check_facts(name: str, facts: Facts, numbers: Sequence[str]) -> None:
    """Check that named facts are there, as numbers, and that no number is beyond reason.

    Raises:
      ValueError: names the field.
    """
    for key in numbers:
        if isinstance(facts.get(key), str | bool | None):
            raise ValueError(f"field {name}.{key} must be a number, got {facts.get(key)!r}")
    for key, value in facts.items():
        if not isinstance(value, str | bool):
            check_within(f"{name}.{key}", value, -MOST)


class AblationKey(NamedTuple):
    """The unit of work: one variant on the puzzles [start, stop)."""

    study: str
    variant: str
    start: int
    stop: int


@dataclass(frozen=True, kw_only=True)
class AblationRow:
    """What one variant did on one shard, at its own depth.

    Attributes:
      digest: of what decides the numbers (`PlannedVariant.digest`).
      scored_cells, correct_cells: counts over the shard.
      exact, lenient: one bit per puzzle, hex, first puzzle in the highest bit.
      cell_error: share of wrong cells of a puzzle.
      infidelity_one_step, infidelity: 1 - cosine to the reference after one supervision step and
        at the variant's depth; None where the states have other shapes (a smaller student).
      facts: numbers and words about the variant, the same in all its rows.
    """

    digest: str
    study: str
    variant: str
    start: int
    stop: int
    scored_cells: int
    correct_cells: int
    exact: str
    lenient: str
    cell_error: Moments
    infidelity_one_step: Moments | None
    infidelity: Moments | None
    facts: Facts

    def __post_init__(self) -> None:
        """Check the numbers against each other.

        Raises:
          ValueError: names the field.
        """
        check_shard(self.start, self.stop)
        count = self.stop - self.start
        check_within("scored_cells", self.scored_cells, 0)
        check_within("correct_cells", self.correct_cells, 0, self.scored_cells)
        check_flags("exact", self.exact, count)
        check_flags("lenient", self.lenient, count)
        check_moments("cell_error", self.cell_error, count, 0, 1)
        for name in ("infidelity_one_step", "infidelity"):
            if (moments := getattr(self, name)) is not None:
                check_moments(name, moments, count, -ROOM, 2 + ROOM)
        check_facts("facts", self.facts, ("bytes",))

    @property
    def key(self) -> AblationKey:
        return AblationKey(self.study, self.variant, self.start, self.stop)


@dataclass(frozen=True, kw_only=True)
class AblationSpec(MeasurementSpec):
    """One ablation; training has its seed in the settings.

    Attributes:
      planned: variants in the order of the tables.
    """

    planned: tuple[PlannedVariant, ...] = ()

    def __post_init__(self) -> None:
        """Check the numbers, and that no variant is there twice.

        Raises:
          ValueError: names the field.
        """
        super().__post_init__()
        names = [each.name for each in self.planned]
        if names:
            check_different("planned", names)

    def check_row(self, row: AblationRow) -> None:
        """Check a row's shard."""
        check_shard(row.start, row.stop, self.batch_size)

    def lists(self, row: AblationRow) -> bool:
        """Return whether a row is of puzzles of the ablation."""
        return row.stop <= self.num_puzzles

    def plan(self, study: str, variant: str, reference: str, settings: Facts) -> PlannedVariant:
        """Make the entry of a variant, with its digest."""
        values = {"study": study, "variant": variant, "reference": reference, "settings": settings}
        return PlannedVariant(**values, digest=digest_of(self.identity | values))

    def work_keys(self) -> list[AblationKey]:
        """List the work, variant by variant."""
        return [AblationKey(*each.name, *shard) for each in self.planned for shard in self.shards]

    def digest_for(self, row: AblationRow) -> str | None:
        """Return the digest of the row's variant; None if the spec has no such variant."""
        digests = {each.name: each.digest for each in self.planned}
        return digests.get((row.study, row.variant))

    def conflicts(self, later: Self) -> list[str]:
        """List the reasons why rows must not mix: another model, or variants made otherwise."""
        if problems := differences(self, later):
            return problems
        entries = {each.name: each for each in self.planned}
        pairs = [(entries.get(new.name, new), new) for new in later.planned]
        return [
            f"{new.study}: {new.variant} was made with {old.settings}, asked for {new.settings}"
            for old, new in pairs
            if old.digest != new.digest
        ]

    def widened(self, later: Self) -> Self:
        """Join with a later spec of the same ablation: all variants, and the most puzzles."""
        entries = {each.name: each for each in (*self.planned, *later.planned)}
        most = max(self.num_puzzles, later.num_puzzles)
        return dataclasses.replace(later, planned=tuple(entries.values()), num_puzzles=most)


LAYOUT = FolderLayout(
    "ablation", AblationSpec, AblationRow, spec_name="ablation", output=folders.ABLATION
)


def ablation_folder(path: Path) -> ResultFolder[AblationSpec, AblationRow]:
    """Name the files of an ablation."""
    return ResultFolder(path, LAYOUT)
