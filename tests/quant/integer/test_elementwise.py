"""Operators on elements and their tables, equal to TFLM's interpreter bit for bit.

int8 operators see all their inputs (65,536 pairs), int16 ones every integer or 2^15 random pairs
with the extremes; scales are random over many octaves, so outputs saturate in some.
"""

import jax
import numpy as np
import pytest

from quant.integer.encoding import Encoding
from quant.integer.kernels.elementwise import (
    add,
    count_saturated,
    dequantise_integers,
    mean,
    multiply,
    prepare_add,
    prepare_mean,
    prepare_multiply,
    prepare_requantise,
    quantise_floats,
    requantise,
)
from quant.integer.kernels.lookup import every_integer, logistic_table, look_up, rsqrt_table
from tests.support.oracles.tflm import constant, one

SEEDS = range(8)
look_up_jit, count_jit = jax.jit(look_up), jax.jit(count_saturated, static_argnums=1)
add_jit, multiply_jit, mean_jit = jax.jit(add), jax.jit(multiply), jax.jit(mean)
requantise_jit = jax.jit(requantise, static_argnums=2)


def encoding(rng: np.random.Generator, bits: int, low: float = 1e-4, high: float = 1.0) -> Encoding:
    scale = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    zero = 0 if bits == 16 else int(rng.choice([-128, 127, 0, rng.integers(-128, 128)]))
    return Encoding(scale=scale, zero_point=zero, bits=bits)


def pairs(rng: np.random.Generator, bits: int) -> tuple[np.ndarray, np.ndarray]:
    if bits == 8:
        every = np.arange(-128, 128, dtype=np.int8)
        return tuple(np.ascontiguousarray(m) for m in np.meshgrid(every, every))  # type: ignore
    ends = np.asarray([-32768, -32767, -1, 0, 1, 32766, 32767], np.int16)
    drawn = rng.integers(-32768, 32768, (2, 2**15)).astype(np.int16)
    grid = np.stack(np.meshgrid(ends, ends)).reshape(2, -1)
    both = np.concatenate([grid, drawn[:, grid.shape[1] :]], axis=1)
    return both[0].reshape(-1, 64), both[1].reshape(-1, 64)


@pytest.mark.parametrize("bits", [8, 16])
def test_add(bits: int) -> None:
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        a, b = encoding(rng, bits), encoding(rng, bits)
        y = encoding(rng, bits, 0.5 * max(a.scale, b.scale), 4 * max(a.scale, b.scale))
        xs = pairs(rng, bits)
        wanted = one("ADD", list(xs), [a, b], xs[0].shape, y, options={"potScaleInt16": False})
        assert np.array_equal(add_jit(*xs, prepare_add(a, b, y)), wanted)


@pytest.mark.parametrize("bits", [8, 16])
def test_multiply(bits: int) -> None:
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        a, b = encoding(rng, bits), encoding(rng, bits)
        top = a.scale * b.scale * 2 ** (bits - 1)
        y = encoding(rng, bits, top / 16, top * 16)
        xs = pairs(rng, bits)
        wanted = one("MUL", list(xs), [a, b], xs[0].shape, y)
        assert np.array_equal(multiply_jit(*xs, prepare_multiply(a, b, y)), wanted)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(
    "shapes", [((2, 5, 7), (2, 5, 1)), ((2, 5, 7), (1, 1, 1)), ((2, 1, 7), (2, 5, 1))]
)
def test_broadcasting(bits: int, shapes: tuple) -> None:
    rng = np.random.default_rng(0)
    a, b, y = (
        Encoding(scale=0.1, bits=bits),
        Encoding(scale=0.03, bits=bits),
        Encoding(scale=0.2, bits=bits),
    )
    xs = [rng.integers(a.q_min, a.q_max + 1, s).astype(a.dtype) for s in shapes]
    shape = np.broadcast_shapes(*shapes)
    wanted = one("ADD", xs, [a, b], shape, y, options={"potScaleInt16": False})
    assert np.array_equal(add_jit(*xs, prepare_add(a, b, y)), wanted)
    wanted = one("MUL", xs, [a, b], shape, y)
    assert np.array_equal(multiply_jit(*xs, prepare_multiply(a, b, y)), wanted)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("count", [1, 2, 6, 97, 128, 300])
def test_mean(bits: int, count: int) -> None:
    for seed in range(4):
        rng = np.random.default_rng((count, seed))
        x = encoding(rng, bits)
        y = encoding(rng, bits, x.scale / 8, x.scale * 8)
        values = rng.integers(x.q_min, x.q_max + 1, (64, count)).astype(x.dtype)
        values[0], values[1] = x.q_min, x.q_max
        values[2:20] >>= 3  # means near zero
        axis = constant("axis", np.asarray([1], np.int32))
        wanted = one(
            "MEAN", [values], [x], (64, 1), y, constants=(axis,), options={"keepDims": True}
        )
        assert np.array_equal(mean_jit(values, prepare_mean(x, y, count)), wanted)


