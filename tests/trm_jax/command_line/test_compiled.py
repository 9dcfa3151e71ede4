"""Where compiled programs are kept, when they are not, and that they are found again."""

import json
import os
import subprocess
import sys

import pytest

from trm_jax.command_line.compiled import (
    ALL_PROGRAMS,
    FOLDER,
    cache_folder,
    drop_oldest,
    keep_compiled,
    processor_hash,
)

PROGRAM = """
import json, os, sys
from trm_jax.command_line import exit_code
def work():
    import jax
    hits = []
    jax.monitoring.register_event_listener(lambda name, **_: hits.append(name.rpartition("/")[2]))
    jax.jit(lambda x: x * 3 + 1)(2.0)
    told = jax.config.jax_compilation_cache_dir
    print(json.dumps([told, hits.count("cache_hits"), hits.count("cache_misses")]))
sys.exit(exit_code(work, ()))
"""


def environment(**changes: str) -> dict[str, str]:
    """This process's, without what the test run tells JAX of a cache."""
    names = {FOLDER, "JAX_COMPILATION_CACHE_MAX_SIZE", *ALL_PROGRAMS}
    return {k: v for k, v in os.environ.items() if k not in names} | changes


def run(**changes: str) -> tuple[str | None, int, int]:
    """Run PROGRAM; where JAX was told to keep programs, and how many were found and not."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment(**changes),
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.mark.slow
def test_the_second_run_finds_what_the_first_compiled(tmp_path):
    told, hits, misses = run(XDG_CACHE_HOME=str(tmp_path))
    assert told is not None
    assert told.startswith(str(tmp_path / "trm-jax-edge"))
    assert hits == 0 < misses
    assert run(XDG_CACHE_HOME=str(tmp_path)) == [told, misses, 0]


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """As before JAX is imported, with an empty cache folder of the user."""
    for name in (FOLDER, *ALL_PROGRAMS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delitem(sys.modules, "jax")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return monkeypatch


def test_the_folder_is_made_and_told(alone, tmp_path):
    keep_compiled()
    assert os.environ[FOLDER] == str(cache_folder())
    assert cache_folder().is_dir()
    assert tmp_path in cache_folder().parents
    assert {name: os.environ[name] for name in ALL_PROGRAMS} == ALL_PROGRAMS


@pytest.mark.parametrize("theirs", ["", "/elsewhere"])
def test_a_folder_of_the_users_choice_stays(alone, theirs):
    alone.setenv(FOLDER, theirs)
    keep_compiled()
    assert os.environ[FOLDER] == theirs
    assert not cache_folder().exists()


def test_nothing_is_told_once_jax_is_there(alone):
    alone.setitem(sys.modules, "jax", object())
    keep_compiled()
    assert FOLDER not in os.environ


def test_without_a_folder_nothing_is_kept(alone, tmp_path):
    (tmp_path / "trm-jax-edge").write_text("a file in the way")
    keep_compiled()
    assert FOLDER not in os.environ


def test_processors_that_can_do_other_things_have_other_folders():
    old, new = "flags\t\t: fpu avx2\ncpu MHz : 2", "flags\t\t: fpu avx2 avx512f\ncpu MHz : 2"
    assert processor_hash(old) != processor_hash(new)
    assert processor_hash(old) == processor_hash(old.replace("MHz : 2", "MHz : 3"))
    assert processor_hash("Features : asimd") != processor_hash("Features : asimd sve")


def test_the_oldest_files_go_first(tmp_path):
    for age, name in enumerate("cab"):
        (tmp_path / name).write_bytes(bytes(10))
        os.utime(tmp_path / name, (age, age))
    drop_oldest(tmp_path, 30)
    assert len(list(tmp_path.iterdir())) == 3
    drop_oldest(tmp_path, 20)
    assert sorted(x.name for x in tmp_path.iterdir()) == ["a", "b"]
    drop_oldest(tmp_path, 9)
    assert not list(tmp_path.iterdir())
