"""From a command line to a checked viewing: a model, schemes, and which puzzles to show."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.measurement.choices import check_calibration, choose_batch_size, parse_schemes
from experiments.watch.recording import WatchedPuzzle
from quant.scheme import parse
from trm_jax.convert.hints import Hints
from trm_jax.data.batches import PuzzleBatch, gather
from trm_jax.data.calibration import read_calibration
from trm_jax.data.maze.solver import solve_maze
from trm_jax.data.sudoku import tokens
from trm_jax.data.sudoku.solver import SearchTooLong, solve
from trm_jax.loading import LoadedModel, Puzzles, load_model, load_puzzles
from trm_jax.tasks.calibration import CalibrationPuzzles, choose_calibration
from trm_jax.tasks.sudoku import MAX_GUESSES, box_of
from trm_jax.tasks.table import task_named
from trm_jax.types import IGNORE_LABEL

MOST_SCHEMES = 8  # that a page has colours for
MOST_DIGITS = 9  # of a puzzle's number: a puzzle as text is longer


@dataclass(frozen=True, kw_only=True, eq=False)
class WatchJob:
    """What to watch, checked.

    Attributes:
      schemes: long names, full precision first.
      chosen: the puzzle to show; None: those that schemes break.
      limit, count: of --broken: puzzles to look among, and to show for each scheme.
    """

    model: LoadedModel
    puzzles: Puzzles
    aside: CalibrationPuzzles
    schemes: tuple[str, ...]
    steps: int
    batch_size: int
    chosen: WatchedPuzzle | None
    limit: int
    count: int
    out: Path


def prepare(args: argparse.Namespace) -> WatchJob:
    """Load and check everything that a command line names.

    Raises:
      ValueError: unknown names, a puzzle that the model does not read, or parts that do not fit.
      OSError: missing files.
    """
    options = read_calibration(args)
    schemes = parse_schemes(args.schemes)
    if len(schemes) > MOST_SCHEMES:
        raise ValueError(f"a page shows {MOST_SCHEMES} schemes at most, got {len(schemes)}")
    if args.broken and len(schemes) < 2:
        raise ValueError(f"--broken needs a scheme beside full precision, got {args.schemes}")
    task = task_named(args.task)
    model = load_model(args.model, Hints(), task=task)
    puzzles = load_puzzles(model, args.data)
    steps = args.steps or model.config.halt_max_steps
    chosen = (
        None if args.broken else choose_puzzle("0" if args.puzzle is None else args.puzzle, puzzles)
    )
    limit = min(args.limit, len(puzzles))
    aside = choose_calibration(model, puzzles, options)
    number = limit if chosen is None else 1
    check_calibration([parse(name) for name in schemes], number, aside)
    return WatchJob(
        model=model,
        puzzles=puzzles,
        aside=aside,
        schemes=schemes,
        steps=steps,
        batch_size=min(choose_batch_size(None, model.config, steps).number, number),
        chosen=chosen,
        limit=limit,
        count=args.count,
        out=args.out or Path("runs") / f"watch-{task.name}-{model.name}",
    )


def choose_puzzle(text: str, puzzles: Puzzles) -> WatchedPuzzle:
    """Find the puzzle of --puzzle: a number, or a puzzle as text.

    Raises:
      ValueError: no such number, or no puzzle of the model's.
    """
    if not (text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS):
        return read_given(text, puzzles)
    number = int(text)
    if number >= len(puzzles):
        raise ValueError(f"--puzzle must be 0 to {len(puzzles) - 1}, got {number}")
    return pick_puzzle(puzzles, number)


def pick_puzzle(puzzles: Puzzles, number: int) -> WatchedPuzzle:
    """Take a puzzle out of the data, by its place in the order of measurement."""
    host = gather(puzzles.dataset, puzzles.order[number : number + 1], 1)
    name = f"puzzle {number} of {puzzles.name}"
    return WatchedPuzzle(name, host.inputs[0], host.labels[0], int(host.puzzle_identifiers[0]))


def read_given(text: str, puzzles: Puzzles) -> WatchedPuzzle:
    """Read a puzzle that was written on the command line, and solve it for its label.

    Raises:
      ValueError: the task has no text form, another size or symbol, or no answer exists.
    """
    form, facts = puzzles.task.need_text(), puzzles.facts
    puzzle = form.read(text, facts)
    fault = form.fault(puzzle, facts)
    if fault is not None and fault.startswith("no answer"):
        raise ValueError(f"--puzzle: {fault}")
    label = np.full(puzzle.shape, IGNORE_LABEL, np.int32)
    if facts.task == "maze":
        label = solve_maze(puzzle.reshape(facts.grid)).ravel()
    elif fault is None:
        label = _solved_sudoku(puzzle, puzzles)
    blank = puzzles.dataset.metadata.blank_identifier_id
    return WatchedPuzzle("the given puzzle", puzzle, np.asarray(label, np.int32), blank)


def _solved_sudoku(puzzle: np.ndarray, puzzles: Puzzles) -> np.ndarray:
    digits, box = tokens.decode(puzzle), box_of(puzzles.facts)
    try:
        found = solve(digits.tolist(), box, max_guesses=MAX_GUESSES)
    except SearchTooLong:
        return np.full(puzzle.shape, IGNORE_LABEL, np.int32)
    return tokens.encode(np.asarray(found.solution))


def batch_of(watched: WatchedPuzzle) -> PuzzleBatch:
    """Make a batch of one puzzle."""
    identifier = np.asarray([watched.identifier], np.int32)
    return PuzzleBatch(watched.puzzle[None], watched.label[None], identifier, 1)
