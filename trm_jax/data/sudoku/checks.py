"""Checks of Sudoku that people bring: one solution each, and none trained on that is tested.

Both cost more than reading a file. Uniqueness is proven by the solver, in several processes.
Whether two sets share a puzzle in disguise is decided by hashes that no symmetry changes, and
exactly, by canonical forms, where two hashes agree (symmetry.py).
"""

import functools
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import Integer, UInt64

from trm_jax.data.csv_puzzles import BadRows, CsvExamples
from trm_jax.data.sudoku.solver import Box, SearchTooLong, solve
from trm_jax.data.sudoku.symmetry import MAX_MOVES, canonical_form, invariants, num_moves
from trm_jax.data.sudoku.tokens import decode

CHUNK = 20_000  # puzzles hashed together: 13 MB an array for 9x9
SOLVED_TOGETHER = 500  # puzzles that a process solves before it reports
MAX_GUESSES = 200_000  # of one puzzle; the hardest published 9x9 need about 1,000

Progress = Callable[[int], object]


def check_unique(
    path: Path,
    examples: CsvExamples,
    box: Box,
    *,
    workers: int = 1,
    progress: Progress = lambda done: None,
) -> None:
    """Prove that every puzzle has exactly one solution.

    Args:
      path: where they are from, for the message.
      workers: processes.
      progress: called with the number of puzzles solved so far.

    Raises:
      BadRows: names the lines of the others.
    """
    problems: list[tuple[int, str]] = []
    for first, faults in _solve_all(decode(examples.inputs), box, workers):
        problems += [(int(examples.lines[first + i]), what) for i, what in faults.items()]
        progress(min(first + SOLVED_TOGETHER, len(examples.inputs)))
    if problems:
        raise BadRows(path, sorted(problems))


def _solve_all(puzzles: np.ndarray, box: Box, workers: int) -> Iterator[tuple[int, dict[int, str]]]:
    """Yield the first row and the faults of each part."""
    firsts = range(0, len(puzzles), SOLVED_TOGETHER)
    parts = (puzzles[first : first + SOLVED_TOGETHER] for first in firsts)
    work = functools.partial(find_faults, box=box)
    if workers == 1 or len(firsts) < 2:
        yield from zip(firsts, map(work, parts), strict=True)
        return
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads can deadlock
    with ProcessPoolExecutor(min(workers, len(firsts)), mp_context=context) as pool:
        yield from zip(firsts, pool.map(work, parts), strict=True)


def find_faults(puzzles: Integer[np.ndarray, "_ cells"], box: Box) -> dict[int, str]:
    """Solve puzzles; gives row and fault of those without exactly one solution."""
    faults = {}
    for i, puzzle in enumerate(puzzles.tolist()):
        try:
            num = solve(puzzle, box, max_guesses=MAX_GUESSES).num_solutions
        except SearchTooLong as error:
            faults[i] = f"{error}; --no-check takes it as it is"
            continue
        if num != 1:
            faults[i] = f"question has {'no' if num == 0 else 'several'} solutions"
    return faults


def class_numbers(
    puzzles: Integer[np.ndarray, "_ cells"],
    box: Box,
    *,
    progress: Progress = lambda done: None,
) -> UInt64[np.ndarray, " _"]:
    """Hash puzzles, chunk by chunk, to numbers that symmetric ones share.

    Args:
      puzzles: digits, 0 for blank.
      progress: called with the number of puzzles hashed so far.
    """
    numbers = np.empty(len(puzzles), np.uint64)
    for begin in range(0, len(puzzles), CHUNK):
        part = puzzles[begin : begin + CHUNK]
        numbers[begin : begin + len(part)] = invariants(part, box)
        progress(begin + len(part))
    return numbers


def find_overlap(train: CsvExamples, test: CsvExamples, box: Box) -> tuple[int, int] | None:
    """Find a test puzzle that is a training puzzle, as it is or in disguise.

    Returns:
      Its row and the number of test puzzles of which the same is to be supposed; None: no such.
    """
    numbers = [class_numbers(decode(part.inputs), box) for part in (train, test)]
    suspects = np.flatnonzero(np.isin(numbers[1], numbers[0]))
    for row in suspects.tolist():
        others = np.flatnonzero(numbers[0] == numbers[1][row])
        if any(_is_same(train, int(other), test, row, box) for other in others):
            return row, len(suspects)
    return None


def _is_same(train: CsvExamples, other: int, test: CsvExamples, row: int, box: Box) -> bool:
    """Compare two puzzles exactly, where their box shape allows it."""
    if (train.inputs[other] == test.inputs[row]).all() or num_moves(box) > MAX_MOVES:
        return True
    forms = [
        canonical_form(decode(part.inputs[i]), box, solution=decode(part.labels[i]))
        for part, i in ((train, other), (test, row))
    ]
    return bool((forms[0] == forms[1]).all())
