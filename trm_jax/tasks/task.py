"""A task as a record: what the programs need to know of a kind of puzzle.

Everything that differs between tasks is a field here: alphabet, scores, symmetries, generator,
text form, rules. Puzzles are square, `side` is the number of cells in a row, and tokens are
laid out row by row.

Not here: the tasks themselves (sudoku.py, maze.py, arc.py) and their table (table.py).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from trm_jax.data.format import PuzzleDataset

if TYPE_CHECKING:
    from trm_jax.evaluators import Lenient
    from trm_jax.training.augment import Augment
else:  # both need JAX, which is not imported here
    Lenient = Augment = Callable

TokenPairs = tuple[np.ndarray, np.ndarray]
"""Inputs and labels, each (puzzles, cells)."""


class NamedAugmentation(NamedTuple):
    """The symmetries that training draws from.

    Attributes:
      name: as `experiments.train --augmentation` and spec.json write it.
      make: makes the function that changes a batch (trm_jax/training/augment.py).
    """

    name: str
    make: Callable[[], Augment]


class PuzzleGenerator(NamedTuple):
    """How puzzles of one side are generated and told apart.

    Attributes:
      generate: (num, seed=, start=, progress=, **options) -> inputs and labels as tokens; the
        options are those of generator.json.
      new_classes: (candidates, known) -> marks of the candidates, as tokens, that are no image
        of a known puzzle or of an earlier candidate.
    """

    generate: Callable[..., TokenPairs]
    new_classes: Callable[[np.ndarray, np.ndarray], np.ndarray]


class TextForm(NamedTuple):
    """Puzzles as people write and read them, and their rules.

    Attributes:
      read: (text, side) -> tokens (cells,); ValueError: another size or symbol.
      show: tokens of a puzzle or an answer -> lines of text.
      is_right: (puzzle, answer) -> whether the answer obeys the rules; no solution is needed.
    """

    read: Callable[[str, int], np.ndarray]
    show: Callable[[np.ndarray], str]
    is_right: Callable[[np.ndarray, np.ndarray], bool]


@dataclass(frozen=True, kw_only=True, repr=False)
class Task:
    """A kind of puzzle.

    Attributes:
      name: on the command line and in files.
      vocab_size: side -> tokens of the alphabet, pad included.
      lenient: side -> second score beside exact match; None where only one answer is right.
      augmentation: side -> symmetries for training; None where the data set holds its images.
      generator: side -> generator of fresh puzzles; None: the task has none.
        ValueError: a side that it does not know.
      text: None: the puzzles have no text form.
      data_command: module that makes data sets, for `python -m`.
    """

    name: str
    vocab_size: Callable[[int], int]
    lenient: Callable[[int], Lenient] | None
    augmentation: Callable[[int], NamedAugmentation | None]
    generator: Callable[[int], PuzzleGenerator] | None
    text: TextForm | None
    data_command: str

    def __repr__(self) -> str:
        return f"Task({self.name!r})"

    @property
    def has_second_score(self) -> bool:
        """Return whether an answer other than the label can be right."""
        return self.lenient is not None

    def second_score(self, side: int) -> Lenient:
        """Make the second score; where only one answer is right it repeats exact match."""
        if self.lenient is not None:
            return self.lenient(side)
        from trm_jax.evaluators import strict

        return strict

    def check_side(self, dataset: PuzzleDataset, where: str) -> int:
        """Check that puzzles are of the task and count the cells of a row.

        Args:
          where: the data set's place, for the message.

        Raises:
          ValueError: the puzzles are not square, or of another alphabet.
        """
        side = side_of(dataset.metadata.seq_len, where)
        expected, stored = self.vocab_size(side), dataset.metadata.vocab_size
        if stored != expected:
            raise ValueError(
                f"{where} is no {self.name} data: {side}x{side} {self.name} has {expected}"
                f" tokens, got vocab_size={stored}"
            )
        return side

    def need_text(self) -> TextForm:
        """Return the text form.

        Raises:
          ValueError: the task has none.
        """
        if self.text is None:
            raise ValueError(f"puzzles of task {self.name!r} have no text form")
        return self.text


def side_of(cells: int, where: str) -> int:
    """Count the cells in a row of a square puzzle.

    Raises:
      ValueError: the puzzle is not square.
    """
    side = math.isqrt(cells)
    if side * side != cells:
        raise ValueError(f"{where}: puzzles must be square, got {cells} cells")
    return side


def read_cells(cells: str, side: int, alphabet: dict[str, int], task: str) -> np.ndarray:
    """Turn symbols into tokens.

    Args:
      cells: one symbol a cell, row by row.
      alphabet: symbol -> token.
      task: its name, for the message.

    Raises:
      ValueError: another number of cells, or a symbol that is not of the alphabet.
    """
    if len(cells) != side * side:
        raise ValueError(
            f"the model reads {side}x{side} = {side * side} cells, the puzzle has {len(cells)}"
        )
    if unknown := sorted(set(cells) - set(alphabet)):
        raise ValueError(f"symbols {unknown} are no {task}'s; known: {' '.join(alphabet)}")
    return np.asarray([alphabet[symbol] for symbol in cells], np.int32)


def tuple_options(options: dict[str, Any], *names: str) -> dict[str, Any]:
    """Turn lists that generator.json holds back into the tuples that a generator takes."""
    pairs = {name: tuple(options[name]) for name in names if isinstance(options[name], list)}
    return options | pairs
