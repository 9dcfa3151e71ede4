"""Rows of a comparison: what one contestant under one scheme did on one shard of puzzles.

    OUT/decode.json   {"spec": {...}, "runs": [environment of every start]}
    OUT/rows.jsonl    one `DecodeRow` per line, in the order in which they were finished
    OUT/timings.jsonl   seconds of a puzzle answered alone, by model; measured again in every run

A contestant is a model and a way to end: a decoder writes until its stop token, a recursive model
runs to its full depth or until the answer obeys the puzzle's rules. What a puzzle cost is in its
row, so that tables need no model.

Not here: what a kill leaves and how files are read (measurement/row_files.py).
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple, Self

from experiments.measurement import folders
from experiments.measurement.row_checks import (
    check_all_within,
    check_different,
    check_flags,
    check_length,
    check_moments,
    check_shard,
    check_shards,
    check_within,
)
from experiments.measurement.row_files import FolderLayout, ResultFolder
from experiments.measurement.shards import Moments
from experiments.measurement.spec import CalibratedSpec, Shard, digest_of, shards_of
from quant.scheme import parse

TIMINGS = "timings.jsonl"
TIMED_PUZZLES = 5
"""Puzzles that a model answers alone in full precision, after one that compiles."""
TOKENS, CYCLES = "tokens", "cycles"
"""What a family counts its depth in."""


class DecodeKey(NamedTuple):
    """The unit of work: one contestant under one scheme on the puzzles [start, stop)."""

    contestant: str
    scheme: str
    start: int
    stop: int


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """A model and how its answers end.

    Attributes:
      name: of the model, and how it ends where that leaves a choice.
      sha256: of the model's configuration and weights.
      unit: what its depth is counted in, TOKENS or CYCLES.
      num_parameters: weights, without a puzzle table.
      bytes: stored size under every scheme, in the order of `DecodeSpec.schemes`.
    """

    name: str
    sha256: str
    unit: str
    num_parameters: int
    bytes: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
          ValueError: names the field.
        """
        if self.unit not in (TOKENS, CYCLES):
            raise ValueError(f"field unit must be {TOKENS} or {CYCLES}, got {self.unit!r}")
        sizes = {f"bytes[{i}]": size for i, size in enumerate(self.bytes)}
        check_all_within({"num_parameters": self.num_parameters} | sizes, 0)


@dataclass(frozen=True, kw_only=True)
class DecodeSpec(CalibratedSpec):
    """One comparison.

    Attributes:
      task, data: names for headings.
      data_sha256: of the puzzles.
      num_puzzles: the first so many of the data.
      batch_size: puzzles in a shard.
      contestants: in the order of the table.
      schemes: names as `quant.scheme.Scheme.name` writes them, full precision first.
      dtype: arithmetic of schemes that name none.
      seed: of draws; none is drawn here so far.
    """

    IDENTITY: ClassVar[tuple[str, ...]] = ("task", "data_sha256", "batch_size", "dtype")

    task: str
    data: str
    data_sha256: str
    num_puzzles: int
    batch_size: int
    contestants: tuple[Contestant, ...]
    schemes: tuple[str, ...]
    dtype: str
    seed: int

    def __post_init__(self) -> None:
        """Check the numbers, the schemes and the contestants.

        Raises:
          ValueError: names the field.
        """
        check_shards("num_puzzles", self.num_puzzles, "batch_size", self.batch_size)
        check_within("seed", self.seed, 0)
        check_different("schemes", map(parse, self.schemes))
        check_different("contestants", [each.name for each in self.contestants])
        for each in self.contestants:
            check_length("contestants.bytes", each.bytes, len(self.schemes))

    @property
    def reference(self) -> str:
        """The full-precision scheme."""
        return self.schemes[0]

    @property
    def is_calibrated(self) -> bool:
        """Return whether any scheme is calibrated on puzzles."""
        return any(parse(name).needs_puzzles for name in self.schemes)

    @property
    def shards(self) -> tuple[Shard, ...]:
        """First puzzle and end of every shard."""
        return shards_of(self.num_puzzles, self.batch_size)

    def contestant(self, name: str) -> Contestant | None:
        """Find a contestant by name."""
        return next((each for each in self.contestants if each.name == name), None)

    def digest_of_key(self, contestant: str, scheme: str) -> str | None:
        """Hash what decides the numbers of a contestant's rows; None: no contestant here."""
        found = self.contestant(contestant)
        if found is None:
            return None
        calibrated = self.chosen_calibration if parse(scheme).needs_puzzles else {}
        return digest_of(self.identity | {"model_sha256": found.sha256} | calibrated)

    def digest_for(self, row: "DecodeRow") -> str | None:
        """Return the digest that a row must have."""
        return self.digest_of_key(row.contestant, row.scheme)

    def check_row(self, row: "DecodeRow") -> None:
        """Check a row's shard."""
        check_shard(row.start, row.stop, self.batch_size)

    def lists(self, row: "DecodeRow") -> bool:
        """Return whether a row is of a scheme and of puzzles of the comparison."""
        return row.scheme in self.schemes and row.stop <= self.num_puzzles

    def work_keys(self) -> list[DecodeKey]:
        """List the work, shard by shard, full precision of each contestant first."""
        return [
            DecodeKey(each.name, scheme, *shard)
            for shard in self.shards
            for each in self.contestants
            for scheme in self.schemes
        ]

    def conflicts(self, later: Self) -> list[str]:
        """List why rows must not mix; a contestant of the same name must be the same model."""
        found = super().conflicts(later)
        for each in later.contestants:
            earlier = self.contestant(each.name)
            if earlier is not None and earlier.sha256 != each.sha256:
                found.append(f"{each.name} is another model")
        return found

    def widened(self, later: Self) -> Self:
        """Join with a later spec: all contestants and schemes, and the most puzzles."""
        schemes = tuple(dict.fromkeys([*self.schemes, *later.schemes]))
        return dataclasses.replace(
            self,
            schemes=schemes,
            contestants=_joined(self, later, schemes),
            num_puzzles=max(self.num_puzzles, later.num_puzzles),
            calibration=self.joined_calibration(later),
        )


