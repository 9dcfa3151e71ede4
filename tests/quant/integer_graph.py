"""The level of integer_block.py as a TFLM graph: every operator under the name it has there.

Filters are 4-bit codes of TFLM_DECODE with a table of q - zero_point per channel, in front of a
1x1 CONV_2D: the only per-channel int4 of int16 kernels. One puzzle per call.
"""

from collections.abc import Mapping

import numpy as np

from export.graph import DType, Op, Tensor
from quant.affine import QTensor
from quant.integer_block import SIGMOID, Encodings, Tagged, level
from tests.quant.tflm import activation, constant, load, quant_of
from trm_jax.config import ReasonerConfig

CONV = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}


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
        Tensor(name=f"{name}/kernel", shape=(outputs, 1, 1, inputs), dtype=DType.INT8,
               quant=quant_of(scales, 0, axis)),
    ]  # fmt: skip
    names = tuple(t.name for t in tensors)
    op = Op(code="TFLM_DECODE", inputs=names[:2], outputs=names[2:], custom_options=b"")
    return tensors, op


class GraphOps:
    """Operators as records; a value is (tensor name, shape)."""

    def __init__(self, kernels: Mapping[str, QTensor], encodings: Encodings, eps: float) -> None:
        self.kernels, self.encodings, self.eps = kernels, encodings, eps
        self.tensors: dict[str, Tensor] = {}
        self.ops: list[Op] = []

    def made(self, code: str, inputs: tuple, name: str, shape: tuple, encoding: str,
             version: int = 1, **options) -> Tagged:  # fmt: skip
        known = self.encodings[encoding]
        self.tensors[name] = activation(name, shape, known)
        self.ops.append(Op(code=code, inputs=inputs, outputs=(name,), version=version,
                           options=options))  # fmt: skip
        return Tagged((name, shape), encoding)

    def integers(self, name: str, values: object) -> str:
        self.tensors[name] = constant(name, np.asarray(values, np.int32))
        return name

    def linear(self, name: str, x: Tagged) -> Tagged:
        (source, shape), kernel = x.value, self.kernels[name]
        q = np.asarray(kernel.qvalue, np.int64).T
        scales = np.asarray(kernel.scale).reshape(-1)
        zeros = np.broadcast_to(np.asarray(kernel.zero_point).reshape(-1, 1), (len(q), 1))
        low = kernel.grid.q_min
        tables = (np.arange(16) + low - zeros).astype(np.int8)
        tensors, op = decoded(name, (q - low).astype(np.uint8), tables, scales)
        unit = quant_of(np.float32(self.encodings[x.name].scale) * scales, 0, 0)
        bias = constant(f"{name}/bias", np.zeros(len(q), np.int32), unit)
        self.tensors.update({t.name: t for t in (*tensors, bias)})
        self.ops.append(op)
        inputs = (source, f"{name}/kernel", bias.name)
        return self.made("CONV_2D", inputs, name, (*shape[:-1], len(q)), name, 3, **CONV)

    def add(self, name: str, a: Tagged, b: Tagged) -> Tagged:
        inputs = (a.value[0], b.value[0])
        return self.made("ADD", inputs, name, a.value[1], name, 2, potScaleInt16=False)

    def multiply(self, name: str, a: Tagged, b: Tagged) -> Tagged:
        return self.made("MUL", (a.value[0], b.value[0]), name, a.value[1], name, 2)

    def norm(self, name: str, x: Tagged) -> Tagged:
        source, shape = x.value
        row = (*shape[:-1], 1)
        axis = self.integers("axis/3", [3])
        eps = constant("eps", np.asarray([self.eps], np.float32))
        self.tensors["eps"] = eps
        steps = [("DEQUANTIZE", (source,), "real", shape, {}),
                 ("MUL", ("real", "real"), "square", shape, {}),
                 ("MEAN", ("square", axis), "mean", row, {"keepDims": True}),
                 ("ADD", ("mean", "eps"), "shifted", row, {}),
                 ("RSQRT", ("shifted",), "inverse", row, {}),
                 ("MUL", ("real", "inverse"), "scaled", shape, {})]  # fmt: skip
        local = {step[2] for step in steps}
        for code, inputs, result, size, options in steps:
            names = tuple(f"{name}/{i}" if i in local else i for i in inputs)
            self.tensors[f"{name}/{result}"] = activation(f"{name}/{result}", size, None)
            self.ops.append(Op(code=code, inputs=names, outputs=(f"{name}/{result}",),
                               version=2, options=options))  # fmt: skip
        return self.made("QUANTIZE", (f"{name}/scaled",), name, shape, name, 2)

    def logistic(self, name: str, x: Tagged) -> Tagged:
        return self.made("LOGISTIC", x.value[:1], name, x.value[1], name)

    def halves(self, x: Tagged) -> tuple[Tagged, Tagged]:
        source, shape = x.value
        half = (*shape[:-1], shape[-1] // 2)
        names = (f"{source}/gate", f"{source}/up")
        for name in names:
            self.tensors[name] = activation(name, half, self.encodings[x.name])
        inputs = (self.integers("split/3", 3), source)
        self.ops.append(Op(code="SPLIT", inputs=inputs, outputs=names, options={"numSplits": 2}))
        first, second = (Tagged((name, half), x.name) for name in names)
        return first, second

    def transpose(self, x: Tagged) -> Tagged:
        source, shape = x.value
        inputs = (source, self.integers("order/0132", [0, 1, 3, 2]))
        turned = (*shape[:2], shape[3], shape[2])
        return self.made("TRANSPOSE", inputs, f"{source}/turned", turned, x.name)


def tflm_level(kernels: Mapping[str, QTensor], config: ReasonerConfig, encodings: Encodings):
    """Make a function of the integers of one puzzle's z and injection, run by TFLM."""
    assert all(encodings[n] == SIGMOID for n in encodings if n.endswith("/sigmoid"))
    ops = GraphOps(kernels, encodings, config.rms_norm_eps)
    shape = (1, 1, config.num_positions, config.hidden_size)
    ends = {name: activation(name, shape, encodings[name]) for name in ("z", "injection")}
    ops.tensors.update(ends)
    out = level(*(Tagged((name, shape), name) for name in ends), config, ops).value[0]
    call = load(list(ops.tensors.values()), ops.ops, tuple(ends), (out,))
    return lambda z, injection: call({"z": z.reshape(shape), "injection": injection.reshape(shape)}
                                     )[0][0, 0]  # fmt: skip
