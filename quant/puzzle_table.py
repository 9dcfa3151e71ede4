"""Compression of the puzzle table: int8 rows, a low rank, or one row streamed (Sec. 4.1, Table 1).

A form of the table knows its bytes in flash, its bytes in memory while one puzzle is answered, and
the rows that the model then reads. Bytes depend on the shape alone, so the published tables
(50,911 x 512 and 876,406 x 512) are counted without being there.

    form       in flash                          in memory for one puzzle
    float32    4 bytes an element                all of it
    int8       1 byte an element, 4 a row        all of it
    rank r     r + width/ids of r floats a row   all of it
    one row    as float32                        4 bytes an element of one row

Any form may be streamed: int8 would need one row of integers and its scale in memory, a low rank
r coefficients and the r x width basis. The forms above are the paper's.

Not here: the format of the row file and reading one row of it (export/cortex_m/row_file.py).
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from quant.affine import Grid, calibrate, dequantise, quantise, scale_zero_point

Table = Float[np.ndarray, "ids id_emb"]
FLOAT_BYTES = 4
CHUNK = 4096  # rows worked on at a time: a table may be a mapped file larger than memory
INT8_ROWS = Grid(bits=8, channel_axes=(0,))  # symmetric, a scale per row


class TableBytes(NamedTuple):
    """Size of a table in flash, and of what must be in memory to answer one puzzle."""

    flash: int
    memory: int


class TableForm(Protocol):
    """A form that a table is stored in."""

    @property
    def name(self) -> str:
        """Name in result rows and printed tables."""
        ...

    def size(self, ids: int, width: int) -> TableBytes:
        """Count bytes; only the shape decides them."""
        ...

    def rows(self, table: Table) -> Table:
        """Return the float32 rows that the model reads."""
        ...


@dataclass(frozen=True)
class FloatRows:
    """The table as trained."""

    name = "float32 table"

    def size(self, ids: int, width: int) -> TableBytes:
        """Count bytes."""
        whole = FLOAT_BYTES * ids * width
        return TableBytes(whole, whole)

    def rows(self, table: Table) -> Table:
        """Return the rows unchanged."""
        return np.asarray(table, np.float32)


@dataclass(frozen=True)
class OneRow(FloatRows):
    """The table stays in flash; the row of the puzzle is read (2,048 bytes at width 512)."""

    name = "one row streamed"

    def size(self, ids: int, width: int) -> TableBytes:
        """Count bytes."""
        return TableBytes(FLOAT_BYTES * ids * width, FLOAT_BYTES * width)


@dataclass(frozen=True)
class Int8Rows:
    """Symmetric int8 with a float32 scale per row."""

    name = "int8 table"

    def size(self, ids: int, width: int) -> TableBytes:
        """Count bytes."""
        whole = ids * (width + FLOAT_BYTES)
        return TableBytes(whole, whole)

    def rows(self, table: Table) -> Table:
        """Round every row onto its grid and back."""
        parts = [np.asarray(_int8(table[i : i + CHUNK])) for i in range(0, len(table), CHUNK)]
        return np.concatenate(parts)


@dataclass(frozen=True)
class LowRank:
    """Two float32 factors: r coefficients a row, and a basis of r rows.

    Raises:
      ValueError: rank below 1.
    """

    rank: int

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"rank must be at least 1, got rank={self.rank}")

    @property
    def name(self) -> str:
        """Name in result rows and printed tables."""
        return f"SVD rank {self.rank}"

    def size(self, ids: int, width: int) -> TableBytes:
        """Count bytes."""
        whole = FLOAT_BYTES * self.rank * (ids + width)
        return TableBytes(whole, whole)

    def rows(self, table: Table) -> Table:
        """Project the rows onto the table's first `rank` right singular vectors.

        Raises:
          ValueError: the table has no such rank.
        """
        if self.rank > min(table.shape):
            raise ValueError(f"a table of {table.shape} has no rank {self.rank}")
        basis = right_singular(table)[:, : self.rank].astype(np.float32)
        parts = [
            (np.asarray(table[i : i + CHUNK], np.float32) @ basis) @ basis.T
            for i in range(0, len(table), CHUNK)
        ]
        return np.concatenate(parts)


def _int8(rows: np.ndarray) -> np.ndarray:
    x = jnp.asarray(rows, jnp.float32)
    affine = scale_zero_point(calibrate(x, INT8_ROWS), INT8_ROWS)
    return np.asarray(dequantise(quantise(x, affine, INT8_ROWS)))


def right_singular(table: Table) -> np.ndarray:
    """Compute the right singular vectors, the largest singular value first.

    They come from the width x width Gram matrix in float64, so the table is read once, in chunks.
    Singular values below 1e-8 of the largest are lost in its rounding; no useful rank is that high.
    """
    gram = np.zeros((table.shape[1],) * 2)
    for first in range(0, len(table), CHUNK):
        part = np.asarray(table[first : first + CHUNK], np.float64)
        gram += part.T @ part
    _, vectors = np.linalg.eigh(gram)  # ascending
    return vectors[:, ::-1]


def row_cosine(table: Table, compressed: Table) -> Float[np.ndarray, " rows"]:
    """Compare rows by their cosine, in float64, without the rows of zeros in the table."""
    a, b = np.asarray(table, np.float64), np.asarray(compressed, np.float64)
    length = np.linalg.norm(a, axis=1)
    a, b, length = a[length > 0], b[length > 0], length[length > 0]
    other = np.linalg.norm(b, axis=1)
    return (a * b).sum(axis=1) / np.where(other > 0, length * other, 1.0)
