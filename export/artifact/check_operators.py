"""Every matrix product of a model, alone on its runtime, against NumPy in float64.

The filter's integers, scales and zero points are read from the file, so what is tested is the
runtime: that this operator, in this version, means here what the file says. Bounds, with x the
input row, W the filter, and sums over a row:

    float32 sums      FLOAT_ERROR sum |x||w|              rounding of products and sums
    dynamic inputs    + step/2 sum |w|, step = range/254  rows rounded to int8
    static            + 1 step of the output              half of rounding, half of multipliers

Every matrix product of a model in ONNX's words, alone on its runtime, against float64.

As check_operators.py does for the TFLite schema's, with its bounds: scales, zero points and
integers are read from the file, inputs lie on the input's grid, where rounding has one answer.
A product is cut with what quantises its input, expands its filter and rounds its output.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from export.graph.ir import DType, Graph, GraphModel, Op, Quant, Tensor
from export.lowering.integer_matmul import HEADER
from export.runtimes.contract import Runtime

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


def products(model: GraphModel) -> GraphModel:
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
    return GraphModel(graphs=tuple(cut.values()))


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
    """Decode the filter of a TFLM_DECODE (lowering/integer_matmul.py says how it is stored)."""
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


def onnx_products(model: GraphModel) -> GraphModel:
    """Cut every product with a constant filter out: one graph each, called `product_N`."""
    cut: dict[str, Graph] = {}
    for graph in model.graphs:
        makers = {name: op for op in graph.ops for name in op.outputs}
        readers = {name: op for op in graph.ops for name in op.inputs}
        for op in graph.ops:
            filter = _filter_of(graph, op, makers)
            if filter and filter not in cut:
                cut[filter] = _cut_onnx(graph, op, makers, readers, f"product_{len(cut)}")
    return GraphModel(graphs=tuple(cut.values()))


def check_onnx(graph: Graph, runtime: Runtime, seed: int) -> Check:
    """Run a product on random rows."""
    makers = {name: op for op in graph.ops for name in op.outputs}
    product = next(op for op in graph.ops if op.code == "MatMul")
    x, y = graph.tensor(graph.inputs["x"]), graph.outputs["y"]
    rows = _draw_onnx(x.shape, seed, _grid_of(graph, makers.get(str(product.inputs[0]))))
    got = runtime.run(graph.name, {"x": rows})["y"].astype(np.float64).reshape(ROWS, -1)
    flat = rows.reshape(ROWS, -1).astype(np.float64)
    filter = _filter_of(graph, product, makers)
    assert filter is not None
    weights = _weights(graph, filter, makers.get(str(product.inputs[1])))
    out = None if y == product.outputs[0] else _grid_of(graph, makers.get(y))
    expected = flat @ weights
    if out is not None:  # integers saturate
        dtype, quant = out
        low, high = real(np.asarray(limits(dtype.dtype)), quant)
        expected = np.clip(expected, low, high)
    bound = bound_of(flat, weights.T, out[1] if out else None, hybrid=False)
    return Check(filter, float(np.max(np.abs(got - expected) / bound)))


def _filter_of(graph: Graph, op: Op, makers: dict[str, Op]) -> str | None:
    """Name the constant behind a product's second input, if there is one."""
    if op.code != "MatMul":
        return None
    maker = makers.get(str(op.inputs[1]))
    name = str(op.inputs[1] if maker is None else maker.inputs[0])
    return None if graph.tensor(name).data is None else name


def _cut_onnx(
    graph: Graph, op: Op, makers: dict[str, Op], readers: dict[str | None, Op], name: str
) -> Graph:
    """Make a graph of one product; what is not constant gets few rows."""
    x, y = str(op.inputs[0]), op.outputs[0]
    ops = [op]
    if (expand := makers.get(str(op.inputs[1]))) is not None:
        ops.insert(0, expand)
    before, behind = makers.get(x), readers.get(y)
    if before is not None and before.code == "DequantizeLinear":
        rounding = makers[str(before.inputs[0])]
        ops, x = [rounding, before, *ops], str(rounding.inputs[0])
    if behind is not None and behind.code == "QuantizeLinear":
        expanding = readers[behind.outputs[0]]
        ops, y = [*ops, behind, expanding], expanding.outputs[0]
    names = dict.fromkeys(n for o in ops for n in (*o.inputs, *o.outputs) if n is not None)
    filters = {*(expand.outputs if expand else ())}
    tensors = tuple(_few_rows_onnx(graph.tensor(n), n in filters) for n in names)
    return Graph(name=name, tensors=tensors, ops=tuple(ops), inputs={"x": x}, outputs={"y": y})


def _few_rows_onnx(tensor: Tensor, is_filter: bool) -> Tensor:
    if tensor.data is not None or is_filter:
        return tensor
    shape = (*(1,) * (len(tensor.shape) - 2), ROWS, tensor.shape[-1])
    return dataclasses.replace(tensor, shape=shape)


def _grid_of(graph: Graph, op: Op | None) -> tuple[Tensor, Quant] | None:
    """Read the integers behind a DequantizeLinear, and what they mean."""
    if op is None or op.code != "DequantizeLinear":
        return None
    scale, zero = (_data_onnx(graph, name).reshape(-1) for name in op.inputs[1:])
    axis = op.options.get("axis") if scale.size > 1 else None
    assert axis is None or isinstance(axis, int)
    quant = Quant(scale=scale, zero_point=zero.astype(np.int64), axis=axis)
    return graph.tensor(str(op.inputs[0])), quant


def _weights(graph: Graph, filter: str, expand: Op | None) -> np.ndarray:
    """Read a filter's real values, (inputs, outputs)."""
    grid = _grid_of(graph, expand)
    return real(_data_onnx(graph, filter), grid[1] if grid else None)


def _draw_onnx(shape: tuple[int, ...], seed: int, grid: tuple[Tensor, Quant] | None) -> np.ndarray:
    """Draw rows: any floats, or points of the input's grid."""
    rng = np.random.default_rng(seed)
    if grid is None:
        return rng.uniform(-SPAN, SPAN, shape).astype(np.float32)
    low, high = limits(grid[0].dtype)
    return real(rng.integers(low, high + 1, shape), grid[1]).astype(np.float32)


def _data_onnx(graph: Graph, name: str | None) -> np.ndarray:
    data = graph.tensor(str(name)).data
    assert data is not None, name
    return data
