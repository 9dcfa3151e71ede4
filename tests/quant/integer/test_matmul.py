"""Matrix products and SOFTMAX, equal to TFLM's interpreter bit for bit."""

from typing import Any

import jax
import numpy as np
import pytest

from export.graph.ir import DType, Op
from quant.integer.encoding import Encoding, short_scale
from quant.integer.kernels.lookup import decode
from quant.integer.kernels.matmul import (
    Accumulator,
    batch_matmul,
    linear,
    prepare_batch_matmul,
    prepare_conv,
    prepare_fully_connected,
)
from quant.integer.kernels.softmax import (
    count_too_flat,
    prepare_softmax_int8,
    prepare_softmax_int16,
    softmax_int8,
    softmax_int16,
)
from tests.support.oracles.tflm import activation, constant, decoded, one, quant_of, run

linear_jit, matmul_jit, decode_jit = jax.jit(linear), jax.jit(batch_matmul), jax.jit(decode)
flat_jit = jax.jit(count_too_flat)
softmax8_jit, softmax16_jit = jax.jit(softmax_int8), jax.jit(softmax_int16)
SHAPES = [(4, 8, 3), (1, 97, 16), (5, 33, 24), (3, 1536, 20)]
"""Rows, inputs, outputs."""


class Product:
    """A random product: some outputs saturate, and some rows and filters are extreme."""

    def __init__(
        self,
        rng: Any,
        shape: tuple[int, int, int],
        bits: int,
        weight_bits: int = 8,
        channels: bool = True,
    ) -> None:
        rows, inputs, outputs = shape
        top = 2 ** (weight_bits - 1)
        self.weights = rng.integers(-top, top, (outputs, inputs)).astype(np.int8)
        self.weights[0], self.weights[1] = -top, top - 1
        zero = 0 if bits == 16 else int(rng.integers(-128, 128))
        scale = short_scale(float(rng.uniform(0.001, 0.1)))
        self.x = Encoding(scale=scale, zero_point=zero, bits=bits)
        self.values = rng.integers(self.x.q_min, self.x.q_max + 1, (rows, inputs)).astype(
            self.x.dtype
        )
        self.values[0] = self.x.q_max if rng.random() < 0.5 else self.x.q_min
        count = outputs if channels else 1
        scales = rng.uniform(0.5, 2.0, count).astype(np.float32) / top
        self.scales = scales if channels else np.float32([short_scale(float(scales[0]))])
        spread = self.x.scale * float(self.scales.mean()) * top * 2 ** (bits - 1) * inputs**0.5 / 3
        out_zero = 0 if bits == 16 else int(rng.integers(-128, 128))
        scale = spread / 2 ** (bits - 1) * float(rng.choice([0.2, 1.0, 3.0]))
        self.y = Encoding(scale=scale, zero_point=out_zero, bits=bits)
        self.bias = (rng.normal(size=outputs) * spread / (self.x.scale * self.scales)).astype(
            np.int32
        )

    def tensors(self, shape: tuple[int, ...], weight_type: DType, bias_type: str) -> list:
        axis = 0 if self.scales.size > 1 else None
        weights = self.weights.reshape(shape)
        return [
            constant("w", weights, quant_of(self.scales, 0, axis), weight_type),
            constant(
                "b",
                self.bias.astype(bias_type),
                quant_of(np.float32(self.x.scale) * self.scales, 0, axis),
            ),
        ]


def conv(p: Product, weight_type: DType, bias_type: str) -> np.ndarray:
    rows, inputs = p.values.shape
    outputs = p.weights.shape[0]
    options = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}
    return one(
        "CONV_2D",
        [p.values.reshape(1, 1, rows, inputs)],
        [p.x],
        (1, 1, rows, outputs),
        p.y,
        constants=tuple(p.tensors((outputs, 1, 1, inputs), weight_type, bias_type)),
        options=options,
        version=3,
    )[0, 0]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weight_bits", [4, 8])
def test_conv_int8(shape: tuple, weight_bits: int) -> None:
    for seed in range(4):
        p = Product(np.random.default_rng(seed), shape, 8, weight_bits)
        op = prepare_conv(p.weights, p.scales, p.x, p.y, bias=p.bias)
        wanted = conv(p, DType(f"INT{weight_bits}"), "int32")
        assert np.array_equal(linear_jit(p.values, op), wanted)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("accumulator", list(Accumulator))
def test_conv_int16(shape: tuple, accumulator: Accumulator) -> None:
    for seed in range(4):
        # int8 weights at depth 1536 overflow int32 (and wrap, here and there alike)
        p = Product(np.random.default_rng(seed), shape, 16, 4 if seed % 2 else 8)
        op = prepare_conv(p.weights, p.scales, p.x, p.y, bias=p.bias, accumulator=accumulator)
        wanted = conv(p, DType.INT8, f"int{accumulator.value}")
        assert np.array_equal(linear_jit(p.values, op), wanted)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_fully_connected(shape: tuple, channels: bool, bits: int) -> None:
    for seed in range(3):
        p = Product(np.random.default_rng(seed), shape, bits, channels=channels)
        op = prepare_fully_connected(p.weights, p.scales, p.x, p.y, bias=p.bias)
        wanted = one(
            "FULLY_CONNECTED",
            [p.values],
            [p.x],
            (shape[0], shape[2]),
            p.y,
            version=4,
            constants=tuple(p.tensors(p.weights.shape, DType.INT8, "int32")),
        )
        assert np.array_equal(linear_jit(p.values, op), wanted)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("shared", [False, True])