@pytest.mark.parametrize(("source", "target"), [(8, 8), (8, 16), (16, 8), (16, 16)])
def test_requantise(source: int, target: int) -> None:
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        x = encoding(rng, source)
        ratio = 2.0 ** (source - target)
        y = encoding(rng, target, x.scale * ratio / 8, x.scale * ratio * 8)
        values = every_integer(x).astype(x.dtype).reshape(16, -1)
        wanted = one("QUANTIZE", [values], [x], values.shape, y)
        assert np.array_equal(requantise_jit(values, prepare_requantise(x, y), y.dtype), wanted)


@pytest.mark.parametrize("bits", [8, 16])
def test_floats_to_integers_and_back(bits: int) -> None:
    rng = np.random.default_rng(bits)
    for _ in range(3):
        y = encoding(rng, bits)
        ties = [*(np.arange(-60, 60) + 0.5), 0.49999997, -0.49999997, 0.0, 1e6]
        steps = np.concatenate([rng.uniform(y.q_min * 1.2, y.q_max * 1.2, 4000), ties])
        values = (steps * np.float32(y.scale)).astype(np.float32)[None]
        wanted = one("QUANTIZE", [values], [None], values.shape, y)
        assert np.array_equal(jax.jit(quantise_floats, static_argnums=1)(values, y), wanted)
        integers = every_integer(y).astype(y.dtype)[None]
        wanted = one("DEQUANTIZE", [integers], [y], integers.shape, None)
        found = jax.jit(dequantise_integers, static_argnums=1)(integers, y)
        assert np.array_equal(np.asarray(found).view(np.int32), wanted.view(np.int32))


@pytest.mark.parametrize("bits", [8, 16])
def test_logistic(bits: int) -> None:
    y = Encoding(scale=1 / 256, zero_point=-128) if bits == 8 else Encoding(scale=2**-15, bits=16)
    special = [Encoding(scale=2.0**-12, bits=16), Encoding(scale=2.0**-11, bits=16)]
    for seed in range(10 if bits == 8 else 6):
        rng = np.random.default_rng(seed)
        x = special[seed] if bits == 16 and seed < 2 else encoding(rng, bits, 1e-4, 0.5)
        values = every_integer(x).astype(x.dtype)[None]
        wanted = one("LOGISTIC", [values], [x], values.shape, y)
        assert np.array_equal(look_up_jit(values, logistic_table(x)), wanted)


@pytest.mark.parametrize("bits", [8, 16])
def test_rsqrt(bits: int) -> None:
    for seed in range(10 if bits == 8 else 5):
        rng = np.random.default_rng(seed)
        x = encoding(rng, bits, 1e-5, 0.5)
        middle = (x.scale * (x.q_max - x.zero_point + 1) / 20) ** -0.5
        y = encoding(rng, bits, middle * 2 ** (1 - bits) / 4, middle * 2 ** (1 - bits) * 16)
        values = every_integer(x)
        values = values[values >= x.zero_point].astype(x.dtype)[None]  # the device fails below
        wanted = one("RSQRT", [values], [x], values.shape, y)
        assert np.array_equal(look_up_jit(values, rsqrt_table(x, y)), wanted)


def test_tables_can_be_made_while_tracing() -> None:
    x = Encoding(scale=0.05)
    values = every_integer(x).astype(np.int8)
    traced = jax.jit(lambda v: look_up(v, logistic_table(x)))(values)
    assert np.array_equal(traced, logistic_table(x))


def test_saturation_is_counted() -> None:
    x = Encoding(scale=0.1, bits=16)
    values = np.asarray([-32768, -32767, 0, 32767, 32767], np.int16)
    assert int(count_jit(values, x)) == 3


def test_what_kernels_refuse_is_refused() -> None:
    narrow, wide = Encoding(scale=0.1), Encoding(scale=0.1, bits=16)
    for prepare in (prepare_add, prepare_multiply):
        with pytest.raises(ValueError, match="one width, got 8, 16, 16"):
            prepare(narrow, wide, wide)
    with pytest.raises(ValueError, match="ADD must lie between 0 and 1"):
        prepare_add(wide, wide, Encoding(scale=1e-6, bits=16))
    with pytest.raises(ValueError, match="count=0"):
        prepare_mean(wide, wide, 0)
    with pytest.raises(ValueError, match="LOGISTIC int16 needs a scale"):
        logistic_table(Encoding(scale=3.0, bits=16))
