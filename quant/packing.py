"""Integers of 2 to 8 bits as bytes without gaps, and how many bytes a tensor takes.

Byte format: the integers in row-major order, each as its lowest b bits (two's complement if
signed), form one stream of bits without gaps. Integer i occupies bits [i*b, (i+1)*b) of the
stream, least significant first; bit k of the stream is bit k%8 (value 2^(k%8)) of byte k//8.
The last byte is padded with zero bits. So

    8 bits   one byte each (TFLite INT8, UINT8)
    4 bits   two per byte, the first in the low nibble (TFLite INT4): 1, -2, 7 -> E1 07
    2 bits   four per byte, the first in the lowest two bits: 1, -1, 0, 1 -> 4D
    3 bits   eight in three bytes: 1, 2, 3, -3, ... -> D1 ...

Scales and zero points are stored apart: 4 bytes a scale (float32) and, for asymmetric grids,
1 byte a zero point. NumPy only: files are read and written outside of jit.

Not here: the integers themselves (affine.py), files (trm_jax/checkpoints, export).
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer, UInt8

from quant.affine import WEIGHT_BITS, Grid

SCALE_BYTES = 4
ZERO_POINT_BYTES = 1


class StoredBytes(NamedTuple):
    """Size of one tensor, or of many, in bytes."""

    integers: int = 0
    scales: int = 0
    zero_points: int = 0
    floats: int = 0  # what is not quantised

    @property
    def total(self) -> int:
        return sum(self)


def pack(qvalue: Integer[np.ndarray, "..."], bits: int) -> UInt8[np.ndarray, " bytes"]:
    """Pack integers densely.

    Raises:
      ValueError: unsupported width, or a value that does not fit it.
    """
    _check_bits(bits)
    flat = np.asarray(qvalue).reshape(-1)
    lowest, highest = _limits(bits, signed=bool(np.issubdtype(flat.dtype, np.signedinteger)))
    if flat.size and (flat.min() < lowest or flat.max() > highest):
        raise ValueError(
            f"values must lie in [{lowest}, {highest}] to fit {bits} bits,"
            f" got {flat.min()} to {flat.max()}"
        )
    bit_rows = np.unpackbits(
        flat.astype(np.int16).astype(np.uint8)[:, None], axis=1, count=bits, bitorder="little"
    )
    return np.packbits(bit_rows.reshape(-1), bitorder="little")


def unpack(
    data: UInt8[np.ndarray, " bytes"], grid: Grid, shape: tuple[int, ...]
) -> Integer[np.ndarray, "..."]:
    """Read integers back.

    Raises:
      ValueError: unsupported width, or not the number of bytes that `shape` needs.
    """
    _check_bits(grid.bits)
    count = math.prod(shape)
    if data.size != packed_bytes(count, grid.bits):
        raise ValueError(
            f"{count} integers of {grid.bits} bits need {packed_bytes(count, grid.bits)} bytes,"
            f" got {data.size}"
        )
    stream = np.unpackbits(data, count=count * grid.bits, bitorder="little")
    stream = stream.reshape(count, grid.bits)
    values = np.packbits(stream, axis=1, bitorder="little").reshape(-1).astype(np.int16)
    if grid.is_symmetric:
        values -= (values >> (grid.bits - 1)) << grid.bits  # the top bit is the sign
    return values.astype(grid.dtype).reshape(shape)


def packed_bytes(count: int, bits: int) -> int:
    """Count the bytes of `count` packed integers."""
    return -(-count * bits // 8)


def stored_bytes(shape: tuple[int, ...], grid: Grid) -> StoredBytes:
    """Count the bytes of a quantised tensor: packed integers, scales, zero points."""
    shared = grid.reduced_axes(len(shape))
    scales = math.prod(size for axis, size in enumerate(shape) if axis not in shared)
    return StoredBytes(
        integers=packed_bytes(math.prod(shape), grid.bits),
        scales=scales * SCALE_BYTES,
        zero_points=0 if grid.is_symmetric else scales * ZERO_POINT_BYTES,
    )


def _limits(bits: int, *, signed: bool) -> tuple[int, int]:
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def _check_bits(bits: int) -> None:
    if bits not in WEIGHT_BITS:
        raise ValueError(f"packed bits must be one of {list(WEIGHT_BITS)}, got bits={bits}")
