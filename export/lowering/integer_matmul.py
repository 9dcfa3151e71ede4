"""Products of integers as operators: the filter as its plan stores it, CONV_2D or FULLY_CONNECTED.

    int16 activations    TFLM_DECODE (4 bits) or an int8 filter, then a 1x1 CONV_2D: the glue of
                         CMSIS-NN refuses int16 FULLY_CONNECTED with a scale per channel
    int8 activations     symmetric 4 bits: CONV_2D with an int4 filter; else TFLM_DECODE or an
                         int8 filter, then FULLY_CONNECTED

Both kernels sum int8 x int8 (or int16) exactly and round per channel alike.

TFLM_DECODE looks 4-bit codes up in a table of int8 per output channel. It is the only way to bring
int4 weights with a scale per channel into int16 kernels, and asymmetric ones into any: the table
holds q - zero_point, 16 entries a channel. Its two constants, as TFLM reads them
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

Not here: which products there are (integer_block.py), filters of float graphs (float_matmul.py).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int8, UInt8

from export.graph.builder import GraphBuilder
from export.graph.ir import DType, OptionValue, Quant
from export.lowering.storage import MatrixPlan, ZeroPoints
from quant.affine import QTensor
from quant.integer.encoding import Encoding
from quant.integer.kernels.matmul import Accumulator
from quant.integer.operators import DenseWeights, accumulator_of, filter_of, integer_bias

ENTRIES = 16
CODE_BITS = 4
HEADER = bytes([0, 1, 0, 0, 1, CODE_BITS, ENTRIES, *(0,) * 9])


CONV: dict[str, OptionValue] = {
    "strideW": 1,
    "strideH": 1,
    "dilationWFactor": 1,
    "dilationHFactor": 1,
}
BIAS_TYPES = {Accumulator.INT32: (DType.INT32, 2), Accumulator.INT64: (DType.INT64, 4)}
"""Element type of a bias and its number in the schema's TensorType."""
VERSIONS = {
    ("CONV_2D", 8, 8): 3,
    ("CONV_2D", 8, 4): 7,
    ("CONV_2D", 16, 8): 4,
    ("FULLY_CONNECTED", 8, 8): 4,
}
"""Operator versions by code, bits of the activations, bits of the filter."""


class Operand(NamedTuple):
    """A product's input tensor, the encoding of its integers and that of the result's."""

    x: str
    x_encoding: Encoding
    y_encoding: Encoding


def quant_of(encoding: Encoding) -> Quant:
    """Describe the integers of an activation."""
    return Quant(
        scale=np.asarray([encoding.scale], np.float32),
        zero_point=np.asarray([encoding.zero_point], np.int64),
    )


def dtype_of(encoding: Encoding) -> DType:
    """Choose the element type of an activation."""
    return DType.INT16 if encoding.bits == 16 else DType.INT8


def is_convolution(plan: MatrixPlan, x: Encoding) -> bool:
    """Return whether a product is a 1x1 CONV_2D."""
    packed = plan.carrier is DType.INT4 and plan.zero_points is not ZeroPoints.TABLE
    return x.bits == 16 or packed


def filter_tensor(
    g: GraphBuilder,
    name: str,
    product: DenseWeights,
    plan: MatrixPlan,
    part: slice,
    convolved: bool,
) -> str:
    """Add some output channels of a filter.

    Args:
      name: of the filter; numbered by the builder if it is decoded again.
      part: the output channels.
    """
    weights, scales = filter_of(product.kernel)
    weights, scales = weights[part], scales[part]
    outputs, inputs = weights.shape
    shape = (outputs, 1, 1, inputs) if convolved else weights.shape
    quant = Quant(scale=scales, zero_point=np.zeros(outputs, np.int64), axis=0)
    if plan.zero_points is ZeroPoints.TABLE:
        codes, tables = codes_of(product.kernel)[part], tables_of(product.kernel)[part]
        return decoded(g, name, codes, tables, shape, quant)
    return g.constant(name, weights.reshape(shape), plan.carrier, quant)


def product_tensor(
    g: GraphBuilder, name: str, operand: Operand, kernel: str, product: DenseWeights, part: slice
) -> str:
    """Multiply; the bias is a tensor of zeros where the model has none: int16 kernels want one."""
    x, source, target = operand
    shape = g.shape(kernel)
    convolved = len(shape) == 4
    bias, number = _bias(g, kernel, operand, product, part)
    code = "CONV_2D" if convolved else "FULLY_CONNECTED"
    options: dict[str, OptionValue] = dict(CONV) if convolved else {"keepNumDims": True}
    if source.bits == 16:
        options["quantizedBiasType"] = number
    return g.op(
        code,
        (x, kernel, bias),
        name,
        ((*g.shape(x)[:-1], shape[0]),),
        version=VERSIONS[code, source.bits, g.tensors[kernel].dtype.bits],
        options=options,
        dtype=dtype_of(target),
        quant=quant_of(target),
    )[0]


def _bias(
    g: GraphBuilder, kernel: str, operand: Operand, product: DenseWeights, part: slice
) -> tuple[str, int]:
    dtype, number = BIAS_TYPES[accumulator_of(product, operand.x_encoding)]
    _, scales = filter_of(product.kernel)
    unit = np.float32(operand.x_encoding.scale) * scales[part]
    quant = Quant(scale=unit, zero_point=np.zeros(unit.size, np.int64), axis=0)
    values = integer_bias(product, operand.x_encoding)[part]
    name = f"{kernel.split(':')[0]}/bias"
    return g.constant(name, values, dtype, quant), number


def codes_of(kernel: QTensor) -> UInt8[np.ndarray, "outputs inputs"]:
    """Count the integers of a kernel from the lowest of its grid."""
    low = kernel.grid.q_min
    codes = np.asarray(kernel.qvalue, np.int16).T - low
    assert codes.max(initial=0) < ENTRIES, f"a grid of {kernel.grid.bits} bits has no 4-bit codes"
    return np.ascontiguousarray(codes.astype(np.uint8))


def tables_of(kernel: QTensor) -> Int8[np.ndarray, "outputs entries"]:
    """Tabulate q - zero_point by code; entries past the grid are never looked up."""
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
    table_bytes = np.frombuffer(HEADER + tables.tobytes(), np.uint8)
    inputs = (
        g.constant(f"{name}/codes", packed(codes), DType.UINT8),
        g.constant(f"{name}/tables", table_bytes, DType.UINT8),
    )
    return g.op(
        "TFLM_DECODE", inputs, name, (shape,), dtype=DType.INT8, quant=quant, custom_options=b""
    )[0]
