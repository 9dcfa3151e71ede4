"""Rows of a sweep: what one scheme did on one shard of puzzles, at every depth.

    OUT/spec.json     {"spec": {...}, "runs": [environment of every start]}
    OUT/rows.jsonl    one `SweepRow` per line, in the order in which they were finished
    OUT/rows.parquet  rows from before, packed (experiments.pack); read as `CompactRow`s

The model, the puzzles, the shards, the arithmetic and the depths decide the numbers of a row.
Schemes and the number of puzzles do not, so that a sweep can be widened by resuming it. Folders
of several machines merge.

Not here: what a kill leaves and how files are read (measurement/row_files.py); rates and
intervals (outcomes.py).
"""

import dataclasses
import functools
import sys
from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from jaxtyping import Bool, Float

from experiments.measurement import folders
from experiments.measurement.depths import DepthGrid
from experiments.measurement.halting import HaltedShard, check_halted, check_halted_steps
from experiments.measurement.packed.arrays import join_texts, unstack
from experiments.measurement.row_checks import (
    MOST,
    ROOM,
    check_all_within,
    check_different,
    check_flags,
    check_length,
    check_moments,
    check_shard,
    check_within,
)
from experiments.measurement.row_files import (
    LATER,
    FolderLayout,
    PackedForm,
    ResultFolder,
    merge_specs,
    merged_rows,
)
from experiments.measurement.shards import DepthSums, Moments, from_hex
from experiments.measurement.spec import CalibratedSpec, KeyedRow, MeasurementSpec, digest_of
from quant.scheme import parse
from trm_jax.halting import NEVER, parse_halting

REACH = {
    "cell_error": (0.0, 1.0),
    "infidelity": (-ROOM, 2 + ROOM),
    "similarity": (-1 - ROOM, 1 + ROOM),
    "residual": (0.0, MOST),
}
"""Least and most of what a puzzle's number can be."""
NAMES = tuple(REACH)


class SweepKey(NamedTuple):
    """The unit of work: one scheme on the puzzles [start, stop)."""

    scheme: str
    start: int
    stop: int


@dataclass(frozen=True, kw_only=True)
class SweepSpec(MeasurementSpec, CalibratedSpec):
    """One sweep.

    Attributes:
      architecture: and mixer, for reports; empty in folders of earlier versions.
      gflops_per_cycle: cost of an H-cycle for one puzzle.
      schemes: names as `quant.scheme.Scheme.name` writes them, full precision first.
      bytes: stored size of the model under each scheme, puzzle table included.
      grid: depths.
      halting: names of rules (trm_jax/halting) that are read off the same rollouts.
    """

    gflops_per_cycle: float
    schemes: tuple[str, ...]
    bytes: tuple[int, ...]
    grid: DepthGrid
    architecture: str = ""
    halting: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the numbers, the schemes and their sizes.

        Raises:
          ValueError: names the field, or an unknown scheme.
        """
        super().__post_init__()
        check_within("gflops_per_cycle", self.gflops_per_cycle, 0)
        check_different("schemes", map(parse, self.schemes))
        if self.halting:
            check_different("halting", map(parse_halting, self.halting))
            if NEVER.name not in self.halting:
                raise ValueError(f"field halting must have never, got {list(self.halting)}")
        check_length("bytes", self.bytes, len(self.schemes))
        check_all_within({f"bytes[{i}]": size for i, size in enumerate(self.bytes)}, 0)

    @property
    def reference(self) -> str:
        """The full-precision scheme that all others are compared with."""
        return self.schemes[0]

    @property
    def is_calibrated(self) -> bool:
        """Return whether any scheme of the spec is calibrated on puzzles."""
        return any(parse(name).needs_puzzles for name in self.schemes)

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the numbers of a row."""
        rules = {"halting": list(self.halting)} if self.halting else {}
        return super().identity | {"cycles": list(self.grid.cycles)} | rules

    @functools.cached_property
    def digests(self) -> dict[str, str]:
        """What `digest_of_scheme` says of every scheme of the spec, once for all rows."""
        return {name: self.digest_of_scheme(name) for name in self.schemes}

    def digest_of_scheme(self, name: str) -> str:
        """Hash what decides the numbers of a scheme's rows.

        Static products once rounded their inputs only; rows from then must not mix with those
        of today's arithmetic, which is the exported file's (quant/simulation.py). Rounding was once
        learned in steps that other models than the MLP mini could not take (quant/ptq/rounding.py).
        Puzzles that were chosen to calibrate on belong to the schemes that are.
        """
        scheme = parse(name)
        own = self.chosen_calibration if scheme.needs_puzzles else {}
        if scheme.activations.is_static and not scheme.is_integer:
            own["static_outputs"] = "rounded"
        if scheme.is_learned:
            own["learned"] = "in small steps"
        return digest_of(self.identity | own) if own else self.digest

    def digest_for(self, row: KeyedRow) -> str:
        """Return the digest that a row must have."""
        scheme = row.key[0]
        return self.digests.get(scheme) or self.digest_of_scheme(scheme)

    def check_row(self, row: "SweepRow") -> None:
        """Check a row's shard, and that it has every depth."""
        check_shard(row.start, row.stop, self.batch_size)
        depths = len(self.grid.cycles)
        for name, values in row.by_depth.items():
            check_length(name, values, depths)
        check_length("halted", row.halted, len(self.halting))
        for i, halted in enumerate(row.halted):
            check_halted_steps(f"halted[{i}]", halted, self.grid.steps)

    def lists(self, row: KeyedRow) -> bool:
        """Return whether a row is of one of the schemes and of puzzles of the sweep."""
        scheme, _, stop = row.key
        return scheme in self.schemes and stop <= self.num_puzzles

    def work_keys(self, process: int = 0, processes: int = 1) -> list[SweepKey]:
        """List the work of a process, shard by shard, so that all schemes go on together."""
        shards = self.shards[process::processes]
        return [SweepKey(scheme, *shard) for shard in shards for scheme in self.schemes]

    def widened(self, later: Self) -> Self:
        """Join with a later spec of the same sweep: all schemes, and the most puzzles."""
        specs = (self, later)
        sizes = {k: size for s in specs for k, size in zip(s.schemes, s.bytes, strict=True)}
        return dataclasses.replace(
            self,
            schemes=tuple(sizes),
            bytes=tuple(sizes.values()),
            num_puzzles=max(self.num_puzzles, later.num_puzzles),
            calibration=self.joined_calibration(later),
        )


