"""Sudoku as a task: one right answer, rows, columns and boxes that hold every digit.

As text: row by row; blanks are . or 0, digits 1..9, then A, B, ...; spaces do not count.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from trm_jax.data.facts import PuzzleFacts, parse_by
from trm_jax.data.sudoku import tokens
from trm_jax.data.sudoku.generator import generate_sudoku
from trm_jax.data.sudoku.solver import Box, SearchTooLong, solve
from trm_jax.data.sudoku.symmetry import invariants, new_classes
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
from trm_jax.tasks.tokens.form import TokenForm
from trm_jax.tasks.tokens.sudoku import make_sudoku_tokens

if TYPE_CHECKING:
    from trm_jax.training.augment import Augment
else:  # needs JAX, which is not imported here
    Augment = Any

MAX_GUESSES = 20_000  # a few seconds; published 9x9 puzzles need fewer than 1,000
AUGMENTATION = "sudoku-"
TOKENS = "Sudoku: an empty cell is 1, a digit d is d + 1 (5 is 6, 9 is a); 0 is padding."
"""Start of the symmetries' name; the box follows: sudoku-2x3."""


def named_box(augmentation: str) -> Box | None:
    """Read the box from the name of the symmetries; None where the name is of others.

    Raises:
      ValueError: a name that begins as theirs and ends in no box.
    """
    if not augmentation.startswith(AUGMENTATION):
        return None
    return parse_by(augmentation.removeprefix(AUGMENTATION), "the box of an augmentation")


def box_of(facts: PuzzleFacts) -> Box:
    """Return the rows and columns of a box, which the facts of a Sudoku always have."""
    assert facts.box is not None, facts
    return facts.box


def vocab_size(facts: PuzzleFacts) -> int:
    """Count the tokens: pad, blank and the digits."""
    return facts.grid[0] + 2


def augmentation(facts: PuzzleFacts) -> NamedAugmentation:
    """Name the symmetries: digits, bands and rows, stacks and columns."""
    rows, columns = box_of(facts)
    return NamedAugmentation(f"{AUGMENTATION}{rows}x{columns}", partial(_symmetries, rows, columns))


def generator(facts: PuzzleFacts) -> PuzzleGenerator:
    """Make the generator; puzzles are new up to all symmetries of Sudoku."""
    box = box_of(facts)

    def new(candidates: np.ndarray, known: np.ndarray) -> np.ndarray:
        return new_classes(tokens.decode(candidates), tokens.decode(known), box)

    return PuzzleGenerator(_generate, new)


def token_form(facts: PuzzleFacts) -> TokenForm:
    """Make the form that decoders read and write."""
    return make_sudoku_tokens(box_of(facts))


def image_ids(puzzles: np.ndarray, facts: PuzzleFacts) -> np.ndarray:
    """Number puzzles so that symmetric ones agree; others agree almost never (symmetry.py)."""
    return invariants(tokens.decode(puzzles), box_of(facts))


def read_text(text: str, facts: PuzzleFacts) -> np.ndarray:
    """Read one puzzle.

    Raises:
      ValueError: another size, or a symbol that is not of the alphabet.
    """
    return read_cells("".join(text.split()), facts, tokens.symbols(box_of(facts)))


def show_text(puzzle: np.ndarray, facts: PuzzleFacts) -> str:
    """Draw a puzzle or answer with its boxes."""
    side, (height, width) = facts.grid[0], box_of(facts)
    symbols = "?." + DIGITS
    bar = "+".join(["-" * (2 * width + 1)] * (side // width)).join("++")
    lines = []
    for i, row in enumerate(puzzle.reshape(side, side)):
        if i % height == 0:
            lines.append(bar)
        boxes = (row[j : j + width] for j in range(0, side, width))
        lines.append("| " + " | ".join(" ".join(symbols[t] for t in box) for box in boxes) + " |")
    return "\n".join([*lines, bar])


def fault(puzzle: np.ndarray, facts: PuzzleFacts) -> str | None:
    """Say why a puzzle has not exactly one answer: none, or several."""
    digits, box = tokens.decode(puzzle), box_of(facts)
    if twice := tokens.find_conflict(digits, box):
        return f"no answer exists: {twice}"
    try:
        num = solve(digits.tolist(), box, max_guesses=MAX_GUESSES).num_solutions
    except SearchTooLong:  # not decided: large grids with few digits
        return None
    if num == 0:
        return "no answer exists: the given digits leave none"
    return None if num == 1 else "several answers exist: too few digits are given"


def is_right(puzzle: np.ndarray, answer: np.ndarray, facts: PuzzleFacts) -> bool:
    """Check that an answer keeps the given digits and fills every unit."""
    given = puzzle > 1
    keeps = bool((answer[given] == puzzle[given]).all()) and bool((answer > 1).all())
    digits = answer[None].astype(np.int8) - 1
    return keeps and bool(valid_grids(digits, box_of(facts))[0])


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
    image_ids=image_ids,
    text=TextForm(read_text, show_text, fault, is_right, TOKENS),
    tokens=token_form,
    data_command="trm_jax.data.sudoku",
)
