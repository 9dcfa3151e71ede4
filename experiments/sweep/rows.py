"""Rows of a sweep on disk: append-only, resumable, mergeable.

    OUT/spec.json     {"spec": {...}, "runs": [environment of every start]}
    OUT/rows.jsonl    one `Row` per line, in the order in which they were finished

With several processes each writes files of its own, spec-K.json and rows-K.jsonl. Nothing is
ever overwritten; what a kill leaves, row_files.py says.

The frozen specification of a sweep: what its rows mean and what its report needs.

`identity` is the part that decides the numbers of a row; rows of another identity never mix.
Schemes and the number of puzzles are not in it, so a sweep can be widened by resuming it.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from experiments.measurement.depths import DepthGrid
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
from quant.scheme import parse


@dataclass(frozen=True, kw_only=True)
class SweepSpec(MeasurementSpec):
    """One sweep.

    Attributes:
      architecture: and mixer, for reports; empty in folders of earlier versions.
      gflops_per_cycle: cost of an H-cycle for one puzzle.
      schemes: names as `quant.scheme.Scheme.name` writes them, full precision first.
      bytes: stored size of the model under each scheme, puzzle table included.
      grid: depths.
    """

    gflops_per_cycle: float
    schemes: tuple[str, ...]
    bytes: tuple[int, ...]
    grid: DepthGrid
    architecture: str = ""

    @property
    def reference(self) -> str:
        """The full-precision scheme that all others are compared with."""
        return self.schemes[0]

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the numbers of a row."""
        return super().identity | {"cycles": list(self.grid.cycles)}

    @property
    def digest(self) -> str:
        """Short hash of the identity, written into every row but those of static schemes."""
        return digest_of(self.identity)

    def digest_of_scheme(self, name: str) -> str:
        """Hash what decides the numbers of a scheme's rows.

        Static products once rounded their inputs only; rows from then must not mix with those
        of today's arithmetic, which is the exported file's (quant/simulation.py).
        """
        scheme = parse(name)
        if not scheme.activations.is_static or scheme.is_integer:
            return self.digest
        return digest_of(self.identity | {"static_outputs": "rounded"})

    def digest_for(self, row: "SweepRow") -> str:
        """Return the digest that a row must have."""
        return self.digest_of_scheme(row.scheme)


def to_dict(spec: SweepSpec) -> dict[str, Any]:
    """Make a JSON-ready dict."""
    return dataclasses.asdict(spec)


def from_dict(values: dict[str, Any]) -> SweepSpec:
    """Rebuild a spec from `to_dict`.

    Raises:
      ValueError: fields are missing or unknown.
    """
    try:
        lists = {name: tuple(values[name]) for name in ("schemes", "bytes")}
        grid = values["grid"]
        grid = DepthGrid(tuple(grid["T"]), tuple(grid["n"]), grid["H_cycles"])
        return SweepSpec(**{**values, **lists, "grid": grid})
    except (KeyError, TypeError) as error:
        raise ValueError(f"not the spec of a sweep: {error}") from error


def union(specs: list[SweepSpec]) -> SweepSpec:
    """Join specs of one identity: all schemes, and the most puzzles.

    Raises:
      ValueError: identities differ.
    """
    first, *rest = specs
    for other in rest:
        if problems := differences(first, other):
            raise ValueError(f"rows of different sweeps do not merge: {'; '.join(problems)}")
    sizes = {k: size for spec in specs for k, size in zip(spec.schemes, spec.bytes, strict=True)}
    return dataclasses.replace(
        first,
        schemes=tuple(sizes),
        bytes=tuple(sizes.values()),
        num_puzzles=max(spec.num_puzzles for spec in specs),
    )


KIND = "a sweep"


class Key(NamedTuple):
    """The unit of work: one scheme on the puzzles [start, stop)."""

    scheme: str
    start: int
    stop: int


@dataclass(frozen=True, kw_only=True)
class SweepRow:
    """What one scheme did on one shard; lists run over `Grid.cycles`.

    Attributes:
      digest: of what decides the numbers (`SweepSpec.digest_for`).
      scored_cells, correct_cells: counts over the shard.
      exact, lenient: one bit per puzzle, hex, first puzzle in the highest bit.
      cell_error: share of wrong cells of a puzzle.
      infidelity: 1 - cosine to full precision at the same depth.
      similarity, residual: cosine to and relative change since one H-cycle before.
      call_similarity: cosine of successive network outputs in the first supervision step.
    """

    digest: str
    scheme: str
    start: int
    stop: int
    scored_cells: int
    correct_cells: tuple[int, ...]
    exact: tuple[str, ...]
    lenient: tuple[str, ...]
    cell_error: tuple[Moments, ...]
    infidelity: tuple[Moments, ...]
    similarity: tuple[Moments, ...]
    residual: tuple[Moments, ...]
    call_similarity: Moments

    @property
    def key(self) -> Key:
        return Key(self.scheme, self.start, self.stop)


