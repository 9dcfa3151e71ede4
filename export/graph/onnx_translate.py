"""Operator graphs from TFLite's operators to ONNX's: the same names, integers, ranges.

    QUANTIZE, DEQUANTIZE, integer results     QuantizeLinear, DequantizeLinear (QDQ)
    FULLY_CONNECTED                           MatMul with the filter as (inputs, outputs)
    its DEQUANTIZE(filter)                    DequantizeLinear, or Cast from float16
    RSQRT                                     Sqrt, Reciprocal
    BATCH_MATMUL (adj_y)                      Transpose, MatMul; two Transposes become one
    SIN, COS, MUL of constants                a constant
    DYNAMIC_UPDATE_SLICE                      ScatterElements at rows counted from the index

An operator between integers is DequantizeLinear, the float operator, QuantizeLinear: what
runtimes fuse. So every integer tensor becomes a pair, quantised and dequantised again for its
readers. Integers of activations move to the unsigned types that Qualcomm's NPUs take, (q, z) to
(q + 128, z + 128) or by 32768, which leaves s (q - z) as it is. Filters stay signed, but int8
ones beside uint8 activations move alike if an integer is beyond SAFE: x86 without VNNI sums two
products u8 x s8 in an int16 that saturates, and multiplies u8 x u8 exactly.

Reading order: `translate_model`; `Translation`, a graph on its way; one function per operator,
and HANDLERS, which lists them.

Not here: dynamic products (ONNX has no range per row), CONV_2D, bytes (onnx_file.py).
"""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from export.graph.builder import GraphBuilder, Shape
from export.graph.ir import (
    DType,
    Graph,
    GraphModel,
    Op,
    OptionValue,
    Quant,
    Tensor,
    drop_unused,
    rename_tensors,
)

UNSIGNED = {DType.INT8: (DType.UINT8, 128), DType.INT16: (DType.UINT16, 32768)}
"""What integers of activations become, and the offset of q and z."""
SAFE = 64
"""Largest |q| of a signed filter beside uint8 activations: 2 * 255 * 64 = 32640 fits an int16.

x86 without VNNI (SSE4.1, AVX2, AVX-512) multiplies u8 x s8 by vpmaddubsw, which adds pairs of
products in int16 with saturation: 255 * 127 over four inputs gives 65,534 instead of 129,540. Its
u8 x u8 kernels widen first. s8 x s8 does not help: ONNX Runtime makes u8 x s8 of it on x86.
"""
OUT = "_out"
"""Suffix of an output that is called like an input."""
FLOAT = 1  # ONNX's number of float32, for Cast


def translate_model(model: GraphModel) -> GraphModel:
    """Translate every graph.

    Raises:
      ValueError: an operator that has no ONNX form here; the message names it.
    """
    return dataclasses.replace(model, graphs=tuple(map(translate_graph, model.graphs)))


def translate_graph(graph: Graph) -> Graph:
    """Translate one graph; its inputs and outputs get their names in its signature.

    ONNX wants different names for inputs and outputs: an output that is called like an input gets
    the suffix OUT.

    Raises:
      ValueError: as `translate_model`.
    """
    t = Translation(graph)
    for tensor in graph.inputs.values():
        t.add_input(graph.tensor(tensor))
    for op in graph.ops:
        translate_op(t, op)
    outputs = {name: t.result(tensor) for name, tensor in graph.outputs.items()}
    names = {tensor: name for name, tensor in graph.inputs.items()}
    for name, tensor in outputs.items():
        names[tensor] = name + OUT * (name in graph.inputs)
    return drop_unused(rename_tensors(t.g.finish(graph.inputs, outputs), names))


def is_safe(weights: np.ndarray) -> bool:
    """Return whether signed weights beside uint8 inputs are right on every CPU (`SAFE`)."""
    return bool(weights.size == 0 or np.abs(weights.astype(np.int16)).max() <= SAFE)


def signature_name(tensor: str, inputs: Mapping[str, str]) -> str:
    """Read the name of an output in the signature off its tensor's."""
    plain = tensor.removesuffix(OUT)
    return plain if plain in inputs else tensor


