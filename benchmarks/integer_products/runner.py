"""The forms of a product, checked against NumPy and timed in turn."""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.timing import Spread, spread
from export.graph.ir import DType, Graph, Op, Tensor
from export.runtimes.onnx_kernels import PRECISE, SessionEntry, describe_host, open_graph

INT8_ALLOWED: SessionEntry = ("session.qdqisint8allowed", "1")
FLOAT = "float32"
SPAN = 4.0  # real inputs and outputs lie in [-SPAN, SPAN]


@dataclass(frozen=True, kw_only=True)
class ProductForm:
    """How a file stores a product, and what a session is told.

    Attributes:
      bits: of the weights.
    """

    name: str
    inputs: DType
    filter: DType
    bits: int = 8
    entries: tuple[SessionEntry, ...] = ()


U8, S8 = DType.UINT8, DType.INT8
FORMS = (
    ProductForm(name="uint8 x int8", inputs=U8, filter=S8),
    ProductForm(name="uint8 x uint8", inputs=U8, filter=U8),
    ProductForm(name="int8 x int8", inputs=S8, filter=S8),
    ProductForm(name="uint8 x 7-bit int8", inputs=U8, filter=S8, bits=7),
    ProductForm(name=f"uint8 x int8, {PRECISE[0]}", inputs=U8, filter=S8, entries=(PRECISE,)),
    ProductForm(
        name=f"int8 x int8, {INT8_ALLOWED[0]}", inputs=S8, filter=S8, entries=(INT8_ALLOWED,)
    ),
)


class ProductShape(NamedTuple):
    """Size of a product."""

    positions: int
    inputs: int
    outputs: int

    def __str__(self) -> str:
        return "x".join(map(str, self))


class Operands(NamedTuple):
    """Integers around 0, and what they mean.

    Attributes:
      x, q: of inputs and weights.
      scale: of inputs and outputs; scales: of the weights, one per output.
    """

    x: np.ndarray
    q: np.ndarray
    scale: np.float32
    scales: np.ndarray


def read_shapes(text: str) -> list[ProductShape]:
    """Read the shapes of the command line.

    Raises:
      ValueError: not three positive numbers each; the message shows which.
    """
    shapes = []
    for part in text.split(","):
        numbers = [int(n) for n in part.split("x") if n.isdecimal()]
        if len(numbers) != 3 or part.count("x") != 2 or min(numbers) < 1:
            raise ValueError(f"--shapes takes positions x inputs x outputs (97x512x64), got {part}")
        shapes.append(ProductShape(*numbers))
    return shapes


def draw_operands(shape: ProductShape, bits: int) -> Operands:
    """Draw every integer alike, and scales that let outputs fill their range."""
    rng = np.random.default_rng(0)
    top = 2 ** (bits - 1) - 1
    x = rng.integers(-128, 128, (shape.positions, shape.inputs))
    q = rng.integers(-top, top + 1, (shape.inputs, shape.outputs))
    scales = rng.uniform(0.5, 1.5, shape.outputs) / (top * np.sqrt(shape.inputs))
    return Operands(x, q, np.float32(SPAN / 128), scales.astype(np.float32))


def form_graph(form: ProductForm, shape: ProductShape, operands: Operands) -> Graph:
    """Make the QDQ graph of a product: float32 ends, integers between."""
    zero_x, zero_q = (128 * (dtype is U8) for dtype in (form.inputs, form.filter))
    scale = np.asarray(operands.scale)
    constants = {
        "q": (operands.q + zero_q, form.filter),
        "q/scale": (operands.scales, DType.FLOAT32),
        "q/zero": (np.full(shape.outputs, zero_q), form.filter),
        "scale": (scale, DType.FLOAT32),
        "zero": (np.asarray(zero_x), form.inputs),
    }
    rows, results = (shape.positions, shape.inputs), (shape.positions, shape.outputs)
    computed = {
        "x": (rows, DType.FLOAT32),
        "x/q": (rows, form.inputs),
        "x/real": (rows, DType.FLOAT32),
        "q/real": (operands.q.shape, DType.FLOAT32),
        "product": (results, DType.FLOAT32),
        "product/q": (results, form.inputs),
        "y": (results, DType.FLOAT32),
    }
    return Graph(
        name="form",
        tensors=(
            *(Tensor(name=n, shape=s, dtype=dtype) for n, (s, dtype) in computed.items()),
            *(constant(n, value, dtype) for n, (value, dtype) in constants.items()),
        ),
        ops=(
            _op("QuantizeLinear", ("x", "scale", "zero"), "x/q"),
            _op("DequantizeLinear", ("x/q", "scale", "zero"), "x/real"),
            _op("DequantizeLinear", ("q", "q/scale", "q/zero"), "q/real", axis=1),
            _op("MatMul", ("x/real", "q/real"), "product"),
            _op("QuantizeLinear", ("product", "scale", "zero"), "product/q"),
            _op("DequantizeLinear", ("product/q", "scale", "zero"), "y"),
        ),
        inputs={"x": "x"},
        outputs={"y": "y"},
    )