def test_decoded_conv(bits: int, shared: bool) -> None:
    """int4 codes and tables of any 16 int8 levels."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        p = Product(rng, (4, 34, 12), bits, channels=not shared)
        tables = rng.integers(-128, 128, (1 if shared else 12, 16)).astype(np.int8)
        indices = rng.integers(0, 16, (12, 34)).astype(np.uint8)
        weights = np.asarray(decode_jit(indices, tables))
        assert np.array_equal(weights[3], tables[0 if shared else 3][indices[3]])
        tensors, decoding = decoded("w", indices, tables, p.scales)
        bias = p.tensors((12, 1, 1, 34), DType.INT8, "int32")[1]
        options = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}
        product = Op(
            code="CONV_2D",
            version=3,
            inputs=("x", "w/kernel", "b"),
            outputs=("y",),
            options=options,
        )
        ends = [activation("x", (1, 1, 4, 34), p.x), activation("y", (1, 1, 4, 12), p.y)]
        fed = {"x": p.values.reshape(1, 1, 4, 34)}
        wanted = run([*ends, *tensors, bias], [decoding, product], fed, ("y",))[0][0, 0]
        op = prepare_conv(weights, p.scales, p.x, p.y, bias=p.bias)
        assert np.array_equal(linear_jit(p.values, op), wanted)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("shape", [(2, 3, 8, 5), (1, 97, 64, 97), (3, 1, 33, 4)])
def test_batch_matmul(bits: int, shape: tuple) -> None:
    batch, rows, inner, columns = shape
    for seed in range(4):
        rng = np.random.default_rng(seed)
        zeros = [0, 0, 0] if bits == 16 else rng.integers(-128, 128, 3).tolist()
        a, b = (
            Encoding(scale=short_scale(s), zero_point=z, bits=bits)
            for s, z in zip(rng.uniform(0.001, 0.1, 2), zeros[:2], strict=True)
        )
        scale = a.scale * b.scale * 2 ** (bits - 1) * inner**0.5 * float(rng.choice([0.1, 0.5]))
        y = Encoding(scale=scale, zero_point=zeros[2], bits=bits)
        xs = [
            rng.integers(e.q_min, e.q_max + 1, (batch, n, inner)).astype(e.dtype)
            for e, n in ((a, rows), (b, columns))
        ]
        xs[0][0], xs[1][0, 0] = a.q_min, b.q_min
        wanted = one("BATCH_MATMUL", xs, [a, b], (batch, rows, columns), y, options={"adjY": True})
        assert np.array_equal(matmul_jit(*xs, prepare_batch_matmul(a, b, y)), wanted)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("width", [1, 7, 97, 900])
def test_softmax(bits: int, width: int) -> None:
    ends = {8: Encoding(scale=1 / 256, zero_point=-128), 16: Encoding(scale=2**-15, bits=16)}
    for seed in range(5):
        rng = np.random.default_rng((width, seed))
        scale = float(np.exp(rng.uniform(np.log(1e-2), np.log(0.4)))) * 2.0 ** (8 - bits)
        x = Encoding(scale=scale, zero_point=0, bits=bits)
        values = rng.integers(x.q_min, x.q_max + 1, (40, width))
        values[:20] >>= rng.integers(0, bits, (20, 1))
        values[0], values[1], values[2, 0] = x.q_min, x.q_max, x.q_max
        real = (values - values.max(axis=1, keepdims=True)) * x.scale
        defined = np.exp(real).sum(axis=1) < 511  # int8 aborts beyond
        values = values[defined | (bits == 16)].astype(x.dtype)
        wanted = one("SOFTMAX", [values], [x], values.shape, ends[bits], options={"beta": 1.0})
        if bits == 8:
            op = prepare_softmax_int8(x)
            assert int(flat_jit(values, op)) == 0
            found = softmax8_jit(values, op)
        else:
            found = softmax16_jit(values, prepare_softmax_int16(x))
        assert np.array_equal(found, wanted)


def test_rows_that_abort_the_device_are_counted() -> None:
    values = np.zeros((3, 600), np.int8)
    values[1, 512:] = -128  # far below the others: 512 ones remain
    values[2, 511:] = -128
    assert int(flat_jit(values, prepare_softmax_int8(Encoding(scale=0.4)))) == 2


def test_bad_products_are_refused() -> None:
    narrow, wide = Encoding(scale=0.1), Encoding(scale=0.1, bits=16)
    weights = np.zeros((3, 4), np.int8)
    with pytest.raises(ValueError, match="3 outputs need 1 or 3 scales, got 2"):
        prepare_conv(weights, np.ones(2, np.float32), narrow, narrow)
    with pytest.raises(ValueError, match="one width, got 8 and 16"):
        prepare_conv(weights, np.ones(3, np.float32), narrow, wide)
    with pytest.raises(ValueError, match="int32 accumulators"):
        prepare_conv(weights, np.ones(3, np.float32), narrow, narrow, accumulator=Accumulator.INT64)
    with pytest.raises(ValueError, match="at most 65536 inputs"):
        prepare_conv(np.zeros((1, 2**16 + 1), np.int8), np.ones(1, np.float32), narrow, narrow)
    with pytest.raises(ValueError, match="int16 encoding"):
        prepare_softmax_int16(narrow)
