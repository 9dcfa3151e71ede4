"""Operator model: how many instructions a graph takes on a Cortex-M55 with CMSIS-NN.

    products * per_product + elements * per_element + pieces * per_piece, summed over operators

Products are multiply-accumulates; elements are the results (of MEAN, SUM and DECODE: what is
read, or unpacked); pieces are rows of a SOFTMAX, channels of a DECODE, and stretches that SPLIT and
CONCATENATION copy at a time. COSTS were measured operator by operator on the emulated board, by the
firmware's `profile` over the graphs of this project at several sizes (docs/deploy-cortex-m.md,
Attention in integers, The operator model beside counts): they are the least squares of those
counts. Kernels are those that the firmware links: its own for LOGISTIC, SOFTMAX of int8, DECODE
and integer products (firmware/tflm/tflm_kernels.h), else TFLM's. Instructions, not cycles.

Not here: the loop around the graphs, which is less than a hundredth.
"""

import math
from collections import Counter
from typing import NamedTuple

from export.graph.ir import DType, Graph, Op

FLOAT, INT16, INT8, UINT8 = DType.FLOAT32, DType.INT16, DType.INT8, DType.UINT8
READ = ("MEAN", "SUM")
"""Operators whose work is what they read."""


class Cost(NamedTuple):
    """Instructions for a product, an element and a piece."""

    per_product: float
    per_element: float
    per_piece: float = 0.0


MOVED = {FLOAT: 5.0, INT16: 4.6, INT8: 2.1}
COSTS: dict[tuple[str, DType], Cost] = {
    ("FULLY_CONNECTED", FLOAT): Cost(4.0, 53.8),
    ("FULLY_CONNECTED", INT8): Cost(0.131, 16.3),
    ("CONV_2D", INT16): Cost(0.254, 16.3),
    ("BATCH_MATMUL", FLOAT): Cost(5.97, 21.7),
    ("BATCH_MATMUL", INT16): Cost(0.691, 40.0),
    ("BATCH_MATMUL", INT8): Cost(0.448, 26.4),
    ("TFLM_DECODE", UINT8): Cost(0, 0.217, 65.4),
    ("ADD", FLOAT): Cost(0, 13.6),
    ("ADD", INT16): Cost(0, 11.1),
    ("ADD", INT8): Cost(0, 14.8),
    ("MUL", FLOAT): Cost(0, 13.1),
    ("DIV", FLOAT): Cost(0, 81.8),
    ("MUL", INT16): Cost(0, 5.8),
    ("MUL", INT8): Cost(0, 6.8),
    ("LOGISTIC", FLOAT): Cost(0, 51),
    ("LOGISTIC", INT16): Cost(0, 4.76),
    ("LOGISTIC", INT8): Cost(0, 0.26),
    ("SOFTMAX", FLOAT): Cost(0, 53.8),
    ("SOFTMAX", INT16): Cost(0, 59.0, 71),
    ("SOFTMAX", INT8): Cost(0, 4.5, 222),
    ("MEAN", FLOAT): Cost(0, 150),
    ("RSQRT", FLOAT): Cost(0, 11.2),
    ("COS", FLOAT): Cost(0, 34.6),
    ("SIN", FLOAT): Cost(0, 34.8),
    ("QUANTIZE", FLOAT): Cost(0, 14.05),
    ("QUANTIZE", INT16): Cost(0, 45.5),
    ("QUANTIZE", INT8): Cost(0, 45.5),
    ("DEQUANTIZE", INT16): Cost(0, 8.05),
    ("DEQUANTIZE", INT8): Cost(0, 8.05),
    ("SPLIT", FLOAT): Cost(0, 3.6),
    ("SPLIT", INT16): Cost(0, 2.9, 51),
    ("SPLIT", INT8): Cost(0, 2.9, 47),
    ("CONCATENATION", FLOAT): Cost(0, 4.75),
    ("CONCATENATION", INT16): Cost(0, 1.2, 41),
    ("CONCATENATION", INT8): Cost(0, 0.6, 43),
    **{("TRANSPOSE", kind): Cost(0, cost) for kind, cost in MOVED.items()},
    **{("SLICE", kind): Cost(0, 37.3) for kind in MOVED},
    ("RESHAPE", FLOAT): Cost(0, 2.3),
    ("RESHAPE", INT16): Cost(0, 1.2),
    ("RESHAPE", INT8): Cost(0, 0.6),
}


def count_instructions(graph: Graph) -> dict[str, int]:
    """Count instructions of one call by operator.

    Raises:
      ValueError: an operator whose cost was not measured.
    """
    counts: Counter[str] = Counter()
    for op in graph.ops:
        counts[op.code] += _count(graph, op)
    return dict(counts)


def count_products(graph: Graph, op: Op) -> int:
    """Count the multiply-accumulates of an operator."""
    if op.code in ("FULLY_CONNECTED", "CONV_2D"):
        kernel = graph.tensor(str(op.inputs[1])).shape
        return _size(graph, op.outputs[0]) * math.prod(kernel[1:])
    if op.code == "BATCH_MATMUL":
        return _size(graph, op.outputs[0]) * graph.tensor(str(op.inputs[0])).shape[-1]
    return 0


def _count(graph: Graph, op: Op) -> int:
    cost, read = _cost(graph, op), op.code in READ
    elements = sum(_size(graph, name) for name in (op.inputs[:1] if read else op.outputs) if name)
    amounts = (count_products(graph, op), elements, _pieces(graph, op))
    return round(sum(map(math.prod, zip(amounts, cost, strict=True))))


def _cost(graph: Graph, op: Op) -> Cost:
    x = graph.tensor(str(op.inputs[1 if op.code == "SPLIT" else 0]))
    cost = COSTS.get((op.code, x.dtype))
    if cost is None:
        measured = ", ".join(sorted({f"{code} {kind.value}" for code, kind in COSTS}))
        raise ValueError(f"no measured cost for {op.code} of {x.dtype.value}; measured: {measured}")
    return cost


def _pieces(graph: Graph, op: Op) -> int:
    """Count rows of a SOFTMAX, channels of a DECODE, stretches that SPLIT or others copy."""
    shape = graph.tensor(op.outputs[0]).shape
    if op.code == "CONCATENATION":
        axis = op.options["axis"]
        assert isinstance(axis, int), "TFLite's option"
        return math.prod(shape[: axis % len(shape)]) * len(op.inputs)
    return math.prod(shape[:-1]) * len(op.outputs)


def _size(graph: Graph, name: str) -> int:
    return math.prod(graph.tensor(name).shape)
