"""The command lines: export, verify, solve."""

import json
from pathlib import Path

import pytest

from export import solve, tflite, verify
from export.artifact.manifest import read_manifest
from tests.support.programs import end_of
from tests.support.tiny import sweep as tiny

PUZZLE = "1.3. ..1. 2..1 .1.3"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("commands")
    tiny.write(root)
    code = tflite.main(
        [
            "--model",
            str(root / "model"),
            "--data",
            str(root / "data"),
            "--scheme",
            "int8",
            "--batch-size",
            "4",
            "--out",
            str(root / "int8"),
        ]
    )
    assert code == 0
    return root / "int8"


@pytest.mark.slow
def test_verify_passes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = str(folder.parent / "data")
    assert verify.main([str(folder), "--data", data, "--limit", "6"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = ["files", "legality", "operators", "answers", "block", "rollouts"]
    assert [line.split()[:2] for line in lines] == [["pass", name] for name in names]


def test_solve_draws_puzzle_and_answer(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "puzzle.txt").write_text(PUZZLE.replace(" ", "\n"))
    for puzzle in (PUZZLE, str(tmp_path / "puzzle.txt")):
        assert solve.main([str(folder), puzzle]) == 0
        text = capsys.readouterr().out
        assert "| 1 . | 3 . |" in text
        assert "supervision steps: " in text
    assert solve.main([str(folder), "--random", "--data", str(folder.parent / "data")]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name one puzzle"),
        ((PUZZLE, "--random"), "name one puzzle"),
        (("12",), "16 cells, the puzzle has 2"),
        (("x" * 16,), "symbols ['x']"),
        ((PUZZLE, "--steps", "-1"), "must be at least 1"),
    ],
)
def test_bad_puzzles_exit_with_2(
    arguments: tuple[str, ...], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert end_of(solve.main, [str(folder), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_no_export_exits_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for main in (solve.main, verify.main):
        arguments = [str(tmp_path)] + ["--random"] * (main is solve.main)
        assert main(arguments) == 2
        assert "no manifest.json" in capsys.readouterr().err


REFUSED = {
    "legality": (("--scheme", "w8c-sym_a8da", "--target", "tflite-runtime"), "tflite-runtime does"),
    "scheme": (
        (
            "--scheme",
            "int5_magic",
        ),
        "unknown scheme",
    ),
    "role": (("--scheme", "mixer=int8"), "names ['channel', 'head', 'mixer']"),
    "data": (("--scheme", "fp32", "--data", "nowhere"), "nowhere"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_exports_exit_with_2(
    name: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more, message = REFUSED[name]
    model = ["--model", str(folder.parent / "model"), "--out", str(tmp_path / "out")]
    assert tflite.main([*model, *more]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


MAZE = "S.../##../..../...G"


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 16 cells and 6 tokens that does not say whether it solves Sudoku or mazes."""
    root = tmp_path_factory.mktemp("silent")
    tiny.write(root, task=None)
    return root


def export_silent(root: Path, out: Path, *more: str) -> int:
    words = ["--model", str(root / "model"), "--data", str(root / "data"), "--scheme", "int8"]
    return tflite.main([*words, "--batch-size", "4", "--out", str(out), *more])


def test_an_export_needs_a_task_and_guesses_none(
    silent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export_silent(silent, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "nothing says which task model model is for; name it with --task" in error


@pytest.mark.slow
def test_a_maze_as_small_as_a_sudoku_is_drawn_as_a_maze(
    silent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "maze"
    assert export_silent(silent, out, "--task", "maze") == 0
    assert read_manifest(out).task == "maze"
    assert solve.main([str(out), MAZE]) == 0
    assert "██S " in capsys.readouterr().out
    assert solve.main([str(out), PUZZLE.replace(" ", "")]) == 2  # digits are no symbols of a maze
    assert "symbols ['1', '2', '3'] are no maze's" in capsys.readouterr().err
    assert verify.main([str(out), "--data", str(silent / "data"), "--limit", "4"]) == 0


def test_the_task_of_an_older_export_can_be_named(
    silent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Earlier versions left it empty, or guessed it from the alphabet."""
    out = tmp_path / "old"
    assert export_silent(silent, out, "--task", "sudoku") == 0
    manifest = out / "manifest.json"
    values = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**values, "task": "", "puzzles": None}))
    capsys.readouterr()
    assert solve.main([str(out), MAZE]) == 2
    assert "nothing says which task export model is for" in capsys.readouterr().err
    assert solve.main([str(out), MAZE, "--task", "maze"]) == 0
    assert solve.main([str(out), PUZZLE, "--task", "sudoku"]) == 0
