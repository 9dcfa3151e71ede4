"""Every matrix product of a model, alone on its runtime, against NumPy in float64.

`cut_products` makes a graph of every product, with what expands its filter and, in ONNX, what
quantises its input and rounds its output. `check_product` runs it on random rows. The filter's
integers, scales and zero points are read from the file, so what is tested is the runtime: that
this operator, in this version, computes what the file says. Inputs lie on the input's grid, where
rounding has one answer. Bounds, with x the input row, W the filter, and sums over a row:

    float32 sums      FLOAT_ERROR (sum |x||w| + |bias|)   rounding of products and sums
    dynamic inputs    + step/2 sum |w|, step = range/254  rows rounded to int8
    static            + 1 step of the output              half of rounding, half of multipliers

TFLite's operators and ONNX's differ in where a product's parts are: READERS has both. Not here:
operators without weights (tests), whole blocks (check_blocks.py).
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Float64

from export.graph.ir import DType, Graph, GraphModel, Op, Quant, Tensor
from export.lowering.integer_matmul import HEADER
from export.runtimes.contract import Runtime

FLOAT_ERROR = 2.0**-18  # relative; thousands of terms in any order stay below it
SPAN = 4.0  # of random float inputs: a normalised state reaches about this far
ROWS = 8


class ProductCheck(NamedTuple):
    """How far the worst element of a product is off, in units of its bound."""

    name: str
    worst: float

    @property
    def passed(self) -> bool:
        return self.worst <= 1.0


class IntegerGrid(NamedTuple):
    """The integers that stand for a tensor's values."""

    dtype: DType
    quant: Quant


@dataclass(frozen=True, kw_only=True, eq=False)
class Product:
    """A product as its graph describes it.

    Attributes:
      name: of the filter.
      weights, bias: real values.
      inputs, outputs: grids, where they are integers.
      is_hybrid: the kernel rounds its float rows to int8.
    """

    name: str
    weights: Float64[np.ndarray, "outputs inputs"]
    bias: Float64[np.ndarray, " outputs"] | None
    inputs: IntegerGrid | None
    outputs: IntegerGrid | None
    is_hybrid: bool


class ProductParts(NamedTuple):
    """Which part of a graph is a product.

    Attributes:
      filter: tensor that is multiplied by; products that share it are checked once.
      ops: the product and what belongs to it, in order.
      x, y: tensors that go in and come out.
    """

    filter: str
    ops: tuple[Op, ...]
    x: str
    y: str


class ProductReader(Protocol):
    """How a product is found and read in a set of operators."""

    def find(self, op: Op, links: "Links") -> ProductParts | None:
        """Find the parts of a product; None where its filter is computed."""
        ...

    def read(self, graph: Graph, op: Op) -> Product:
        """Read a product from a graph of its own."""
        ...


