"""Kernels in loops of their own have the same bits; so have tables and halves that save time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quant.integer.attention_operators import MixedPrecisionOps
from quant.integer.encoding import Encoding, multiplier
from quant.integer.kernels.apart import apart, smallest_factor
from quant.integer.kernels.fixed_point import high_mul, rescale, rounding_shift
from quant.integer.kernels.lookup import every_integer
from quant.integer.kernels.matmul import Accumulator, float_weights, halves_of, linear, prepare_conv
from quant.integer.kernels.norm import float_norm
from quant.integer.operators import NamedValue
from quant.integer.tensor_names import TensorName


@pytest.mark.parametrize("lead", [(), (1,), (7,), (4, 3), (2, 0)])
def test_a_loop_changes_nothing_but_the_time(lead: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(-9, 9, (*lead, 5)), rng.integers(-9, 9, (*lead, 2))
    both = jax.jit(lambda a, b: apart(lambda a, b: (a[:, :2] * b, a[:, 2:]), a, b))
    product, rest = both(a, b)
    assert np.array_equal(product, a[..., :2] * b)
    assert np.array_equal(rest, a[..., 2:])


def test_blocks_are_as_few_as_there_can_be() -> None:
    assert [smallest_factor(n) for n in (0, 1, 2, 9, 35, 37)] == [1, 1, 2, 3, 5, 37]


def test_rescaling_has_the_bits_of_its_two_roundings() -> None:
    """The short form against the functions it replaced, at the ends of int32 and of shifts."""
    ends = np.asarray([-(2**31), 1 - 2**31, -(2**30), -3, -1, 0, 1, 2**30 + 1, 2**31 - 1])
    drawn = np.random.default_rng(0).integers(-(2**31), 2**31, 500)
    x = np.concatenate([ends, drawn]).astype(np.int32)[:, None]
    real = np.exp2(np.concatenate([np.arange(-33.0, 31.0), np.linspace(-31.9, 30.9, 200)]))
    m = multiplier(np.concatenate([real, [1 - 2.0**-31, 2.0**31 - 1, 0.0]]))
    assert {0, 2**30, 2**31 - 1} <= set(m.significand.tolist())

    def twice_rounded(x: jax.Array, significand: jax.Array, shift: jax.Array) -> jax.Array:
        left, right = jnp.maximum(shift, 0), jnp.maximum(-shift, 0)
        return rounding_shift(high_mul(x << left, significand), right)

    scale = (part[None] for part in m)
    significand, shift = (np.broadcast_to(part, (len(x), part.size)) for part in scale)
    rows = np.broadcast_to(x, shift.shape)
    assert np.array_equal(
        jax.jit(rescale)(rows, significand, shift), jax.jit(twice_rounded)(rows, significand, shift)
    )


@pytest.mark.parametrize("width", [1, 3, 8, 16, 37])
def test_a_norm_has_the_floats_of_additions_from_left_to_right(width: int) -> None:
    """Zeros that fill up a round, and rounds themselves, leave no trace in the last bit."""
    x = np.random.default_rng(0).normal(size=(400, width)).astype(np.float32)
    total = np.add.accumulate(x * x, axis=-1, dtype=np.float32)[:, -1:]
    wanted = x * (np.float32(1) / np.sqrt(total / np.float32(width) + np.float32(1e-5)))
    assert np.array_equal(jax.jit(lambda v: float_norm(v, 1e-5))(x), wanted)


@pytest.mark.parametrize(
    ("bits", "accumulator"),
    [(8, Accumulator.INT32), (16, Accumulator.INT32), (16, Accumulator.INT64)],
)
def test_halves_of_a_product_are_its_halves(bits: int, accumulator: Accumulator) -> None:
    x, y = Encoding(scale=0.1, bits=bits), Encoding(scale=0.3, bits=bits)
    rng = np.random.default_rng(0)
    weights = rng.integers(-128, 128, (6, 9)).astype(np.int8)
    scales = rng.uniform(0.001, 0.002, 6).astype(np.float32)
    op = prepare_conv(weights, scales, x, y, accumulator=accumulator)
    values = rng.integers(x.q_min, x.q_max + 1, (4, 9)).astype(x.dtype)
    whole, *halves = jax.jit(lambda v: [linear(v, op) for op in (op, *halves_of(op))])(values)
    assert np.array_equal(np.concatenate(halves, axis=-1), whole)


@pytest.mark.parametrize("inputs", [7, 67, 200])
def test_float32_products_of_small_filters_are_those_of_digits(inputs: int) -> None:
    """One part, two of which the last is padded, and filters too large for either."""
    rng = np.random.default_rng(0)
    weights = rng.integers(-15, 16, (4, inputs)).astype(np.int8)
    weights[0], weights[1] = -15, 15
    parts = float_weights(weights)
    assert (None if parts is None else len(parts)) == {7: 1, 67: 2, 200: None}[inputs]
    x, y = Encoding(scale=0.1, bits=16), Encoding(scale=25.0, bits=16)
    scales = np.full(4, 0.01, np.float32)
    bias = np.asarray([2**24 + 1, -5, 0, 1], np.int32)
    values = rng.integers(-(2**15), 2**15, (6, inputs)).astype(np.int16)
    values[0], values[1] = -(2**15), 2**15 - 1
    ops = [
        prepare_conv(weights, scales, x, y, bias=bias, in_floats=floats) for floats in (True, False)
    ]
    floats, digits = jax.jit(lambda v: [linear(v, op) for op in ops])(values)
    assert np.array_equal(floats, digits)


@pytest.mark.parametrize("bits", [8, 16])
def test_silu_in_one_table_is_logistic_and_multiplication(bits: int) -> None:
    gate, sigmoid, silu = TensorName("gate"), TensorName("sigmoid"), TensorName("silu")
    encodings = {
        "gate": Encoding(scale=20 / 2**bits, zero_point=3 * (bits == 8), bits=bits),
        "sigmoid": Encoding(scale=2.0**-bits * 2 ** (bits == 16), zero_point=0, bits=bits),
        "silu": Encoding(scale=13 / 2**bits, zero_point=-90 * (bits == 8), bits=bits),
    }
    ops = MixedPrecisionOps({}, encodings, 1e-5, heads=1)
    x = jnp.asarray(every_integer(encodings["gate"]), encodings["gate"].dtype)
    one = jax.jit(lambda x: ops.silu(silu, NamedValue(x, gate), sigmoid).value)(x)
    two = jax.jit(
        lambda x: (
            ops.multiply(
                silu, NamedValue(x, gate), ops.logistic(sigmoid, NamedValue(x, gate))
            ).value
        )
    )(x)
    assert len(np.unique(two)) > 2 ** (bits - 2)
    assert np.array_equal(one, two)
