"""Puzzles as text, and answers judged by the rules alone."""

import numpy as np
import pytest

from trm_jax.tasks import MAZE, SUDOKU, TASKS
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


SIDE = 4
OPTIONS = {
    "sudoku": {"box": [2, 2], "num_clues": [6, 8], "min_rating": 0},
    "maze": {"height": 4, "width": 4, "min_path": 3, "wall_prob": [0.3, 0.5], "one_path": False},
}
"""Of generators, as generator.json holds them: tuples are lists there."""


@pytest.mark.parametrize("name", [name for name, task in TASKS.items() if task.generator])
def test_generated_answers_are_right_and_new_only_once(name: str) -> None:
    task = TASKS[name]
    assert task.generator is not None
    generator, form = task.generator(SIDE), task.need_text()
    inputs, labels = generator.generate(3, seed=1, start=0, **OPTIONS[name])
    for puzzle, answer in zip(inputs, labels, strict=True):
        assert form.is_right(puzzle, answer)
        assert not form.is_right(puzzle, puzzle)
        assert len(form.show(puzzle).splitlines()) > SIDE
    assert generator.new_classes(inputs[:1], inputs[1:1]).all()
    assert not generator.new_classes(inputs, inputs).any()


def test_sudokus_of_other_sides_are_not_generated() -> None:
    assert SUDOKU.generator is not None
    with pytest.raises(ValueError, match="not of side 12"):
        SUDOKU.generator(12)
