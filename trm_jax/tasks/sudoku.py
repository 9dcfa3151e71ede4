"""Sudoku as a task: one right answer, rows, columns and boxes that hold every digit.

As text: row by row; blanks are . or 0, digits 1..9, then A, B, ...; spaces do not count.
"""

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from trm_jax.data.sudoku import tokens
from trm_jax.data.sudoku.generator import generate_sudoku
from trm_jax.data.sudoku.symmetry import new_classes
from trm_jax.data.sudoku.tokens import DIGITS, valid_grids
from trm_jax.tasks.task import (
    NamedAugmentation,
    PuzzleGenerator,
    Task,
    TextForm,
    TokenPairs,
    read_cells,
    tuple_options,
)

if TYPE_CHECKING:
    from trm_jax.training.augment import Augment
else:  # needs JAX, which is not imported here
    Augment = Any

SIDES = (4, 6, 8, 9, 16)
"""Sides that are generated; their boxes are the squarest (`box_of`)."""


def box_of(side: int) -> tuple[int, int]:
    """Choose the squarest box (rows, columns), wider than high: 6 -> 2x3, 9 -> 3x3."""
    height = max(h for h in range(1, math.isqrt(side) + 1) if side % h == 0)
    return height, side // height


def vocab_size(side: int) -> int:
    """Count the tokens: pad, blank and the digits."""
    return side + 2


def augmentation(side: int) -> NamedAugmentation:
    """Name the symmetries: digits, bands and rows, stacks and columns."""
    rows, columns = box_of(side)
    return NamedAugmentation(f"sudoku-{rows}x{columns}", partial(_symmetries, rows, columns))


def generator(side: int) -> PuzzleGenerator:
    """Make the generator; puzzles are new up to all symmetries of Sudoku.

    Raises:
      ValueError: a side that is not generated.
    """
    if side not in SIDES:
        raise ValueError(f"training knows Sudoku of sides {list(SIDES)}, not of side {side}")
    box = box_of(side)

    def new(candidates: np.ndarray, known: np.ndarray) -> np.ndarray:
        return new_classes(tokens.decode(candidates), tokens.decode(known), box)

    return PuzzleGenerator(_generate, new)


def read_text(text: str, side: int) -> np.ndarray:
    """Read one puzzle.

    Raises:
      ValueError: another size, or a symbol that is not of the alphabet.
    """
    digits = {digit: i + 2 for i, digit in enumerate(DIGITS[:side])}
    return read_cells("".join(text.split()), side, {".": 1, "0": 1, **digits}, "sudoku")


def show_text(puzzle: np.ndarray) -> str:
    """Draw a puzzle or answer with its boxes."""
    side = math.isqrt(puzzle.size)
    height, width = box_of(side)
    symbols = "?." + DIGITS
    bar = "+".join(["-" * (2 * width + 1)] * (side // width)).join("++")
    lines = []
    for i, row in enumerate(puzzle.reshape(side, side)):
        if i % height == 0:
            lines.append(bar)
        boxes = (row[j : j + width] for j in range(0, side, width))
        lines.append("| " + " | ".join(" ".join(symbols[t] for t in box) for box in boxes) + " |")
    return "\n".join([*lines, bar])


def is_right(puzzle: np.ndarray, answer: np.ndarray) -> bool:
    """Check that an answer keeps the given digits and fills every unit."""
    given = puzzle > 1
    keeps = bool((answer[given] == puzzle[given]).all()) and bool((answer > 1).all())
    digits = answer[None].astype(np.int8) - 1
    return keeps and bool(valid_grids(digits, box_of(math.isqrt(puzzle.size)))[0])


def _symmetries(rows: int, columns: int) -> Augment:
    from trm_jax.training.augment import sudoku_augmentation

    return sudoku_augmentation(rows, columns)


def _generate(num: int, **options: Any) -> TokenPairs:
    puzzles, answers = generate_sudoku(num, **tuple_options(options, "box", "num_clues"))
    return tokens.encode(puzzles), tokens.encode(answers)


SUDOKU = Task(
    name="sudoku",
    vocab_size=vocab_size,
    lenient=None,
    augmentation=augmentation,
    generator=generator,
    text=TextForm(read_text, show_text, is_right),
    data_command="trm_jax.data.sudoku",
)
