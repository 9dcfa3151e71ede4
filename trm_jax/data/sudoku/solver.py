"""Solve Sudoku of any box shape by bit-parallel propagation of naked and hidden singles.

A state is one Python integer with a bit for every (digit, row, column) still possible, at
position `digit * side**2 + row * side + column`. Sudoku then is an exact cover: every cell,
row-digit, column-digit and box-digit unit holds exactly one bit. A unit is a window of bits at
fixed strides, so that all units of a kind are counted (none, one, more) by a dozen shifts of
the whole integer: a round of propagation over the whole grid takes about 15 microseconds.

Deliberately without locked candidates, pairs or fish: the rating is the number of guesses that
singles leave open (cells at which the whole search branches), not a human's measure.
"""

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trm_jax.data.grids import bits_of

Box = tuple[int, int]
"""Rows and columns of one box; the side of the grid is their product."""

MAX_SIDE = 35  # symbols 1-9, A-Z in files


@dataclass(frozen=True)
class UnitKind:
    """One of the four kinds of units: where its units start and how their bits lie.

    Attributes:
      base: the first bit of every unit.
      windows: for each stride the shifts that fold a unit onto its first bit.
      spread: factor that copies the first bit of a unit to all of its bits.
    """

    base: int
    windows: tuple[tuple[tuple[int, bool], ...], ...]
    spread: int


@dataclass(frozen=True)
class Geometry:
    """Masks of one box shape. `full` has all candidates; `cells[i]` those of cell i."""

    box: Box
    side: int
    full: int
    cells: tuple[int, ...]
    kinds: tuple[UnitKind, ...]


def _window(count: int, stride: int) -> tuple[tuple[int, bool], ...]:
    """Plan the shifts that fold `count` bits at `stride` onto the first: double, or add one."""
    plan, width = [], 1
    for bit in bin(count)[3:]:
        plan.append((width * stride, True))
        width *= 2
        if bit == "1":
            plan.append((width * stride, False))
            width += 1
    return tuple(plan)


def _kind(size: int, axes: Sequence[tuple[int, int]]) -> UnitKind:
    """Describe the units whose bits lie along `axes`, each (count, stride), in `size` bits."""
    spread = 1
    for count, stride in axes:
        spread *= sum(1 << i * stride for i in range(count))
    base, free = 0, (1 << size) - 1
    while free:  # the lowest bit not yet in a unit starts the next one
        first = free & -free
        base |= first
        free &= ~(first * spread)
    return UnitKind(base, tuple(_window(count, stride) for count, stride in axes), spread)


def check_box(box: Box) -> int:
    """Return the side of the grid.

    Raises:
      ValueError: a box of one row or column (then boxes are rows), or too large a side.
    """
    rows, columns = box
    if min(box) < 2 or rows * columns > MAX_SIDE:
        raise ValueError(
            f"box must have 2 rows and columns or more and {MAX_SIDE} cells or fewer,"
            f" e.g. (2, 3) or (3, 3), got {box}"
        )
    return rows * columns


@functools.cache
def geometry(box: Box) -> Geometry:
    """Precompute the masks of a box shape."""
    rows, columns = box
    side = check_box(box)
    plane, size = side**2, side**3
    cell = sum(1 << d * plane for d in range(side))
    axes = (
        ((side, plane),),  # a cell: its digits
        ((side, 1),),  # a digit in a row
        ((side, side),),  # a digit in a column
        ((columns, 1), (rows, side)),  # a digit in a box
    )
    return Geometry(
        box=box,
        side=side,
        full=(1 << size) - 1,
        cells=tuple(cell << i for i in range(plane)),
        kinds=tuple(_kind(size, a) for a in axes),
    )


def _fold(bits: int, kind: UnitKind) -> tuple[int, int]:
    """Mark, at the first bit of each unit, whether it has at least one and at least two bits."""
    one, two = bits, 0
    for window in kind.windows:
        start_one, start_two = one, two
        for shift, double in window:
            o, t = (one, two) if double else (start_one, start_two)
            o >>= shift
            two |= (t >> shift) | (one & o)
            one |= o
    return one & kind.base, two & kind.base


