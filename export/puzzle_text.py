"""Puzzles as people write and read them: Sudoku with boxes, mazes with walls.

Sudoku   row by row; blanks are . or 0, digits 1..9, then A, B, ...; spaces do not count
maze     row by row; # wall, space or . free, S start, G goal; rows end at line breaks or /
"""

import math

import numpy as np

from trm_jax.config import Config
from trm_jax.data.maze.solver import FREE, GOAL, PATH, START, WALL
from trm_jax.data.maze.symmetry import SYMBOLS
from trm_jax.data.sudoku.tokens import DIGITS, valid_grids

MAZE = {**SYMBOLS, ".": FREE}
MAZE_SHOWN = {0: "? ", WALL: "██", FREE: "  ", START: "S ", GOAL: "G ", PATH: "· "}


def read(text: str, task: str, config: Config) -> np.ndarray:
    """Read one puzzle.

    Raises:
      ValueError: another size, or a symbol that is not of the alphabet.
    """
    side = math.isqrt(config.seq_len)
    if task == "sudoku":
        cells = "".join(text.split())
        known = {".": 1, "0": 1, **{d: i + 2 for i, d in enumerate(DIGITS[:side])}}
    elif task == "maze":
        cells, known = text.strip("\n").replace("\n", "").replace("/", ""), MAZE
    else:
        raise ValueError(f"puzzles of task {task!r} have no text form; known: sudoku, maze")
    if len(cells) != config.seq_len:
        raise ValueError(
            f"the model reads {side}x{side} = {config.seq_len} cells, the puzzle has {len(cells)}"
        )
    if unknown := sorted(set(cells) - set(known)):
        raise ValueError(f"symbols {unknown} are no {task}'s; known: {' '.join(known)}")
    tokens = np.asarray([known[c] for c in cells], np.int32)
    for token, name in ((START, "S"), (GOAL, "G")):
        if task == "maze" and (tokens == token).sum() != 1:
            raise ValueError(f"a maze has one {name}, this has {(tokens == token).sum()}")
    return tokens


def show(tokens: np.ndarray, task: str) -> str:
    """Draw one puzzle or answer."""
    side = math.isqrt(tokens.size)
    rows = tokens.reshape(side, side)
    return _sudoku(rows) if task == "sudoku" else _maze(rows)


def is_right(puzzle: np.ndarray, answer: np.ndarray, task: str) -> bool:
    """Check an answer by the rules alone: no solution is needed.

    A maze's path must be a chain of free cells from start to goal; that it is a shortest one
    is not checked.
    """
    if task == "sudoku":
        given = puzzle > 1
        side = math.isqrt(puzzle.size)
        fits = bool((answer[given] == puzzle[given]).all()) and bool((answer > 1).all())
        return fits and bool(valid_grids(answer[None].astype(np.int8) - 1, box_of(side))[0])
    return _is_path(puzzle, answer)


def box_of(side: int) -> tuple[int, int]:
    """Take the squarest box, lying: 6 -> 2x3, 9 -> 3x3."""
    height = max(h for h in range(1, math.isqrt(side) + 1) if side % h == 0)
    return height, side // height


def _sudoku(rows: np.ndarray) -> str:
    height, width = box_of(len(rows))
    symbols = "?." + DIGITS
    bar = "+".join(["-" * (2 * width + 1)] * (len(rows) // width)).join("++")
    lines = []
    for i, row in enumerate(rows):
        if i % height == 0:
            lines.append(bar)
        boxes = (row[j : j + width] for j in range(0, len(row), width))
        lines.append("| " + " | ".join(" ".join(symbols[t] for t in box) for box in boxes) + " |")
    return "\n".join([*lines, bar])


def _maze(rows: np.ndarray) -> str:
    edge = "██" * (len(rows) + 2)
    body = ["██" + "".join(MAZE_SHOWN[int(t)] for t in row) + "██" for row in rows]
    return "\n".join([edge, *body, edge])


def _is_path(puzzle: np.ndarray, answer: np.ndarray) -> bool:
    side = math.isqrt(puzzle.size)
    kept = puzzle != FREE
    if (answer[kept] != puzzle[kept]).any():
        return False
    cells = {divmod(int(i), side) for i in np.flatnonzero((answer == PATH) | (answer == GOAL))}
    at = divmod(int(np.flatnonzero(puzzle == START)[0]), side)
    goal = divmod(int(np.flatnonzero(puzzle == GOAL)[0]), side)
    while at != goal:
        y, x = at
        near = cells & {(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)}
        if len(near) != 1:
            return False
        at = near.pop()
        cells.remove(at)
    return not cells
