"""What a family of reasoners does with a shard of puzzles under a scheme.

A solver runs a shard once and reads an `Answered` off for every way in which an answer can end
(`ends`: a decoder ends by itself, recursion at its full depth or by the puzzle's rules).

Not here: the two families (token_solver.py, recursion_solver.py), rows (runner.py).
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from trm_jax.data.batches import PuzzleBatch


class Answered(NamedTuple):
    """What a solver made of a shard; arrays by puzzle.

    Attributes:
      cells: the answers, in the alphabet of the data.
      depth: tokens written or H-cycles run; read: tokens of the prompt.
      ended: the stop token came, or the rules were obeyed.
      cosine: to full precision; same: as full precision's text or answer.
      gflops, bytes_read, state_bytes: costs on a device that answers one puzzle at a time.
    """

    cells: np.ndarray
    depth: np.ndarray
    read: np.ndarray
    ended: np.ndarray
    cosine: np.ndarray
    same: np.ndarray
    gflops: np.ndarray
    bytes_read: np.ndarray
    state_bytes: np.ndarray


Ran = TypeVar("Ran")
"""What a family keeps of a shard that it ran."""


class Solver(Protocol[Ran]):
    """A model under a scheme."""

    @property
    def ends(self) -> tuple[str, ...]:
        """Names of its contestants: one for each way to end."""
        ...

    def run(self, host: PuzzleBatch) -> Ran:
        """Answer a shard."""
        ...

    def read(self, host: PuzzleBatch, ran: Ran, reference: Ran) -> Mapping[str, Answered]:
        """Read answers and costs off, compared with what full precision did."""
        ...
