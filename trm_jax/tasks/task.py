"""A task as a record: what the programs need to know of a kind of puzzle.

Everything that differs between tasks is a field here: alphabet, scores, symmetries, generator,
text form, rules. What of it hangs on the shape of puzzles takes their facts
(trm_jax/data/facts.py); tokens are laid out row by row.

Not here: the tasks themselves (sudoku.py, maze.py, arc.py) and their table (table.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from trm_jax.data.facts import PuzzleFacts, by
from trm_jax.halting import BY_RULES, NEVER, Halting
from trm_jax.halting.rules import Rules
from trm_jax.tasks.tokens.form import TokenForm

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
    """How puzzles of one shape are generated and told apart.

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
      read: (text, facts) -> tokens (cells,); ValueError: another size or symbol.
      show: (tokens of a puzzle or an answer, facts) -> lines of text.
      fault: (puzzle, facts) -> why no answer exists, or several do where one may; None: neither.
      is_right: (puzzle, answer, facts) -> whether the answer obeys the rules; no solution is
        needed.
      tokens: which numbers stand for what in a cell, for people who write them by hand.
    """

    read: Callable[[str, PuzzleFacts], np.ndarray]
    show: Callable[[np.ndarray, PuzzleFacts], str]
    fault: Callable[[np.ndarray, PuzzleFacts], str | None]
    is_right: Callable[[np.ndarray, np.ndarray, PuzzleFacts], bool]
    tokens: str


@dataclass(frozen=True, kw_only=True, repr=False)
class Task:
    """A kind of puzzle.

    Attributes:
      name: on the command line and in files.
      vocab_size: facts -> tokens of the alphabet, pad included.
      lenient: facts -> second score beside exact match; None where only one answer is right.
      augmentation: facts -> symmetries for training; None where the data set holds its images.
      generator: facts -> generator of fresh puzzles; None: the task has none.
      image_ids: (inputs, facts) -> a number or name for each puzzle that all its images under the
        task's symmetries share; where a task has no symmetries, equal inputs share it.
      text: None: the puzzles have no text form.
      tokens: facts -> how a decoder reads and writes puzzles of this shape; None: it cannot.
      data_command: module that makes data sets, for `python -m`.
    """

    name: str
    vocab_size: Callable[[PuzzleFacts], int]
    lenient: Callable[[PuzzleFacts], Lenient] | None
    augmentation: Callable[[PuzzleFacts], NamedAugmentation | None]
    generator: Callable[[PuzzleFacts], PuzzleGenerator] | None
    image_ids: Callable[[np.ndarray, PuzzleFacts], np.ndarray]
    text: TextForm | None
    tokens: Callable[[PuzzleFacts], TokenForm] | None
    data_command: str

    def __repr__(self) -> str:
        return f"Task({self.name!r})"

    @property
    def has_second_score(self) -> bool:
        """Return whether an answer other than the label can be right."""
        return self.lenient is not None

    def second_score(self, facts: PuzzleFacts) -> Lenient:
        """Make the second score; where only one answer is right it repeats exact match."""
        if self.lenient is not None:
            return self.lenient(facts)
        from trm_jax.evaluators import strict

        return strict

    @property
    def default_halting(self) -> Halting:
        """Return how a solver halts unless told otherwise: by the rules, where there are some.

        Never by the model's own q head, which is only as good as its training (docs/halting.md).
        """
        return NEVER if self.text is None else BY_RULES

    def rules(self, facts: PuzzleFacts) -> Rules | None:
        """Make the check of an answer against its puzzle; None where a task has no rules."""
        text = self.text
        if text is None:
            return None
        return lambda puzzle, answer: text.is_right(puzzle, answer, facts)

    def check_alphabet(self, facts: PuzzleFacts, vocab_size: int, where: str) -> None:
        """Check that puzzles have the tokens of the task.

        Args:
          where: the data set's place, for the message.

        Raises:
          ValueError: facts of another task, or another alphabet.
        """
        if facts.task != self.name:
            raise ValueError(f"{where} is {facts.task} data, not {self.name}")
        if vocab_size != (expected := self.vocab_size(facts)):
            raise ValueError(
                f"{where} is no {self.name} data: {by(facts.grid)} {self.name} has {expected}"
                f" tokens, got vocab_size={vocab_size}"
            )

    def token_form(self, facts: PuzzleFacts) -> TokenForm:
        """Make the token form of puzzles.

        Raises:
          ValueError: the task has none.
        """
        return self.need_tokens()(facts)

    def need_tokens(self) -> Callable[[PuzzleFacts], TokenForm]:
        """Return what makes the token form.

        Raises:
          ValueError: the task has none, so that no decoder can solve it.
        """
        if self.tokens is None:
            raise ValueError(
                f"puzzles of task {self.name!r} are not written as tokens; decoders solve sudoku"
                " and maze"
            )
        return self.tokens

    def need_text(self) -> TextForm:
        """Return the text form.

        Raises:
          ValueError: the task has none.
        """
        if self.text is None:
            raise ValueError(f"puzzles of task {self.name!r} have no text form")
        return self.text


def read_cells(cells: str, facts: PuzzleFacts, alphabet: dict[str, int]) -> np.ndarray:
    """Turn symbols into tokens.

    Args:
      cells: one symbol a cell, row by row.
      alphabet: symbol -> token.

    Raises:
      ValueError: another number of cells, or a symbol that is not of the alphabet.
    """
    if len(cells) != facts.cells:
        raise ValueError(
            f"the model reads {by(facts.grid)} = {facts.cells} cells, the puzzle has {len(cells)}"
        )
    if unknown := sorted(set(cells) - set(alphabet)):
        raise ValueError(f"symbols {unknown} are no {facts.task}'s; known: {' '.join(alphabet)}")
    return np.asarray([alphabet[symbol] for symbol in cells], np.int32)


def tuple_options(options: dict[str, Any], *names: str) -> dict[str, Any]:
    """Turn lists that generator.json holds back into the tuples that a generator takes."""
    pairs = {name: tuple(options[name]) for name in names if isinstance(options[name], list)}
    return options | pairs
