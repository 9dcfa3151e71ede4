"""Operators without weights as models of one operator (operators.py)."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from export.graph.ir import DType, Op, Tensor
from tests.support.export.operators import (
    FLOAT_ERROR,
    SPAN,
    STEPS,
    Case,
    activations,
    grid,
    model_of,
    quant,
)

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
    "REDUCE_MAX": Kind(
        lambda x: x.max(-1, keepdims=True), constants=([2],), options={"keepDims": True}
    ),
    "RSQRT": Kind(lambda x: x**-0.5, low=0.5),
    "LOGISTIC": Kind(lambda x: 1 / (1 + np.exp(-x)), fixed=True),
    "SOFTMAX": Kind(softmax, options={"beta": 1.0}, fixed=True),
    "EXP": Kind(np.exp),
    "RELU": Kind(lambda x: np.maximum(x, 0), same_grid=True),
    "SIN": Kind(np.sin),
    "COS": Kind(np.cos),
    "BATCH_MATMUL": Kind(
        lambda a, b: a @ b.swapaxes(1, 2), ((2, 3, 8), (2, 5, 8)), options={"adjY": True}
    ),
    "TRANSPOSE": Kind(lambda x: x.transpose(0, 2, 1), constants=([0, 2, 1],), same_grid=True),
    "RESHAPE": Kind(
        lambda x: x.reshape(6, 8), constants=([6, 8],), same_grid=True, options={"newShape": (6, 8)}
    ),
    "SLICE": Kind(lambda x: x[:, 1:, :4], constants=([0, 1, 0], [2, 2, 4]), same_grid=True),
    "PAD": Kind(
        lambda x: np.pad(x, ((0, 0), (0, 0), (0, 2))),
        constants=([[0, 0], [0, 0], [0, 2]],),
        same_grid=True,
    ),
    "CONCATENATION": Kind(
        lambda a, b: np.concatenate([a, b], -1), PAIR, options={"axis": 2}, same_grid=True
    ),
    "DYNAMIC_UPDATE_SLICE": Kind(
        lambda x, part: np.concatenate([x[:, :1], part, x[:, 2:]], axis=1),
        ((2, 3, 8), (2, 1, 8)),
        constants=([0, 1, 0],),
        same_grid=True,
    ),
    "SPLIT": Kind(
        lambda x: x[..., :4],
        constants=(2,),
        first=True,
        same_grid=True,
        options={"numSplits": 2},
        outputs=2,
    ),
}


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
    ins = [
        Tensor(name=f"x{i}", shape=d[1].shape, dtype=dtype, quant=d[0]) for i, d in enumerate(drawn)
    ]
    constants = [
        Tensor(name=f"c{i}", shape=np.shape(c), dtype=DType.INT32, data=np.asarray(c, "<i4"))
        for i, c in enumerate(kind.constants)
    ]
    outs = [
        Tensor(name=f"y{i}", shape=expected.shape, dtype=dtype, quant=yq)
        for i in range(kind.outputs)
    ]
    order = [*constants, *ins] if kind.first else [*ins, *constants]
    op = Op(
        code=code,
        version=version,
        inputs=tuple(t.name for t in order),
        outputs=tuple(t.name for t in outs),
        options=kind.options,
    )
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
    op = Op(
        code="CONCATENATION",
        inputs=tuple(t.name for t in ins),
        outputs=("y0",),
        options={"axis": 1},
    )
    expected = np.concatenate([d[2] for d in drawn], -1)
    return Case(model_of(op, [*ins, y]), {f"x{i}": d[1] for i, d in enumerate(drawn)}, expected, 0)


def cast_indices(version: int) -> Case:
    """CAST of INT32 to float32, which is exact."""
    x = np.arange(-3, 4, dtype="<i4")
    ends = [Tensor(name="x", shape=x.shape, dtype=DType.INT32), Tensor(name="y", shape=x.shape)]
    op = Op(code="CAST", version=version, inputs=("x",), outputs=("y",))
    return Case(model_of(op, ends), {"x": x}, x.astype(np.float64), 0.0)


def joined_indices(version: int) -> Case:
    """CONCATENATION of a computed index with constant ones."""
    zero, x = np.zeros(1, "<i4"), np.full(1, 5, "<i4")
    tensors = [
        Tensor(name="x", shape=(1,), dtype=DType.INT32),
        Tensor(name="zero", shape=(1,), dtype=DType.INT32, data=zero),
        Tensor(name="y", shape=(3,), dtype=DType.INT32),
    ]
    inputs = ("zero", "x", "zero")
    op = Op(
        code="CONCATENATION", version=version, inputs=inputs, outputs=("y",), options={"axis": 0}
    )
    return Case(model_of(op, tensors), {"x": x}, np.asarray([0.0, 5.0, 0.0]), 0.0)


INDICES = {"CAST": cast_indices, "CONCATENATION": joined_indices}
"""Operators on indices."""


def to_grid(source: DType, target: DType, *, version: int = 1) -> Case:
    """QUANTIZE from float32 or from another width, or DEQUANTIZE to float32, of an activation.

    Between integers TFLM rounds twice: to a 128th of a step at least, and to a step.
    """
    x_quant, held, x = activations((2, 8), source, seed=0)
    yq = grid(target, SPAN)
    code = "DEQUANTIZE" if target is DType.FLOAT32 else "QUANTIZE"
    ends = [
        Tensor(name="x", shape=x.shape, dtype=source, quant=x_quant),
        Tensor(name="y", shape=x.shape, dtype=target, quant=yq),
    ]
    op = Op(code=code, version=version, inputs=("x",), outputs=("y",))
    more = 1e-3 if source is DType.FLOAT32 else 0.5 / 128
    bound = FLOAT_ERROR * SPAN if yq is None else float(yq.scale[0]) * (0.5 + more)
    return Case(model_of(op, ends), {"x": held}, x, bound)