class Translation:
    """A graph that is being translated.

    Attributes:
      source: the graph in TFLite's operators; g: the graph in ONNX's.
      float_names: tensor of the source -> float32 tensor of g that has its value; an index of
        INT32 keeps its type.
      kept: integer tensors that are overwritten in parts, and go in and out as integers.
      integer_names: integer tensor of the source that is no constant -> that of g.
      folded: values of computed constants.
      makers: tensor of the source -> operator that computes it.
    """

    def __init__(self, source: Graph) -> None:
        self.source, self.g = source, GraphBuilder(source.name)
        self.float_names: dict[str, str] = {}
        self.integer_names: dict[str, str] = {}
        self.kept = {
            name
            for op in source.ops
            if op.code == "DYNAMIC_UPDATE_SLICE" and source.tensor(op.outputs[0]).quant is not None
            for name in (str(op.inputs[0]), op.outputs[0])
        }
        self.folded: dict[str, np.ndarray] = {}
        self.makers = {name: op for op in source.ops for name in op.outputs}

    def add_input(self, source: Tensor) -> None:
        """Declare an input: floats, an index, or integers that are kept."""
        if source.name not in self.kept:
            dtype = DType.INT32 if source.dtype is DType.INT32 else DType.FLOAT32
            self.float_names[source.name] = self.g.input(source.name, source.shape, dtype)
            return
        integers = self.g.input(source.name, source.shape, UNSIGNED[source.dtype][0])
        self.set_integers(source, integers)

    def result(self, name: str) -> str:
        """Name what an output of the source is."""
        return self.integer_names[name] if name in self.kept else self.value(name)

    def set_integers(self, source: Tensor, integers: str) -> None:
        """Record integers of g, and dequantise them for whoever reads floats."""
        grid = self._moved_grid(source)
        self.integer_names[source.name] = integers
        self.float_names[source.name] = self.add(
            "DequantizeLinear", (integers, *grid), f"{source.name}/real", source.shape
        )

    def add(
        self, code: str, inputs: tuple[str, ...], name: str, shape: Shape, **options: OptionValue
    ) -> str:
        """Add a float operator."""
        return self.g.op(code, inputs, name, (shape,), options=options)[0]

    def value(self, name: str) -> str:
        """Name the float32 value of a tensor of the source."""
        if name not in self.float_names:
            plain, tensor = self.constant(name), self.source.tensor(name)
            dtype, data = (
                (DType.FLOAT32, plain) if plain is not None else (tensor.dtype, tensor.data)
            )
            assert data is not None, name
            stored = self.g.constant(name, data, dtype)
            quant = tensor.quant
            self.float_names[name] = stored if quant is None else self.dequantised(stored, quant)
        return self.float_names[name]

    def float_result(self, op: Op, index: int = 0) -> tuple[str, Shape]:
        """Name and shape the float result of an operator."""
        out = self.source.tensor(op.outputs[index])
        return (out.name if out.quant is None else f"{out.name}/unrounded"), out.shape

    def set_result(self, op: Op, result: str, index: int = 0) -> None:
        """Record a float result, rounded if the source's is an integer."""
        out = self.source.tensor(op.outputs[index])
        self.float_names[out.name] = result if out.quant is None else self.rounded(result, out)

    def rounded(self, x: str, out: Tensor) -> str:
        """Quantise and dequantise."""
        grid, dtype = self._moved_grid(out), UNSIGNED[out.dtype][0]
        integers = self.g.op("QuantizeLinear", (x, *grid), out.name, (out.shape,), dtype=dtype)[0]
        self.set_integers(out, integers)
        return self.float_names[out.name]

    def dequantised(self, integers: str, quant: Quant) -> str:
        """Expand constant integers, once."""
        name = f"{integers}/float32"
        if name in self.g.tensors:
            return name
        tensor = self.g.tensors[integers]
        axis = {} if quant.axis is None else {"axis": quant.axis}
        grid = self._grid(integers, quant, tensor.dtype)
        return self.add("DequantizeLinear", (integers, *grid), name, tensor.shape, **axis)

    def integers(self, values: Shape) -> str:
        """Add a vector of numbers that operators read: axes, shapes."""
        name = "numbers/" + "x".join(str(v) for v in values)
        return self.g.constant(name, np.asarray(values), DType.INT64)

    def numbers(self, name: str) -> Shape:
        """Read a vector of numbers of the source: axes, shapes."""
        data = self.source.tensor(name).data
        assert data is not None, name
        return tuple(int(v) for v in data.ravel())

    def transposed(self, x: str, order: Shape, name: str) -> str:
        """Permute axes; on top of another permutation, both at once."""
        maker = next((op for op in self.g.ops if x in op.outputs and op.code == "Transpose"), None)
        if maker is not None:
            inner = maker.options["perm"]
            assert isinstance(inner, tuple)
            x, order = str(maker.inputs[0]), tuple(inner[axis] for axis in order)
        shape = tuple(self.g.shape(x)[axis] for axis in order)
        return self.add("Transpose", (x,), name, shape, perm=order)

    def kernel(self, name: str, inputs: DType) -> str:
        """Name the float32 values of a filter, (inputs, outputs), however it is stored.

        Args:
          inputs: type of what it multiplies, in the source.
        """
        maker = self.makers.get(name)
        source = self.source.tensor(str(maker.inputs[0]) if maker else name)
        assert source.data is not None, name
        data, dtype, quant = source.data.T, source.dtype, source.quant
        if quant is not None:
            quant = dataclasses.replace(quant, axis=None if quant.axis is None else 1 - quant.axis)
            if inputs is DType.INT8 and dtype is DType.INT8 and not is_safe(data):
                dtype, shift = UNSIGNED[dtype]
                data = (data.astype(np.int16) + shift).astype(dtype.numpy)
                quant = dataclasses.replace(quant, zero_point=quant.zero_point + shift)
            return self.dequantised(self.g.constant(source.name, data, dtype), quant)
        stored = self.g.constant(source.name, data, dtype)
        wide = f"{stored}/float32"
        if dtype is DType.FLOAT32 or wide in self.g.tensors:
            return stored if dtype is DType.FLOAT32 else wide
        return self.add("Cast", (stored,), wide, self.g.shape(stored), to=FLOAT)

    def _moved_grid(self, source: Tensor) -> tuple[str, str]:
        """Add the grid of an activation, moved to an unsigned type."""
        assert source.quant is not None, source.name
        dtype, shift = UNSIGNED[source.dtype]
        zero_point = source.quant.zero_point + shift
        return self._grid(
            source.name, Quant(scale=source.quant.scale, zero_point=zero_point), dtype
        )

    def _grid(self, name: str, quant: Quant, dtype: DType) -> tuple[str, str]:
        """Add scale and zero point: scalars (fusions want them), or one per index of an axis."""
        shape = () if quant.axis is None else quant.scale.shape
        scale, zero = quant.scale.reshape(shape), quant.zero_point.reshape(shape)
        tensors = (
            Tensor(name=f"{name}/scale", shape=shape, data=scale),
            Tensor(
                name=f"{name}/zero_point", shape=shape, dtype=dtype, data=zero.astype(dtype.numpy)
            ),
        )
        self.g.tensors |= {tensor.name: tensor for tensor in tensors}
        return tensors[0].name, tensors[1].name

    def constant(self, name: str | None) -> np.ndarray | None:
        """Look up a constant of plain numbers, or one that was computed."""
        if name is None or name in self.folded:
            return self.folded.get(name or "")
        tensor = self.source.tensor(name)
        return tensor.data if tensor.dtype is DType.FLOAT32 else None


