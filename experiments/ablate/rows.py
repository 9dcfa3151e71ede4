"""Rows of an ablation on disk: append-only, resumable, readable without computing anything.

    OUT/ablation.json   {"spec": {...}, "runs": [environment of every start]}
    OUT/rows.jsonl      one `AblationRow` per line, in the order in which they were finished
    OUT/trained/        models that a study trained, one folder each (retraining.py)

A row is one variant of one study on one shard of puzzles. Its digest covers everything that
decides its numbers, so rows made otherwise (other weights, fewer training steps) never mix.
Studies and puzzles may be added by resuming.

The frozen specification of an ablation: what its rows mean and what its tables need.

`identity` decides the numbers of all rows, `settings` those of one variant; the digest of a
variant covers both. The number of puzzles is in neither, and variants may be added: an ablation
can be widened by resuming it.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from experiments.measurement.row_files import (
    append_line,
    digest_of,
    drop_torn_line,
    read_document,
    read_lines,
    refuse_used,
    write_document,
)
from experiments.measurement.shards import Moments
from experiments.measurement.spec import MeasurementSpec, differences

Facts = dict[str, float | str]
"""Named numbers and words: `bytes`, `parameters`, `train_seconds`, ..."""


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


@dataclass(frozen=True, kw_only=True)
class AblationSpec(MeasurementSpec):
    """One ablation; training has its seed in the settings.

    Attributes:
      planned: variants in the order of the tables.
    """

    planned: tuple[PlannedVariant, ...] = ()

    def plan(self, study: str, variant: str, reference: str, settings: Facts) -> PlannedVariant:
        """Make the entry of a variant, with its digest."""
        values = {"study": study, "variant": variant, "reference": reference, "settings": settings}
        return PlannedVariant(**values, digest=digest_of(self.identity | values))


def spec_from_dict(values: dict[str, Any]) -> AblationSpec:
    """Rebuild a spec from `dataclasses.asdict`.

    Raises:
      ValueError: fields are missing or unknown.
    """
    try:
        planned = tuple(PlannedVariant(**each) for each in values["planned"])
        return AblationSpec(**{**values, "planned": planned})
    except (KeyError, TypeError) as error:
        raise ValueError(f"not the spec of an ablation: {error}") from error


def joined(found: AblationSpec, wanted: AblationSpec) -> AblationSpec:
    """Join two specs of one ablation: all variants, and the most puzzles.

    Raises:
      ValueError: their rows must not mix; the message says what differs.
    """
    problems = differences(found, wanted)
    entries = {each.name: each for each in found.planned}
    for new in wanted.planned:
        old = entries.setdefault(new.name, new)
        if not problems and old.digest != new.digest:
            problems.append(
                f"{new.study}: {new.variant} was made with {old.settings}, asked for {new.settings}"
            )
    if problems:
        raise ValueError(f"rows of different ablations do not mix: {'; '.join(problems)}")
    most = max(found.num_puzzles, wanted.num_puzzles)
    return dataclasses.replace(wanted, planned=tuple(entries.values()), num_puzzles=most)


SPEC_FILE, ROWS_FILE = "ablation.json", "rows.jsonl"


class RowKey(NamedTuple):
    """The unit of work: one variant on the puzzles [start, stop)."""

    study: str
    variant: str
    start: int
    stop: int


@dataclass(frozen=True, kw_only=True)
class AblationRow:
    """What one variant did on one shard, at its own depth.

    Attributes:
      digest: of what decides the numbers (`AblationSpec.planned`).
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

    @property
    def key(self) -> RowKey:
        return RowKey(self.study, self.variant, self.start, self.stop)


def row_from_dict(values: dict[str, Any]) -> AblationRow:
    """Rebuild a row from JSON.

    Raises:
      TypeError, KeyError: fields are missing or unknown.
    """
    names = ("cell_error", "infidelity_one_step", "infidelity")
    moments = {k: None if values[k] is None else Moments(*values[k]) for k in names}
    return AblationRow(**{**values, **moments})


class AblationFolder:
    """The files of an ablation."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.spec_file, self.rows_file = path / SPEC_FILE, path / ROWS_FILE

    def check(self, spec: AblationSpec, *, resume: bool) -> None:
        """Refuse a folder that this ablation must not write into. Changes nothing.

        Raises:
          FileExistsError: the folder is in use and `resume` is off.
          ValueError: its rows are of another ablation; the message says what differs.
        """
        refuse_used(self.path, resume=resume)
        if self.spec_file.exists():
            try:
                joined(read_spec(self.path), spec)
            except ValueError as error:
                raise ValueError(f"{self.path}: {error}; choose another --out") from error

    def open(self, spec: AblationSpec, environment: dict[str, Any]) -> None:
        """Note the start of a run, widen the spec to it, and drop a line that a kill cut off."""
        self.path.mkdir(parents=True, exist_ok=True)
        runs = [environment]
        if self.spec_file.exists():
            runs = [*_read_document(self.path)["runs"], environment]
            spec = joined(read_spec(self.path), spec)
        write_document(self.spec_file, dataclasses.asdict(spec), runs)
        drop_torn_line(self.rows_file)

    def append(self, row: AblationRow) -> None:
        """Write a finished row and wait until it is on the disk."""
        append_line(self.rows_file, dataclasses.asdict(row))


def read_spec(folder: Path) -> AblationSpec:
    """Read what an ablation is.

    Raises:
      FileNotFoundError: the folder holds none.
      ValueError: its ablation.json is damaged.
    """
    return spec_from_dict(_read_document(folder)["spec"])


def read_rows(folder: Path, spec: AblationSpec) -> list[AblationRow]:
    """Read the rows of a folder, a cut-off last line left out.

    Raises:
      ValueError: a line is damaged, or not of this ablation.
    """
    file, digests = folder / ROWS_FILE, {each.name: each.digest for each in spec.planned}
    rows = []
    for place, row in read_lines(file, row_from_dict):
        if digests.get((row.study, row.variant)) != row.digest:
            raise ValueError(
                f"{place} ({row.study}: {row.variant}) is not of this ablation;"
                " delete the line and --resume"
            )
        rows.append(row)
    return rows


def pending(spec: AblationSpec, rows: Iterable[AblationRow]) -> list[RowKey]:
    """List the work that is left, variant by variant."""
    done = {row.key for row in rows}
    keys = [RowKey(*each.name, *shard) for each in spec.planned for shard in spec.shards]
    return [key for key in keys if key not in done]


def finished_shards(spec: AblationSpec, rows: Sequence[AblationRow], study: str) -> list[tuple]:
    """List the shards that every variant of a study has finished, in order."""
    done = {row.key for row in rows}
    names = [each.name for each in spec.planned if each.study == study]
    return [s for s in spec.shards if all(RowKey(*name, *s) in done for name in names)]


def _read_document(folder: Path) -> dict[str, Any]:
    file = folder / SPEC_FILE
    if not file.is_file():
        raise FileNotFoundError(f"{folder} holds no ablation (no {SPEC_FILE})")
    return read_document(file, "an ablation")
