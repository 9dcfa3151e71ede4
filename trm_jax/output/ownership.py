"""Whether a program may write into a folder: it is new, empty, or one that the program made.

Every program knows its folders by a document of its own (`OutputKind.marks`). A folder that holds
anything else is somebody's, and nothing is ever written into it, with --resume or without.

What is no content: lock files (lock.py), the unfinished files that a kill left behind (`*.new`,
staging.py), and folders with nothing in them.
"""

import itertools
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trm_jax.typed_json import parse_json

LOCK = ".lock"
UNFINISHED = ".new"
LINES = ".jsonl"
LEAST_FREE = 1 << 20  # bytes; below, not even the documents of a folder are sure to fit


@dataclass(frozen=True)
class OutputKind:
    """What the folders of a program are known by.

    Attributes:
      program: as `python -m` takes it.
      noun: what a folder is, with its article: "a sweep".
      marks: patterns of its documents; one that matches is enough.
      fields: names that such a document, an object of JSON, must have (of lines: the first, where
        there is one); none: its reader decides.
      resumes: whether the program has --resume.
    """

    program: str
    noun: str
    marks: tuple[str, ...]
    fields: frozenset[str] = frozenset()
    resumes: bool = True

    def is_in(self, folder: Path) -> bool:
        """Return whether a folder holds such a document."""
        return any(self._is_document(file) for mark in self.marks for file in folder.glob(mark))

    def _is_document(self, file: Path) -> bool:
        if not file.is_file():
            return False
        if not self.fields:
            return True
        try:
            document = _first_document(file)
        except (OSError, ValueError):
            return False
        return document is None or (isinstance(document, dict) and self.fields <= document.keys())


def _first_document(file: Path) -> Any:
    """Parse a file of JSON, or the first line of a file of lines; None where that is empty."""
    if file.suffix != LINES:
        return parse_json(file.read_bytes()) or []
    with file.open("rb") as lines:
        first = lines.readline()
    return parse_json(first) if first.endswith(b"\n") else None


def check_output(folder: Path, kind: OutputKind, *, resume: bool = True) -> None:
    """Refuse a folder that a program must not or cannot write into. Changes nothing.

    Args:
      resume: whether a folder of the program's own may hold something already.

    Raises:
      FileExistsError: it is a file, lies under one, holds something of somebody else's, or is in
        use and `resume` is off.
      PermissionError: it, or the folder where it would be made, cannot be written.
      OSError: the disk is full.
    """
    check_place(folder)
    if not folder.is_dir() or is_empty(folder):
        return
    if not kind.is_in(folder):
        names = ", ".join(sorted(file.name for file in itertools.islice(contents(folder), 3)))
        raise FileExistsError(
            f"{folder} holds something ({names}, ...) that is not {kind.noun}, and is left as it"
            f" is: no {' or '.join(kind.marks)} of {kind.program} in it; choose another folder"
        )
    if not resume:
        go_on = (
            "add --resume to go on with it (finished rows are kept), or " if kind.resumes else ""
        )
        raise FileExistsError(f"{folder} is not empty: {go_on}choose another --out")


def check_place(path: Path) -> None:
    """Refuse a folder that cannot be made or written. Changes nothing.

    Raises:
      FileExistsError, PermissionError, OSError: as `check_output`.
    """
    if path.is_symlink() and not path.exists():
        raise FileExistsError(f"{path} is a link to nothing; name a folder")
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"{path} is a file; --out names a folder")
    check_parent(path if path.is_dir() else path.parent, path)


def check_file_place(file: Path) -> None:
    """Refuse a file that cannot be written where it is named. Changes nothing.

    Raises:
      IsADirectoryError: it is a folder.
      FileExistsError, PermissionError, OSError: as `check_output`.
    """
    if file.is_dir():
        raise IsADirectoryError(f"{file} is a folder; name a file")
    check_parent(file.parent, file)


def check_parent(folder: Path, wanted: Path) -> None:
    """Check the nearest folder that exists: a folder, writable, with room on its disk.

    Args:
      wanted: what is to be written, for messages.

    Raises:
      FileExistsError, PermissionError, OSError: as `check_output`.
    """
    nearest = next(path for path in (folder, *folder.parents, Path()) if os.path.lexists(path))
    if not nearest.is_dir():
        raise FileExistsError(f"{wanted} cannot be made: {nearest} is a file")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PermissionError(f"{wanted} cannot be written: no permission to write into {nearest}")
    disk = shutil.disk_usage(nearest)
    if disk.total and disk.free < LEAST_FREE:  # some mounts do not say how large they are
        raise OSError(f"{wanted} cannot be written: {disk.free:,} bytes are free on its disk")


def is_empty(folder: Path) -> bool:
    """Return whether a folder holds nothing but locks and unfinished files."""
    return next(contents(folder), None) is None


def contents(folder: Path) -> Iterator[Path]:
    """List what a folder holds beside locks, unfinished files and empty folders."""
    for file in folder.iterdir():
        is_bare = file.is_dir() and not file.is_symlink() and next(file.iterdir(), None) is None
        if not is_bare and not is_litter(file.name):
            yield file


def is_litter(name: str) -> bool:
    """Return whether a name is one of a lock or of an unfinished file."""
    return name == LOCK or name.startswith(f"{LOCK}-") or name.endswith(UNFINISHED)
