"""Sudoku as tokens: one for each placement, and in scanning traces one for each look.

    separator, stop   as everywhere (form.py)
    r1c2=3            a 3 stands in row 1, column 2: a given digit, or one that is found
    look r1c2         which digits can this empty cell hold?
    look 3 in box 1   which cells of this unit can hold the digit that it lacks?
    cells, boxes, rows, columns
                      a pass begins: over the empty cells, or over the digits that units lack
    guess             nothing is forced: the next placement is a guess

A prompt is the given digits in reading order. The orders of a trace:

    reading   the other cells in reading order
    solver    the first naked single (a cell with one digit left) in reading order; where there is
              none the first hidden single (a digit with one cell left: boxes, rows, columns, then
              digits); where there is none a guess: of the cells with the fewest candidates the
              first, its digit from the answer
    scan      passes over cells, boxes, rows, columns, cells, ... in turn. A pass looks at every
              empty cell in reading order, or at every digit that a unit lacks; a look that finds a
              single is followed by its placement. After four passes without a placement comes
              `guess` and one.

Every token of a scan depends on the placements so far and on the token before. Only the digit of
a guess is not determined by them. Candidates are what row, column and box leave; no other
technique is used.
"""

import itertools
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from jaxtyping import Integer

from trm_jax.data.sudoku.solver import Box, check_box
from trm_jax.data.sudoku.tokens import decode, encode
from trm_jax.tasks.tokens.form import (
    SEPARATOR,
    SPECIAL,
    STOP,
    Cells,
    RowWriter,
    TokenForm,
    TokenGrid,
    TokenRows,
    TraceOrder,
    before_stop,
    write_rest,
)

MAX_DIGITS = 35  # as many as have symbols in files
ONE_DIGIT = 1 << np.arange(MAX_DIGITS)
PASSES = ("cells", "boxes", "rows", "columns")
KINDS = ("box", "row", "column")
"""Kinds of units, in the order in which they are searched."""

Sets = Integer[np.ndarray, "puzzles cells"]
"""Digits that are left, as bits."""


def count_digits(sets: np.ndarray) -> np.ndarray:
    """Count the digits of sets."""
    return np.bitwise_count(sets)


def digit_of(sets: np.ndarray) -> np.ndarray:
    """Return the lowest digit (from 0) of sets that are not empty."""
    return np.bitwise_count((sets & -sets) - 1).astype(np.int64)


@dataclass(frozen=True)
class SudokuVocabulary:
    """Numbers of the tokens of one box shape.

    Attributes:
      box: rows and columns of a box.
    """

    box: Box

    @property
    def side(self) -> int:
        """Digits, and cells of a unit."""
        return check_box(self.box)

    @cached_property
    def units_of(self) -> Integer[np.ndarray, "cells three"]:
        """Box, row and column of every cell; rows follow the boxes, columns the rows."""
        side, (height, width) = self.side, self.box
        row, column = np.divmod(np.arange(side * side), side)
        box = row // height * (side // width) + column // width
        return np.stack([box, side + row, 2 * side + column], axis=1)

    @cached_property
    def cells_of(self) -> Integer[np.ndarray, "units side"]:
        """Cells of every unit in reading order."""
        units = np.arange(len(KINDS) * self.side)[:, None, None]
        return np.nonzero((self.units_of == units).any(axis=2))[1].reshape(-1, self.side)

    @property
    def first_look(self) -> int:
        """Looks at cells follow the placements."""
        return len(SPECIAL) + self.side**3

    @property
    def first_unit_look(self) -> int:
        """Looks at units follow those at cells."""
        return self.first_look + self.side**2

    @property
    def first_pass(self) -> int:
        """Passes follow the looks."""
        return self.first_unit_look + len(KINDS) * self.side**2

    @property
    def guess(self) -> int:
        """The last token."""
        return self.first_pass + len(PASSES)

    def place(self, cell: np.ndarray | int, digit: np.ndarray) -> np.ndarray:
        """Number placements; digits count from 0."""
        return len(SPECIAL) + cell * self.side + digit

    def unit_look(self, unit: int, digit: int) -> int:
        """Number looks at units."""
        return self.first_unit_look + unit * self.side + digit

    def names(self) -> tuple[str, ...]:
        """Name all tokens in order."""
        digits = range(1, self.side + 1)
        cells = [f"r{r}c{c}" for r in digits for c in digits]
        units = [f"{kind} {n}" for kind in KINDS for n in digits]
        return (
            *SPECIAL,
            *(f"{cell}={digit}" for cell in cells for digit in digits),
            *(f"look {cell}" for cell in cells),
            *(f"look {digit} in {unit}" for unit in units for digit in digits),
            *PASSES,
            "guess",
        )


