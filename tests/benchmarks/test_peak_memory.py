"""The benchmark of memory: a process that takes a known amount, and one that fails."""

import json
from pathlib import Path

import pytest

from benchmarks.peak_memory import __main__ as peak_memory
from benchmarks.peak_memory import runner
from benchmarks.peak_memory.runner import run_process, together_in
from tests.support.programs import end_of

TAKES = 64 * 2**20


def test_a_process_that_holds_more_is_seen(tmp_path: Path) -> None:
    little, much = (
        run_process(["-c", f"x = bytearray({size}); print(len(x))"], tmp_path)
        for size in (1, TAKES)
    )
    # pages of zeros are touched when bytearray clears them; the interpreter's own vary a little
    assert much.peak_bytes - little.peak_bytes == pytest.approx(TAKES, rel=0.1)
    assert little.cpu > 0
    assert little.wall > 0


def test_what_a_program_starts_counts_where_it_is_larger(tmp_path: Path) -> None:
    child = f"x = bytearray({TAKES}); print(len(x))"
    words = ["-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"]
    assert run_process(words, tmp_path).peak_bytes > TAKES


def test_a_program_that_fails_ends_with_its_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(runner.COMMANDS, "jax", ["-c", "import sys; sys.exit('no such device')"])
    assert peak_memory.main(["--programs", "jax"]) == 2
    assert "no such device" in capsys.readouterr().err.splitlines()[-1]


def test_rows_say_what_ran(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(runner.COMMANDS, "jax", ["-c", "pass"])
    assert peak_memory.main(["--programs", "jax"]) == 0
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (row["program"], row["together"]) == ("jax", None)
    assert 1e6 < row["peak_bytes"] < 1e9


def test_the_number_of_puzzles_is_read_from_the_folder(tmp_path: Path) -> None:
    assert together_in(tmp_path) is None
    (tmp_path / "out").mkdir()
    (tmp_path / "out/spec.json").write_text(json.dumps({"spec": {"batch_size": 7}}))
    assert together_in(tmp_path) == 7


def test_unknown_programs_exit_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert end_of(peak_memory.main, ["--programs", "chess"]) == 2
    assert capsys.readouterr().err.startswith("error: unknown program")
