"""Staged files: all or nothing; what killed writers left goes, what living ones have stays."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.programs import environment
from trm_jax.output import staging
from trm_jax.output.staging import staged, staging_folder, swap

STAGE = """
import sys, time
from pathlib import Path
from trm_jax.output.staging import staging_folder
with staging_folder(Path(sys.argv[1])) as work:
    (work / "half").touch()
    print(work, flush=True)
    time.sleep(600)
"""


@contextlib.contextmanager
def staging_elsewhere(path: Path) -> Iterator[tuple[subprocess.Popen, Path]]:
    command = [sys.executable, "-c", STAGE, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as other:
        assert other.stdout is not None
        work = Path(other.stdout.readline().strip())
        try:
            yield other, work
        finally:
            other.kill()


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_a_killed_writer_s_folder_goes_at_the_next_start(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with staging_elsewhere(target) as (other, work):
        with staged(target) as mine:
            (mine / "a").touch()
            assert work.is_dir()  # its writer lives
        other.kill()
        other.wait()
    assert names(tmp_path) == sorted([work.name, "model"])
    for foreign in (".model.abcd1234", ".model2.0-1-abcd1234.new", ".notes"):
        (tmp_path / foreign).mkdir()
    other_host = tmp_path / work.name.replace(staging._host(), "ffffffff")
    other_host.mkdir()
    with staged(target) as mine:
        assert not work.exists()
        (mine / "b").touch()
    kept = [".model.abcd1234", ".model2.0-1-abcd1234.new", ".notes", other_host.name, "model"]
    assert names(tmp_path) == sorted(kept)
    assert names(target) == ["a", "b"]


def test_files_in_folders_are_replaced_and_others_stay(tmp_path: Path) -> None:
    for text in ("old", "new"):
        with staged(tmp_path / "site") as work:
            (work / "models").mkdir()
            (work / "models" / "a").write_text(text)
        (tmp_path / "site" / "models" / "of the user").touch()
    assert names(tmp_path / "site" / "models") == ["a", "of the user"]
    assert (tmp_path / "site" / "models" / "a").read_text() == "new"


def test_a_used_process_number_is_not_the_writer(tmp_path: Path) -> None:
    work = tmp_path / f".model.{staging._host()}-{os.getppid()}-00000000.new"
    work.mkdir()  # by a process that had the number of a living one
    with staged(tmp_path / "model"):
        pass
    assert names(tmp_path) == ["model"]


def test_without_flock_the_number_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "flock", lambda handle, shared: None)
    work = tmp_path / f".model.{staging._host()}-{os.getppid()}-00000000.new"
    work.mkdir()
    with staged(tmp_path / "model"):
        pass
    assert names(tmp_path) == [work.name, "model"]


def test_nothing_stays_of_a_failure(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"), staged(tmp_path / "model"):
        raise ValueError("no")
    assert names(tmp_path) == []


def test_a_kill_between_two_names_loses_neither(tmp_path: Path) -> None:
    target = tmp_path / "state"
    target.mkdir()
    (target / "old").touch()
    with staging_folder(target) as work:
        (work / "new").touch()
        swap(work, target)
    assert names(tmp_path) == ["state"]
    assert names(target) == ["new"]
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    place = f".state.{staging._host()}-{dead.pid}-00000000"
    target.rename(tmp_path / f"{place}.old")  # and then the kill
    (tmp_path / f"{place}.new").mkdir()
    staging.remove_abandoned(target)
    assert names(tmp_path) == ["state"]
    assert names(target) == ["new"]
