"""One writer at a time: a lock file with the holder's process and host in it.

    FOLDER/.lock       held while a program writes into FOLDER; {"pid", "host", "boot", "program",
                       "started"}; removed at the end
    FOLDER/.lock-K     the same of process K of a run of several, which share FOLDER/.lock
    PARENT/.NAME.lock  of a folder, or file, that appears in one piece and is not there yet

The lock is the operating system's (`flock`): it ends with its process, by kill -9 or a reboot too,
and a file that such an end left behind is taken over. Limits: on a network file system `flock`
reaches other hosts only where the mount says so (NFS without `nolock` and `local_lock`, CIFS,
Lustre with `flock`); on one with locks of its own host alone, two hosts do not see each other.
Where there is no `flock` at all the content decides: a holder on this host is looked for among its
processes, one on another host is believed, and the message names the file to delete.
"""

import contextlib
import errno
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from trm_jax.output.ownership import LOCK
from trm_jax.typed_json import parse_json, read_fields

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

NO_FLOCK = {errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EBADF}
BOOT_FILE = Path("/proc/sys/kernel/random/boot_id")


class FolderInUseError(OSError):
    """Another process writes there."""


@dataclass(frozen=True, kw_only=True)
class LockHolder:
    """Who holds a lock.

    Attributes:
      boot: identifier of the host's start, where the system has one.
      started: when the lock was taken, in UTC.
    """

    pid: int
    host: str
    boot: str
    program: str
    started: str

    @property
    def text(self) -> str:
        """Name the holder in a message."""
        return f"process {self.pid} on {self.host} ({self.program}, since {self.started})"

    @property
    def is_gone(self) -> bool:
        """Return whether this host knows that the process has ended; it is not this one."""
        if self.host != socket.gethostname():
            return False
        return self.boot != _boot() or self.pid == os.getpid() or not is_alive(self.pid)


@contextlib.contextmanager
def locked(path: Path, program: str, *, process: int | None = None) -> Iterator[None]:
    """Hold the lock of a folder, which is made, while the block runs.

    A folder that the block leaves empty goes again, if it was made here.

    Args:
      process: index among the processes of a run, which write files of their own into one folder;
        None: there is only one.

    Raises:
      FolderInUseError: another process holds it; the message names it.
      OSError: the folder cannot be made or written.
    """
    made: list[Path] = []
    try:
        with contextlib.ExitStack() as locks:
            made = _hold_in(path, program, locks, shared=process is not None)
            if process is not None:
                locks.enter_context(hold(path / f"{LOCK}-{process}", path, program))
            yield
    finally:
        remove_empty(made)


def _hold_in(path: Path, program: str, locks: contextlib.ExitStack, *, shared: bool) -> list[Path]:
    """Make a folder and hold its lock; lists the folders that were made.

    The program that made the folder before may remove it, empty, between the two.
    """
    made: list[Path] = []
    while True:
        made = make_folders(path) or made
        try:
            locks.enter_context(hold(path / LOCK, path, program, shared=shared))
            return made
        except FileNotFoundError:
            if path.is_dir():  # something else is missing
                raise
        except BaseException:
            remove_empty(made)
            raise


@contextlib.contextmanager
def locked_beside(path: Path, program: str) -> Iterator[None]:
    """Hold the lock of a folder or file that appears in one piece, while the block runs.

    Raises:
      FolderInUseError, OSError: as `locked`.
    """
    if path.is_dir():
        with locked(path, program):
            yield
        return
    made = make_folders(path.parent)
    try:
        with hold(path.parent / f".{path.name}{LOCK}", path, program):
            yield
    finally:
        remove_empty(made)


@contextlib.contextmanager
def hold(file: Path, path: Path, program: str, *, shared: bool = False) -> Iterator[None]:
    """Hold one lock file while the block runs.

    Args:
      path: what it is the lock of, for the message.
      shared: with others that share it; whoever does not is kept out.

    Raises:
      FolderInUseError, OSError: as `locked`.
    """
    handle = _take(file, path, shared=shared)
    try:
        if not shared:
            _write(handle, program)
        yield
    finally:
        # the name goes while the lock is held: who opened it before looks again (`_take`)
        if not shared or flock(handle, shared=False):
            with contextlib.suppress(OSError):
                file.unlink()
        os.close(handle)


def flock(handle: int, *, shared: bool) -> bool | None:
    """Try to lock an open file or folder.

    Returns:
      Whether it is locked now; None where the system or the file system has no such locks.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        if error.errno in NO_FLOCK:
            return None
        raise
    return True


def is_alive(pid: int) -> bool:
    """Return whether a process of this host runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # somebody else's; no number of a process
        return True
    return True


def make_folders(path: Path) -> list[Path]:
    """Make a folder and those above it; lists those that were not there, the innermost first."""
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    return made


def remove_empty(folders: list[Path]) -> None:
    """Remove folders, the innermost first, as far as they are empty."""
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _take(file: Path, path: Path, *, shared: bool) -> int:
    """Open and lock a file; gives its descriptor."""
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            is_locked = flock(handle, shared=shared)
            holder = _read(handle)
            if is_locked is False:
                raise FolderInUseError(_refusal(path, holder or _other_holder(file)))
            if is_locked is None and holder and not holder.is_gone:
                raise FolderInUseError(
                    f"{_refusal(path, holder)}; if it no longer runs, delete {file}"
                )
            if _is_named(handle, file):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # its holder removed it meanwhile


def _refusal(path: Path, holder: LockHolder | None) -> str:
    who = holder.text if holder else "another process"
    return f"{path} is being written by {who}: wait for it, end it, or choose another --out"


def _is_named(handle: int, file: Path) -> bool:
    """Return whether a name still is that of an open file."""
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False


def _other_holder(file: Path) -> LockHolder | None:
    """Name one of the processes that share a lock."""
    for other in sorted(file.parent.glob(f"{LOCK}-*")):
        with contextlib.suppress(OSError):
            handle = os.open(other, os.O_RDONLY)
            try:
                if holder := _read(handle):
                    return holder
            finally:
                os.close(handle)
    return None


def _read(handle: int) -> LockHolder | None:
    try:
        return read_fields(LockHolder, parse_json(os.pread(handle, 4096, 0)))
    except ValueError:  # empty, or half-written
        return None


def _write(handle: int, program: str) -> None:
    holder = LockHolder(
        pid=os.getpid(),
        host=socket.gethostname(),
        boot=_boot(),
        program=program,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    os.truncate(handle, 0)
    os.pwrite(handle, (json.dumps(asdict(holder)) + "\n").encode(), 0)


def _boot() -> str:
    with contextlib.suppress(OSError):
        return BOOT_FILE.read_text().strip()
    return ""
