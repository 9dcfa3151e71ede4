"""Read one puzzle row of a row file: what a device streams instead of holding the table (4.1).

Touched are the header (144 bytes), the row and its checksum (4 bytes); of a mapped file the
operating system brings in the pages around them. At the published size, 50,911 rows of 512
float32, a row is 2,048 bytes of 104 MB. The layout stands in flash_rows.py; reading all of a file
and checking all of it is `flash_rows.read`.
"""

import mmap
import zlib
from pathlib import Path

import numpy as np

from export.flash_rows import DTYPES, HEADER, MAGIC, places


def read_puzzle_row(path: Path, puzzle: int) -> np.ndarray:
    """Read a puzzle row through a memory map.

    Args:
      puzzle: identifier, counted from 0.

    Returns:
      The row in the file's number format, already scaled by sqrt(hidden_size).

    Raises:
      ValueError: no row file, no such row, or the row is damaged.
    """
    with path.open("rb") as file:
        if path.stat().st_size < HEADER.size:
            raise ValueError(f"{path} is no row file: it is shorter than a header")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _row(data, puzzle, path)


def _row(data: mmap.mmap, puzzle: int, path: Path) -> np.ndarray:
    magic, size, _, _, kind, vocab, _, _, emb, ids, width = HEADER.unpack_from(data)[:11]
    if magic != MAGIC or kind >= len(DTYPES) or size > len(data):
        raise ValueError(f"{path} is no row file, or it is cut short")
    if not 0 <= puzzle < ids:
        raise ValueError(f"{path} has the puzzle rows 0 to {ids - 1}, asked for {puzzle}")
    dtype = DTYPES[kind]
    first, sums = places(dtype, vocab, emb, ids, width)
    begin = first + puzzle * width * dtype.itemsize
    row = data[begin : begin + width * dtype.itemsize]
    stored = int.from_bytes(data[sums + 4 * puzzle : sums + 4 * puzzle + 4], "little")
    if zlib.crc32(row) != stored:
        raise ValueError(f"puzzle row {puzzle} of {path} is damaged: its checksum differs")
    return np.frombuffer(row, dtype)
