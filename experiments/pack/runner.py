"""One kind of file of a sweep's rows replaced by the other.

    1  write the new file beside its place (NAME.new), and wait until it is on the disk
    2  packed rows are read back: every row checked as readers check it, every line compared with
       its origin; of unpacked ones the hash must be that of what was packed
    3  give it its name
    4  remove the old file

A kill before 3 leaves the old file, and one between 3 and 4 both, which readers take for one
(measurement/row_files.py); the same command begins again, or does 4.
"""

import contextlib
import gc
import hashlib
import itertools
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from experiments.measurement.folders import SWEEP
from experiments.measurement.packed.row_groups import (
    GROUP,
    PackedLines,
    count_repeated,
    damage,
    read_groups,
    read_packed_lines,
    write_groups,
)
from experiments.measurement.row_files import LINES, PACKED, RowFiles, said_fields, write_line
from experiments.sweep.rows import SweepRow, SweepSpec, sweep_folder
from trm_jax.command_line import progress_bar
from trm_jax.output.folder import writing
from trm_jax.output.ownership import UNFINISHED
from trm_jax.typed_json import parse_json

MISFITS = (KeyError, OverflowError, TypeError, ValueError)
"""What fields raise that no column takes."""


class PlacedLine(NamedTuple):
    """A line of rows, with its newline, and where it stands."""

    place: str
    line: bytes


class LineTally:
    """Counts and hashes lines."""

    def __init__(self) -> None:
        self.rows, self.size, self._hash = 0, 0, hashlib.sha256()

    def take(self, line: bytes) -> None:
        """Count one more."""
        self.rows += 1
        self.size += len(line)
        self._hash.update(line)

    def total(self) -> PackedLines:
        """Say what was taken."""
        return PackedLines(
            kind=SweepRow.__name__,
            rows=self.rows,
            size=self.size,
            sha256=self._hash.hexdigest(),
        )


def pack(path: Path) -> None:
    """Pack the rows of a sweep; those that are packed already stay with them.

    Raises:
      FileNotFoundError: it is no sweep.
      ValueError: a row is damaged, or would not come back byte for byte; nothing was changed.
      OSError: it is being written, or cannot be.
    """
    spec = sweep_folder(path).read_spec()
    with writing(path, SWEEP), without_collection():
        for files in sweep_folder(path).row_files():
            if files.lines is not None:
                pack_lines(path, spec, files, files.lines)


def unpack(path: Path) -> None:
    """Write the rows of a sweep as lines again.

    Raises:
      FileNotFoundError, OSError: as `pack`.
      ValueError: the packed file is damaged; nothing was changed.
    """
    sweep_folder(path).read_spec()
    with writing(path, SWEEP), without_collection():
        for files in sweep_folder(path).row_files():
            if files.packed is not None:
                unpack_lines(files, files.packed)


def pack_lines(path: Path, spec: SweepSpec, files: RowFiles, lines: Path) -> None:
    """Pack the rows of one process."""
    packed = lines.with_suffix(PACKED)
    if next(appended_lines(files), None) is None:  # nothing new
        if files.packed is not None:
            lines.unlink()
        return
    folder, before, tally = sweep_folder(path), stored(files), LineTally()
    with replacing(lines, packed) as work:
        try:
            write_groups(work, SweepRow, grouped(counted(files, tally)), tally.total)
            folder.check_packed(spec, work)
            compare(work, files)
        except MISFITS:
            for _ in folder.iter_rows(spec):  # names the line, where one is damaged
                pass
            raise
    report(tally.rows, before, packed)


def unpack_lines(files: RowFiles, packed: Path) -> None:
    """Unpack the rows of one process."""
    lines, said, tally = packed.with_suffix(LINES), read_packed_lines(packed, SweepRow), LineTally()
    before = stored(files)
    with replacing(packed, lines) as work, work.open("wb") as handle:
        for _, line in packed_lines(packed):
            tally.take(line)
            handle.write(line)
        if tally.total() != said:
            raise damage(packed, ValueError("its rows are not the lines that were packed"))
        for _, line in appended_lines(files):
            tally.take(line)
            handle.write(line)
        handle.flush()
        os.fsync(handle.fileno())
    report(tally.rows, before, lines)


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """Spare the search for cycles, which rows do not make: it takes a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextlib.contextmanager
def replacing(old: Path, new: Path) -> Iterator[Path]:
    """Offer a file that gets the new name when the block succeeds, whereupon the old file goes.

    It happens in this order on the disk too. After an error the offered file is removed.
    """
    work = new.with_name(new.name + UNFINISHED)
    try:
        yield work
    except Exception:
        work.unlink(missing_ok=True)
        raise
    os.replace(work, new)
    handle = os.open(new.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    old.unlink()


def stored(files: RowFiles) -> int:
    """Add up the bytes of the files of one process."""
    return sum(file.stat().st_size for file in files if file is not None)


def report(rows: int, before: int, file: Path) -> None:
    """Say what became of a file."""
    size = file.stat().st_size
    sys.stdout.write(f"{file}: {rows:,} rows, {before:,} bytes before, {size:,} now\n")


def compare(packed: Path, files: RowFiles) -> None:
    """Check that a packed file gives back the lines it was made of.

    Raises:
      ValueError: it gives another line; the message names the line.
    """
    for again, origin in zip(packed_lines(packed), all_lines(files), strict=True):
        if again.line != origin.line:
            raise ValueError(
                f"{origin.place} is not written as this version writes rows and would not come back"
                " byte for byte; nothing was changed, and the folder is read as it is"
            )


def counted(files: RowFiles, tally: LineTally) -> Iterator[dict[str, Any]]:
    """Parse all lines, count them, and show how far it is."""
    with progress_bar("packing") as advance:
        for _, line in all_lines(files):
            tally.take(line)
            if tally.rows % GROUP == 0:
                advance(tally.rows)
            yield parse_json(line)


def grouped(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Cut rows into groups of shards of one length, whose lists have one length too."""
    for _, alike in itertools.groupby(rows, shard_length):
        while group := list(itertools.islice(alike, GROUP)):
            yield group


def shard_length(row: Mapping[str, Any]) -> int:
    """Count the puzzles of a row."""
    return row["stop"] - row["start"]


def all_lines(files: RowFiles) -> Iterator[PlacedLine]:
    """Read the lines of all rows, the packed ones first."""
    packed = packed_lines(files.packed) if files.packed else ()
    return itertools.chain(packed, appended_lines(files))


def packed_lines(file: Path) -> Iterator[PlacedLine]:
    """Write packed rows as their lines."""
    for group in read_groups(file, SweepRow):
        for number, row in enumerate(group.rows(), group.first):
            line = write_line(said_fields(SweepRow, row)) + "\n"
            yield PlacedLine(f"{file}, row {number}", line.encode())


def appended_lines(files: RowFiles) -> Iterator[PlacedLine]:
    """Read the whole lines behind those that are packed."""
    packed, lines = files
    if lines is None:
        return
    skipped = count_repeated(packed, lines, SweepRow) if packed else 0
    with lines.open("rb") as handle:
        for number, line in enumerate(handle, start=1):
            if number > skipped and line.endswith(b"\n"):
                yield PlacedLine(f"{lines}, line {number}", line)
