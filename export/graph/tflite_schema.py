"""What reading and writing a .tflite share: options tables, and the layout of elements.

The schema itself is the one that ai-edge-litert carries; tflite_writer.py writes by it and
tflite_reader.py reads by it.
"""

import math

import numpy as np

from export.graph.ir import DType
from quant.affine import Grid, Symmetry
from quant.packing import pack, unpack

IDENTIFIER = b"TFL3"

OPTIONS = {
    **dict.fromkeys(("ADD",), "AddOptions"),
    **dict.fromkeys(("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"), "ReducerOptions"),
    **dict.fromkeys(("MAXIMUM", "MINIMUM"), "MaximumMinimumOptions"),
    "ABS": "AbsOptions",
    "ARG_MAX": "ArgMaxOptions",
    "BATCH_MATMUL": "BatchMatMulOptions",
    "BROADCAST_TO": "BroadcastToOptions",
    "CAST": "CastOptions",
    "CONCATENATION": "ConcatenationOptions",
    "CONV_2D": "Conv2DOptions",
    "COS": "CosOptions",
    "DEQUANTIZE": "DequantizeOptions",
    "DIV": "DivOptions",
    "DYNAMIC_UPDATE_SLICE": "DynamicUpdateSliceOptions",
    "EXP": "ExpOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "GATHER": "GatherOptions",
    "GREATER": "GreaterOptions",
    "MUL": "MulOptions",
    "NEG": "NegOptions",
    "PACK": "PackOptions",
    "PAD": "PadOptions",
    "QUANTIZE": "QuantizeOptions",
    "RESHAPE": "ReshapeOptions",
    "SELECT_V2": "SelectV2Options",
    "SLICE": "SliceOptions",
    "SOFTMAX": "SoftmaxOptions",
    "SPLIT": "SplitOptions",
    "SQUARE": "SquareOptions",
    "SQUEEZE": "SqueezeOptions",
    "STRIDED_SLICE": "StridedSliceOptions",
    "SUB": "SubOptions",
    "TRANSPOSE": "TransposeOptions",
    "UNPACK": "UnpackOptions",
    "WHERE": "WhereOptions",
}
"""Options table of every operator that has one, among those this project meets."""

PLAIN = {"CEIL", "ELU", "FLOOR", "LOGISTIC", "RELU", "RSQRT", "SIN", "SQRT", "TANH"}
"""Operators without an options table."""


def encode(data: np.ndarray, dtype: DType) -> bytes:
    """Lay out the elements of a constant."""
    if dtype in (DType.INT4, DType.INT2):
        return pack(data, dtype.bits).tobytes()
    return np.ascontiguousarray(data, dtype.numpy).tobytes()


def decode(content: bytes, dtype: DType, shape: tuple[int, ...]) -> np.ndarray:
    """Read the elements of a constant back.

    Raises:
      ValueError: not the number of bytes that `shape` needs.
    """
    needed = -(-math.prod(shape) * dtype.bits // 8)
    if needed != len(content):
        raise ValueError(
            f"{dtype.value} {shape} needs {needed} bytes, its buffer has {len(content)}"
        )
    if dtype not in (DType.INT4, DType.INT2):
        return np.frombuffer(content, dtype.numpy).reshape(shape)
    # to the packing a full two's complement range is like the narrow one: signed
    grid = Grid(bits=dtype.bits, symmetry=Symmetry.SYMMETRIC)
    return unpack(np.frombuffer(content, np.uint8), grid, shape)
