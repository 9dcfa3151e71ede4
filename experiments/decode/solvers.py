"""What a solver makes of a shard of puzzles, whatever its family.

A solver is a model under a scheme. It runs a shard once (`run`), says what other schemes are
compared with where it is full precision (`reference`), and reads an `Answered` off for every way
in which an answer can end (`read`, by the names in `ends`: a decoder ends by itself, recursion at
its full depth or by the puzzle's rules).

Not here: the two families (token_solver.py, recursion_solver.py), rows (runner.py).
"""

from typing import NamedTuple

import numpy as np


class Answered(NamedTuple):
    """What a solver made of a shard; arrays by puzzle.

    Attributes:
      cells: the answers, in the alphabet of the data.
      depth: tokens written or H-cycles run; read: tokens of the prompt.
      ended: the stop token came, or the rules were obeyed.
      cosine: to full precision; same: as full precision's text or answer.
      free_cosine: the same where each goes on from its own tokens; None: `cosine` is that already.
      gflops, bytes_read, state_bytes: costs on a device that answers one puzzle at a time.
    """

    cells: np.ndarray
    depth: np.ndarray
    read: np.ndarray
    ended: np.ndarray
    cosine: np.ndarray
    free_cosine: np.ndarray | None
    same: np.ndarray
    gflops: np.ndarray
    bytes_read: np.ndarray
    state_bytes: np.ndarray