def float_graph(shape: ProductShape, operands: Operands) -> Graph:
    """Make the float32 product of the same weights."""
    rows, results = (shape.positions, shape.inputs), (shape.positions, shape.outputs)
    ends = (Tensor(name="x", shape=rows), Tensor(name="y", shape=results))
    kernel = constant("kernel", operands.q * operands.scales, DType.FLOAT32)
    return Graph(
        name="float",
        tensors=(*ends, kernel),
        ops=(_op("MatMul", ("x", "kernel"), "y"),),
        inputs={"x": "x"},
        outputs={"y": "y"},
    )


def constant(name: str, value: np.ndarray, dtype: DType) -> Tensor:
    """Make a constant of a graph."""
    return Tensor(name=name, shape=value.shape, dtype=dtype, data=value.astype(dtype.numpy))


def _op(code: str, inputs: tuple[str, ...], output: str, **options: int) -> Op:
    return Op(code=code, inputs=inputs, outputs=(output,), options=options)


def share_wrong(outputs: np.ndarray, operands: Operands) -> float:
    """Count outputs that are more than a step away from NumPy's, as a share."""
    sums = operands.x @ operands.q
    expected = np.clip(np.rint(sums * operands.scales.astype(np.float64)), -128, 127)
    return float(np.mean(np.abs(outputs / operands.scale - expected) > 1.5))


def measure(shape: ProductShape, repeats: int) -> list[dict[str, Any]]:
    """Check and time every form of a product; returns one row per form, float32 last."""
    drawn = {bits: draw_operands(shape, bits) for bits in {form.bits for form in FORMS}}
    x = {bits: (o.x * o.scale).astype(np.float32) for bits, o in drawn.items()}
    sessions = {
        form.name: open_graph(form_graph(form, shape, drawn[form.bits]), form.entries)
        for form in FORMS
    }
    sessions[FLOAT] = open_graph(float_graph(shape, drawn[8]), ())
    given = {**{form.name: x[form.bits] for form in FORMS}, FLOAT: x[8]}
    wrong: dict[str, float | None] = {FLOAT: None}
    for form in FORMS:
        outputs = sessions[form.name].run(None, {"x": given[form.name]})[0]
        wrong[form.name] = share_wrong(np.asarray(outputs), drawn[form.bits])
    timed = [
        {name: cpu_seconds(session, given[name]) for name, session in sessions.items()}
        for _ in range(repeats)
    ]
    return [
        {
            "shape": str(shape),
            "form": name,
            "wrong": wrong[name],
            "ms": spread([1e3 * times[name] for times in timed])._asdict(),
            "to_float32": spread([times[name] / times[FLOAT] for times in timed])._asdict(),
            "repeats": repeats,
            "onnx_kernels": describe_host(),
        }
        for name in sessions
    ]


def cpu_seconds(session: Any, x: np.ndarray) -> float:
    """Time one call in CPU seconds of this thread, which does all the work."""
    start = time.thread_time()
    session.run(None, {"x": x})
    return time.thread_time() - start


def show(rows: Sequence[dict[str, Any]], console: Console) -> None:
    """Print rows as a table for each shape."""
    for shape in dict.fromkeys(row["shape"] for row in rows):
        table = Table(title=f"{shape}: median (least to greatest)")
        for heading in ("form", "wrong", "CPU ms", "/ float32"):
            table.add_column(heading, justify="left" if heading == "form" else "right")
        for row in (row for row in rows if row["shape"] == shape):
            wrong = "" if row["wrong"] is None else f"{row['wrong']:.1%}"
            spreads = (str(Spread(**row[key])) for key in ("ms", "to_float32"))
            table.add_row(row["form"], wrong, *spreads)
        console.print(table)


def run(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    """Measure what the options name.

    Raises:
      ValueError: options that do not fit.
    """
    if args.repeats < 1:
        raise ValueError(f"--repeats must be at least 1, got {args.repeats}")
    shapes = read_shapes(args.shapes)
    console.print(describe_host())
    return [row for shape in shapes for row in measure(shape, args.repeats)]