def propagate(grid: Geometry, state: int, done: int = 0) -> tuple[int, int] | None:
    """Apply naked and hidden singles until nothing changes.

    Args:
      grid: masks of the box shape.
      state: candidates.
      done: bits whose consequences have already been drawn.

    Returns:
      The candidates left and the bits that are settled, or None on a contradiction.
    """
    while True:
        forced = 0
        for kind in grid.kinds:
            one, two = _fold(state, kind)
            if one != kind.base:
                return None
            forced |= ((one ^ two) * kind.spread) & state
        new = forced & ~done
        if not new:
            return state, done
        for kind in grid.kinds:
            one, two = _fold(new, kind)
            if two:
                return None
            state &= ~(one * kind.spread) | new
        done |= new


def _branch_cell(grid: Geometry, state: int, done: int) -> int:
    """Choose the unsettled cell with the fewest candidates, the first of equals."""
    best, fewest = -1, grid.side + 1
    for i, mask in enumerate(grid.cells):
        if done & mask:
            continue
        count = (state & mask).bit_count()
        if count < fewest:
            best, fewest = i, count
            if count == 2:
                break
    return best


class SearchTooLong(ValueError):
    """A search that was given up: as many guesses as allowed decided nothing."""


@dataclass
class Search:
    """Counts the cells at which a search had to branch.

    Attributes:
      limit: guesses after which the search is given up; None: never.
    """

    guesses: int = 0
    limit: int | None = None


def solutions(grid: Geometry, state: int, search: Search, done: int = 0) -> Iterator[int]:
    """Yield every solution below a state, as a state with one bit per cell.

    Raises:
      SearchTooLong: the search has a limit and reached it.
    """
    settled = propagate(grid, state, done)
    if settled is None:
        return
    state, done = settled
    if state == done:
        yield state
        return
    cell = grid.cells[_branch_cell(grid, state, done)]
    search.guesses += 1
    if search.limit is not None and search.guesses > search.limit:
        raise SearchTooLong(f"{search.limit} guesses did not decide how many solutions there are")
    for bit in bits_of(state & cell):
        yield from solutions(grid, state & ~cell | bit, search, done)


def state_of(grid: Geometry, puzzle: Sequence[int]) -> int:
    """Turn digits into candidates: a clue leaves one candidate in its cell.

    Args:
      grid: masks of the box shape.
      puzzle: cells in reading order, 0 blank.

    Raises:
      ValueError: wrong number of cells or a digit above the side.
    """
    plane = grid.side**2
    if len(puzzle) != plane:
        raise ValueError(f"a grid of box {grid.box} has {plane} cells, got {len(puzzle)}")
    state = grid.full
    for i, digit in enumerate(puzzle):
        if not 0 <= digit <= grid.side:
            raise ValueError(f"cell {i} must hold 0 to {grid.side}, got {digit}")
        if digit:
            state ^= grid.cells[i] ^ (1 << (int(digit) - 1) * plane + i)
    return state


def digits_of(grid: Geometry, state: int) -> list[int]:
    """Turn a solved state into digits 1 to side, in reading order."""
    plane = grid.side**2
    digits = [0] * plane
    for bit in bits_of(state):
        digit, cell = divmod(bit.bit_length() - 1, plane)
        digits[cell] = digit + 1
    return digits


@dataclass(frozen=True)
class SolverVerdict:
    """What the solver found.

    Attributes:
      solution: digits of the first solution, or None when there is none.
      num_solutions: solutions counted, up to the limit asked for.
      rating: cells at which the search branched; 0 means that singles alone solve it.
    """

    solution: list[int] | None
    num_solutions: int
    rating: int


def solve(
    puzzle: Sequence[int], box: Box, *, limit: int = 2, max_guesses: int | None = None
) -> SolverVerdict:
    """Solve a puzzle and count its solutions up to `limit` (2 decides uniqueness).

    Raises:
      ValueError: cells of another grid.
      SearchTooLong: more than `max_guesses` guesses are needed.
    """
    grid, search = geometry(box), Search(limit=max_guesses)
    solved = list(itertools.islice(solutions(grid, state_of(grid, puzzle), search), limit))
    solution = digits_of(grid, solved[0]) if solved else None
    return SolverVerdict(solution, len(solved), search.guesses)