class Links:
    """Which operators of a graph write and read its tensors.

    Attributes:
      makers: tensor -> operator that computes it.
      readers: tensor -> an operator that reads it.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.makers: Mapping[str, Op] = {name: op for op in graph.ops for name in op.outputs}
        self.readers: Mapping[str | None, Op] = {n: op for op in graph.ops for n in op.inputs}


def cut_products(model: GraphModel) -> GraphModel:
    """Cut every product out of a model: one graph each, called `product_N`.

    Filters that several graphs share are taken once.
    """
    graphs: dict[str, Graph] = {}
    for graph in model.graphs:
        links = Links(graph)
        for op in graph.ops:
            parts = READERS[op.code].find(op, links) if op.code in READERS else None
            if parts is not None and parts.filter not in graphs:
                graphs[parts.filter] = _graph_of(parts, links, f"product_{len(graphs)}")
    return GraphModel(graphs=tuple(graphs.values()))


def check_product(graph: Graph, runtime: Runtime, seed: int) -> ProductCheck:
    """Run a product of `cut_products` on random rows."""
    op = next(op for op in graph.ops if op.code in READERS)
    product = READERS[op.code].read(graph, op)
    x, y = graph.tensor(graph.inputs["x"]), graph.tensor(graph.outputs["y"])
    values = draw_rows(x, product.inputs, seed)
    rows = real_values(values, x.quant).reshape(ROWS, -1)
    result = real_values(runtime.run(graph.name, {"x": values})["y"], y.quant).reshape(ROWS, -1)
    expected = rows @ product.weights.T
    if product.bias is not None:
        expected = expected + product.bias
    if product.outputs is not None:  # integers saturate
        low, high = real_values(np.asarray(limits(product.outputs.dtype)), product.outputs.quant)
        expected = np.clip(expected, low, high)
    bound = bound_of(rows, product)
    return ProductCheck(product.name, float(np.max(np.abs(result - expected) / bound)))


def bound_of(x: Float64[np.ndarray, "rows inputs"], product: Product) -> np.ndarray:
    """Bound every output of a product (the table above)."""
    weights = np.abs(product.weights)
    terms = np.abs(x) @ weights.T
    if product.bias is not None:  # one more term; all of them where a head was hardly trained
        terms = terms + np.abs(product.bias)
    bound = FLOAT_ERROR * terms + np.finfo(np.float32).tiny
    if product.is_hybrid:
        reach = np.maximum(np.ptp(x, axis=1), 2 * np.abs(x).max(axis=1))
        bound = bound + reach[:, None] / 254 / 2 * weights.sum(axis=1)[None]
    return bound if product.outputs is None else bound + float(product.outputs.quant.scale[0])


def draw_rows(x: Tensor, grid: IntegerGrid | None, seed: int) -> np.ndarray:
    """Draw inputs of a graph: any floats, or points of the grid, as x holds them."""
    rng = np.random.default_rng(seed)
    if grid is None:
        return rng.uniform(-SPAN, SPAN, x.shape).astype(np.float32)
    low, high = limits(grid.dtype)
    integers = rng.integers(low, high + 1, x.shape)
    if x.dtype is DType.FLOAT32:  # the graph quantises them itself
        return real_values(integers, grid.quant).astype(np.float32)
    return integers.astype(x.dtype.numpy)


def limits(dtype: DType) -> tuple[int, int]:
    """Return both ends of an integer type."""
    info = np.iinfo(dtype.numpy)
    return int(info.min), int(info.max)


def real_values(values: np.ndarray, quant: Quant | None) -> np.ndarray:
    """Read the real values that integers stand for."""
    if quant is None:
        return values.astype(np.float64)
    shape = [1] * values.ndim
    shape[quant.axis or 0] = -1
    scale, zero = (v.astype(np.float64).reshape(shape) for v in (quant.scale, quant.zero_point))
    return (values.astype(np.float64) - zero) * scale


def _graph_of(parts: ProductParts, links: Links, name: str) -> Graph:
    """Make a graph of one product; what is not constant gets few rows."""
    product = next(op for op in parts.ops if op.code in READERS)
    expanded = str(product.inputs[1])
    names = dict.fromkeys(n for o in parts.ops for n in (*o.inputs, *o.outputs) if n is not None)
    tensors = (links.graph.tensor(n) for n in names)
    return Graph(
        name=name,
        tensors=tuple(
            t if t.data is not None or t.name == expanded else _few_rows(t) for t in tensors
        ),
        ops=parts.ops,
        inputs={"x": parts.x},
        outputs={"y": parts.y},
    )


def _few_rows(tensor: Tensor) -> Tensor:
    shape = (*(1,) * (len(tensor.shape) - 2), ROWS, tensor.shape[-1])
    return dataclasses.replace(tensor, shape=shape)


def _constant(graph: Graph, name: str | None) -> np.ndarray:
    data = graph.tensor(str(name)).data
    assert data is not None, name
    return data


class TfliteProducts:
    """FULLY_CONNECTED and CONV_2D: grids are the tensors' own."""

    def find(self, op: Op, links: Links) -> ProductParts | None:
        kernel = str(op.inputs[1])
        maker = links.makers.get(kernel)  # DEQUANTIZE or TFLM_DECODE
        ops = (op,) if maker is None else (maker, op)
        return ProductParts(kernel, ops, str(op.inputs[0]), op.outputs[0])

    def read(self, graph: Graph, op: Op) -> Product:
        x, y = graph.tensor(str(op.inputs[0])), graph.tensor(op.outputs[0])
        first = graph.ops[0]  # the product, or what makes its filter
        is_expanded, is_decoded = first.code == "DEQUANTIZE", first.is_custom
        source = graph.tensor(str(first.inputs[0] if is_expanded else op.inputs[1]))
        filter = decode_filter(graph, first) if is_decoded else _constant(graph, source.name)
        bias = None
        if len(op.inputs) > 2 and op.inputs[2] is not None:
            bias = real_values(_constant(graph, op.inputs[2]), graph.tensor(op.inputs[2]).quant)
        has_float_rows = x.dtype is DType.FLOAT32
        return Product(
            name=source.name,
            weights=real_values(filter, source.quant).reshape(-1, x.shape[-1]),
            bias=bias,
            inputs=None if x.quant is None else IntegerGrid(x.dtype, x.quant),
            outputs=None if y.quant is None else IntegerGrid(y.dtype, y.quant),
            is_hybrid=has_float_rows and not is_expanded and source.quant is not None,
        )


