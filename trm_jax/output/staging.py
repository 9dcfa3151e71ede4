"""Files that appear in one piece: written beside their place, then given their name.

    PARENT/.NAME.HOST-PID-TAG.new   a folder under work; renamed, or removed, at the end
    PARENT/.NAME.HOST-PID-TAG.old   what was there before, while the two change places

A kill leaves these behind. The next writer of the same NAME removes those whose writer has ended
on this host, and puts an `.old` back that lost its place; those of other hosts and of running
processes stay. A writer locks its folder (`flock`), so that a process number used again is not
taken for the writer; where there is no such lock the number alone decides.
"""

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

from trm_jax.output.lock import flock, is_alive
from trm_jax.output.ownership import UNFINISHED

REPLACED = ".old"


@contextlib.contextmanager
def staging_folder(path: Path) -> Iterator[Path]:
    """Offer a hidden folder beside `path` that goes at the end, unless it was renamed.

    Args:
      path: what is being made; its parent is made if missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(path)
    work, handle = _make(path)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        os.close(handle)


@contextlib.contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Offer a temporary directory whose files become `path`'s only if the block succeeds.

    A new `path` appears in one rename. In an existing directory files of the same name are
    replaced one by one, in its folders too, each atomically, and other files stay.
    """
    with staging_folder(path) as work:
        yield work
        if not path.exists():
            work.rename(path)
            return
        for file in sorted(work.rglob("*"), reverse=True):  # model before config
            if file.is_file():
                place = path / file.relative_to(work)
                place.parent.mkdir(parents=True, exist_ok=True)
                os.replace(file, place)


def replace_text(file: Path, text: str) -> None:
    """Write a whole file in one piece: a kill leaves the old one or the new one, and FILE.new."""
    work = file.with_name(file.name + UNFINISHED)
    with work.open("w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    os.replace(work, file)


def swap(work: Path, path: Path) -> None:
    """Give a staged folder its name, in the place of the one that has it, which goes.

    A kill loses neither: `remove_abandoned` puts the old one back if it comes between.
    """
    old = work.with_suffix(REPLACED)
    if path.exists():
        path.rename(old)
    work.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def remove_abandoned(path: Path) -> None:
    """Remove what killed writers of `path` left beside it; put a replaced folder back."""
    for place in _staged_beside(path):
        with _claimed(place) as is_abandoned:
            if not is_abandoned:
                continue
            if place.suffix == REPLACED and not path.exists():
                place.rename(path)
            else:
                shutil.rmtree(place, ignore_errors=True)


def _make(path: Path) -> tuple[Path, int]:
    """Make and lock a folder; another process may have taken it for abandoned in between."""
    while True:
        tag = f"{_host()}-{os.getpid()}-{secrets.token_hex(4)}"
        work = path.parent / f".{path.name}.{tag}{UNFINISHED}"
        work.mkdir()
        handle = os.open(work, os.O_RDONLY | os.O_CLOEXEC)
        if flock(handle, shared=False) is not False and work.exists():
            return work, handle
        os.close(handle)


def _staged_beside(path: Path) -> list[Path]:
    form = re.compile(rf"\.{re.escape(path.name)}\.\w+-\d+-[0-9a-f]{{8}}\.(new|old)")
    return sorted(p for p in path.parent.iterdir() if form.fullmatch(p.name) and p.is_dir())


@contextlib.contextmanager
def _claimed(place: Path) -> Iterator[bool]:
    """Tell whether a folder's writer is gone, and keep others off it while the block runs."""
    host, pid, _ = place.stem.rsplit(".", 1)[1].split("-")
    if host != _host():
        yield False
        return
    if place.suffix == REPLACED:
        yield not is_alive(int(pid))
        return
    try:
        handle = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # gone meanwhile, or not ours to open
        yield False
        return
    try:
        is_locked = flock(handle, shared=False)
        yield not is_alive(int(pid)) if is_locked is None else is_locked
    finally:
        os.close(handle)


def _host() -> str:
    """Name this host in letters and digits."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
