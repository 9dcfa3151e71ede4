"""Lay an ARC grid on a square canvas of tokens, and find it there again.

Tokens: pad 0, end 1, colour k as k + 2. The end tokens stand in the row below and in the column
right of the grid, where the canvas has them; the corner between both stays pad. The released
canvas is 30 x 30; small models take a smaller one.
"""

import hashlib
import math

import numpy as np
from jaxtyping import Integer

from trm_jax.data.arc.task_files import MAX_SIDE, NUM_COLOURS, Grid

PAD, END, FIRST_COLOUR = 0, 1, 2
VOCAB_SIZE = NUM_COLOURS + FIRST_COLOUR

Tokens = Integer[np.ndarray, " seq"]


def encode(grid: Grid, *, side: int = MAX_SIDE, top: int = 0, left: int = 0) -> Tokens:
    """Lay a grid on the canvas.

    Args:
      grid: colours.
      side: of the canvas, in cells.
      top: rows above the grid.
      left: columns left of the grid.

    Raises:
      ValueError: the grid does not fit.
    """
    rows, columns = grid.shape
    if top + rows > side or left + columns > side:
        raise ValueError(
            f"a grid of {rows} x {columns} at row {top}, column {left} does not fit a canvas of"
            f" {side} x {side}; choose a larger one"
        )
    canvas = np.zeros((side, side), np.uint8)
    canvas[top : top + rows + 1, left : left + columns + 1] = END  # slices end at the canvas
    canvas[top + rows :, left + columns :] = PAD
    canvas[top : top + rows, left : left + columns] = grid + FIRST_COLOUR
    return canvas.ravel()


def crop(tokens: Tokens) -> Grid:
    """Find the largest rectangle of colours at the canvas's top left corner.

    Of equally large ones the one with fewest rows. No colour in the corner gives a 0 x 0 grid,
    which is a legal (wrong) answer.

    Raises:
      ValueError: the canvas is not square.
    """
    side = math.isqrt(len(tokens))
    if side * side != len(tokens):
        raise ValueError(f"a canvas is square, got {len(tokens)} tokens")
    canvas = tokens.reshape(side, side)
    coloured = (canvas >= FIRST_COLOUR) & (canvas < VOCAB_SIZE)
    widths = np.minimum.accumulate(np.cumprod(coloured, axis=1).sum(axis=1))
    areas = widths * np.arange(1, side + 1)
    rows = int(np.argmax(areas))
    if not areas[rows]:
        return np.zeros((0, 0), np.uint8)
    return (canvas[: rows + 1, : widths[rows]] - FIRST_COLOUR).astype(np.uint8)


def grid_hash(grid: Grid) -> bytes:
    """Name a grid: SHA-256 of rows, columns (a byte each) and its cells row by row."""
    return hashlib.sha256(bytes(grid.shape) + grid.tobytes()).digest()
