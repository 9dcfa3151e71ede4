"""Every matrix product of a model in ONNX's words, alone on its runtime, against float64.

As verify_operators.py does for the TFLite schema's, with its bounds: scales, zero points and
integers are read from the file, inputs lie on the input's grid, where rounding has one answer.
A product is cut with what quantises its input, expands its filter and rounds its output.
"""

import dataclasses

import numpy as np

from export.contract import Runtime
from export.graph import Graph, Model, Op, Quant, Tensor
from export.verify_operators import ROWS, SPAN, Check, bound_of, limits, real


def products(model: Model) -> Model:
    """Cut every product with a constant filter out: one graph each, called `product_N`."""
    cut: dict[str, Graph] = {}
    for graph in model.graphs:
        makers = {name: op for op in graph.ops for name in op.outputs}
        readers = {name: op for op in graph.ops for name in op.inputs}
        for op in graph.ops:
            filter = _filter_of(graph, op, makers)
            if filter and filter not in cut:
                cut[filter] = _cut(graph, op, makers, readers, f"product_{len(cut)}")
    return Model(graphs=tuple(cut.values()))


def check(graph: Graph, runtime: Runtime, seed: int) -> Check:
    """Run a product on random rows."""
    makers = {name: op for op in graph.ops for name in op.outputs}
    product = next(op for op in graph.ops if op.code == "MatMul")
    x, y = graph.tensor(graph.inputs["x"]), graph.outputs["y"]
    rows = _draw(x.shape, seed, _grid_of(graph, makers.get(str(product.inputs[0]))))
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


def _cut(
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
    tensors = tuple(_few_rows(graph.tensor(n), n in filters) for n in names)
    return Graph(name=name, tensors=tensors, ops=tuple(ops), inputs={"x": x}, outputs={"y": y})


def _few_rows(tensor: Tensor, is_filter: bool) -> Tensor:
    if tensor.data is not None or is_filter:
        return tensor
    shape = (*(1,) * (len(tensor.shape) - 2), ROWS, tensor.shape[-1])
    return dataclasses.replace(tensor, shape=shape)


def _grid_of(graph: Graph, op: Op | None) -> tuple[Tensor, Quant] | None:
    """Read the integers behind a DequantizeLinear, and what they mean."""
    if op is None or op.code != "DequantizeLinear":
        return None
    scale, zero = (_data(graph, name).reshape(-1) for name in op.inputs[1:])
    axis = op.options.get("axis") if scale.size > 1 else None
    assert axis is None or isinstance(axis, int)
    quant = Quant(scale=scale, zero_point=zero.astype(np.int64), axis=axis)
    return graph.tensor(str(op.inputs[0])), quant


def _weights(graph: Graph, filter: str, expand: Op | None) -> np.ndarray:
    """Read a filter's real values, (inputs, outputs)."""
    grid = _grid_of(graph, expand)
    return real(_data(graph, filter), grid[1] if grid else None)


def _draw(shape: tuple[int, ...], seed: int, grid: tuple[Tensor, Quant] | None) -> np.ndarray:
    """Draw rows: any floats, or points of the input's grid."""
    rng = np.random.default_rng(seed)
    if grid is None:
        return rng.uniform(-SPAN, SPAN, shape).astype(np.float32)
    low, high = limits(grid[0].dtype)
    return real(rng.integers(low, high + 1, shape), grid[1]).astype(np.float32)


def _data(graph: Graph, name: str | None) -> np.ndarray:
    data = graph.tensor(str(name)).data
    assert data is not None, name
    return data
