"""Puzzles as text, and answers judged by the rules alone."""

import numpy as np
import pytest

from trm_jax.tasks import MAZE, SUDOKU
from trm_jax.tasks.sudoku import SIDES, box_of


def read_sudoku(text: str) -> np.ndarray:
    return SUDOKU.need_text().read(text, 6)


def read_maze(text: str) -> np.ndarray:
    return MAZE.need_text().read(text, 8)


def test_sudoku_text() -> None:
    form = SUDOKU.need_text()
    solved = "123456 456123 231564 564231 312645 645312"
    answer = read_sudoku(solved)
    puzzle = read_sudoku(solved.replace("1", ".").replace("2", "0"))
    assert form.is_right(puzzle, answer)
    assert not form.is_right(read_sudoku("2" + solved[1:]), answer)
    swapped = read_sudoku("213456" + solved[6:])
    assert not form.is_right(puzzle, swapped)
    assert form.show(puzzle).splitlines()[1] == "| . . 3 | 4 5 6 |"


def test_maze_text() -> None:
    form = MAZE.need_text()
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
    puzzle, answer = (read_maze("/".join(text)) for text in (rows, path))
    assert form.is_right(puzzle, answer)
    assert not form.is_right(puzzle, puzzle)  # no path at all
    loop = answer.copy()
    loop[8 * 4 + 8 - 8 + 5 - 8] = 5  # a path cell beside the path
    assert not form.is_right(puzzle, loop)
    assert form.show(answer).splitlines()[1].startswith("██S · · ██")
    with pytest.raises(ValueError, match="a maze has one G, this has 0"):
        read_maze("/".join(rows).replace("G", "."))


def test_boxes_are_the_squarest() -> None:
    assert [box_of(side) for side in SIDES] == [(2, 2), (2, 3), (2, 4), (3, 3), (4, 4)]
