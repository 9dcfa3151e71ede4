"""What every operator of the TFLite schema becomes in ONNX (the table in onnx_translate.py)."""

from collections.abc import Callable

import numpy as np

from export.graph import DType, Op
from export.onnx_builder import Translation

BINARY = {
    "ADD": "Add",
    "SUB": "Sub",
    "MUL": "Mul",
    "DIV": "Div",
    "MAXIMUM": "Max",
    "MINIMUM": "Min",
}
UNARY = {"LOGISTIC": "Sigmoid", "EXP": "Exp", "RELU": "Relu", "SIN": "Sin", "COS": "Cos"}
REDUCED = {"MEAN": "ReduceMean", "SUM": "ReduceSum"}
FOLDED: dict[str, Callable[..., np.ndarray]] = {
    "SIN": np.sin,
    "COS": np.cos,
    "MUL": np.multiply,
}
"""What is computed at once where all inputs are constants: the rotary tables."""
UNDERSTOOD = {"keepNumDims", "keepDims", "newShape", "numSplits", "axis", "adjY", "beta"}
"""Options of the source; another one would be lost."""


def step(t: Translation, op: Op) -> None:
    """Translate an operator.

    Raises:
      ValueError: it has no ONNX form here; the message names it.
    """
    if op.code in FOLDED:
        values = [t.constant(name) for name in op.inputs]
        if all(value is not None for value in values):
            t.folded[op.outputs[0]] = FOLDED[op.code](*values)
            return
    if op.code not in HANDLERS or set(op.options) - UNDERSTOOD:
        raise ValueError(
            f"graph {t.source.name!r}: {op.code} {dict(op.options)} has no ONNX form here;"
            f" known: {', '.join(sorted(HANDLERS))}"
        )
    HANDLERS[op.code](t, op)


def _same_value(t: Translation, op: Op) -> None:
    """Quantise or dequantise: the float value is the input's, `give` does the rounding."""
    if t.source.tensor(str(op.inputs[0])).data is None:
        t.give(op, t.value(str(op.inputs[0])))
    # constants are expanded by whoever reads them: filters are turned around on the way


def _pointwise(t: Translation, op: Op) -> None:
    code = {**BINARY, **UNARY}[op.code]
    name, shape = t.room(op)
    t.give(op, t.add(code, tuple(t.value(str(n)) for n in op.inputs), name, shape))


def _rsqrt(t: Translation, op: Op) -> None:
    name, shape = t.room(op)
    root = t.add("Sqrt", (t.value(str(op.inputs[0])),), f"{name}/sqrt", shape)
    t.give(op, t.add("Reciprocal", (root,), name, shape))


def _reduced(t: Translation, op: Op) -> None:
    name, shape = t.room(op)
    axes = t.integers(t.numbers(str(op.inputs[1])))
    keep = int(bool(op.options.get("keepDims", False)))
    inputs = (t.value(str(op.inputs[0])), axes)
    t.give(op, t.add(REDUCED[op.code], inputs, name, shape, keepdims=keep))


def _reshape(t: Translation, op: Op) -> None:
    name, shape = t.room(op)
    t.give(op, t.add("Reshape", (t.value(str(op.inputs[0])), t.integers(shape)), name, shape))


def _transpose(t: Translation, op: Op) -> None:
    order = t.numbers(str(op.inputs[1]))
    t.give(op, t.transposed(t.value(str(op.inputs[0])), order, t.room(op)[0]))


def _split(t: Translation, op: Op) -> None:
    axis, parts = t.numbers(str(op.inputs[0]))[0], len(op.outputs)
    rooms = [t.room(op, i) for i in range(parts)]
    made = t.g.op(
        "Split",
        (t.value(str(op.inputs[1])), t.integers(tuple(s[axis] for _, s in rooms))),
        rooms[0][0],
        tuple(shape for _, shape in rooms),
        options={"axis": axis},
    )
    for i, name in enumerate(made):
        t.give(op, name, i)


def _concatenation(t: Translation, op: Op) -> None:
    name, shape = t.room(op)
    inputs = tuple(t.value(str(n)) for n in op.inputs)
    t.give(op, t.add("Concat", inputs, name, shape, axis=int(op.options.get("axis", 0))))  # type: ignore[arg-type]


def _slice(t: Translation, op: Op) -> None:
    name, shape = t.room(op)
    begin = t.numbers(str(op.inputs[1]))
    end = tuple(b + n for b, n in zip(begin, shape, strict=True))
    inputs = (t.value(str(op.inputs[0])), t.integers(begin), t.integers(end))
    t.give(op, t.add("Slice", inputs, name, shape))


def _pad(t: Translation, op: Op) -> None:
    name, shape = t.room(op)
    pairs = t.numbers(str(op.inputs[1]))  # before, behind; before, behind; ...
    pads = t.integers((*pairs[::2], *pairs[1::2]))
    t.give(op, t.add("Pad", (t.value(str(op.inputs[0])), pads), name, shape))


def _softmax(t: Translation, op: Op) -> None:
    if op.options.get("beta") != 1.0:
        raise ValueError(f"SOFTMAX needs beta 1 for ONNX, got {op.options.get('beta')}")
    name, shape = t.room(op)
    t.give(op, t.add("Softmax", (t.value(str(op.inputs[0])),), name, shape, axis=-1))


def _batch_matmul(t: Translation, op: Op) -> None:
    name, shape = t.room(op)
    a, b = (t.value(str(n)) for n in op.inputs)
    if op.options.get("adjY"):
        rank = len(t.g.shape(b))
        order = (*range(rank - 2), rank - 1, rank - 2)
        b = t.transposed(b, order, f"{name}/columns")
    t.give(op, t.add("MatMul", (a, b), name, shape))


def _fully_connected(t: Translation, op: Op) -> None:
    x, kernel = str(op.inputs[0]), str(op.inputs[1])
    filter = t.source.tensor(kernel)
    if t.source.tensor(x).dtype is DType.FLOAT32 and filter.quant is not None:
        raise ValueError(
            f"{kernel}: ONNX has no product that quantises every row at run time; use static"
            " inputs (_a8s, _a16s), or integer weights alone"
        )
    name, shape = t.room(op)
    inputs = (t.value(x), t.kernel(kernel))
    bias = op.inputs[2] if len(op.inputs) > 2 else None
    if bias is None:
        t.give(op, t.add("MatMul", inputs, name, shape))
        return
    product = t.add("MatMul", inputs, f"{name}/product", shape)
    t.give(op, t.add("Add", (product, t.value(bias)), name, shape))


HANDLERS: dict[str, Callable[[Translation, Op], None]] = {
    **dict.fromkeys((*BINARY, *UNARY), _pointwise),
    **dict.fromkeys(REDUCED, _reduced),
    **dict.fromkeys(("QUANTIZE", "DEQUANTIZE"), _same_value),
    "RSQRT": _rsqrt,
    "RESHAPE": _reshape,
    "TRANSPOSE": _transpose,
    "SPLIT": _split,
    "CONCATENATION": _concatenation,
    "SLICE": _slice,
    "PAD": _pad,
    "SOFTMAX": _softmax,
    "BATCH_MATMUL": _batch_matmul,
    "FULLY_CONNECTED": _fully_connected,
}
