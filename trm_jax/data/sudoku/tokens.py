"""Sudoku as tokens: the alphabet, puzzles as text to tokens and back, the rules of an answer."""

import numpy as np
from jaxtyping import Bool, Integer

from trm_jax.data.sudoku.solver import Box, check_box

DIGITS = "123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def vocab_size(box: Box) -> int:
    """Count the tokens: pad, blank and the digits."""
    return check_box(box) + 2


def symbols(box: Box) -> dict[str, int]:
    """Map the symbols of files to tokens; blanks are written '.', '0' or '_'."""
    digits = {symbol: i + 2 for i, symbol in enumerate(DIGITS[: check_box(box)])}
    return {".": 1, "0": 1, "_": 1, **digits}


def encode(digits: Integer[np.ndarray, "*shape"]) -> Integer[np.ndarray, "*shape"]:
    """Turn digits (0 blank) into tokens."""
    return (digits + 1).astype(np.uint8)


def decode(tokens: Integer[np.ndarray, "*shape"]) -> Integer[np.ndarray, "*shape"]:
    """Turn tokens into digits (0 blank)."""
    return tokens.astype(np.int8) - 1


def find_conflict(digits: Integer[np.ndarray, " cells"], box: Box) -> str | None:
    """Say which digit is given twice in a row, column or box; None where none is."""
    side = check_box(box)
    grid, (height, width) = digits.reshape(side, side), box
    boxes = grid.reshape(side // height, height, side // width, width).swapaxes(1, 2)
    units = {"row": grid, "column": grid.T, "box": boxes.reshape(side, side)}
    for name, lines in units.items():
        for at, line in enumerate(lines):
            given, counts = np.unique(line[line > 0], return_counts=True)
            if (counts > 1).any():
                return f"{name} {at + 1} has {DIGITS[int(given[counts > 1][0]) - 1]} twice"
    return None


def valid_grids(
    digits: Integer[np.ndarray, "puzzles cells"], box: Box
) -> Bool[np.ndarray, " puzzles"]:
    """Mark the grids in which every row, column and box holds every digit."""
    num, side = len(digits), check_box(box)
    height, width = box
    rows = digits.reshape(num, side, side)
    boxes = digits.reshape(num, side // height, height, side // width, width).swapaxes(2, 3)
    every_digit = np.arange(1, side + 1)
    units = (rows, rows.swapaxes(1, 2), boxes.reshape(num, side, side))
    return np.all([(np.sort(u, axis=2) == every_digit).all((1, 2)) for u in units], axis=0)
