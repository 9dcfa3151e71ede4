"""Products at the borders between two results, where the last bits of a multiplier show.

A random sum of int8 products lies near enough to a border once in a million times. Sums here are
the ones on both sides of every border, so that a multiplier off by 2^-26 is seen.
"""

from typing import Any

import jax
import numpy as np
import pytest

from quant.integer.encoding import Encoding, Multiplier, multiplier, product_of_scales, short_scale
from quant.integer.kernels.matmul import (
    BatchMatmul,
    Linear,
    batch_matmul,
    linear,
    prepare_batch_matmul,
    prepare_conv,
    prepare_fully_connected,
)
from quant.integer.kernels.softmax import (
    prepare_softmax_int8,
    prepare_softmax_int16,
    softmax_int8,
    softmax_int16,
)
from tests.support.oracles.tflm import constant, one, quant_of

linear_jit, matmul_jit = jax.jit(linear), jax.jit(batch_matmul)
softmax8_jit, softmax16_jit = jax.jit(softmax_int8), jax.jit(softmax_int16)
TOP, INNER = 127, 260
LEFT = np.asarray([TOP] * INNER + [1], np.int8)
"""What sums are made with: LEFT times a row of `rows_of`."""
FIRST = np.asarray(0.12256909161806107, np.float32), np.asarray(0.12290312349796295, np.float32)
SUM = np.float32(4.584831237792969)


def borders(real: float) -> np.ndarray:
    """List the sums on both sides of every border of int8: t + 1/2, less half a first rounding."""
    significand, shift = (int(part) for part in multiplier(real))
    first = np.arange(TOP) * 2.0**-shift + 2.0 ** (-shift - 1) - 0.5
    below = np.floor(first * 2.0**31 / significand).astype(np.int64)
    near = np.concatenate([below, below + 1])
    return np.concatenate([near, -near])


def rows_of(sums: np.ndarray) -> np.ndarray:
    """Make a row for every sum."""
    quotients, rest = np.divmod(np.abs(sums), TOP)
    whole, more = np.divmod(quotients, INNER)
    rows = np.append(whole[:, None] + (np.arange(INNER) < more[:, None]), rest[:, None], axis=1)
    rows = rows * np.sign(sums)[:, None]
    assert np.array_equal(rows @ LEFT.astype(np.int64), sums)
    assert np.abs(rows).max() <= TOP
    return rows.astype(np.int8)


def draw(seed: int, rounded: Any = float) -> tuple[Encoding, np.ndarray, Encoding]:
    """Draw an operand's encoding, two scales of the other one, and the result's encoding."""
    rng = np.random.default_rng(seed)
    first, *others = (rounded(float(np.float32(s))) for s in rng.uniform(0.1, 0.2, 3))
    real = float(np.exp(rng.uniform(np.log(6.5e-5), np.log(2.5e-4))))
    return (
        Encoding(scale=first),
        np.asarray(others, np.float32),
        Encoding(scale=first * max(others) / real),
    )


def count_seen(apply: Any, op: BatchMatmul | Linear, wanted: np.ndarray) -> int:
    """Count the results that change if a multiplier is off by 2^-26."""
    significand, shift = op.scale
    off = op._replace(scale=Multiplier(significand + 2**5, shift))
    return int(np.sum(np.asarray(apply(off)) != wanted))


