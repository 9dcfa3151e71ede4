"""What the board program reads of a package: damage and other versions are one line."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from export.board.__main__ import main
from tests.support.firmware.packages import copying_rows, write_package


def change_facts(folder: Path, **changes: object) -> None:
    file = folder / "package.json"
    facts = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({name: value for name, value in facts.items() if value != "gone"}))


MAZE = {"task": "maze", "grid": [4, 5], "box": None, "identifiers_sha256": ""}
ARC = {"task": "arc", "grid": [4, 4], "box": None, "identifiers_sha256": ""}
DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "none": (lambda f: (f / "package.json").unlink(), "no package in .*export.micro. writes one"),
    "no flash": (lambda f: (f / "flash.bin").unlink(), "flash.bin: No such file or directory"),
    "not JSON": (lambda f: (f / "package.json").write_text("{"), "truncated or not JSON"),
    "older": (lambda f: change_facts(f, puzzles="gone"), "field puzzles is missing; make the pack"),
    "unsaid": (lambda f: change_facts(f, puzzles=None), "does not say what its puzzles are"),
    "other size": (lambda f: change_facts(f, puzzles=MAZE), "rows of 16 cells, its puzzles maze"),
    "no text": (lambda f: change_facts(f, puzzles=ARC), "puzzles of task 'arc' have no text form"),
    "flash": (lambda f: (f / "flash.bin").write_bytes(b"x"), "flash.bin is not the one of package"),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_package_is_one_line(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage, words = DAMAGES[case]
    damage(write_package(tmp_path, copying_rows()))
    assert main([str(tmp_path), "1234341221434321"]) == 2
    assert re.fullmatch(rf"error: [^\n]*{words}[^\n]*\n", capsys.readouterr().err)


PUZZLES = {
    "123434122143432": "the model reads 4x4 = 16 cells, the puzzle has 15",
    "1x34341221434321": "symbols .'x'. are no sudoku's",
}


@pytest.mark.parametrize("puzzle", PUZZLES)
def test_another_puzzle_is_refused_before_a_board_is_asked(
    puzzle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_package(tmp_path, copying_rows())
    assert main([str(tmp_path), puzzle, "--port", str(tmp_path / "none")]) == 2
    assert re.search(PUZZLES[puzzle], capsys.readouterr().err)


def test_one_puzzle_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_package(tmp_path, copying_rows())
    for options in ([], ["1234341221434321", "--random"]):
        assert main([str(tmp_path), *options]) == 2
        assert capsys.readouterr().err == "error: name one puzzle: a string, a file, or --random\n"
    named = [str(tmp_path), "1234341221434321"]
    assert main([*named, "--seed", "3"]) == 2
    assert "--seed is of --random" in capsys.readouterr().err
    assert main([*named, "--port", "p", "--elf", "f"]) == 2
    assert "take one" in capsys.readouterr().err
    assert main([str(tmp_path), "--random"]) == 2
