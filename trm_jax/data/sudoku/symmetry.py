"""Symmetries of Sudoku: random ones for training batches, and whether two puzzles are the same.

The symmetries are the released builder's: digits renamed, bands and the rows inside them
permuted, stacks and their columns permuted, and for square boxes the grid transposed with
probability one half (a 2x3 box would become 3x2): 3,359,232 moves times 9! names for 9x9. They
work on whole token arrays (pad 0, blank 1, digit + 1), so that training batches can use them.

Held-out sets are honest if no puzzle of theirs is a training puzzle in disguise. That is decided
in two steps. `invariants` hashes each puzzle to a number that no symmetry changes, for all
puzzles at once (colour refinement: a cell's colour absorbs those of its row, column, box and
digit). Different numbers prove different classes. Only equal numbers need `canonical_form`, which
is exact: it rests on the solution, of which a puzzle has one, because a symmetry that maps puzzle
to puzzle also maps solution to solution. A full grid has a cheap least form: naming the digits so
that a chosen row reads 1, 2, 3, ... leaves no choice but that row and the order of the columns
(23,328 for 9x9), since rows then sort by their first digit; the second row decides between nearly
all of them. The least image of the puzzle under the moves that reach the least grid is its
canonical form.
"""

import functools
import itertools
import math

import numpy as np
from jaxtyping import Bool, Integer, UInt64

from trm_jax.data.sudoku.solver import Box, check_box, solve

TokenRows = Integer[np.ndarray, "batch seq"]

BLANK = 1


Digits = Integer[np.ndarray, "_ cells"]
"""Puzzles, one a row: digits 1 to side in reading order, 0 for blank."""
OneGrid = Integer[np.ndarray, " cells"]

MAX_MOVES = 5_000_000  # row and column choices that fit into memory; 4x4 boxes have 254 million
ROUNDS = 4  # of colour refinement; a cell hears of every other one after two


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


