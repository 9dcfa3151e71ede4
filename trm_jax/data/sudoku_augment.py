"""Random symmetries of Sudoku token arrays, vectorised so that training batches can use them.

The symmetries are the released builder's: digits renamed, bands and the rows inside them
permuted, stacks and their columns permuted, and for square boxes the grid transposed with
probability one half (a 2x3 box would become 3x2). Tokens are pad 0, blank 1, digit + 1.
"""

import numpy as np
from jaxtyping import Integer

from trm_jax.data.sudoku_solver import Box, check_box

TokenRows = Integer[np.ndarray, "batch seq"]

BLANK = 1


def line_orders(rng: np.random.Generator, num: int, box_lines: int, side: int) -> np.ndarray:
    """Draw orders of the rows (or columns) that keep the lines of a box together.

    Args:
      rng: source of chance.
      num: orders to draw.
      box_lines: lines per box.
      side: lines of the grid.

    Returns:
      (num, side) old positions of the lines.
    """
    bands = rng.random((num, side // box_lines)).argsort(axis=1)
    inside = rng.random((num, side // box_lines, box_lines)).argsort(axis=2)
    return (bands[:, :, None] * box_lines + inside).reshape(num, side)


def cell_orders(rng: np.random.Generator, num: int, box: Box) -> np.ndarray:
    """Draw symmetries of position.

    Returns:
      (num, side * side): old position of the cell that comes to each place.
    """
    side = check_box(box)
    rows = line_orders(rng, num, box[0], side)
    columns = line_orders(rng, num, box[1], side)
    cells = rows[:, :, None] * side + columns[:, None, :]
    if box[0] == box[1]:
        flip = rng.random(num) < 0.5
        cells[flip] = cells[flip].swapaxes(1, 2)
    return cells.reshape(num, side * side)


def _rename(tokens: np.ndarray, names: np.ndarray) -> np.ndarray:
    """Rename digits row by row; pad, blank and ignored labels stay."""
    digits = tokens > BLANK
    renamed = np.take_along_axis(names, np.where(digits, tokens - 2, 0), axis=1) + 2
    return np.where(digits, renamed, tokens).astype(tokens.dtype)


def augment_sudoku(
    rng: np.random.Generator, inputs: TokenRows, labels: TokenRows, box: Box
) -> tuple[TokenRows, TokenRows]:
    """Apply to each puzzle a random symmetry of its own, the same to its answer.

    Args:
      rng: source of chance.
      inputs: tokens of the puzzles.
      labels: tokens of the answers; negative (ignored) labels keep their value and move along.
      box: rows and columns of a box.

    Returns:
      New inputs and labels of the same types.

    Raises:
      ValueError: rows that are no grids of this box shape.
    """
    side = check_box(box)
    if inputs.shape != labels.shape or inputs.shape[1] != side * side:
        raise ValueError(
            f"box {box} needs inputs and labels of {side * side} cells,"
            f" got {inputs.shape} and {labels.shape}"
        )
    cells = cell_orders(rng, len(inputs), box)
    names = rng.random((len(inputs), side)).argsort(axis=1)
    moved = (np.take_along_axis(tokens, cells, axis=1) for tokens in (inputs, labels))
    new_inputs, new_labels = (_rename(tokens, names) for tokens in moved)
    return new_inputs, new_labels


def reveal_cells(
    rng: np.random.Generator,
    inputs: TokenRows,
    labels: TokenRows,
    counts: Integer[np.ndarray, " batch"],
) -> TokenRows:
    """Turn random blanks into clues, which makes a puzzle easier and keeps its one solution.

    Args:
      rng: source of chance.
      inputs: tokens of the puzzles.
      labels: tokens of the answers.
      counts: cells to reveal in each puzzle; all blanks where there are fewer.

    Returns:
      New inputs.
    """
    blank = (inputs == BLANK) & (labels > BLANK)
    order = np.where(blank, rng.random(inputs.shape), 2.0).argsort(axis=1).argsort(axis=1)
    return np.where(blank & (order < counts[:, None]), labels, inputs).astype(inputs.dtype)
