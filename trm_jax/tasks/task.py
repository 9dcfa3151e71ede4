"""What the programs need to know of a task: the shape of its puzzles and its scores.

Sudoku has one right answer, and so has an ARC question: its whole canvas must be right wherever
the label scores it, as released (votes over augmentations: experiments/arc/__main__.py). A maze
may have several shortest paths of which the label marks one, so mazes carry a lenient score beside
exact match.
"""

import enum
import math
from collections.abc import Callable

from trm_jax.data.arc import canvas
from trm_jax.data.format import PuzzleDataset
from trm_jax.evaluate import Lenient, any_shortest_path, strict


class Task(enum.Enum):
    """A kind of puzzle; the value is its name on the command line."""

    SUDOKU = "sudoku"
    MAZE = "maze"
    ARC = "arc"


VOCAB_SIZE: dict[Task, Callable[[int], int]] = {
    Task.SUDOKU: lambda side: side + 2,  # pad, blank, digits
    Task.MAZE: lambda side: 6,  # pad and "# SGo"
    Task.ARC: lambda side: canvas.VOCAB_SIZE,  # pad, end of grid, colours
}
"""Tokens of a puzzle with `side` cells in a row, pad included."""

LENIENT: dict[Task, Callable[[int], Lenient] | None] = {
    Task.SUDOKU: None,
    Task.MAZE: any_shortest_path,
    Task.ARC: None,
}
"""The second score beside exact match, or None where only one answer is right."""


def task_named(name: str) -> Task:
    """Look a task up.

    Raises:
      ValueError: unknown; the message lists the known ones.
    """
    known = [task.value for task in Task]
    if name not in known:
        raise ValueError(f"unknown task {name!r}; known: {', '.join(known)}")
    return Task(name)


def side_of(task: Task, dataset: PuzzleDataset, where: str) -> int:
    """Check that puzzles are of the task and count the cells of a row.

    Raises:
      ValueError: the puzzles are not square, or of another alphabet.
    """
    meta = dataset.metadata
    side = math.isqrt(meta.seq_len)
    if side * side != meta.seq_len:
        raise ValueError(f"{where}: puzzles must be square, got {meta.seq_len} cells")
    expected = VOCAB_SIZE[task](side)
    if meta.vocab_size != expected:
        raise ValueError(
            f"{where} is no {task.value} data: {side}x{side} {task.value} has {expected} tokens,"
            f" got vocab_size={meta.vocab_size}"
        )
    return side


def second_score(task: Task, side: int) -> Lenient:
    """Make the second score; where only one answer is right it repeats exact match."""
    make = LENIENT[task]
    return make(side) if make else strict