BINARY = {
    "ADD": "Add",
    "SUB": "Sub",
    "MUL": "Mul",
    "DIV": "Div",
    "MAXIMUM": "Max",
    "MINIMUM": "Min",
}
UNARY = {"LOGISTIC": "Sigmoid", "EXP": "Exp", "RELU": "Relu", "SIN": "Sin", "COS": "Cos"}
REDUCED = {"MEAN": "ReduceMean", "SUM": "ReduceSum", "REDUCE_MAX": "ReduceMax"}
FOLDED: dict[str, Callable[..., np.ndarray]] = {
    "SIN": np.sin,
    "COS": np.cos,
    "MUL": np.multiply,
}
"""What is computed at once where all inputs are constants: the rotary tables."""
KNOWN_OPTIONS = {"keepNumDims", "keepDims", "newShape", "numSplits", "axis", "adjY", "beta"}
"""Options of the source; another one would be lost."""


def translate_op(t: Translation, op: Op) -> None:
    """Translate an operator.

    Raises:
      ValueError: it has no ONNX form here; the message names it.
    """
    if op.code in FOLDED:
        values = [t.constant(name) for name in op.inputs]
        if all(value is not None for value in values):
            t.folded[op.outputs[0]] = FOLDED[op.code](*values)
            return
    if op.code not in HANDLERS or set(op.options) - KNOWN_OPTIONS:
        raise ValueError(
            f"graph {t.source.name!r}: {op.code} {dict(op.options)} has no ONNX form here;"
            f" known: {', '.join(sorted(HANDLERS))}"
        )
    HANDLERS[op.code](t, op)


