"""Folders of rows: what every resumable program writes, whatever its rows are.

    SPEC.json     {"spec": {...}, "runs": [environment of every start]}, replaced in one piece
    ROWS.jsonl    one row per line, append-only

A row is complete or absent: it is written in one piece and synced; a last line without its newline
was cut off by a kill and is dropped. Left out: what a row is and whose it is (sweep/rows.py,
ablate/rows.py, arc/rows.py, host/rows.py).
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

Line = TypeVar("Line")


def digest_of(values: Any) -> str:
    """Hash what decides the numbers of a row, as its digest."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def shards_of(total: int, size: int) -> tuple[tuple[int, int], ...]:
    """Cut `total` puzzles or tasks into shards, the unit of work: first and end of each."""
    return tuple((i, min(i + size, total)) for i in range(0, total, size))


def refuse_used(folder: Path, *, resume: bool) -> None:
    """Refuse a folder that holds something, unless it is to be gone on with. Changes nothing.

    Raises:
      FileExistsError: the folder is in use and `resume` is off, or it is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; --out names a folder")
    if folder.is_dir() and any(folder.iterdir()) and not resume:
        raise FileExistsError(
            f"{folder} is not empty: add --resume to go on with it (finished rows are"
            " kept), or choose another --out"
        )


def write_document(file: Path, spec: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> None:
    """Write what a folder is and every start of its program, in one piece."""
    work = file.with_suffix(".new")
    work.write_text(json.dumps({"spec": spec, "runs": runs}, indent=1) + "\n", encoding="utf-8")
    os.replace(work, file)


def read_document(file: Path, kind: str) -> dict[str, Any]:
    """Read what `write_document` wrote.

    Args:
      kind: of folder, for the message.

    Raises:
      ValueError: it is damaged.
    """
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is not the spec of {kind}: {error}") from error
    if not (isinstance(document, dict) and document.keys() == {"spec", "runs"}):
        raise ValueError(f"{file} is not the spec of {kind}: it needs `spec` and `runs`")
    return document


def append_line(file: Path, values: Mapping[str, Any]) -> None:
    """Write one line of JSON in one piece and wait until it is on the disk."""
    line = json.dumps(values, separators=(",", ":")) + "\n"
    with file.open("ab") as handle:
        handle.write(line.encode())
        handle.flush()
        os.fsync(handle.fileno())


def drop_torn_line(file: Path) -> None:
    """Cut off the last line if a kill left it without its newline."""
    if file.exists():
        os.truncate(file, file.read_bytes().rfind(b"\n") + 1)


def read_lines(
    file: Path, make: Callable[[dict[str, Any]], Line], cure: str = "delete the line and --resume"
) -> Iterator[tuple[str, Line]]:
    """Read the rows of a file, each with its place in words; no file has none.

    Args:
      make: row of its fields; raises ValueError, TypeError or KeyError if they are not those.
      cure: what to do about a damaged line.

    Raises:
      ValueError: a line is damaged.
    """
    whole = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
    for number, line in enumerate(whole, start=1):
        place = f"{file}, line {number}"
        try:
            row = make(json.loads(line))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{place} is damaged ({error!r}); {cure}") from error
        yield place, row


class Digested(Protocol):
    """A line that says what decided its numbers."""

    @property
    def digest(self) -> str: ...


DigestedLine = TypeVar("DigestedLine", bound=Digested)


def append_row(file: Path, line: Any) -> None:
    """Write a line and wait until it is on the disk."""
    append_line(file, dataclasses.asdict(line))


def read_rows(
    file: Path, digest: str, make: Callable[[dict[str, Any]], DigestedLine]
) -> list[DigestedLine]:
    """Read the lines of a file and cut off one that a kill left unfinished.

    Raises:
      ValueError: a line is damaged, or of another deployment.
    """
    drop_torn_line(file)
    lines = []
    for place, line in read_lines(file, make, "delete it"):
        if line.digest != digest:
            raise ValueError(
                f"{place} is of another deployment (other model, puzzles, target,"
                " batch or steps); choose another --out"
            )
        lines.append(line)
    return lines
