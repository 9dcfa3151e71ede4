"""TFLM_DECODE: filters as 4-bit codes into a table of int8 per output channel.

The only way of int4 weights per channel into int16 kernels, and of asymmetric ones into any: the
table holds q - zero_point, 16 entries a channel. Two constants, as TFLM reads them
(tensorflow/lite/micro/kernels/decode_state_lut.cc and its header):

    codes    uint8, two codes a byte, the first in the high nibble; rows follow without a gap, zeros
             up to a whole byte
    tables   byte 0       0: the codes are looked up
             byte 1       1: version of these 16 bytes
             bytes 2, 3   0
             byte 4       1: version of the table
             byte 5       4: bits per code
             byte 6       16: entries per channel
             bytes 7-15   0
             then the entries, int8, channel by channel

The operator makes an int8 filter, with the scales of its channels, in the arena.
"""

import numpy as np
from jaxtyping import Int8, UInt8

from export.builder import GraphBuilder
from export.graph import DType, Quant
from quant.affine import QTensor

ENTRIES = 16
CODE_BITS = 4
HEADER = bytes([0, 1, 0, 0, 1, CODE_BITS, ENTRIES, *(0,) * 9])


def codes_of(kernel: QTensor) -> UInt8[np.ndarray, "outputs inputs"]:
    """Count the integers of a kernel from the lowest of its grid."""
    low = kernel.grid.q_min
    codes = np.asarray(kernel.qvalue, np.int16).T - low
    assert codes.max(initial=0) < ENTRIES, f"a grid of {kernel.grid.bits} bits has no 4-bit codes"
    return np.ascontiguousarray(codes.astype(np.uint8))


def tables_of(kernel: QTensor) -> Int8[np.ndarray, "outputs entries"]:
    """Tabulate q - zero_point by code; entries past the grid are never asked for."""
    zeros = np.asarray(kernel.zero_point, np.int16).reshape(-1, 1)
    steps = np.arange(ENTRIES, dtype=np.int16) + kernel.grid.q_min - zeros
    outputs = kernel.qvalue.shape[1]
    return np.broadcast_to(steps.astype(np.int8), (outputs, ENTRIES)).copy()


def packed(codes: UInt8[np.ndarray, "outputs inputs"]) -> UInt8[np.ndarray, " bytes"]:
    """Pack codes, high nibble first."""
    flat = np.append(codes.reshape(-1), np.zeros(codes.size % 2, np.uint8))
    return (flat[0::2] << CODE_BITS) | flat[1::2]


def decoded(
    g: GraphBuilder,
    name: str,
    codes: UInt8[np.ndarray, "outputs inputs"],
    tables: Int8[np.ndarray, "outputs entries"],
    shape: tuple[int, ...],
    quant: Quant,
) -> str:
    """Add a filter that is decoded before its use; its constants are added once.

    Args:
      shape: of the filter; outputs first.
    """
    held = np.frombuffer(HEADER + tables.tobytes(), np.uint8)
    inputs = (
        g.constant(f"{name}/codes", packed(codes), DType.UINT8),
        g.constant(f"{name}/tables", held, DType.UINT8),
    )
    return g.op(
        "TFLM_DECODE", inputs, name, (shape,), dtype=DType.INT8, quant=quant, custom_options=b""
    )[0]