def _mix(values: np.ndarray, salt: int) -> np.ndarray:
    """Scramble 64-bit numbers (the finaliser of splitmix64), so that sums of them do not clash."""
    x = values + np.uint64((salt * 0x9E3779B97F4A7C15) % 2**64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _unit_sums(colours: np.ndarray, digits: np.ndarray, box: Box) -> list[np.ndarray]:
    """Sum the colours of each cell's row, column, box and equal digits."""
    num, side = len(colours), check_box(box)
    grids = colours.reshape(num, side, side)
    rows = np.broadcast_to(grids.sum(2, keepdims=True), grids.shape)
    columns = np.broadcast_to(grids.sum(1, keepdims=True), grids.shape)
    boxed = colours.reshape(num, side // box[0], box[0], side // box[1], box[1])
    boxes = np.broadcast_to(boxed.sum((2, 4), keepdims=True), boxed.shape)
    flat = np.arange(num)[:, None] * (side + 1) + digits
    totals = np.zeros(num * (side + 1), np.uint64)
    np.add.at(totals, flat.ravel(), colours.ravel())
    return [rows.reshape(num, -1), columns.reshape(num, -1), boxes.reshape(num, -1), totals[flat]]


def invariants(puzzles: Digits, box: Box) -> UInt64[np.ndarray, " _"]:
    """Hash puzzles so that symmetric ones agree (different ones agree almost never).

    Args:
      puzzles: digits, with or without blanks.
      box: rows and columns of a box.
    """
    digits = puzzles.astype(np.int64)
    colours = _mix((digits > 0).astype(np.uint64), 1)
    for _ in range(ROUNDS):
        rows, columns, boxes, same = _unit_sums(colours, digits, box)
        square = box[0] == box[1]  # transposition swaps rows and columns: treat them alike
        lines = _mix(rows, 2) + _mix(columns, 2 if square else 3)
        colours = _mix(colours + lines + _mix(boxes, 4) + _mix(same, 5), 6)
    return colours.sum(axis=1)


@functools.cache
def _column_orders(box: Box) -> np.ndarray:
    """List the orders of the columns that keep stacks together."""
    side, width = check_box(box), box[1]
    inside = list(itertools.permutations(range(width)))
    orders = [
        [
            stack * width + column
            for stack, order in zip(stacks, inner, strict=True)
            for column in order
        ]
        for stacks in itertools.permutations(range(side // width))
        for inner in itertools.product(inside, repeat=side // width)
    ]
    return np.array(orders, np.int64)


def num_moves(box: Box) -> int:
    """Count the choices of first row, column order and transposition."""
    side, width = check_box(box), box[1]
    stacks = side // width
    orders = math.factorial(stacks) * math.factorial(width) ** stacks
    return orders * side * (2 if box[0] == box[1] else 1)


def _least(rows: np.ndarray) -> np.ndarray:
    """Find the lexicographically least rows, all of them when several are equal."""
    keep = np.arange(len(rows))
    for column in range(rows.shape[1]):
        values = rows[keep, column]
        keep = keep[values == values.min()]
    return keep


def _second_rows(grid: np.ndarray, box: Box) -> tuple[np.ndarray, np.ndarray]:
    """Choose first row and column order so that the second row becomes least.

    With the first row named 1, 2, 3, ..., a row of the same band reads, in place j, the new
    column of the digit that stands there: it depends on the two rows alone.

    Returns:
      First rows and numbers of column orders that reach the least second row.
    """
    side, height = len(grid), box[0]
    orders = _column_orders(box)
    new_place = orders.argsort(axis=1)
    pairs = [(r, s) for r in range(side) for s in range(side) if r // height == s // height]
    first, second = np.array([(r, s) for r, s in pairs if r != s]).T
    match = np.argsort(grid, axis=1)[first[:, None], grid[second] - 1]
    pair, order = np.divmod(np.arange(len(first) * len(orders)), len(orders))
    for column in range(side):
        values = new_place[order, match[pair, orders[order, column]]]
        keep = values == values.min()
        pair, order = pair[keep], order[keep]
    return first[pair], order


def _sorted_images(
    grid: np.ndarray, puzzle: np.ndarray, first: np.ndarray, order: np.ndarray, box: Box
) -> tuple[np.ndarray, np.ndarray]:
    """Rename digits, order columns and sort rows for each choice; move the puzzle likewise."""
    num, side, height = len(first), len(grid), box[0]
    columns = _column_orders(box)[order]
    images = grid[:, columns].swapaxes(0, 1)
    names = np.argsort(images[np.arange(num), first], axis=1) + 1
    named = np.take_along_axis(names, (images - 1).reshape(num, -1), 1).reshape(images.shape)
    clues = np.where(puzzle[:, columns].swapaxes(0, 1) > 0, named, 0)
    bands = named[:, :, 0].reshape(num, side // height, height)
    inside = bands.argsort(axis=2)
    band_order = bands.min(axis=2).argsort(axis=1)
    rows = (np.arange(side // height)[:, None] * height + inside)[
        np.arange(num)[:, None], band_order
    ]
    rows = rows.reshape(num, side, 1)
    sorted_named, sorted_clues = (np.take_along_axis(x, rows, axis=1) for x in (named, clues))
    return sorted_named.reshape(num, -1), sorted_clues.reshape(num, -1)


def canonical_form(puzzle: OneGrid, box: Box, *, solution: OneGrid | None = None) -> OneGrid:
    """Return the representative of a puzzle's class: equal for puzzles equal up to symmetry.

    Args:
      puzzle: digits, 0 for blank, with exactly one solution.
      box: rows and columns of a box.
      solution: its solution where known, else the puzzle is solved.

    Returns:
      Digits of a puzzle of the same class.

    Raises:
      ValueError: not exactly one solution, or a box shape with too many symmetries.
    """
    side = check_box(box)
    if num_moves(box) > MAX_MOVES:
        raise ValueError(
            f"box {box} has {num_moves(box)} row and column choices, above {MAX_MOVES};"
            " compare `invariants` instead"
        )
    if solution is None:
        verdict = solve(puzzle.tolist(), box)
        if verdict.num_solutions != 1 or verdict.solution is None:
            raise ValueError("a canonical form needs a puzzle with exactly one solution")
        solution = np.array(verdict.solution)
    grids = [solution.reshape(side, side).astype(np.int64), puzzle.reshape(side, side)]
    views = [grids, [g.T for g in grids]] if box[0] == box[1] else [grids]
    images = [_sorted_images(g, p, *_second_rows(g, box), box) for g, p in views]
    named, clues = (np.concatenate(parts) for parts in zip(*images, strict=True))
    clues = clues[_least(named)]
    return clues[_least(clues)[0]].astype(puzzle.dtype)


def class_ids(puzzles: Digits, box: Box) -> Integer[np.ndarray, " _"]:
    """Number the puzzles so that exactly the symmetric ones share a number.

    Where a box shape has too many symmetries for `canonical_form`, puzzles of equal invariants
    share a number too: a split by these numbers then errs on the side of dropping.

    Raises:
      ValueError: a puzzle whose class hangs on its solution has none or several.
    """
    unique, back = np.unique(puzzles, axis=0, return_inverse=True)
    _, ids, counts = np.unique(invariants(unique, box), return_inverse=True, return_counts=True)
    if num_moves(box) <= MAX_MOVES:
        forms: dict[bytes, int] = {}
        for i in np.flatnonzero(counts[ids] > 1):
            form = canonical_form(unique[i], box).tobytes()
            ids[i] = forms.setdefault(form, len(counts) + len(forms))
    return ids[back.ravel()]


def new_classes(candidates: Digits, known: Digits, box: Box) -> Bool[np.ndarray, " _"]:
    """Mark the candidates that are symmetric neither to a known puzzle nor to an earlier one.

    Raises:
      ValueError: see `class_ids`.
    """
    ids = class_ids(np.concatenate([known, candidates]), box)
    mark = np.zeros(len(ids), bool)
    mark[np.unique(ids, return_index=True)[1]] = True  # first of each class, known ones first
    return mark[len(known) :]