def decode_filter(graph: Graph, op: Op) -> np.ndarray:
    """Decode the filter of a TFLM_DECODE (lowering/integer_matmul.py says how it is stored)."""
    codes, tables = (_constant(graph, name) for name in op.inputs)
    shape = graph.tensor(op.outputs[0]).shape
    entries = tables[len(HEADER) :].view(np.int8).reshape(shape[0], -1)
    nibbles = np.stack([codes >> 4, codes & 15], axis=-1).reshape(-1)[: int(np.prod(shape))]
    rows = nibbles.reshape(shape[0], -1)
    return np.take_along_axis(entries, rows.astype(np.int64), axis=1).reshape(shape)


class OnnxProducts:
    """MatMul with a constant filter (inputs, outputs): grids are operators around it."""

    def find(self, op: Op, links: Links) -> ProductParts | None:
        makers, readers = links.makers, links.readers
        expand = makers.get(str(op.inputs[1]))
        filter = str(op.inputs[1] if expand is None else expand.inputs[0])
        if links.graph.tensor(filter).data is None:
            return None
        x, y = str(op.inputs[0]), op.outputs[0]
        ops = [op] if expand is None else [expand, op]
        before, after = makers.get(x), readers.get(y)
        if before is not None and before.code == "DequantizeLinear":
            rounding = makers[str(before.inputs[0])]
            ops, x = [rounding, before, *ops], str(rounding.inputs[0])
        if after is not None and after.code == "QuantizeLinear":
            expanding = readers[after.outputs[0]]
            ops, y = [*ops, after, expanding], expanding.outputs[0]
        return ProductParts(filter, tuple(ops), x, y)

    def read(self, graph: Graph, op: Op) -> Product:
        makers, y = Links(graph).makers, graph.outputs["y"]
        expand = makers.get(str(op.inputs[1]))
        filter = str(op.inputs[1] if expand is None else expand.inputs[0])
        grid = self._grid_of(graph, expand)
        return Product(
            name=filter,
            weights=real_values(_constant(graph, filter), grid.quant if grid else None).T,
            bias=None,  # an operator of its own
            inputs=self._grid_of(graph, makers.get(str(op.inputs[0]))),
            outputs=None if y == op.outputs[0] else self._grid_of(graph, makers.get(y)),
            is_hybrid=False,
        )

    def _grid_of(self, graph: Graph, op: Op | None) -> IntegerGrid | None:
        """Read the grid of a DequantizeLinear's integers."""
        if op is None or op.code != "DequantizeLinear":
            return None
        scale, zero = (_constant(graph, name).reshape(-1) for name in op.inputs[1:])
        axis = op.options.get("axis") if scale.size > 1 else None
        assert axis is None or isinstance(axis, int)
        quant = Quant(scale=scale, zero_point=zero.astype(np.int64), axis=axis)
        return IntegerGrid(graph.tensor(str(op.inputs[0])).dtype, quant)


READERS: dict[str, ProductReader] = {
    **dict.fromkeys(("FULLY_CONNECTED", "CONV_2D"), TfliteProducts()),
    "MatMul": OnnxProducts(),
}
"""Operator -> how its products are read."""
