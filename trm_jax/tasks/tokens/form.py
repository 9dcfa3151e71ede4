"""A task's puzzles as sequences: vocabulary, prompts, traces, and the answer that a trace gives.

    prompt   what is known of the puzzle, then SEPARATOR
    trace    what leads to the answer, in one of three orders, then STOP
    answer   cells in the alphabet of the recursive models (trm_jax/data)

All arrays are padded with PAD on the right. The tasks' own forms are sudoku.py and maze.py.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Integer

from trm_jax.decoder.config import TraceOrder

PAD, SEPARATOR, STOP = range(3)
SPECIAL = ("pad", "separator", "stop")
"""Names of the tokens that every vocabulary begins with."""

Cells = Integer[np.ndarray, "puzzles cells"]
TokenGrid = Integer[np.ndarray, "puzzles positions"]


class TokenRows(NamedTuple):
    """Sequences of different lengths.

    Attributes:
      tokens: padded with PAD on the right.
      lengths: tokens of each sequence.
    """

    tokens: Int[np.ndarray, "puzzles positions"]
    lengths: Int[np.ndarray, " puzzles"]

    def widened(self, width: int) -> "TokenRows":
        """Pad to a width; rows that are wider stay."""
        room = max(0, width - self.tokens.shape[1])
        return self._replace(tokens=np.pad(self.tokens, ((0, 0), (0, room)), constant_values=PAD))


@dataclass(frozen=True, kw_only=True, repr=False)
class TokenForm:
    """How puzzles of one shape are written as tokens.

    Attributes:
      vocabulary: the name of every token, the special ones first.
      prompts: inputs -> prompts, each ending with SEPARATOR.
      traces: (inputs, labels, order) -> traces, each ending with STOP. ValueError: the labels are
        no answers.
      answers: (inputs, generated) -> cells; what stands after the first STOP does not count, and
        cells that no token speaks of stay as they are.
      excursions: traces of scans -> of every token the size of the excursion that it belongs to, in
        steps that lead nowhere; 0 for tokens that the answer hangs on. Without its excursions, all
        or some, a trace leads to the same answer.
    """

    vocabulary: tuple[str, ...]
    prompts: Callable[[Cells], TokenRows]
    traces: Callable[[Cells, Cells, TraceOrder], TokenRows]
    answers: Callable[[Cells, TokenGrid], Cells]
    excursions: Callable[[TokenGrid], TokenGrid]

    def show(self, tokens: np.ndarray) -> str:
        """Write a sequence by the names of its tokens, up to its padding."""
        return " ".join(self.vocabulary[int(token)] for token in tokens if token != PAD)


class RowWriter:
    """Appends tokens to many sequences of different lengths."""

    def __init__(self, puzzles: int, capacity: int = 64) -> None:
        self._tokens = np.full((puzzles, capacity), PAD, np.int32)
        self.lengths = np.zeros(puzzles, np.int32)

    def write(self, rows: np.ndarray, tokens: np.ndarray | int) -> None:
        """Append one token to each of some rows.

        Args:
          rows: numbers of the rows, each at most once.
          tokens: one for all, or one for each.
        """
        if not rows.size:
            return
        at = self.lengths[rows]
        if (capacity := self._tokens.shape[1]) <= at.max():
            self._tokens = np.pad(self._tokens, ((0, 0), (0, capacity)), constant_values=PAD)
        self._tokens[rows, at] = tokens
        self.lengths[rows] += 1

    def finish(self) -> TokenRows:
        """Return the sequences, cut to the longest."""
        return TokenRows(self._tokens[:, : max(1, self.lengths.max(initial=0))], self.lengths)


def join(prompts: TokenRows, traces: TokenRows) -> TokenRows:
    """Write each trace behind its prompt."""
    lengths = prompts.lengths + traces.lengths
    tokens = np.full((len(lengths), max(1, lengths.max(initial=0))), PAD, np.int32)
    for part, begin in ((prompts, np.zeros_like(prompts.lengths)), (traces, prompts.lengths)):
        row, column = np.nonzero(np.arange(part.tokens.shape[1]) < part.lengths[:, None])
        tokens[row, begin[row] + column] = part.tokens[row, column]
    return TokenRows(tokens, lengths)


def before_stop(generated: TokenGrid) -> Bool[np.ndarray, "puzzles positions"]:
    """Mark the tokens before the first STOP."""
    return np.cumsum(generated == STOP, axis=1) == 0


def write_rest(writer: RowWriter, tokens: np.ndarray, marks: np.ndarray) -> None:
    """Append the marked tokens of each row, from left to right.

    Args:
      tokens: (puzzles, positions), or (positions,) for all rows the same.
      marks: (puzzles, positions).
    """
    tokens = np.broadcast_to(tokens, marks.shape)
    for column in range(marks.shape[1]):
        rows = np.flatnonzero(marks[:, column])
        writer.write(rows, tokens[rows, column])
