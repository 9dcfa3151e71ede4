"""The row file: everything a firmware needs besides the graphs, streamed from flash by row.

Initial states, token rows and puzzle rows, already scaled by sqrt(hidden_size) and in the
carry's number format, so that the device only adds. At hidden size 512 and float32 a puzzle
costs 2,048 bytes (section 4.1: one row is streamed, never the table), and 4 for its checksum.

Bytes, little endian; u unsigned, i signed, number of bits:

    0    8 bytes  TRMROWS1
    8    u32      size of the file, a multiple of 16
    12   u32      CRC-32 (zlib's) of bytes 16 up to the puzzle rows
    16   32 bytes model id: SHA-256 of the files of all graphs, in order
    48   u32      element type: 0 float32, 1 int16, 2 int8
    52   u32      vocab, at most 36 (the line protocol has one character a token)
    56   u32      seq
    60   u32      prefix positions
    64   u32      emb, elements of a position
    68   u32      ids, puzzle rows
    72   u32      elements of a puzzle row
    76   u16 x 4  H_cycles, L_cycles, halt_max_steps, halting (trm_jax/halting): 0 never, 1 q,
                  2 qc, 3 rules (of a kind of puzzle that is said), 4 unchanged
    84   u16      what a puzzle is: 0 not said, 1 Sudoku, 2 maze
    86   u8, u8   rows and columns: of a Sudoku's box, of a maze's grid, else 0
    88   24 bytes injection of z_L: i32 z_factor, i32 e_factor, i64 offset, u32 0, u32 shift
    112  24 bytes injection of z_H, the same (e_factor 0)
    136  i32      bound of the halting: ten-thousandths for q and qc, steps for unchanged, else 0
    140  u32      0
    144           rows of emb elements: L_init, H_init, one per token; zeros up to 16
                  puzzle rows; zeros up to 16
                  u32 per puzzle row: its CRC-32; zeros up to 16

    injection = clamp((z_factor * z + e_factor * e + offset) >> shift)      float32: z + e

in int64; |offset| is 2^62 at most and shift 62, so that no sum overflows.

`write_rows` and `read_rows` take whole files. `read_puzzle_row` reads one row as a device does,
through a memory map: the header, the row and its checksum, and of the file the pages around them.
At the published size, 50,911 rows of 512 float32, that is 2,048 bytes of 104 MB.

Not here: learned positions, which would be one more row per position; which values the rows get
(flash_contents.py); the firmware's reader (firmware/rows.c).
"""

import enum
import mmap
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from quant.integer.carry import Combine
from trm_jax.halting import BY_RULES, NEVER, PER_UNIT, Halting, HaltRule

MAGIC = b"TRMROWS1"
HEADER = struct.Struct("<8sII32s7I4HHBB iiqII iiqII i4x")
RESERVED = ((104, 108), (128, 132), (140, 144))
"""First byte and end of what is zero in a header."""
CHECKED_FROM = 16
MOST_TOKENS = 36
MOST_CYCLES = 1024
MODEL_ID_BYTES = 32
MOST_OFFSET = 1 << 62
"""Two products of 32 and 16 bits stay below 2^48, so no sum with it overflows int64."""
MOST_SHIFT = 62
DTYPES = (np.dtype("<f4"), np.dtype("<i2"), np.dtype("i1"))


HALT_NUMBERS = (
    HaltRule.NEVER,
    HaltRule.Q,
    HaltRule.Q_CONTINUE,
    HaltRule.RULES,
    HaltRule.UNCHANGED,
)
"""Rules that a board knows, by number: the last H-cycle's change would cost it a second z_H."""


class PuzzleKind(enum.IntEnum):
    """What a puzzle is; of others the firmware knows tokens only."""

    UNKNOWN = 0
    SUDOKU = 1
    MAZE = 2