def _same_value(t: Translation, op: Op) -> None:
    """Quantise or dequantise: the float value is the input's, `set_result` does the rounding."""
    if t.source.tensor(str(op.inputs[0])).data is None:
        t.set_result(op, t.value(str(op.inputs[0])))
    # constants are expanded by whoever reads them: filters are transposed on the way


def _pointwise(t: Translation, op: Op) -> None:
    code = {**BINARY, **UNARY}[op.code]
    name, shape = t.float_result(op)
    t.set_result(op, t.add(code, tuple(t.value(str(n)) for n in op.inputs), name, shape))


def _rsqrt(t: Translation, op: Op) -> None:
    name, shape = t.float_result(op)
    root = t.add("Sqrt", (t.value(str(op.inputs[0])),), f"{name}/sqrt", shape)
    t.set_result(op, t.add("Reciprocal", (root,), name, shape))


def _reduced(t: Translation, op: Op) -> None:
    name, shape = t.float_result(op)
    axes = t.integers(t.numbers(str(op.inputs[1])))
    keep = int(bool(op.options.get("keepDims", False)))
    inputs = (t.value(str(op.inputs[0])), axes)
    t.set_result(op, t.add(REDUCED[op.code], inputs, name, shape, keepdims=keep))


def _reshape(t: Translation, op: Op) -> None:
    name, shape = t.float_result(op)
    t.set_result(op, t.add("Reshape", (t.value(str(op.inputs[0])), t.integers(shape)), name, shape))


def _transpose(t: Translation, op: Op) -> None:
    order = t.numbers(str(op.inputs[1]))
    t.set_result(op, t.transposed(t.value(str(op.inputs[0])), order, t.float_result(op)[0]))


def _split(t: Translation, op: Op) -> None:
    axis, parts = t.numbers(str(op.inputs[0]))[0], len(op.outputs)
    results = [t.float_result(op, i) for i in range(parts)]
    names = t.g.op(
        "Split",
        (t.value(str(op.inputs[1])), t.integers(tuple(s[axis] for _, s in results))),
        results[0][0],
        tuple(shape for _, shape in results),
        options={"axis": axis},
    )
    for i, name in enumerate(names):
        t.set_result(op, name, i)


def _concatenation(t: Translation, op: Op) -> None:
    if t.source.tensor(op.outputs[0]).dtype is DType.INT32:
        return  # an index, which is read off its parts (`_dynamic_update_slice`)
    name, shape = t.float_result(op)
    inputs = tuple(t.value(str(n)) for n in op.inputs)
    t.set_result(op, t.add("Concat", inputs, name, shape, axis=int(op.options.get("axis", 0))))  # type: ignore[arg-type]


def _slice(t: Translation, op: Op) -> None:
    name, shape = t.float_result(op)
    begin = t.numbers(str(op.inputs[1]))
    end = tuple(b + n for b, n in zip(begin, shape, strict=True))
    inputs = (t.value(str(op.inputs[0])), t.integers(begin), t.integers(end))
    t.set_result(op, t.add("Slice", inputs, name, shape))


def _pad(t: Translation, op: Op) -> None:
    name, shape = t.float_result(op)
    pairs = t.numbers(str(op.inputs[1]))  # before, behind; before, behind; ...
    pads = t.integers((*pairs[::2], *pairs[1::2]))
    t.set_result(op, t.add("Pad", (t.value(str(op.inputs[0])), pads), name, shape))