def _joined(
    earlier: DecodeSpec, later: DecodeSpec, schemes: tuple[str, ...]
) -> tuple[Contestant, ...]:
    """Join contestants with their sizes; one that was asked under some schemes only has 0."""
    named: dict[str, Contestant] = {}
    sizes: dict[tuple[str, str], int] = {}
    for spec in (earlier, later):
        for each in spec.contestants:
            named.setdefault(each.name, each)
            sizes |= {
                (each.name, scheme): size
                for scheme, size in zip(spec.schemes, each.bytes, strict=True)
            }
    return tuple(
        dataclasses.replace(each, bytes=tuple(sizes.get((name, s), 0) for s in schemes))
        for name, each in named.items()
    )


@dataclass(frozen=True, kw_only=True)
class DecodeRow:
    """What one contestant under one scheme did on one shard.

    Attributes:
      digest: of what decides the numbers (`DecodeSpec.digest_of_key`).
      scored_cells, correct_cells: counts over the shard.
      exact, lenient: one bit per puzzle, hex, first puzzle in the highest bit; of what was written,
        whether the stop token came or not.
      depth: tokens written (the stop token included) or H-cycles run, by puzzle.
      read: tokens of each prompt; 0 where puzzles are no tokens.
      ended: one bit per puzzle: the stop token came, or the rules are obeyed.
      infidelity: 1 - cosine to full precision: of the last states along full precision's text,
        averaged over its tokens; of z_H after as many H-cycles.
      free_infidelity: of the last states along each one's own text, token by token; None where
        `infidelity` is that already, and in rows of earlier versions.
      same: one bit per puzzle: the same text, or the same answer, as full precision.
      gflops, bytes_read, state_bytes: of a puzzle; bytes_read are weights, state_bytes the KV
        cache at its longest, or z_H, z_L and the injection.
    """

    digest: str
    contestant: str
    scheme: str
    start: int
    stop: int
    scored_cells: int
    correct_cells: int
    cell_error: Moments
    exact: str
    lenient: str
    depth: tuple[int, ...]
    read: tuple[int, ...]
    ended: str
    infidelity: Moments
    same: str
    gflops: Moments
    bytes_read: Moments
    state_bytes: Moments
    free_infidelity: Moments | None = None

    def __post_init__(self) -> None:
        """Check the numbers against each other.

        Raises:
          ValueError: names the field.
        """
        check_shard(self.start, self.stop)
        count = self.stop - self.start
        check_within("scored_cells", self.scored_cells, 0)
        check_within("correct_cells", self.correct_cells, 0, self.scored_cells)
        for name in ("exact", "lenient", "ended", "same"):
            check_flags(name, getattr(self, name), count)
        for name in ("depth", "read"):
            values = getattr(self, name)
            check_length(name, values, count)
            check_all_within({f"{name}[{i}]": value for i, value in enumerate(values)}, 0)
        check_moments("cell_error", self.cell_error, count, 0, 1)
        check_moments("infidelity", self.infidelity, count, -0.01, 2.01)
        if self.free_infidelity is not None:
            check_moments("free_infidelity", self.free_infidelity, count, -0.01, 2.01)
        for name in ("gflops", "bytes_read", "state_bytes"):
            check_moments(name, getattr(self, name), count, 0)

    @property
    def key(self) -> DecodeKey:
        """The unit of work."""
        return DecodeKey(self.contestant, self.scheme, self.start, self.stop)


LAYOUT = FolderLayout(
    "comparison", DecodeSpec, DecodeRow, spec_name="decode", output=folders.COMPARISON
)


def decode_folder(path: Path) -> ResultFolder[DecodeSpec, DecodeRow]:
    """Name the files of a comparison."""
    return ResultFolder(path, LAYOUT)
