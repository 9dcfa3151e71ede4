"""Generate Sudoku puzzles of any box shape, each proven to have exactly one solution.

A full grid is drawn by a randomised solver; clues are then taken away in random order as long
as no second solution appears. Difficulty is the number of clues left (none can go in a minimal
puzzle: about 24 of 81 cells for 3x3 boxes); `Verdict.rating` of the solver measures it after
the fact. Deliberately without a search for rare puzzles (17 clues).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trm_jax.data.grids import bits_of
from trm_jax.data.sudoku.solver import (
    Box,
    Geometry,
    Search,
    digits_of,
    geometry,
    propagate,
    solutions,
    solve,
)

ATTEMPTS = 200  # grids tried before a number of clues counts as out of reach


@dataclass(frozen=True, kw_only=True)
class SudokuSpec:
    """What to generate.

    Attributes:
      box: rows and columns of a box.
      num_clues: a number of clues, a range with both ends included (a number is drawn for each
        puzzle), or None for minimal puzzles, from which no clue can go.
      min_rating: least number of guesses a puzzle must need.

    Raises:
      ValueError: the range is empty or leaves the grid.
    """

    box: Box = (3, 3)
    num_clues: int | tuple[int, int] | None = None
    min_rating: int = 0

    def __post_init__(self) -> None:
        plane = geometry(self.box).side ** 2
        if self.num_clues is None:
            return
        low, high = self.clue_range
        if not 1 <= low <= high <= plane:
            raise ValueError(
                f"num_clues must lie in 1 to {plane}, low before high, got {low, high}"
            )

    @property
    def clue_range(self) -> tuple[int, int]:
        """Fewest and most clues; (0, all cells) for minimal puzzles."""
        if self.num_clues is None:
            return 0, geometry(self.box).side ** 2
        if isinstance(self.num_clues, int):
            return self.num_clues, self.num_clues
        return self.num_clues


def random_solution(grid: Geometry, rng: np.random.Generator) -> int:
    """Fill a grid at random: a random digit in a random cell, then singles, with back-tracking."""

    def fill(state: int, done: int) -> int | None:
        settled = propagate(grid, state, done)
        if settled is None or settled[0] == settled[1]:
            return settled and settled[0]
        state, done = settled
        open_cells = [c for c in grid.cells if not done & c]
        counts = [(state & c).bit_count() for c in open_cells]
        fewest = [c for c, n in zip(open_cells, counts, strict=True) if n == min(counts)]
        cell = fewest[rng.integers(len(fewest))]
        options = list(bits_of(state & cell))
        for k in rng.permutation(len(options)):
            solved = fill(state & ~cell | options[k], done)
            if solved is not None:
                return solved
        return None

    solved = fill(grid.full, 0)
    assert solved is not None  # an empty grid has a solution
    return solved


def remove_clues(grid: Geometry, solution: int, target: int, rng: np.random.Generator) -> list[int]:
    """Blank cells in random order, keeping the solution unique, until `target` clues are left.

    A clue can go when no solution has another digit in its cell: with the clues unique before,
    any second solution must differ there.

    Returns:
      Digits with 0 for blank; more clues than `target` when none of the rest could go.
    """
    state, digits = solution, digits_of(grid, solution)
    left = len(digits)
    for i in rng.permutation(len(digits)):
        if left <= target:
            break
        cell = grid.cells[i]
        looser = state | cell
        other = looser & ~(solution & cell)
        if next(solutions(grid, other, Search()), None) is None:
            state, digits[i] = looser, 0
            left -= 1
    return digits


def generate_one(spec: SudokuSpec, rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """Draw one puzzle and its solution.

    Raises:
      ValueError: no grid led to the clues and rating asked for.
    """
    grid = geometry(spec.box)
    low, high = spec.clue_range
    for _ in range(ATTEMPTS):
        solution = random_solution(grid, rng)
        target = low if spec.num_clues is None else int(rng.integers(low, high + 1))
        puzzle = remove_clues(grid, solution, target, rng)
        if len(puzzle) - puzzle.count(0) > high:
            continue
        if spec.min_rating and solve(puzzle, spec.box).rating < spec.min_rating:
            continue
        return puzzle, digits_of(grid, solution)
    raise ValueError(
        f"no puzzle with box={spec.box} num_clues={spec.num_clues} min_rating={spec.min_rating} in"
        f" {ATTEMPTS} grids; ask for more clues or a lower rating"
    )


def generate_sudoku(
    num: int,
    *,
    box: Box = (3, 3),
    num_clues: int | tuple[int, int] | None = None,
    min_rating: int = 0,
    seed: int = 0,
    start: int = 0,
    progress: Callable[[int], object] = lambda done: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Generate puzzles with exactly one solution.

    Puzzle k depends on (seed, k) alone, so that ranges made by several processes
    (`start`) join to the same set.

    Args:
      num: number of puzzles.
      box: rows and columns of a box.
      num_clues: clues per puzzle, a closed range of them, or None for minimal puzzles.
      min_rating: least number of guesses of the solver.
      seed: of the whole set.
      start: index of the first puzzle in the set.
      progress: called with the number of puzzles made so far.

    Returns:
      Puzzles and solutions, one row of digits 1 to side per grid, 0 for blank, int8.

    Raises:
      ValueError: see `SudokuSpec` and `generate_one`.
    """
    spec = SudokuSpec(box=box, num_clues=num_clues, min_rating=min_rating)
    cells = geometry(box).side ** 2
    puzzles = np.empty((num, cells), np.int8)
    answers = np.empty((num, cells), np.int8)
    for k in range(num):
        rng = np.random.default_rng([seed, start + k])
        puzzles[k], answers[k] = generate_one(spec, rng)
        progress(k + 1)
    return puzzles, answers
