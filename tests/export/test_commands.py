"""The command lines: export, verify, solve; and puzzles as text."""

from pathlib import Path

import numpy as np
import pytest

from export import puzzle_text, solve, tflite, verify
from tests.support.tiny import sweep as tiny
from trm_jax.config import MINI_MAZE_TRM_ATT, MINI_SUDOKU_TRM_MLP, Config

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
            "--batch",
            "4",
            "--out",
            str(root / "int8"),
        ]
    )
    assert code == 0
    return root / "int8"


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
    assert solve.main([str(folder), *arguments]) == 2
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


def read(text: str, config: Config, task: str) -> np.ndarray:
    return puzzle_text.read(text, task, config)


def test_sudoku_text() -> None:
    solved = "123456 456123 231564 564231 312645 645312"
    config = MINI_SUDOKU_TRM_MLP
    answer = read(solved, config, "sudoku")
    puzzle = read(solved.replace("1", ".").replace("2", "0"), config, "sudoku")
    assert puzzle_text.is_right(puzzle, answer, "sudoku")
    assert not puzzle_text.is_right(read("2" + solved[1:], config, "sudoku"), answer, "sudoku")
    swapped = read("213456" + solved[6:], config, "sudoku")
    assert not puzzle_text.is_right(puzzle, swapped, "sudoku")
    assert puzzle_text.show(puzzle, "sudoku").splitlines()[1] == "| . . 3 | 4 5 6 |"


def test_maze_text() -> None:
    rows = [
        "S..#....",
        "##.#....",
        "...#....",
        ".###....",
        "........",
        "######..",
        "......#.",
        ".......G",
    ]
    path = [
        "Soo#....",
        "##o#....",
        "ooo#....",
        "o###....",
        "oooooooo",
        "######.o",
        "......#o",
        ".......G",
    ]
    config = MINI_MAZE_TRM_ATT
    puzzle, answer = (read("/".join(text), config, "maze") for text in (rows, path))
    assert puzzle_text.is_right(puzzle, answer, "maze")
    assert not puzzle_text.is_right(puzzle, puzzle, "maze")  # no path at all
    loop = answer.copy()
    loop[8 * 4 + 8 - 8 + 5 - 8] = 5  # a path cell beside the path
    assert not puzzle_text.is_right(puzzle, loop, "maze")
    assert puzzle_text.show(answer, "maze").splitlines()[1].startswith("██S · · ██")
    with pytest.raises(ValueError, match="a maze has one G, this has 0"):
        read("/".join(rows).replace("G", "."), config, "maze")
