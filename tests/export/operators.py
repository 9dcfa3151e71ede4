"""Models of one operator, with the real values that they mean: the oracle is NumPy in float64.

Integers on the way in stand for exact real numbers, so only the operator's own rounding lies
between a runtime and the oracle.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from export.graph import DType, Graph, Model, Op, Quant, Tensor

RNG = np.random.default_rng


class Case(NamedTuple):
    """One operator with inputs.

    Attributes:
      expected: real values of the result.
      bound: of the error; half a step of rounding, and one and a half for the fixed-point
        multipliers and tables of integer kernels, or float32 rounding of the sums.
    """

    model: Model
    inputs: Mapping[str, np.ndarray]
    expected: np.ndarray
    bound: np.ndarray | float


STEPS = {DType.INT8: 2.0, DType.INT16: 4.0}  # int16 tables are interpolated
FLOAT_ERROR = 2.0**-18  # relative: approximations of exp and 1/sqrt in float32
SPAN = 4.0


def quant(scale: Any, zero_point: Any = 0, axis: int | None = None) -> Quant:
    scale = np.atleast_1d(np.asarray(scale, np.float32))
    zero_point = np.broadcast_to(np.asarray(zero_point, np.int64), scale.shape).copy()
    return Quant(scale=scale, zero_point=zero_point, axis=axis)


def grid(dtype: DType, reach: float) -> Quant | None:
    """Cover [-reach, reach]: int8 with a zero point, int16 without."""
    if dtype is DType.FLOAT32:
        return None
    if dtype is DType.INT8:
        return quant(2 * reach / 250, 3)
    return quant(reach / 32000)


def integers(real: np.ndarray, q: Quant, dtype: DType) -> np.ndarray:
    info = np.iinfo(dtype.numpy)
    return np.clip(np.round(real / q.scale[0]) + q.zero_point[0], info.min, info.max).astype(
        dtype.numpy
    )


def real(values: np.ndarray, q: Quant | None) -> np.ndarray:
    """Read the real values that integers stand for."""
    if q is None:
        return values.astype(np.float64)
    shape = [1] * values.ndim
    shape[q.axis or 0] = -1
    scale, zero = (v.astype(np.float64).reshape(shape) for v in (q.scale, q.zero_point))
    return (values.astype(np.float64) - zero) * scale


def model_of(op: Op, tensors: list[Tensor], outputs: int = 1) -> Model:
    names = [t.name for t in tensors if t.data is None]
    fed, made = names[: len(names) - outputs], names[len(names) - outputs :]
    graph = Graph(
        name="one",
        tensors=tuple(tensors),
        ops=(op,),
        inputs={n: n for n in fed},
        outputs={n: n for n in made},
    )
    return Model(graphs=(graph,))


def with_version(case: Case, version: int) -> Case:
    """Claim another version of the operator."""
    return _with_op(case, dataclasses.replace(case.model.graphs[0].ops[-1], version=version))


def with_code(case: Case, code: str) -> Case:
    """Claim another operator."""
    return _with_op(case, dataclasses.replace(case.model.graphs[0].ops[-1], code=code))


def _with_op(case: Case, op: Op) -> Case:
    graph = case.model.graphs[0]
    changed = dataclasses.replace(graph, ops=(*graph.ops[:-1], op))
    return case._replace(model=Model(graphs=(changed,)))


def activations(shape: tuple[int, ...], dtype: DType, *, seed: int, low: float = -SPAN):
    """Draw an input: tensor description, values and what they mean."""
    values = RNG(seed).uniform(low, SPAN, shape)
    q = grid(dtype, SPAN)
    held = values.astype(np.float32) if q is None else integers(values, q, dtype)
    return q, held, real(held, q)


# --- matrix products ------------------------------------------------------------------------------


class Weights(NamedTuple):
    """Kinds of filters.

    Attributes:
      per_channel: a scale per output.
      lowest: smallest integer; -8 uses the whole range of int4.
    """

    dtype: DType
    per_channel: bool = True
    lowest: int | None = None
    zero_point: int = 0


def draw_weights(shape: tuple[int, ...], kind: Weights, seed: int = 1):
    if kind.dtype in (DType.FLOAT32, DType.FLOAT16):
        values = RNG(seed).normal(size=shape).astype(kind.dtype.numpy)
        return values, None
    top = {DType.INT8: 127, DType.INT4: 7}[kind.dtype]
    low = -top if kind.lowest is None else kind.lowest
    values = RNG(seed).integers(low, top + 1, shape).astype(np.int8)
    values.reshape(shape[0], -1)[:, 0] = low
    count = shape[0] if kind.per_channel else 1
    scale = RNG(seed + 1).uniform(0.5, 2.0, count) / top  # scales that differ four times
    return values, quant(scale, kind.zero_point, 0 if kind.per_channel else None)


def fully_connected(
    x_dtype: DType, kind: Weights, *, version: int, width: int = 32, asymmetric: bool = True,
    rows: int = 4, outputs: int = 8,
) -> Case:  # fmt: skip
    """x W^T; float rows and integer weights make it a hybrid (dynamic) product."""
    xq, held, x = activations((rows, width), x_dtype, seed=0)
    w, wq = draw_weights((outputs, width), kind)
    expected = x @ real(w, wq).T
    yq = grid(x_dtype, float(np.abs(expected).max()))
    hybrid = x_dtype is DType.FLOAT32 and wq is not None
    options: dict = {"asymmetricQuantizeInputs": True} if hybrid and asymmetric else {}
    tensors = [
        Tensor(name="x", shape=x.shape, dtype=x_dtype, quant=xq),
        Tensor(name="w", shape=w.shape, dtype=kind.dtype, data=w, quant=wq),
        Tensor(name="y", shape=expected.shape, dtype=x_dtype, quant=yq),
    ]
    inputs: tuple = ("x", "w", None)
    op = Op(code="FULLY_CONNECTED", version=version, inputs=inputs, outputs=("y",),
            options=options)  # fmt: skip
    bound = product_bound(x, real(w, wq), yq, x_dtype, hybrid)
    return Case(model_of(op, tensors), {"x": held}, expected, bound)


def product_bound(
    x: np.ndarray, w: np.ndarray, yq: Quant | None, x_dtype: DType, hybrid: bool
) -> np.ndarray:
    magnitude = np.abs(x) @ np.abs(w).T
    if hybrid:  # rows rounded to steps of at most (max - min)/254
        step = np.maximum(np.ptp(x, axis=1), 2 * np.abs(x).max(axis=1)) / 254
        return step[:, None] / 2 * np.abs(w).sum(axis=1)[None] + FLOAT_ERROR * magnitude
    error = FLOAT_ERROR * magnitude
    return error if yq is None else error + STEPS[x_dtype] * yq.scale[0]


def convolution(x_dtype: DType, kind: Weights, *, version: int, width: int = 32) -> Case:
    """The same product as a 1x1 CONV_2D over (1, 1, rows, width)."""
    xq, held, x = activations((1, 1, 4, width), x_dtype, seed=0)
    w, wq = draw_weights((8, 1, 1, width), kind)
    expected = x @ real(w, wq)[:, 0, 0].T
    yq = grid(x_dtype, float(np.abs(expected).max()))
    bias_dtype = DType.FLOAT32 if x_dtype is DType.FLOAT32 else DType.INT32
    bias_quant = None
    if wq is not None and xq is not None:
        bias_quant = quant(wq.scale * xq.scale[0], 0, wq.axis)
    tensors = [
        Tensor(name="x", shape=x.shape, dtype=x_dtype, quant=xq),
        Tensor(name="w", shape=w.shape, dtype=kind.dtype, data=w, quant=wq),
        Tensor(name="b", shape=(8,), dtype=bias_dtype, data=np.zeros(8, bias_dtype.numpy),
               quant=bias_quant),
        Tensor(name="y", shape=expected.shape, dtype=x_dtype, quant=yq),
    ]  # fmt: skip
    options: dict = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}
    if x_dtype is DType.INT16:
        options["quantizedBiasType"] = 2  # TensorType.INT32
    op = Op(code="CONV_2D", version=version, inputs=("x", "w", "b"), outputs=("y",),
            options=options)  # fmt: skip
    hybrid = x_dtype is DType.FLOAT32 and wq is not None
    bound = product_bound(x[0, 0], real(w, wq)[:, 0, 0], yq, x_dtype, hybrid)
    return Case(model_of(op, tensors), {"x": held}, expected, bound)


def dequantised_weights(kind: Weights, *, version: int, width: int = 32) -> Case:
    """DEQUANTIZE of a constant, then a float product: the weights alone are integers."""
    _, held, x = activations((4, width), DType.FLOAT32, seed=0)
    w, wq = draw_weights((8, width), kind)
    expected = x @ real(w, wq).T
    tensors = [
        Tensor(name="x", shape=x.shape),
        Tensor(name="w", shape=w.shape, dtype=kind.dtype, data=w, quant=wq),
        Tensor(name="y", shape=expected.shape),
        Tensor(name="f", shape=w.shape),
    ]
    ops = (
        Op(code="DEQUANTIZE", version=version, inputs=("w",), outputs=("f",)),
        Op(code="FULLY_CONNECTED", inputs=("x", "f", None), outputs=("y",)),
    )
    graph = Graph(name="one", tensors=tuple(tensors), ops=ops, inputs={"x": "x"},
                  outputs={"y": "y"})  # fmt: skip
    bound = product_bound(x, real(w, wq), None, DType.FLOAT32, False)
    return Case(Model(graphs=(graph,)), {"x": held}, expected, bound)


def decoded(rows: int = 4, width: int = 32, outputs: int = 8) -> Case:
    """TFLM_DECODE of 4-bit codes, a table of 16 per output, then an int16 CONV_2D."""
    case = convolution(DType.INT16, Weights(DType.INT8, lowest=-7), version=4, width=width)
    (graph,) = case.model.graphs
    kernel = graph.tensor("w")
    codes = RNG(3).integers(0, 16, (outputs, width)).astype(np.uint8)
    tables = RNG(4).integers(-15, 16, (outputs, 16)).astype(np.int8)
    held = {
        "codes": np.packbits(np.unpackbits(codes.reshape(-1, 1), axis=1)[:, 4:].reshape(-1)),
        "tables": np.frombuffer(bytes([0, 1, 0, 0, 1, 4, 16, *(0,) * 9]) + tables.tobytes(),
                                np.uint8),
    }  # fmt: skip
    x, y = graph.tensor("x"), graph.tensor("y")
    filter_ = np.take_along_axis(tables, codes.astype(np.int64), axis=1)
    weights = real(filter_, kernel.quant)
    real_x = real(case.inputs["x"], x.quant)
    expected = real_x @ weights.T
    y_quant = grid(DType.INT16, float(np.abs(expected).max()))
    tensors = [
        x, graph.tensor("b"), dataclasses.replace(y, quant=y_quant),
        dataclasses.replace(kernel, data=None),
        *(Tensor(name=n, shape=v.shape, dtype=DType.UINT8, data=v) for n, v in held.items()),
    ]  # fmt: skip
    op = Op(code="TFLM_DECODE", inputs=("codes", "tables"), outputs=("w",), custom_options=b"")
    made = Graph(name="one", tensors=tuple(tensors), ops=(op, *graph.ops), inputs={"x": "x"},
                 outputs={"y": "y"})  # fmt: skip
    bound = product_bound(real_x[0, 0], weights, y_quant, DType.INT16, False)
    return Case(Model(graphs=(made,)), case.inputs, expected, bound)


# --- everything else ------------------------------------------------------------------------------

Oracle = Callable[..., np.ndarray]


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


class Kind(NamedTuple):
    """An operator without weights.

    Attributes:
      oracle: of the real values of its inputs.
      shapes: of its inputs.
      low: smallest input.
      fixed: output grid that int8 and int16 kernels insist on: (scale, zero point).
      constants: integer inputs behind (or, with `first`, before) the others.
      same_grid: the output has the input's grid.
    """

    oracle: Oracle
    shapes: tuple[tuple[int, ...], ...] = ((2, 3, 8),)
    low: float = -SPAN
    options: Mapping[str, Any] = {}
    constants: tuple[Any, ...] = ()
    first: bool = False
    fixed: bool = False
    same_grid: bool = False
    outputs: int = 1


PAIR = ((2, 3, 8), (2, 3, 8))
KINDS: dict[str, Kind] = {
    "ADD": Kind(np.add, PAIR, options={"potScaleInt16": False}),
    "SUB": Kind(np.subtract, PAIR, options={"potScaleInt16": False}),
    "MUL": Kind(np.multiply, PAIR),
    "DIV": Kind(np.divide, PAIR, low=0.5),
    "MAXIMUM": Kind(np.maximum, PAIR, same_grid=True),
    "MINIMUM": Kind(np.minimum, PAIR, same_grid=True),
    "MEAN": Kind(lambda x: x.mean(-1, keepdims=True), constants=([2],), options={"keepDims": True}),
    "SUM": Kind(lambda x: x.sum(-1, keepdims=True), constants=([2],), options={"keepDims": True}),
    "RSQRT": Kind(lambda x: x**-0.5, low=0.5),
    "LOGISTIC": Kind(lambda x: 1 / (1 + np.exp(-x)), fixed=True),
    "SOFTMAX": Kind(softmax, options={"beta": 1.0}, fixed=True),
    "EXP": Kind(np.exp),
    "RELU": Kind(lambda x: np.maximum(x, 0), same_grid=True),
    "SIN": Kind(np.sin),
    "COS": Kind(np.cos),
    "BATCH_MATMUL": Kind(lambda a, b: a @ b.swapaxes(1, 2), ((2, 3, 8), (2, 5, 8)),
                         options={"adjY": True}),
    "TRANSPOSE": Kind(lambda x: x.transpose(0, 2, 1), constants=([0, 2, 1],), same_grid=True),
    "RESHAPE": Kind(lambda x: x.reshape(6, 8), constants=([6, 8],), same_grid=True,
                    options={"newShape": (6, 8)}),
    "SLICE": Kind(lambda x: x[:, 1:, :4], constants=([0, 1, 0], [2, 2, 4]), same_grid=True),
    "PAD": Kind(lambda x: np.pad(x, ((0, 0), (0, 0), (0, 2))),
                constants=([[0, 0], [0, 0], [0, 2]],), same_grid=True),
    "CONCATENATION": Kind(lambda a, b: np.concatenate([a, b], -1), PAIR, options={"axis": 2},
                          same_grid=True),
    "SPLIT": Kind(lambda x: x[..., :4], constants=(2,), first=True, same_grid=True,
                  options={"numSplits": 2}, outputs=2),
}  # fmt: skip


def plain(code: str, dtype: DType, *, version: int = 1) -> Case:
    """One operator without weights."""
    kind = KINDS[code]
    drawn = [activations(s, dtype, seed=i, low=kind.low) for i, s in enumerate(kind.shapes)]
    expected = kind.oracle(*(d[2] for d in drawn))
    yq = grid(dtype, float(np.abs(expected).max()))
    if kind.same_grid:
        yq = grid(dtype, SPAN)
    if kind.fixed and dtype is not DType.FLOAT32:
        yq = quant(1 / 256, -128) if dtype is DType.INT8 else quant(1 / 32768)
    ins = [Tensor(name=f"x{i}", shape=d[1].shape, dtype=dtype, quant=d[0])
           for i, d in enumerate(drawn)]  # fmt: skip
    constants = [
        Tensor(name=f"c{i}", shape=np.shape(c), dtype=DType.INT32, data=np.asarray(c, "<i4"))
        for i, c in enumerate(kind.constants)
    ]
    outs = [Tensor(name=f"y{i}", shape=expected.shape, dtype=dtype, quant=yq)
            for i in range(kind.outputs)]  # fmt: skip
    order = [*constants, *ins] if kind.first else [*ins, *constants]
    op = Op(code=code, version=version, inputs=tuple(t.name for t in order),
            outputs=tuple(t.name for t in outs), options=kind.options)  # fmt: skip
    size = FLOAT_ERROR * (1 + np.abs(expected).max())
    bound = size if yq is None else size + STEPS[dtype] * float(yq.scale[0])
    return Case(
        model_of(op, [*ins, *constants, *outs], kind.outputs),
        {f"x{i}": d[1] for i, d in enumerate(drawn)},
        expected,
        bound,
    )


def concatenation(parts: int) -> Case:
    """Float CONCATENATION of many."""
    drawn = [activations((1, 2), DType.FLOAT32, seed=i) for i in range(parts)]
    ins = [Tensor(name=f"x{i}", shape=(1, 2)) for i in range(parts)]
    y = Tensor(name="y0", shape=(1, 2 * parts))
    op = Op(code="CONCATENATION", inputs=tuple(t.name for t in ins), outputs=("y0",),
            options={"axis": 1})  # fmt: skip
    expected = np.concatenate([d[2] for d in drawn], -1)
    return Case(model_of(op, [*ins, y]), {f"x{i}": d[1] for i, d in enumerate(drawn)}, expected, 0)


def to_grid(source: DType, target: DType, *, version: int = 1) -> Case:
    """QUANTIZE from float32 or from another width, or DEQUANTIZE to float32, of an activation.

    Between integers TFLM rounds twice: to a 128th of a step at least, and to a step.
    """
    x_quant, held, x = activations((2, 8), source, seed=0)
    yq = grid(target, SPAN)
    code = "DEQUANTIZE" if target is DType.FLOAT32 else "QUANTIZE"
    ends = [Tensor(name="x", shape=x.shape, dtype=source, quant=x_quant),
            Tensor(name="y", shape=x.shape, dtype=target, quant=yq)]  # fmt: skip
    op = Op(code=code, version=version, inputs=("x",), outputs=("y",))
    more = 1e-3 if source is DType.FLOAT32 else 0.5 / 128
    bound = FLOAT_ERROR * SPAN if yq is None else float(yq.scale[0]) * (0.5 + more)
    return Case(model_of(op, ends), {"x": held}, x, bound)