class SudokuBoards:
    """Digits of many puzzles while they are solved, and what their units have used."""

    def __init__(self, vocabulary: SudokuVocabulary, digits: Integer[np.ndarray, "_ cells"]):
        self.vocabulary = vocabulary
        self.digits = digits.astype(np.int64)
        self.used = np.zeros((len(digits), 3 * vocabulary.side), np.int64)
        for cell in range(digits.shape[1]):
            rows = np.flatnonzero(self.digits[:, cell])
            self._use(rows, cell, self.digits[rows, cell] - 1)

    def _use(self, rows: np.ndarray, cell: np.ndarray | int, digit: np.ndarray) -> None:
        for unit in self.vocabulary.units_of[cell].T:
            self.used[rows, unit] |= ONE_DIGIT[digit]

    def place(self, rows: np.ndarray, cell: np.ndarray | int, digit: np.ndarray) -> None:
        """Settle one cell in each of some puzzles; digits count from 0."""
        self.digits[rows, cell] = digit + 1
        self._use(rows, cell, digit)

    def candidates(self, rows: np.ndarray, cells: np.ndarray) -> Sets:
        """Return the digits that units leave to some cells, none where settled."""
        used = np.bitwise_or.reduce(self.used[rows][:, self.vocabulary.units_of[cells]], axis=2)
        left = ~used & ((1 << self.vocabulary.side) - 1)
        return np.where(self.digits[rows][:, cells] > 0, 0, left)

    def lacks(self, rows: np.ndarray, unit: int, digit: int) -> np.ndarray:
        """Choose the puzzles in which a unit lacks a digit."""
        return rows[self.used[rows, unit] & ONE_DIGIT[digit] == 0]

    def unsolved(self) -> Integer[np.ndarray, " _"]:
        """Number the puzzles with an empty cell."""
        return np.flatnonzero((self.digits == 0).any(axis=1))


def digits_with_one_cell(sets: Sets) -> Integer[np.ndarray, " puzzles"]:
    """Return, as bits, the digits that exactly one cell of a unit can hold."""
    once = twice = np.zeros(len(sets), np.int64)
    for cell in sets.T:
        twice = twice | (once & cell)
        once = once | cell
    return once & ~twice


class SudokuTracer:
    """Solves many puzzles at once and writes down how."""

    def __init__(self, vocabulary: SudokuVocabulary, puzzles: Cells, labels: Cells) -> None:
        self.vocabulary = vocabulary
        self.boards = SudokuBoards(vocabulary, decode(puzzles))
        self.labels = decode(labels).astype(np.int64)
        self.writer = RowWriter(len(puzzles), capacity=256)
        self.side = vocabulary.side
        self.every_cell = np.arange(self.side**2)

    def place(self, rows: np.ndarray, cell: np.ndarray | int, digit: np.ndarray) -> None:
        """Write placements and carry them out.

        Raises:
          ValueError: the label has another digit.
        """
        if (wrong := rows[self.labels[rows, cell] != digit + 1]).size:
            raise ValueError(f"the label of puzzle {wrong[0]} is not the answer that it forces")
        self.boards.place(rows, cell, digit)
        self.writer.write(rows, self.vocabulary.place(cell, digit))

    def guess(self, rows: np.ndarray) -> None:
        """Place the label's digit where the fewest digits are left, in the first such cell."""
        sets = self.boards.candidates(rows, self.every_cell)
        cell = np.where(sets > 0, count_digits(sets), MAX_DIGITS + 1).argmin(axis=1)
        self.place(rows, cell, self.labels[rows, cell] - 1)

    def finish(self) -> TokenRows:
        """End every trace."""
        self.writer.write(np.arange(len(self.boards.digits)), STOP)
        return self.writer.finish()

    def solve(self) -> TokenRows:
        """Write the placements in the solver's order."""
        while (rows := self.boards.unsolved()).size:
            sets = self.boards.candidates(rows, self.every_cell)
            naked = count_digits(sets) == 1
            forced = naked.any(axis=1)
            cell = naked[forced].argmax(axis=1)
            self.place(rows[forced], cell, digit_of(sets[forced, cell]))
            self.guess(self.place_hidden(rows[~forced]))
        return self.finish()

    def place_hidden(self, rows: np.ndarray) -> np.ndarray:
        """Place the first hidden single of each puzzle; returns the puzzles that have none."""
        sets = self.boards.candidates(rows, self.every_cell)
        for cells in self.vocabulary.cells_of:
            if not rows.size:
                break
            digits = digits_with_one_cell(sets[:, cells])
            found = digits > 0
            digit = digit_of(digits[found])
            can = sets[found][:, cells] & ONE_DIGIT[digit][:, None] > 0
            self.place(rows[found], cells[can.argmax(axis=1)], digit)
            rows, sets = rows[~found], sets[~found]
        return rows

    def scan(self) -> TokenRows:
        """Write passes in turn, with their looks."""
        idle = np.zeros(len(self.boards.digits), int)
        kind = 0
        while (rows := self.boards.unsolved()).size:
            self.writer.write(rows, self.vocabulary.first_pass + kind)
            placed = self.pass_units(rows, kind - 1) if kind else self.pass_cells(rows)
            idle += 1
            idle[placed] = 0
            left = self.boards.unsolved()
            stuck = left[idle[left] >= len(PASSES)]
            self.writer.write(stuck, self.vocabulary.guess)
            self.guess(stuck)
            idle[stuck] = 0
            kind = (kind + 1) % len(PASSES)
        return self.finish()

    def pass_cells(self, rows: np.ndarray) -> np.ndarray:
        """Look at every empty cell; returns a puzzle for every digit that was placed."""
        placed = []
        for cell in range(self.side**2):
            empty = rows[self.boards.digits[rows, cell] == 0]
            sets = self.boards.candidates(empty, self.every_cell[cell : cell + 1])[:, 0]
            self.writer.write(empty, self.vocabulary.first_look + cell)
            single = count_digits(sets) == 1
            self.place(empty[single], cell, digit_of(sets[single]))
            placed.append(empty[single])
        return np.concatenate(placed)

    def pass_units(self, rows: np.ndarray, kind: int) -> np.ndarray:
        """Look for every digit that units of a kind lack; returns as `pass_cells`."""
        placed = []
        units = range(kind * self.side, (kind + 1) * self.side)
        for unit, digit in itertools.product(units, range(self.side)):
            lacking = self.boards.lacks(rows, unit, digit)
            self.writer.write(lacking, self.vocabulary.unit_look(unit, digit))
            placed.append(self.look_in_unit(lacking, unit, digit))
        return np.concatenate(placed)

    def look_in_unit(self, rows: np.ndarray, unit: int, digit: int) -> np.ndarray:
        """Place a digit where a unit has one cell left for it; returns the puzzles that have."""
        cells = self.vocabulary.cells_of[unit]
        can = self.boards.candidates(rows, cells) & ONE_DIGIT[digit] > 0
        single = can.sum(axis=1) == 1
        at = cells[can[single].argmax(axis=1)]
        self.place(rows[single], at, np.full(len(at), digit))
        return rows[single]


