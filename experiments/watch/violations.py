"""Which cells of an answer break a rule of their puzzle: no label is needed.

    Sudoku   a given digit that was changed, an empty cell, a digit twice in a row, column or box
    mazes    a wall, start or goal that was changed, a piece of path (or an end of it) with another
             number of neighbours on the path than two (one)
    ARC      has no rules

An answer that obeys all rules has none of them. The opposite holds for Sudoku; of a maze a longer
way than the shortest breaks none of these rules, and is no answer.
"""

import numpy as np
from jaxtyping import Bool, Integer

from trm_jax.data.facts import PuzzleFacts
from trm_jax.data.maze.solver import FREE, GOAL, PATH, START

Cells = Integer[np.ndarray, " cells"]
Marks = Bool[np.ndarray, " cells"]


def find_violations(puzzle: Cells, answer: Cells, facts: PuzzleFacts) -> Marks:
    """Mark the cells that break a rule."""
    match facts.task:
        case "sudoku":
            return _sudoku(puzzle, answer, facts)
        case "maze":
            return _maze(puzzle, answer, facts)
    return np.zeros(len(answer), bool)


def _sudoku(puzzle: Cells, answer: Cells, facts: PuzzleFacts) -> Marks:
    side, box = facts.grid[0], facts.box
    assert box is not None, facts
    at = np.arange(side * side)
    row, column = at // side, at % side
    boxes = row // box[0] * (side // box[1]) + column // box[1]
    marks = (answer <= 1) | ((puzzle > 1) & (answer != puzzle))
    for unit in (row, column, boxes):
        same = (unit[:, None] == unit) & (answer[:, None] == answer) & (answer > 1)
        marks |= same.sum(axis=1) > 1
    return marks


def _maze(puzzle: Cells, answer: Cells, facts: PuzzleFacts) -> Marks:
    marks = (puzzle != FREE) & (answer != puzzle)
    ends = np.isin(answer, (START, GOAL))
    path = ends | (answer == PATH)
    padded = np.pad(path.reshape(facts.grid), 1).astype(int)
    near = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    return marks | (path & (near.ravel() != np.where(ends, 1, 2)))
