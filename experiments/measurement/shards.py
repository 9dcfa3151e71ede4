"""A shard of puzzles: the unit of work, and the sums a row keeps of it."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import jax
import numpy as np

from trm_jax.data.batches import PuzzleBatch, gather
from trm_jax.loading import Puzzles, to_batch
from trm_jax.sharding import shard_batch
from trm_jax.types import IGNORE_LABEL, Batch


class Moments(NamedTuple):
    """Sum and sum of squares over the puzzles of a shard."""

    total: float
    squares: float


@dataclass(frozen=True, kw_only=True)
class DepthSums:
    """What a scheme did on the puzzles [start, stop); lists run over depths.

    Attributes:
      digest: of what decides the numbers.
      scored_cells, correct_cells: counts over the shard.
      exact, lenient: one bit per puzzle, hex, first puzzle in the highest bit.
      cell_error: share of wrong cells of a puzzle.
      infidelity: 1 - cosine to full precision at the same depth.
      similarity, residual: cosine to and relative change since one H-cycle before.
      call_similarity: cosine of successive network outputs in the first supervision step.
    """

    digest: str
    scheme: str
    start: int
    stop: int
    scored_cells: int
    correct_cells: tuple[int, ...]
    exact: tuple[str, ...]
    lenient: tuple[str, ...]
    cell_error: tuple[Moments, ...]
    infidelity: tuple[Moments, ...]
    similarity: tuple[Moments, ...]
    residual: tuple[Moments, ...]
    call_similarity: Moments


def to_hex(flags: np.ndarray) -> tuple[str, ...]:
    """Pack every row of flags into a hex string, the first flag in the highest bit."""
    return tuple(np.packbits(row).tobytes().hex() for row in flags)


def from_hex(text: str, count: int) -> np.ndarray:
    """Unpack `count` flags (the inverse of `to_hex` for one row)."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8), count=count).astype(bool)


class ShardRow(Protocol):
    """A row on the puzzles [start, stop)."""

    @property
    def start(self) -> int: ...

    @property
    def stop(self) -> int: ...


def flags_of(rows: Iterable[ShardRow], name: str) -> np.ndarray:
    """Join the flags that rows hold under a name, one after the other."""
    return np.concatenate([from_hex(getattr(row, name), row.stop - row.start) for row in rows])


def matmul_precision(dtype: str) -> contextlib.AbstractContextManager:
    """Make float32 mean float32 where a device would multiply in fewer bits (TF32, bfloat16)."""
    exact = dtype == "float32" and jax.default_backend() != "cpu"
    return jax.default_matmul_precision("highest") if exact else contextlib.nullcontext()


def load_shard(puzzles: Puzzles, start: int, stop: int, size: int) -> tuple[PuzzleBatch, Batch]:
    """Load the puzzles of a shard, padded to one size for all shards, on host and devices."""
    return load_rows(puzzles, puzzles.order[start:stop], size)


def load_rows(puzzles: Puzzles, rows: np.ndarray, size: int) -> tuple[PuzzleBatch, Batch]:
    """Load the puzzles of rows of the data set likewise."""
    devices = len(jax.local_devices())
    host = gather(puzzles.dataset, rows, -(-size // devices) * devices)
    return host, shard_batch(to_batch(host))


def moments(values: np.ndarray) -> tuple[Moments, ...]:
    """Sum values and their squares along the last axis."""
    x = values.astype(np.float64)
    return tuple(Moments(float(v.sum()), float(np.square(v).sum())) for v in x)


def mark_exact(tokens: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mark the puzzles without a wrong cell, as `trm_jax.metrics.puzzle_exact` on the host."""
    return ((tokens == labels) | (labels == IGNORE_LABEL)).all(axis=1)
