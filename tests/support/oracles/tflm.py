"""TFLM's interpreter as an oracle: graphs of one operator, run in this process."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from tflite_micro.python.tflite_micro import runtime

from export.graph.ir import DType, Graph, GraphModel, Op, Quant, Tensor
from export.graph.tflite_writer import write_tflite
from quant.integer.encoding import Encoding

DTYPES = {
    np.dtype(name): DType(name.upper())
    for name in ("int8", "int16", "int32", "float32", "int64", "uint8")
}


def quant_of(scale: Any, zero_point: Any = 0, axis: int | None = None) -> Quant:
    scale = np.atleast_1d(np.asarray(scale, np.float32))
    zeros = np.broadcast_to(np.asarray(zero_point, np.int64), scale.shape).copy()
    return Quant(scale=scale, zero_point=zeros, axis=axis)


def activation(name: str, shape: tuple[int, ...], encoding: Encoding | None) -> Tensor:
    if encoding is None:
        return Tensor(name=name, shape=shape)
    dtype = DType(f"INT{encoding.bits}")
    return Tensor(
        name=name, shape=shape, dtype=dtype, quant=quant_of(encoding.scale, encoding.zero_point)
    )


def constant(
    name: str, data: np.ndarray, quant: Quant | None = None, dtype: DType | None = None
) -> Tensor:
    data = np.ascontiguousarray(data)
    return Tensor(
        name=name, shape=data.shape, dtype=dtype or DTYPES[data.dtype], data=data, quant=quant
    )


def run(
    tensors: list[Tensor], ops: list[Op], inputs: Mapping[str, np.ndarray], outputs: tuple[str, ...]
) -> list[np.ndarray]:
    """Run a graph once."""
    return load(tensors, ops, tuple(inputs), outputs)(inputs)


def load(tensors: list[Tensor], ops: list[Op], inputs: tuple[str, ...], outputs: tuple[str, ...]):
    """Make a function of a graph."""
    graph = Graph(
        name="g",
        tensors=tuple(tensors),
        ops=tuple(ops),
        inputs={n: n for n in inputs},
        outputs={n: n for n in outputs},
    )
    values = sum(int(np.prod(t.shape)) * t.dtype.numpy.itemsize for t in tensors)
    arena = 2**17 + 4 * values + 1024 * (len(tensors) + len(ops))
    interpreter = runtime.Interpreter.from_bytes(
        write_tflite(GraphModel(graphs=(graph,))), arena_size=arena
    )

    def call(fed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        for i, name in enumerate(inputs):
            interpreter.set_input(fed[name], i)
        assert not interpreter.invoke()
        return [interpreter.get_output(i) for i in range(len(outputs))]

    return call


def one(
    code: str,
    xs: list[np.ndarray],
    encodings: list[Encoding | None],
    shape: tuple[int, ...],
    y: Encoding | None,
    *,
    options: Mapping[str, Any] | None = None,
    constants: tuple[Tensor, ...] = (),
    version: int = 1,
) -> np.ndarray:
    """Run one operator on fed inputs, constants behind them."""
    ins = [
        activation(f"x{i}", x.shape, e) for i, (x, e) in enumerate(zip(xs, encodings, strict=True))
    ]
    out = activation("y", shape, y)
    names = tuple(t.name for t in (*ins, *constants))
    op = Op(code=code, version=version, inputs=names, outputs=("y",), options=options or {})
    fed = {f"x{i}": x for i, x in enumerate(xs)}
    return run([*ins, *constants, out], [op], fed, ("y",))[0]


def decoded(name: str, indices: np.ndarray, tables: np.ndarray, scales: np.ndarray) -> tuple:
    """Make codes, tables and the operator that decodes them.

    The ancillary tensor: 16 bytes (type 0 = table, version 1, two unused, version 1, bits per
    code, entries per channel, 9 unused), then the tables. Codes are packed high nibble first,
    channels without a gap.
    """
    header = bytes([0, 1, 0, 0, 1, 4, tables.shape[1], *(0,) * 9])
    codes = np.append(indices.reshape(-1), np.zeros(indices.size % 2, np.uint8))
    packed = ((codes[0::2] << 4) | codes[1::2]).astype(np.uint8)
    outputs, inputs = indices.shape
    axis = 0 if tables.shape[0] > 1 else None
    tensors = [
        constant(f"{name}/codes", packed),
        constant(f"{name}/tables", np.frombuffer(header + tables.tobytes(), np.uint8)),
        Tensor(
            name=f"{name}/kernel",
            shape=(outputs, 1, 1, inputs),
            dtype=DType.INT8,
            quant=quant_of(scales, 0, axis),
        ),
    ]
    names = tuple(t.name for t in tensors)
    op = Op(code="TFLM_DECODE", inputs=names[:2], outputs=names[2:], custom_options=b"")
    return tensors, op
