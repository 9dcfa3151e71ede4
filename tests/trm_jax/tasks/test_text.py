"""Puzzles as text, and answers judged by the rules alone."""

import numpy as np
import pytest

from trm_jax.data.facts import boxes_of, settle_facts
from trm_jax.data.sudoku import tokens
from trm_jax.data.sudoku.generator import generate_sudoku
from trm_jax.tasks import MAZE, SUDOKU, TASKS

SUDOKU_6X6 = settle_facts("sudoku", 36, "here", box=(2, 3))
MAZE_8X8 = settle_facts("maze", 64, "here")


def read_sudoku(text: str) -> np.ndarray:
    return SUDOKU.need_text().read(text, SUDOKU_6X6)


def read_maze(text: str) -> np.ndarray:
    return MAZE.need_text().read(text, MAZE_8X8)


def test_sudoku_text() -> None:
    form = SUDOKU.need_text()
    solved = "123456 456123 231564 564231 312645 645312"
    answer = read_sudoku(solved)
    puzzle = read_sudoku(solved.replace("1", ".").replace("2", "0"))
    assert form.is_right(puzzle, answer, SUDOKU_6X6)
    assert not form.is_right(read_sudoku("2" + solved[1:]), answer, SUDOKU_6X6)
    swapped = read_sudoku("213456" + solved[6:])
    assert not form.is_right(puzzle, swapped, SUDOKU_6X6)
    assert form.show(puzzle, SUDOKU_6X6).splitlines()[1] == "| . . 3 | 4 5 6 |"


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
    assert form.is_right(puzzle, answer, MAZE_8X8)
    assert not form.is_right(puzzle, puzzle, MAZE_8X8)  # no path at all
    loop = answer.copy()
    loop[8 * 4 + 8 - 8 + 5 - 8] = 5  # a path cell beside the path
    assert not form.is_right(puzzle, loop, MAZE_8X8)
    assert form.show(answer, MAZE_8X8).splitlines()[1].startswith("██S · · ██")
    with pytest.raises(ValueError, match="a maze has one G, this has 0"):
        read_maze("/".join(rows).replace("G", "."))


@pytest.mark.parametrize("box", [*boxes_of(6), *boxes_of(8), *boxes_of(9)])
def test_answers_are_judged_and_drawn_by_their_own_boxes(box: tuple[int, int]) -> None:
    """Of the two shapes of a side, only the one the puzzle was made with makes its answer right."""
    side = box[0] * box[1]
    form, facts = SUDOKU.need_text(), settle_facts("sudoku", side * side, "here", box=box)
    puzzle, answer = (tokens.encode(grids[0]) for grids in generate_sudoku(1, box=box, seed=3))
    assert form.is_right(puzzle, answer, facts)
    assert form.fault(puzzle, facts) is None
    bar = "+".join(["-" * (2 * box[1] + 1)] * (side // box[1])).join("++")
    shown = form.show(answer, facts).splitlines()
    assert [i for i, line in enumerate(shown) if line == bar] == list(
        range(0, len(shown), box[0] + 1)
    )
    if box[0] != box[1]:
        other = settle_facts("sudoku", side * side, "here", box=box[::-1])
        assert not form.is_right(puzzle, answer, other)


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ("11.... ...... ...... ...... ...... ......", "no answer exists: row 1 has 1 twice"),
        ("4..... ...... 4..... ...... ...... ......", "no answer exists: column 1 has 4 twice"),
        ("..1... .1.... ...... ...... ...... ......", "no answer exists: box 1 has 1 twice"),
        ("12345. .....6 ...... ...... ...... ......", "no answer exists: the given digits"),
        ("...... ...... ...... ...... ...... .....1", "several answers exist"),
    ],
)
def test_sudokus_without_one_answer_are_named(rows: str, what: str) -> None:
    fault = SUDOKU.need_text().fault(read_sudoku(rows), SUDOKU_6X6)
    assert fault is not None
    assert fault.startswith(what)


def test_mazes_without_a_path_are_named() -> None:
    facts = settle_facts("maze", 6, "here", grid=(3, 2))
    form = MAZE.need_text()
    assert form.fault(form.read("S#/.#/.G", facts), facts) is None
    assert form.fault(form.read("S#/##/.G", facts), facts) == (
        "no answer exists: no path leads from start to goal"
    )


def test_mazes_need_not_be_square() -> None:
    facts = settle_facts("maze", 6, "here", grid=(3, 2))
    form = MAZE.need_text()
    puzzle, answer = (form.read(text, facts) for text in ("S#/.#/.G", "S#/o#/oG"))
    assert form.is_right(puzzle, answer, facts)
    assert not form.is_right(puzzle, puzzle, facts)
    assert [len(line) for line in form.show(puzzle, facts).splitlines()] == [8] * 5
    with pytest.raises(ValueError, match=r"reads 3x2 = 6 cells, the puzzle has 9"):
        form.read("S#..#.G..", facts)


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
    facts = settle_facts(name, SIDE * SIDE, "here")
    generator, form = task.generator(facts), task.need_text()
    inputs, labels = generator.generate(3, seed=1, start=0, **OPTIONS[name])
    for puzzle, answer in zip(inputs, labels, strict=True):
        assert form.is_right(puzzle, answer, facts)
        assert not form.is_right(puzzle, puzzle, facts)
        assert len(form.show(puzzle, facts).splitlines()) > SIDE
    assert generator.new_classes(inputs[:1], inputs[1:1]).all()
    assert not generator.new_classes(inputs, inputs).any()


def test_sudokus_of_every_box_are_told_apart() -> None:
    """A puzzle with rows and columns exchanged has another box shape and is no image of itself."""
    assert SUDOKU.generator is not None
    generator = SUDOKU.generator(settle_facts("sudoku", 36, "here", box=(3, 2)))
    inputs, _ = generator.generate(2, seed=4, start=0, box=[3, 2], num_clues=None, min_rating=0)
    assert generator.new_classes(inputs, inputs[:0]).all()
    assert not generator.new_classes(inputs, inputs).any()