def test_batch_matmul_at_borders() -> None:
    seen = 0
    for seed in range(6):
        a, (scale, _), y = draw(seed, short_scale)
        b = Encoding(scale=float(scale))
        op = prepare_batch_matmul(a, b, y)
        xs = [LEFT[None, None], rows_of(borders(a.scale * b.scale / y.scale))[None]]
        wanted = one("BATCH_MATMUL", xs, [a, b], (1, 1, len(xs[1][0])), y, options={"adjY": True})
        assert np.array_equal(matmul_jit(*xs, op), wanted)
        seen += count_seen(lambda o, xs=xs: matmul_jit(*xs, o), op, wanted)
    assert seen


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("code", ["FULLY_CONNECTED", "CONV_2D"])
def test_products_with_filters_at_borders(code: str, channels: int) -> None:
    single = channels == 1
    prepare = prepare_fully_connected if code == "FULLY_CONNECTED" else prepare_conv
    conv = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}
    seen = 0
    for seed in range(6):
        x, scales, y = draw(seed, short_scale if single else float)
        scales, weights = scales[:channels], np.stack([LEFT] * channels)
        real = x.scale * scales.astype(np.float64) / y.scale
        values = rows_of(np.concatenate([borders(r) for r in real]))
        lead = () if code == "FULLY_CONNECTED" else (1, 1)
        held = weights.reshape(channels, *lead, -1)
        axis = None if single else 0
        filter_ = constant("w", held, quant_of(scales, 0, axis))
        unit = quant_of(np.float32(x.scale) * scales, 0, axis)
        bias = constant("b", np.zeros(channels, np.int32), unit)
        shape = (*lead, len(values), channels)
        wanted = one(
            code,
            [values.reshape(*lead, *values.shape)],
            [x],
            shape,
            y,
            version=4,
            constants=(filter_, bias),
            options=conv if lead else {},
        )
        wanted, op = wanted.reshape(-1, channels), prepare(weights, scales, x, y)
        assert np.array_equal(linear_jit(values, op), wanted)
        seen += count_seen(lambda o, v=values: linear_jit(v, o), op, wanted)
    assert seen


def test_a_product_that_revisions_round_otherwise_is_refused() -> None:
    """A trained maze model's scores: 37 * 37 steps are 4.498, which is 4 or 5 by the revision."""
    a, b = (Encoding(scale=float(scale)) for scale in FIRST)
    y, ends = Encoding(scale=float(SUM)), [np.full((1, 1, 1), 37, np.int8)] * 2
    found = one("BATCH_MATMUL", ends, [a, b], (1, 1, 1), y, options={"adjY": True})
    assert found.item() == 5  # the wheel's; 90b983c multiplies FIRST in float32 and gives 4
    with pytest.raises(ValueError, match="revisions of TFLM round differently"):
        prepare_batch_matmul(a, b, y)
    with pytest.raises(ValueError, match="revisions of TFLM round differently"):
        prepare_fully_connected(np.ones((1, 4), np.int8), FIRST[1][None], a, y)
    a, b = (Encoding(scale=short_scale(float(scale))) for scale in FIRST)
    found = one("BATCH_MATMUL", ends, [a, b], (1, 1, 1), y, options={"adjY": True})
    assert np.array_equal(matmul_jit(*ends, prepare_batch_matmul(a, b, y)), found)


def test_short_scales_are_no_smaller_and_multiply_exactly() -> None:
    rng = np.random.default_rng(0)
    scales = np.exp(rng.uniform(-20, 5, (2, 500)))
    for first, second in scales.T:
        a, b = short_scale(first), short_scale(second)
        assert first <= a <= first * (1 + 2**-11)
        assert float(np.float32(a)) == a == short_scale(a)
        assert product_of_scales(a, b) == a * b
        assert product_of_scales(float(np.float32(first)), 2.0**-8) == np.float32(first) / 256


@pytest.mark.parametrize("bits", [8, 16])
def test_softmax_of_every_distance(bits: int) -> None:
    """Two scores, all their distances, and a beta that is no power of two."""
    beta = 32**-0.5
    far = np.arange(2**bits)
    values = np.stack([np.full(2**bits, 2 ** (bits - 1) - 1), 2 ** (bits - 1) - 1 - far], axis=1)
    kernel, prepare, end = {
        8: (softmax8_jit, prepare_softmax_int8, Encoding(scale=1 / 256, zero_point=-128)),
        16: (softmax16_jit, prepare_softmax_int16, Encoding(scale=2**-15, bits=16)),
    }[bits]
    for scale in (0.003, 0.0731, 0.55, 4.58):
        x = Encoding(scale=scale * 2.0 ** (8 - bits), bits=bits)
        held = values.astype(x.dtype)
        wanted = one("SOFTMAX", [held], [x], held.shape, end, options={"beta": beta})
        assert np.array_equal(kernel(held, prepare(x, beta)), wanted)
