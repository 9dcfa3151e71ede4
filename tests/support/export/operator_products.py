"""Matrix products as models of one operator (operators.py)."""

import dataclasses
from typing import NamedTuple

import numpy as np

from export.graph.ir import DType, Graph, GraphModel, Op, Quant, Tensor
from tests.support.export.operators import (
    FLOAT_ERROR,
    RNG,
    STEPS,
    Case,
    activations,
    grid,
    model_of,
    quant,
    real,
)


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
    x_dtype: DType,
    kind: Weights,
    *,
    version: int,
    width: int = 32,
    asymmetric: bool = True,
    rows: int = 4,
    outputs: int = 8,
) -> Case:
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
    op = Op(code="FULLY_CONNECTED", version=version, inputs=inputs, outputs=("y",), options=options)
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
        Tensor(
            name="b",
            shape=(8,),
            dtype=bias_dtype,
            data=np.zeros(8, bias_dtype.numpy),
            quant=bias_quant,
        ),
        Tensor(name="y", shape=expected.shape, dtype=x_dtype, quant=yq),
    ]
    options: dict = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}
    if x_dtype is DType.INT16:
        options["quantizedBiasType"] = 2  # TensorType.INT32
    op = Op(
        code="CONV_2D", version=version, inputs=("x", "w", "b"), outputs=("y",), options=options
    )
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
    graph = Graph(
        name="one", tensors=tuple(tensors), ops=ops, inputs={"x": "x"}, outputs={"y": "y"}
    )
    bound = product_bound(x, real(w, wq), None, DType.FLOAT32, False)
    return Case(GraphModel(graphs=(graph,)), {"x": held}, expected, bound)


def decoded(rows: int = 4, width: int = 32, outputs: int = 8) -> Case:
    """TFLM_DECODE of 4-bit codes, a table of 16 per output, then an int16 CONV_2D."""
    case = convolution(DType.INT16, Weights(DType.INT8, lowest=-7), version=4, width=width)
    (graph,) = case.model.graphs
    kernel = graph.tensor("w")
    codes = RNG(3).integers(0, 16, (outputs, width)).astype(np.uint8)
    tables = RNG(4).integers(-15, 16, (outputs, 16)).astype(np.int8)
    held = {
        "codes": np.packbits(np.unpackbits(codes.reshape(-1, 1), axis=1)[:, 4:].reshape(-1)),
        "tables": np.frombuffer(
            bytes([0, 1, 0, 0, 1, 4, 16, *(0,) * 9]) + tables.tobytes(), np.uint8
        ),
    }
    x, y = graph.tensor("x"), graph.tensor("y")
    filter_ = np.take_along_axis(tables, codes.astype(np.int64), axis=1)
    weights = real(filter_, kernel.quant)
    real_x = real(case.inputs["x"], x.quant)
    expected = real_x @ weights.T
    y_quant = grid(DType.INT16, float(np.abs(expected).max()))
    tensors = [
        x,
        graph.tensor("b"),
        dataclasses.replace(y, quant=y_quant),
        dataclasses.replace(kernel, data=None),
        *(Tensor(name=n, shape=v.shape, dtype=DType.UINT8, data=v) for n, v in held.items()),
    ]
    op = Op(code="TFLM_DECODE", inputs=("codes", "tables"), outputs=("w",), custom_options=b"")
    made = Graph(
        name="one",
        tensors=tuple(tensors),
        ops=(op, *graph.ops),
        inputs={"x": "x"},
        outputs={"y": "y"},
    )
    bound = product_bound(real_x[0, 0], weights, y_quant, DType.INT16, False)
    return Case(GraphModel(graphs=(made,)), case.inputs, expected, bound)