def _cast(t: Translation, op: Op) -> None:
    name, shape = t.float_result(op)
    t.set_result(op, t.add("Cast", (t.value(str(op.inputs[0])),), name, shape, to=FLOAT))


def _dynamic_update_slice(t: Translation, op: Op) -> None:
    out, x, part = op.outputs[0], str(op.inputs[0]), str(op.inputs[1])
    shape = t.source.tensor(out).shape
    names = t.integer_names if out in t.kept else t.float_names
    x, part = (names[n] if n in names else t.value(n) for n in (x, part))
    begin = t.makers[str(op.inputs[2])].inputs  # constant zeros, and the index of one axis
    (axis,) = (i for i, n in enumerate(begin) if t.source.tensor(str(n)).data is None)
    size = t.g.shape(part)
    steps = np.arange(size[axis]).reshape([-1 if i == axis else 1 for i in range(len(size))])
    rows = t.g.constant(
        f"rows/{axis}of{'x'.join(map(str, size))}", np.broadcast_to(steps, size), DType.INT32
    )
    at = f"{begin[axis]}/{rows}"
    if at not in t.g.tensors:
        t.g.op("Add", (t.value(str(begin[axis])), rows), at, (size,), dtype=DType.INT32)
    dtype, options = t.g.tensors[x].dtype, {"axis": axis}
    (result,) = t.g.op(
        "ScatterElements", (x, at, part), out, (shape,), dtype=dtype, options=options
    )
    if out in t.kept:
        t.set_integers(t.source.tensor(out), result)
    else:
        t.float_names[out] = result


def _softmax(t: Translation, op: Op) -> None:
    if op.options.get("beta") != 1.0:
        raise ValueError(f"SOFTMAX needs beta 1 for ONNX, got {op.options.get('beta')}")
    name, shape = t.float_result(op)
    t.set_result(op, t.add("Softmax", (t.value(str(op.inputs[0])),), name, shape, axis=-1))


def _batch_matmul(t: Translation, op: Op) -> None:
    name, shape = t.float_result(op)
    a, b = (t.value(str(n)) for n in op.inputs)
    if op.options.get("adjY"):
        rank = len(t.g.shape(b))
        order = (*range(rank - 2), rank - 1, rank - 2)
        b = t.transposed(b, order, f"{name}/columns")
    t.set_result(op, t.add("MatMul", (a, b), name, shape))


def _fully_connected(t: Translation, op: Op) -> None:
    x, kernel = str(op.inputs[0]), str(op.inputs[1])
    filter = t.source.tensor(kernel)
    if t.source.tensor(x).dtype is DType.FLOAT32 and filter.quant is not None:
        raise ValueError(
            f"{kernel}: ONNX has no product that quantises every row at run time; use static"
            " inputs (_a8s, _a16s), or integer weights alone"
        )
    name, shape = t.float_result(op)
    inputs = (t.value(x), t.kernel(kernel, t.source.tensor(x).dtype))
    bias = op.inputs[2] if len(op.inputs) > 2 else None
    if bias is None:
        t.set_result(op, t.add("MatMul", inputs, name, shape))
        return
    product = t.add("MatMul", inputs, f"{name}/product", shape)
    t.set_result(op, t.add("Add", (product, t.value(bias)), name, shape))


HANDLERS: dict[str, Callable[[Translation, Op], None]] = {
    **dict.fromkeys((*BINARY, *UNARY), _pointwise),
    **dict.fromkeys(REDUCED, _reduced),
    **dict.fromkeys(("QUANTIZE", "DEQUANTIZE"), _same_value),
    "RSQRT": _rsqrt,
    "RESHAPE": _reshape,
    "TRANSPOSE": _transpose,
    "SPLIT": _split,
    "CAST": _cast,
    "CONCATENATION": _concatenation,
    "DYNAMIC_UPDATE_SLICE": _dynamic_update_slice,
    "SLICE": _slice,
    "PAD": _pad,
    "SOFTMAX": _softmax,
    "BATCH_MATMUL": _batch_matmul,
    "FULLY_CONNECTED": _fully_connected,
}