MOMENTS = ("cell_error", "infidelity", "similarity", "residual")


def row_from_dict(values: dict[str, Any]) -> SweepRow:
    """Rebuild a row from JSON.

    Raises:
      TypeError, KeyError: fields are missing or unknown.
    """
    moments = {name: tuple(Moments(*pair) for pair in values[name]) for name in MOMENTS}
    lists = {name: tuple(values[name]) for name in ("correct_cells", "exact", "lenient")}
    single = {"call_similarity": Moments(*values["call_similarity"])}
    return SweepRow(**{**values, **moments, **lists, **single})


class Folder:
    """The files of one process in a folder of results.

    Attributes:
      path: the folder.
      process: index of the process, or None where there is only one.
    """

    def __init__(self, path: Path, process: int | None = None) -> None:
        suffix = "" if process is None else f"-{process}"
        self.path = path
        self.spec_file = path / f"spec{suffix}.json"
        self.rows_file = path / f"rows{suffix}.jsonl"

    def check(self, spec: SweepSpec, *, resume: bool) -> None:
        """Refuse a folder that this sweep must not write into. Changes nothing.

        Raises:
          FileExistsError: the folder is in use and `resume` is off.
          ValueError: its rows are of another sweep; the message says what differs.
        """
        refuse_used(self.path, resume=resume)
        for found in read_specs(self.path):
            if problems := differences(found, spec):
                raise ValueError(
                    f"{self.path} holds rows of another sweep ({'; '.join(problems)});"
                    " choose another --out"
                )

    def open(self, spec: SweepSpec, environment: dict[str, Any]) -> None:
        """Note the start of a run, widen the spec to it, and drop a line that a kill cut off."""
        self.path.mkdir(parents=True, exist_ok=True)
        runs = [environment]
        if self.spec_file.exists():
            before = read_document(self.spec_file, KIND)
            runs = [*before["runs"], environment]
            spec = union([from_dict(before["spec"]), spec])
        write_document(self.spec_file, to_dict(spec), runs)
        drop_torn_line(self.rows_file)

    def append(self, row: SweepRow) -> None:
        """Write a finished row and wait until it is on the disk."""
        append_line(self.rows_file, dataclasses.asdict(row))


def read_specs(folder: Path) -> list[SweepSpec]:
    """Read the specs of all processes of a folder.

    Raises:
      ValueError: one is damaged.
    """
    files = sorted(folder.glob("spec*.json")) if folder.is_dir() else []
    return [from_dict(read_document(file, KIND)["spec"]) for file in files]


def read_rows(folder: Path, spec: SweepSpec) -> list[SweepRow]:
    """Read the rows of all processes of a folder, a cut-off last line left out.

    Raises:
      ValueError: a line is damaged, or of another sweep.
    """
    rows = []
    for file in sorted(folder.glob("rows*.jsonl")):
        for place, row in read_lines(file, row_from_dict):
            if row.digest != (digest := spec.digest_for(row)):
                raise ValueError(
                    f"{place} is of another sweep, or {row.scheme} was another arithmetic"
                    f" ({row.digest}, not {digest}); keep one sweep in a folder"
                )
            rows.append(row)
    return rows


def merge(folders: Sequence[Path]) -> tuple[SweepSpec, list[SweepRow]]:
    """Join the rows of folders.

    Raises:
      FileNotFoundError: a folder has no spec.
      ValueError: the folders are of different sweeps, or damaged.
    """
    found = [spec for folder in folders for spec in _some(read_specs(folder), folder)]
    spec = union(found)
    return spec, [row for folder in folders for row in read_rows(folder, spec)]


def pending(spec: SweepSpec, rows: Iterable[SweepRow], process: int, processes: int) -> list[Key]:
    """List the work that is left to a process, shard by shard."""
    done = {row.key for row in rows}
    mine = spec.shards[process::processes]
    keys = [Key(scheme, *shard) for shard in mine for scheme in spec.schemes]
    return [key for key in keys if key not in done]


def _some(found: list[SweepSpec], folder: Path) -> list[SweepSpec]:
    if not found:
        raise FileNotFoundError(f"{folder} holds no sweep (no spec.json)")
    return found