@dataclass(frozen=True, kw_only=True)
class SweepRow(DepthSums):
    """What one scheme did on one shard; lists run over `DepthGrid.cycles`.

    Attributes:
      halted: by rule, in the order of `SweepSpec.halting`.
    """

    halted: tuple[HaltedShard, ...] = field(default=(), metadata={LATER: True})

    def __post_init__(self) -> None:
        """Check the numbers against each other.

        Raises:
          ValueError: names the field.
        """
        check_shard(self.start, self.stop)
        count = self.stop - self.start
        check_within("scored_cells", self.scored_cells, 0)
        for i, correct in enumerate(self.correct_cells):
            check_within(f"correct_cells[{i}]", correct, 0, self.scored_cells)
        for name in ("exact", "lenient"):
            for i, flags in enumerate(getattr(self, name)):
                check_flags(f"{name}[{i}]", flags, count)
        for name, (least, most) in REACH.items():
            for i, moments in enumerate(getattr(self, name)):
                check_moments(f"{name}[{i}]", moments, count, least, most)
        for i, halted in enumerate(self.halted):
            check_halted(f"halted[{i}]", halted, count)
        check_moments("call_similarity", self.call_similarity, count, *REACH["similarity"])

    @property
    def by_depth(self) -> dict[str, Sized]:
        """The lists that have a value for every depth."""
        names = ("correct_cells", "exact", "lenient", *REACH)
        return {name: getattr(self, name) for name in names}

    @property
    def key(self) -> SweepKey:
        return SweepKey(self.scheme, self.start, self.stop)


class CompactRow(NamedTuple):
    """The numbers of a row in arrays: a large sweep has many rows, and this takes a quarter.

    Attributes:
      exact, lenient: bits of the puzzles, hex, one depth after the other.
      sums: sum and sum of squares of every name of REACH, at every depth.
    """

    digest: str
    scheme: str
    start: int
    stop: int
    exact: str
    lenient: str
    sums: Float[np.ndarray, "names depths 2"]
    call_similarity: Moments
    halted: tuple[HaltedShard, ...]

    def flags(self, name: str, at: int) -> Bool[np.ndarray, " puzzles"]:
        """Return which puzzles are `exact` or `lenient` at a depth, by its place."""
        text = getattr(self, name)
        digits = len(text) // self.sums.shape[1]
        return from_hex(text[at * digits : (at + 1) * digits], self.stop - self.start)

    def moments(self, name: str, at: int) -> Moments:
        """Return the sums of a name of REACH at a depth, by its place."""
        return Moments(*self.sums[NAMES.index(name), at].tolist())

    @property
    def key(self) -> SweepKey:
        return SweepKey(self.scheme, self.start, self.stop)


def compact(row: SweepRow | CompactRow) -> CompactRow:
    """Keep of a row what outcomes are made of; names that many rows share are kept once."""
    if isinstance(row, CompactRow):
        return row
    return CompactRow(
        sys.intern(row.digest),
        sys.intern(row.scheme),
        row.start,
        row.stop,
        "".join(row.exact),
        "".join(row.lenient),
        np.array([getattr(row, name) for name in NAMES], np.float64),
        row.call_similarity,
        row.halted,
    )


def compact_group(group: SweepRow, size: int) -> Iterator[CompactRow]:
    """Compact the rows of one row of arrays (measurement/packed)."""
    sums = np.array([getattr(group, name) for name in NAMES], np.float64)
    return map(
        CompactRow,
        group.digest,
        group.scheme,
        unstack(group.start, size),
        unstack(group.stop, size),
        join_texts(group.exact, size),
        join_texts(group.lenient, size),
        np.ascontiguousarray(np.moveaxis(sums, -1, 0)),
        unstack(group.call_similarity, size),
        unstack(group.halted, size),
    )


LAYOUT = FolderLayout(
    "sweep",
    SweepSpec,
    SweepRow,
    spec_name="spec",
    output=folders.SWEEP,
    packed=PackedForm(SweepKey, compact_group),
)


def sweep_folder(path: Path, process: int | None = None) -> ResultFolder[SweepSpec, SweepRow]:
    """Name the files of a sweep.

    Args:
      process: index of the process, or None where there is only one.
    """
    return ResultFolder(path, LAYOUT, process)


def merge_sweeps(paths: Sequence[Path]) -> tuple[SweepSpec, Iterator[SweepRow | CompactRow]]:
    """Join the rows of folders of one sweep, read as they are taken: there may be a million.

    Raises:
      FileNotFoundError: a folder has no spec.
      ValueError: the folders are of different sweeps, or damaged; of rows, when they are taken.
    """
    folders = [sweep_folder(path) for path in paths]
    spec = merge_specs(folders)
    return spec, merged_rows(folders, spec)
