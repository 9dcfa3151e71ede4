"""Test vectors: puzzles with the simulation's answers, for a device's self-test.

A vector has the tokens, and the supervision step at which the rule of halting ends it; where the
arithmetic is integer also the CRC-32 of both states at that step, so that one wrong bit anywhere in
a rollout shows on the device.

Bytes, little endian; u unsigned, number of bits; the file comes right after the row file:

    0    8 bytes  TRMVECT2
    8    u32      size of the file, a multiple of 16
    12   u32      CRC-32 (zlib's) of bytes 16 to the end
    16   32 bytes model id: SHA-256 of the files of all graphs, in order
    48   u16      seq
    50   u16      1: the states' checksums count, 0: they are not compared
    52   u32      number of vectors
    56   u16 x 4  H_cycles, L_cycles, halt_max_steps, halting, as in the row file
    64   i32      bound of the halting, as in the row file
    68   12 bytes 0
    80            vectors, each:
                    u32        puzzle row
                    u32        supervision steps used
                    u32, u32   CRC-32 of z_H and of z_L (positions x emb, row-major)
                    seq bytes  puzzle tokens
                    seq bytes  expected tokens; zeros up to a multiple of 4
                  zeros up to a multiple of 16

Not here: choosing the puzzles (export/pipeline.py); the firmware's reader (firmware/vectors.c).
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from export.cortex_m.row_file import (
    CHECKED_FROM,
    MODEL_ID_BYTES,
    MOST_TOKENS,
    Depth,
    halting_fields,
    padded,
    read_halting,
)

MAGIC = b"TRMVECT2"
HEADER = struct.Struct("<8sII32sHHI4Hi12x")
RECORD = struct.Struct("<IIII")


@dataclass(frozen=True, kw_only=True, eq=False)
class Vector:
    """One puzzle with its expected outcome.

    Attributes:
      puzzle: row of the puzzle table.
      inputs, tokens: token of every cell, before and after.
      steps: supervision steps used.
      states: checksums of z_H and z_L (`state_checksum`), or None.
    """

    puzzle: int
    inputs: np.ndarray
    tokens: np.ndarray
    steps: int
    states: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class VectorFile:
    """Vectors of one model, all computed at one depth.

    Raises:
      ValueError: no vectors, puzzles of different sizes, tokens the format cannot hold, states
        for some vectors only, or a model id that is no SHA-256.
    """

    model_id: bytes
    depth: Depth
    vectors: Sequence[Vector]

    def __post_init__(self) -> None:
        if not self.vectors:
            raise ValueError("a vector file needs at least one vector")
        sizes = {len(array) for v in self.vectors for array in (v.inputs, v.tokens)}
        if len(sizes) > 1:
            raise ValueError(f"puzzles and answers must be of one size, got {sorted(sizes)}")
        tokens = np.concatenate([np.stack([v.inputs, v.tokens]) for v in self.vectors])
        if tokens.min() < 0 or tokens.max() >= MOST_TOKENS:
            raise ValueError(
                f"tokens must be 0 to {MOST_TOKENS - 1}, got {tokens.min()} to {tokens.max()}"
            )
        if len({v.states is None for v in self.vectors}) > 1:
            raise ValueError("either all vectors have checksums of their states, or none")
        if len(self.model_id) != MODEL_ID_BYTES:
            raise ValueError(f"model_id must be a SHA-256, got {len(self.model_id)} bytes")

    @property
    def has_states(self) -> bool:
        return self.vectors[0].states is not None


def write_vectors(file: VectorFile) -> bytes:
    """Write a vector file: its bytes."""
    body = b"".join(_record(vector) for vector in file.vectors)
    size = len(padded(bytes(HEADER.size) + body))
    depth = file.depth

    def header(crc: int) -> bytes:
        return HEADER.pack(
            MAGIC,
            size,
            crc,
            file.model_id,
            len(file.vectors[0].inputs),
            file.has_states,
            len(file.vectors),
            depth.H_cycles,
            depth.L_cycles,
            depth.halt_max_steps,
            *halting_fields(depth.halting),
        )

    checked = padded(header(0) + body)[CHECKED_FROM:]
    return padded(header(zlib.crc32(checked)) + body)


def read_vectors(data: bytes) -> VectorFile:
    """Read a vector file.

    Raises:
      ValueError: no vector file, cut short, damaged, or with fields out of range.
    """
    if len(data) < HEADER.size or data[:8] != MAGIC:
        raise ValueError(f"not a vector file: it must begin with {MAGIC.decode()}")
    values = HEADER.unpack_from(data)
    _, size, crc, model_id, seq, states, count, H, L, steps, *halting = values
    stride = RECORD.size + -(-2 * seq // 4) * 4
    if size > len(data) or size != HEADER.size + count * stride + -(count * stride) % 16:
        raise ValueError(f"vector file of {size} bytes does not fit its fields, or is cut short")
    if states > 1:
        raise ValueError(f"byte 50 of a vector file must be 0 or 1, got {states}")
    if zlib.crc32(data[CHECKED_FROM:size]) != crc:
        raise ValueError("vector file is damaged: its checksum differs")
    file = VectorFile(
        model_id=model_id,
        depth=Depth(H_cycles=H, L_cycles=L, halt_max_steps=steps, halting=read_halting(*halting)),
        vectors=[_vector(data, HEADER.size + i * stride, seq, bool(states)) for i in range(count)],
    )
    if write_vectors(file) != data[:size]:
        raise ValueError("vector file has other bytes than zeros where nothing is stored")
    return file


def _record(vector: Vector) -> bytes:
    states = vector.states or (0, 0)
    cells = np.concatenate([vector.inputs, vector.tokens]).astype(np.uint8).tobytes()
    return RECORD.pack(vector.puzzle, vector.steps, *states) + cells + bytes(-len(cells) % 4)


def _vector(data: bytes, at: int, seq: int, has_states: bool) -> Vector:
    puzzle, steps, *states = RECORD.unpack_from(data, at)
    cells = np.frombuffer(data, np.uint8, 2 * seq, at + RECORD.size).astype(np.int32)
    return Vector(
        puzzle=puzzle,
        steps=steps,
        inputs=cells[:seq],
        tokens=cells[seq:],
        states=(states[0], states[1]) if has_states else None,
    )
