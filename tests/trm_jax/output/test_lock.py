"""Locks: one writer at a time, whatever way the one before ended."""

import contextlib
import dataclasses
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.programs import environment
from trm_jax.output import lock
from trm_jax.output.lock import FolderInUseError, locked, locked_beside

HOLD = """
import sys, time
from pathlib import Path
from trm_jax.output.lock import locked, locked_beside
path, process, hold = Path(sys.argv[1]), eval(sys.argv[2]), sys.argv[3]
with locked_beside(path, "p") if hold == "beside" else locked(path, "p", process=process):
    print("held", flush=True)
    time.sleep(600)
"""


@contextlib.contextmanager
def held(path: Path, process: int | None = None, hold: str = "in") -> Iterator[subprocess.Popen]:
    """Hold a lock in another process."""
    command = [sys.executable, "-c", HOLD, str(path), repr(process), hold]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        try:
            yield other
        finally:
            other.kill()


def test_the_second_writer_is_told_of_the_first(tmp_path: Path) -> None:
    out = tmp_path / "a" / "out"
    with held(out) as other, pytest.raises(FolderInUseError) as refusal, locked(out, "q"):
        pass
    words = str(refusal.value)
    assert words.startswith(f"{out} is being written by process {other.pid} on ")
    assert socket.gethostname() in words
    assert "(p, since 2" in words
    assert words.endswith("wait for it, end it, or choose another --out")
    assert "\n" not in words


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_lock_ends_with_its_process(tmp_path: Path, number: int) -> None:
    out = tmp_path / "out"
    with held(out) as other:
        other.send_signal(number)
        other.wait()
    assert (out / ".lock").exists()
    with locked(out, "q"):
        assert json.loads((out / ".lock").read_text())["pid"] == os.getpid()
        (out / "row").touch()
    assert [file.name for file in out.iterdir()] == ["row"]


def test_folders_that_stayed_empty_go(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="bad"), locked(tmp_path / "a" / "b", "q"):  # noqa: PT012
        assert (tmp_path / "a" / "b" / ".lock").exists()
        raise ValueError("bad")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "kept").mkdir()
    with locked(tmp_path / "kept", "q"):
        pass
    assert (tmp_path / "kept").is_dir()


def test_processes_of_one_run_share_a_folder(tmp_path: Path) -> None:
    with held(tmp_path, 0), held(tmp_path, 1) as other:
        for process in (None, 1):
            with pytest.raises(FolderInUseError, match="is being written by process"):  # noqa: SIM117
                with locked(tmp_path, "q", process=process):
                    pass
        with locked(tmp_path, "q", process=2):
            pass
        other.kill()
        other.wait()
        with locked(tmp_path, "q", process=1):  # started again
            pass
    with locked(tmp_path, "q"), pytest.raises(FolderInUseError), locked(tmp_path, "q", process=0):
        pass


def test_what_appears_in_one_piece_is_locked_beside(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with held(out, hold="beside"):
        assert not out.exists()
        with pytest.raises(FolderInUseError), locked_beside(out, "q"):
            pass
    with locked_beside(out, "q"):
        assert (tmp_path / ".out.lock").exists()
        out.mkdir()
    assert [file.name for file in tmp_path.iterdir()] == ["out"]
    with locked_beside(out, "q"):
        assert (out / ".lock").exists()


def _count(folder: Path, turns: int) -> None:
    """Add to a number, a turn at a time, under the lock."""
    done = 0
    while done < turns:
        with contextlib.suppress(FolderInUseError), locked(folder, "q"):
            file = folder / "number"
            number = int(file.read_text()) if file.exists() else 0
            time.sleep(0.001)
            file.write_text(str(number + 1))
            done += 1


def test_no_two_writers_are_ever_in_a_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_count, args=(tmp_path / "out", 25)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert (tmp_path / "out" / "number").read_text() == "75"


def test_without_flock_the_content_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "flock", lambda handle, shared: None)
    with locked(tmp_path, "q"):
        text = (tmp_path / ".lock").read_text()
    file, mine = tmp_path / ".lock", lock.LockHolder(**json.loads(text))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    alive = {"pid": os.getppid()}
    for change, free in (
        (alive, False),
        ({"host": "elsewhere"}, False),
        ({"pid": dead.pid}, True),
        (alive | {"boot": "before"}, True),
        ({}, True),  # this process's number, of an earlier one
    ):
        file.write_text(json.dumps(dataclasses.asdict(dataclasses.replace(mine, **change))))
        if free:
            with locked(tmp_path, "q"):
                pass
            continue
        with pytest.raises(FolderInUseError, match=rf"no longer runs, delete {file}"):  # noqa: SIM117
            with locked(tmp_path, "q"):
                pass
    file.write_text('{"pid": 1')  # cut off
    with locked(tmp_path, "q"):
        pass


def test_a_network_file_system_s_answers_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    for number, answer in ((11, False), (37, None), (95, None), (38, None)):

        def refuse(handle: int, operation: int, number: int = number) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(lock.fcntl, "flock", refuse)
        assert lock.flock(0, shared=False) is answer
    monkeypatch.setattr(lock, "fcntl", None)
    assert lock.flock(0, shared=False) is None