def fruitless_looks(vocabulary: SudokuVocabulary, traces: TokenGrid) -> TokenGrid:
    """Measure the excursion that each look belongs to: looks in a row that find nothing.

    Args:
      traces: scans.

    Returns:
      How many looks stand between two placements that no placement follows, for each of them; 0
      for all other tokens.
    """
    look = (traces >= vocabulary.first_look) & (traces < vocabulary.first_pass)
    place = (traces >= len(SPECIAL)) & (traces < vocabulary.first_look)
    finds = np.pad(place[:, 1:], ((0, 0), (0, 1)))
    fruitless, run = look & ~finds, np.cumsum(place, axis=1, dtype=np.int64)
    counts = np.zeros((len(traces), traces.shape[1] + 1), int)
    np.add.at(counts, (np.nonzero(fruitless)[0], run[fruitless]), 1)
    return np.where(fruitless, np.take_along_axis(counts, run, axis=1), 0)


def make_sudoku_tokens(box: Box) -> TokenForm:
    """Make the token form of a box shape."""
    vocabulary, side = SudokuVocabulary(box), check_box(box)

    def placements(cells: Cells) -> np.ndarray:
        return vocabulary.place(np.arange(side * side), decode(cells).astype(np.int64) - 1)

    def prompts(inputs: Cells) -> TokenRows:
        writer = RowWriter(len(inputs))
        write_rest(writer, placements(inputs), decode(inputs) > 0)
        writer.write(np.arange(len(inputs)), SEPARATOR)
        return writer.finish()

    def traces(inputs: Cells, labels: Cells, order: TraceOrder) -> TokenRows:
        tracer = SudokuTracer(vocabulary, inputs, labels)
        if order is TraceOrder.READING:
            write_rest(tracer.writer, placements(labels), decode(inputs) == 0)
            return tracer.finish()
        return tracer.scan() if order is TraceOrder.SCAN else tracer.solve()

    def answers(inputs: Cells, generated: np.ndarray) -> Cells:
        cells, given = inputs.copy(), decode(inputs) > 0
        place = generated - len(SPECIAL)
        counts = before_stop(generated) & (place >= 0) & (place < side**3)
        for column in range(generated.shape[1])[::-1]:  # so that a cell's first placement stays
            rows = np.flatnonzero(counts[:, column])
            cell, digit = np.divmod(place[rows, column], side)
            free = ~given[rows, cell]
            cells[rows[free], cell[free]] = encode(digit[free] + 1)
        return cells

    return TokenForm(
        vocabulary=vocabulary.names(),
        prompts=prompts,
        traces=traces,
        answers=answers,
        excursions=partial(fruitless_looks, vocabulary),
    )
