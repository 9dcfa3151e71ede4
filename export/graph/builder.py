"""Builds one graph operator by operator: names, shapes and constants are kept in one place.

Functions with the graph as first argument add operators and return the name of the result.
Versions are the lowest that the schema's rules (TFLite's op_version.cc) give for the types
used here; FULLY_CONNECTED, QUANTIZE and DEQUANTIZE depend on numerics: lowering/float_matmul.py.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from export.graph.ir import DType, Graph, Op, OptionValue, Quant, Tensor

Shape = tuple[int, ...]


class GraphBuilder:
    """A graph under construction; `path` prefixes go into the names of results."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tensors: dict[str, Tensor] = {}
        self.ops: list[Op] = []

    def shape(self, name: str) -> Shape:
        return self.tensors[name].shape

    def input(
        self,
        name: str,
        shape: Shape,
        dtype: DType = DType.FLOAT32,
        quant: Quant | None = None,
    ) -> str:
        """Declare an input."""
        self.tensors[name] = Tensor(name=name, shape=shape, dtype=dtype, quant=quant)
        return name

    def constant(
        self,
        name: str,
        data: np.ndarray,
        dtype: DType = DType.FLOAT32,
        quant: Quant | None = None,
    ) -> str:
        """Add a constant once; a name always means the same data."""
        if name not in self.tensors:
            elements = np.ascontiguousarray(data, dtype.numpy)
            self.tensors[name] = Tensor(
                name=name, shape=elements.shape, dtype=dtype, data=elements, quant=quant
            )
        return name

    def op(
        self,
        code: str,
        inputs: tuple[str | None, ...],
        name: str,
        shapes: tuple[Shape, ...],
        *,
        version: int = 1,
        options: Mapping[str, OptionValue] | None = None,
        dtype: DType = DType.FLOAT32,
        quant: Quant | None = None,
        custom_options: bytes | None = None,
    ) -> tuple[str, ...]:
        """Add an operator; its results are named after it, numbered where names repeat."""
        names = []
        for shape in shapes:
            names.append(self._unused(name))
            self.tensors[names[-1]] = Tensor(name=names[-1], shape=shape, dtype=dtype, quant=quant)
        outputs = tuple(names)
        self.ops.append(
            Op(
                code=code,
                version=version,
                inputs=inputs,
                outputs=outputs,
                options=options or {},
                custom_options=custom_options,
            )
        )
        return outputs

    def moved(
        self,
        code: str,
        inputs: tuple[str | None, ...],
        like: str,
        name: str,
        shapes: tuple[Shape, ...],
        options: Mapping[str, OptionValue] | None = None,
    ) -> tuple[str, ...]:
        """Add an operator that only moves elements: results have the type and grid of `like`."""
        x = self.tensors[like]
        return self.op(code, inputs, name, shapes, options=options, dtype=x.dtype, quant=x.quant)

    def finish(self, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> Graph:
        """Close the graph; constants stand in the order of their first use."""
        return Graph(
            name=self.name,
            tensors=tuple(self.tensors.values()),
            ops=tuple(self.ops),
            inputs=inputs,
            outputs=outputs,
        )

    def _unused(self, name: str) -> str:
        if name not in self.tensors:
            return name
        number = 1
        while f"{name}:{number}" in self.tensors:
            number += 1
        return f"{name}:{number}"


def unary(g: GraphBuilder, code: str, x: str, name: str) -> str:
    """Apply an operator to every element: LOGISTIC, RSQRT, EXP, RELU, SIN, COS."""
    return g.op(code, (x,), name, (g.shape(x),))[0]


def binary(g: GraphBuilder, code: str, a: str, b: str, name: str) -> str:
    """Combine two tensors with broadcasting: ADD, MUL, SUB, DIV, MAXIMUM, MINIMUM."""
    shape = np.broadcast_shapes(g.shape(a), g.shape(b))
    return g.op(code, (a, b), name, (shape,))[0]


def scalar(g: GraphBuilder, value: float) -> str:
    """Add a number, shaped to broadcast."""
    return g.constant(f"constant/{value!r}", np.asarray([value]))


def _integers(g: GraphBuilder, values: Shape) -> str:
    name = "shape/" + "x".join(str(v) for v in values)
    return g.constant(name, np.asarray(values), DType.INT32)


def reduced(g: GraphBuilder, code: str, x: str, axis: int, name: str) -> str:
    """Reduce one axis and keep it: MEAN, SUM."""
    rank = len(g.shape(x))
    shape = tuple(1 if i == axis % rank else n for i, n in enumerate(g.shape(x)))
    inputs = (x, _integers(g, (axis % rank,)))
    return g.op(code, inputs, name, (shape,), options={"keepDims": True})[0]


def reshaped(g: GraphBuilder, x: str, shape: Shape, name: str) -> str:
    """Change the shape."""
    assert math.prod(shape) == math.prod(g.shape(x)), (shape, g.shape(x))
    inputs = (x, _integers(g, shape))
    return g.moved("RESHAPE", inputs, x, name, (shape,), {"newShape": shape})[0]


def transposed(g: GraphBuilder, x: str, order: Shape, name: str) -> str:
    """Permute the axes."""
    shape = tuple(g.shape(x)[axis] for axis in order)
    return g.moved("TRANSPOSE", (x, _integers(g, order)), x, name, (shape,))[0]


def split(g: GraphBuilder, x: str, parts: int, name: str) -> tuple[str, ...]:
    """Cut the last axis into equal parts."""
    *lead, width = g.shape(x)
    axis = g.constant(f"axis/{len(lead)}", np.asarray(len(lead)), DType.INT32)
    shapes = ((*lead, width // parts),) * parts
    return g.moved("SPLIT", (axis, x), x, name, shapes, {"numSplits": parts})


def joined(g: GraphBuilder, parts: tuple[str, ...], name: str, axis: int = -1) -> str:
    """Concatenate along an axis."""
    shape = list(g.shape(parts[0]))
    shape[axis] = sum(g.shape(part)[axis] for part in parts)
    options = {"axis": axis % len(shape)}
    return g.moved("CONCATENATION", parts, parts[0], name, (tuple(shape),), options)[0]


def sliced(g: GraphBuilder, x: str, begin: Shape, size: Shape, name: str) -> str:
    """Cut a box out."""
    if size == g.shape(x):
        return x
    inputs = (x, _integers(g, begin), _integers(g, size))
    return g.moved("SLICE", inputs, x, name, (size,))[0]


def padded(g: GraphBuilder, x: str, columns: int, name: str) -> str:
    """Add zero columns behind the last axis."""
    *lead, width = g.shape(x)
    if not columns:
        return x
    pads = g.constant(
        f"pad/{len(lead)}x{columns}", np.asarray([[0, 0]] * len(lead) + [[0, columns]]), DType.INT32
    )
    return g.moved("PAD", (x, pads), x, name, ((*lead, width + columns),))[0]


def as_float(g: GraphBuilder, x: str, name: str) -> str:
    """Read integers as float32."""
    return g.op("CAST", (x,), name, (g.shape(x),))[0]


def overwritten(g: GraphBuilder, x: str, part: str, axis: int, at: str, name: str) -> str:
    """Write a part over a tensor, from an index of one axis on; the others are covered whole.

    The kernels move a part that would reach over the end back, so that it fits.

    Args:
      at: the index, one INT32 in a vector, known at run time only.
    """
    rank = len(g.shape(x))
    begin = f"{at}/begin/{axis % rank}of{rank}"
    if begin not in g.tensors:
        zero = _integers(g, (0,))
        indices = tuple(at if i == axis % rank else zero for i in range(rank))
        joined(g, indices, begin)
    return g.moved("DYNAMIC_UPDATE_SLICE", (x, part, begin), x, name, (g.shape(x),))[0]


def batch_matmul(g: GraphBuilder, a: str, b: str, name: str, **result: Any) -> str:
    """Multiply a (..., n, k) by the transpose of b (..., m, k).

    Always the transpose (`adj_y`): TFLM keeps a permanent transposed copy per operator otherwise.

    Args:
      result: its dtype and quant; float32 if not given.
    """
    shape = (*g.shape(a)[:-1], g.shape(b)[-2])
    return g.op("BATCH_MATMUL", (a, b), name, (shape,), options={"adjY": True}, **result)[0]
