"""Every matrix product of a model, alone on its runtime, against NumPy in float64.

The filter's integers, scales and zero points are read from the file, so what is tested is the
runtime: that this operator, in this version, means here what the file says. Bounds, with x the
input row, W the filter, and sums over a row:

    float32 sums      FLOAT_ERROR sum |x||w|              rounding of products and sums
    dynamic inputs    + step/2 sum |w|, step = range/254  rows rounded to int8
    static            + 1 step of the output              half of rounding, half of multipliers
"""

from typing import NamedTuple

import numpy as np

from export.contract import Runtime
from export.decode import HEADER
from export.graph import DType, Graph, Model, Op, Quant, Tensor

FLOAT_ERROR = 2.0**-18  # relative; thousands of terms in any order stay below it
SPAN = 4.0  # of random float inputs: a normalised state reaches about this far
ROWS = 8
PRODUCTS = ("FULLY_CONNECTED", "CONV_2D")


class Check(NamedTuple):
    """A result: how far the worst element lies, in units of its bound."""

    name: str
    worst: float

    @property
    def passed(self) -> bool:
        return self.worst <= 1.0


def products(model: Model) -> Model:
    """Cut every product out of a model: one graph each, called `product/N`.

    Filters that several graphs share are taken once.
    """
    cut: dict[str, Graph] = {}
    for graph in model.graphs:
        made_by = {name: op for op in graph.ops for name in op.outputs}
        for op in graph.ops:
            kernel = str(op.inputs[1]) if op.code in PRODUCTS else ""
            if kernel and kernel not in cut:
                cut[kernel] = _cut(graph, op, made_by.get(kernel), f"product/{len(cut)}")
    return Model(graphs=tuple(cut.values()))


def check(graph: Graph, runtime: Runtime, seed: int) -> Check:
    """Run a product on random rows."""
    op = graph.ops[-1]
    x, y = graph.tensor(str(op.inputs[0])), graph.tensor(op.outputs[0])
    held = _draw(x, seed)
    got = real(runtime.run(graph.name, {"x": held})["y"], y.quant).reshape(-1, y.shape[-1])
    rows = real(held, x.quant).reshape(-1, x.shape[-1])
    dequantised = graph.ops[0].code == "DEQUANTIZE"
    source = graph.tensor(str(graph.ops[0].inputs[0] if dequantised else op.inputs[1]))
    held_weights = decode(graph) if graph.ops[0].is_custom else _data(source)
    weights = real(held_weights, source.quant).reshape(-1, x.shape[-1])
    expected = rows @ weights.T
    if len(op.inputs) > 2 and op.inputs[2] is not None:
        bias = graph.tensor(str(op.inputs[2]))
        expected = expected + real(_data(bias), bias.quant)
    if y.quant is not None:  # integers saturate
        low, high = real(np.asarray(limits(y.dtype)), y.quant)
        expected = np.clip(expected, low, high)
    hybrid = x.dtype is DType.FLOAT32 and not dequantised and source.quant is not None
    bound = bound_of(rows, weights, y.quant, hybrid)
    return Check(source.name, float(np.max(np.abs(got - expected) / bound)))


def decode(graph: Graph) -> np.ndarray:
    """Decode the filter of a TFLM_DECODE (decode.py says how it is stored)."""
    op = graph.ops[0]
    codes, tables = (_data(graph.tensor(str(name))) for name in op.inputs)
    shape = graph.tensor(op.outputs[0]).shape
    entries = tables[len(HEADER) :].view(np.int8).reshape(shape[0], -1)
    nibbles = np.stack([codes >> 4, codes & 15], axis=-1).reshape(-1)[: int(np.prod(shape))]
    rows = nibbles.reshape(shape[0], -1)
    return np.take_along_axis(entries, rows.astype(np.int64), axis=1).reshape(shape)


def limits(dtype: DType) -> tuple[int, int]:
    """Return both ends of an integer type."""
    info = np.iinfo(dtype.numpy)
    return int(info.min), int(info.max)


def real(values: np.ndarray, quant: Quant | None) -> np.ndarray:
    """Read the real values that integers stand for."""
    if quant is None:
        return values.astype(np.float64)
    shape = [1] * values.ndim
    shape[quant.axis or 0] = -1
    scale, zero = (v.astype(np.float64).reshape(shape) for v in (quant.scale, quant.zero_point))
    return (values.astype(np.float64) - zero) * scale


def bound_of(x: np.ndarray, w: np.ndarray, y: Quant | None, hybrid: bool) -> np.ndarray:
    """Bound every output of a product (the table above).

    Args:
      x: rows, inputs.  w: outputs, inputs.
      y: grid of the output, if there is one.
      hybrid: the kernel rounds its rows to int8.
    """
    bound = FLOAT_ERROR * (np.abs(x) @ np.abs(w).T) + np.finfo(np.float32).tiny
    if hybrid:
        reach = np.maximum(np.ptp(x, axis=1), 2 * np.abs(x).max(axis=1))
        bound = bound + reach[:, None] / 254 / 2 * np.abs(w).sum(axis=1)[None]
    return bound if y is None else bound + float(y.scale[0])


def _draw(x: Tensor, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if x.quant is None:
        return rng.uniform(-SPAN, SPAN, x.shape).astype(np.float32)
    low, high = limits(x.dtype)
    return rng.integers(low, high + 1, x.shape).astype(x.dtype.numpy)


def _cut(graph: Graph, op: Op, maker: Op | None, name: str) -> Graph:
    """Make a graph of one product; its input and output get few rows."""
    ops = (op,) if maker is None else (maker, op)
    names = dict.fromkeys(n for o in ops for n in (*o.inputs, *o.outputs) if n is not None)
    ends = {str(op.inputs[0]), op.outputs[0]}
    tensors = tuple(_few_rows(graph.tensor(n)) if n in ends else graph.tensor(n) for n in names)
    return Graph(
        name=name,
        tensors=tensors,
        ops=ops,
        inputs={"x": str(op.inputs[0])},
        outputs={"y": op.outputs[0]},
    )


def _few_rows(tensor: Tensor) -> Tensor:
    shape = (*(1,) * (len(tensor.shape) - 2), ROWS, tensor.shape[-1])
    return Tensor(name=tensor.name, shape=shape, dtype=tensor.dtype, quant=tensor.quant)


def _data(tensor: Tensor) -> np.ndarray:
    assert tensor.data is not None, tensor.name
    return tensor.data