class PuzzleShape(NamedTuple):
    """What a puzzle is, and its shape: rows and columns of a Sudoku's box, of a maze's grid."""

    kind: PuzzleKind = PuzzleKind.UNKNOWN
    rows: int = 0
    columns: int = 0

    def sizes(self) -> tuple[int, int] | None:
        """Count cells and tokens; None where the kind leaves them open."""
        cells = self.rows * self.columns
        return {PuzzleKind.SUDOKU: (cells**2, cells + 2), PuzzleKind.MAZE: (cells, 6)}.get(
            self.kind
        )


NO_SHAPE = PuzzleShape()

PLAIN = Combine(z_factor=1, e_factor=1, offset=0, shift=0)
"""A saturating addition: all on one scale."""
Z_ONLY = Combine(z_factor=1, e_factor=0, offset=0, shift=0)
"""No embedding and one scale: updates of z_H."""


@dataclass(frozen=True, kw_only=True)
class Depth:
    """Cycles and steps of the firmware, unless a request sets others."""

    H_cycles: int
    L_cycles: int
    halt_max_steps: int
    halting: Halting = NEVER

    def __post_init__(self) -> None:
        if self.halting.rule not in HALT_NUMBERS:
            known = ", ".join(rule.value for rule in HALT_NUMBERS)
            raise ValueError(f"a board halts by {known}, got {self.halting.name}")
        for name in ("H_cycles", "L_cycles", "halt_max_steps"):
            if not 1 <= getattr(self, name) <= MOST_CYCLES:
                raise ValueError(f"{name} must be 1 to {MOST_CYCLES}, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True, eq=False)
class RowFile:
    """Content of a row file; rows are float32, int16 or int8, all of one type.

    Attributes:
      model_id: SHA-256 of all graphs' files.
      H_init, L_init: vectors of emb elements.
      token_rows: vocab x emb.
      puzzle_rows: ids x width; a row fills the prefix positions, zeros behind it.
      combine_L, combine_H: injections, for integers.
      puzzles: what a puzzle is.

    Raises:
      ValueError: shapes or types do not fit together, a size or constant that the format cannot
        hold, or halting by rules of a puzzle that is not said.
    """

    model_id: bytes
    seq: int
    prefix: int
    depth: Depth
    H_init: np.ndarray
    L_init: np.ndarray
    token_rows: np.ndarray
    puzzle_rows: np.ndarray
    combine_L: Combine = field(default=PLAIN)
    combine_H: Combine = field(default=Z_ONLY)
    puzzles: PuzzleShape = NO_SHAPE

    def __post_init__(self) -> None:
        arrays = (self.H_init, self.L_init, self.token_rows, self.puzzle_rows)
        types = {array.dtype.str for array in arrays}
        if len(types) > 1 or self.token_rows.dtype not in DTYPES:
            raise ValueError(f"rows must all be float32, int16 or int8, got {sorted(types)}")
        if self.token_rows.ndim != 2 or self.puzzle_rows.ndim != 2:
            raise ValueError("token_rows and puzzle_rows must be matrices")
        vocab, emb = self.token_rows.shape
        if not 1 <= vocab <= MOST_TOKENS:
            raise ValueError(f"the firmware takes 1 to {MOST_TOKENS} tokens, got vocab={vocab}")
        if self.H_init.shape != (emb,) or self.L_init.shape != (emb,):
            raise ValueError(
                f"initial states must have {emb} elements, got {self.H_init.shape} and"
                f" {self.L_init.shape}"
            )
        if self.puzzle_rows.shape[1] > self.prefix * emb:
            raise ValueError(
                f"puzzle rows of {self.puzzle_rows.shape[1]} elements do not fit into"
                f" {self.prefix} prefix positions of {emb}"
            )
        if len(self.puzzle_rows) < 1 or self.seq < 1:
            raise ValueError("a row file needs a puzzle row and a cell")
        if len(self.model_id) != MODEL_ID_BYTES:
            raise ValueError(f"model_id must be a SHA-256, got {len(self.model_id)} bytes")
        sizes = self.puzzles.sizes()
        if (self.seq, vocab) != sizes if sizes else any(self.puzzles):
            raise ValueError(
                f"{tuple(self.puzzles)} is no shape of puzzles of {self.seq} cells and"
                f" {vocab} tokens"
            )
        if self.depth.halting == BY_RULES and self.puzzles == NO_SHAPE:
            raise ValueError("halting by rules needs to know what the puzzles are")
        for name in ("combine_L", "combine_H"):
            _check_combine(name, getattr(self, name))
        if self.combine_H.e_factor:
            raise ValueError(f"combine_H adds no e: e_factor={self.combine_H.e_factor} must be 0")


def write_rows(file: RowFile) -> bytes:
    """Write a row file: its bytes."""
    vocab, emb = file.token_rows.shape
    ids, width = file.puzzle_rows.shape
    shared = np.concatenate([file.L_init[None], file.H_init[None], file.token_rows]).tobytes()
    puzzles = [row.tobytes() for row in file.puzzle_rows]
    sums = b"".join(zlib.crc32(row).to_bytes(4, "little") for row in puzzles)
    head_size = HEADER.size + len(shared) + padding(HEADER.size + len(shared))
    tail = padded(b"".join(puzzles)) + padded(sums)
    depth = file.depth

    def header(crc: int) -> bytes:
        number, bound = halting_fields(depth.halting)
        return HEADER.pack(
            MAGIC,
            head_size + len(tail),
            crc,
            file.model_id,
            DTYPES.index(file.token_rows.dtype),
            vocab,
            file.seq,
            file.prefix,
            emb,
            ids,
            width,
            depth.H_cycles,
            depth.L_cycles,
            depth.halt_max_steps,
            number,
            *file.puzzles,
            *_combine_fields(file.combine_L),
            *_combine_fields(file.combine_H),
            bound,
        )

    checked = padded(header(0) + shared)[CHECKED_FROM:]
    return padded(header(zlib.crc32(checked)) + shared) + tail


def read_rows(data: bytes) -> RowFile:
    """Read a row file; bytes behind it are ignored.

    Raises:
      ValueError: no row file, cut short, damaged, or with fields out of range.
    """
    if len(data) < HEADER.size or data[:8] != MAGIC:
        raise ValueError(f"not a row file: it must begin with {MAGIC.decode()}")
    values = HEADER.unpack_from(data)
    size, crc, model_id = values[1:4]
    kind, vocab, seq, prefix, emb, ids, width = values[4:11]
    if kind >= len(DTYPES):
        raise ValueError(f"element type must be 0 to {len(DTYPES) - 1}, got {kind}")
    dtype = DTYPES[kind]
    first, sums = row_offsets(dtype, vocab, emb, ids, width)
    if size != sums + 4 * ids + padding(4 * ids) or size > len(data):
        raise ValueError(f"row file of {size} bytes does not fit its fields, or is cut short")
    if zlib.crc32(data[CHECKED_FROM:first]) != crc:
        raise ValueError("row file is damaged: its checksum differs")
    if any(data[at:end] != bytes(end - at) for at, end in RESERVED):
        raise ValueError(f"reserved bytes of a row file's header must be zero: {RESERVED}")
    if values[15] not in set(PuzzleKind):
        raise ValueError(f"kind of puzzle must be 0 to {max(PuzzleKind)}, got {values[15]}")
    shared = np.frombuffer(data, dtype, (2 + vocab) * emb, HEADER.size).reshape(-1, emb)
    puzzles = np.frombuffer(data, dtype, ids * width, first).reshape(ids, width)
    stored = np.frombuffer(data, "<u4", ids, sums)
    if damaged := [i for i, row in enumerate(puzzles) if zlib.crc32(row.tobytes()) != stored[i]]:
        raise ValueError(f"puzzle rows {damaged[:8]} are damaged: their checksums differ")
    return RowFile(
        model_id=model_id,
        seq=seq,
        prefix=prefix,
        depth=_depth((*values[11:15], values[28])),
        L_init=shared[0],
        H_init=shared[1],
        token_rows=shared[2:],
        puzzle_rows=puzzles,
        puzzles=PuzzleShape(PuzzleKind(values[15]), *values[16:18]),
        combine_L=_combine(values[18:23]),
        combine_H=_combine(values[23:28]),
    )


def row_offsets(dtype: np.dtype, vocab: int, emb: int, ids: int, width: int) -> tuple[int, int]:
    """Compute where the puzzle rows and their checksums begin, in bytes."""
    first = HEADER.size + (2 + vocab) * emb * dtype.itemsize
    first += padding(first)
    sums = first + ids * width * dtype.itemsize
    return first, sums + padding(sums)


def padding(size: int) -> int:
    """Count the bytes that are missing to a multiple of 16."""
    return -size % 16


def padded(data: bytes) -> bytes:
    """Fill up with zeros to a multiple of 16 bytes."""
    return data + bytes(padding(len(data)))


def halting_fields(halting: Halting) -> tuple[int, int]:
    """Return number and bound of a rule as files for boards hold them."""
    return HALT_NUMBERS.index(halting.rule), halting.units


def read_halting(number: int, bound: int) -> Halting:
    """Read number and bound of a rule.

    Raises:
      ValueError: no rule has the number, or the rule not the bound.
    """
    if number >= len(HALT_NUMBERS):
        raise ValueError(f"halting must be 0 to {len(HALT_NUMBERS) - 1}, got {number}")
    rule = HALT_NUMBERS[number]
    return Halting(rule, float(bound) if rule is HaltRule.UNCHANGED else bound / PER_UNIT)


def _depth(fields: tuple[int, ...]) -> Depth:
    H_cycles, L_cycles, steps, *halting = fields
    return Depth(
        H_cycles=H_cycles, L_cycles=L_cycles, halt_max_steps=steps, halting=read_halting(*halting)
    )


def _check_combine(name: str, combine: Combine) -> None:
    if abs(combine.offset) > MOST_OFFSET:
        raise ValueError(f"{name}: offset must be within 2^62 of 0, got {combine.offset}")
    if not 0 <= combine.shift <= MOST_SHIFT:
        raise ValueError(f"{name}: shift must be 0 to {MOST_SHIFT}, got {combine.shift}")


def _combine_fields(combine: Combine) -> tuple[int, ...]:
    return combine.z_factor, combine.e_factor, combine.offset, 0, combine.shift


def _combine(fields: tuple[int, ...]) -> Combine:
    z_factor, e_factor, offset, _, shift = fields
    return Combine(z_factor=z_factor, e_factor=e_factor, offset=offset, shift=shift)


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
            return _read_row(data, puzzle, path)


def _read_row(data: mmap.mmap, puzzle: int, path: Path) -> np.ndarray:
    magic, size, _, _, kind, vocab, _, _, emb, ids, width = HEADER.unpack_from(data)[:11]
    if magic != MAGIC or kind >= len(DTYPES) or size > len(data):
        raise ValueError(f"{path} is no row file, or it is cut short")
    if not 0 <= puzzle < ids:
        raise ValueError(f"{path} has the puzzle rows 0 to {ids - 1}, asked for {puzzle}")
    dtype = DTYPES[kind]
    first, sums = row_offsets(dtype, vocab, emb, ids, width)
    begin = first + puzzle * width * dtype.itemsize
    row = data[begin : begin + width * dtype.itemsize]
    stored = int.from_bytes(data[sums + 4 * puzzle : sums + 4 * puzzle + 4], "little")
    if zlib.crc32(row) != stored:
        raise ValueError(f"puzzle row {puzzle} of {path} is damaged: its checksum differs")
    return np.frombuffer(row, dtype)
