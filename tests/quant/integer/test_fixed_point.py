"""Fixed-point arithmetic against Python's integers, on random and extreme numbers."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quant.integer.encoding import Encoding, multiplier, ratio_below_one
from quant.integer.kernels.fixed_point import (
    Wide,
    high_mul,
    mulhi_of_halves,
    rescale,
    rescale_once,
    rescale_wide,
    rounding_shift,
    saturating_shift,
    wide_product,
)

EXTREMES = (
    -(2**31),
    -(2**31) + 1,
    -(2**30),
    -65536,
    -32768,
    -3,
    -2,
    -1,
    0,
    1,
    2,
    3,
    32767,
    65535,
    65536,
    2**30 - 1,
    2**30,
    2**31 - 2,
    2**31 - 1,
)


def pairs(seed: int, count: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of extremes and random numbers of every size."""
    rng = np.random.default_rng(seed)
    grid = np.asarray([(a, b) for a in EXTREMES for b in EXTREMES])
    sizes = rng.integers(0, 32, (count, 2))
    drawn = (rng.integers(-(2**31), 2**31, (count, 2)) >> sizes).astype(np.int64)
    both = np.concatenate([grid, drawn]).astype(np.int32)
    return both[:, 0], both[:, 1]


def half_up(value: Fraction) -> int:
    return (value + Fraction(1, 2)).__floor__()


def half_away(value: Fraction) -> int:
    return half_up(value) if value >= 0 else -half_up(-value)


def wrap(value: int) -> int:
    return (value + 2**31) % 2**32 - 2**31


def high_mul_of(a: int, b: int) -> int:
    return min(half_up(Fraction(a * b, 2**31)), 2**31 - 1)


def test_products_are_exact() -> None:
    a, b = pairs(0)
    product = wide_product(jnp.asarray(a), jnp.asarray(b))
    halves = np.asarray(mulhi_of_halves(jnp.asarray(a), jnp.asarray(b)))
    for i, (x, y) in enumerate(zip(a.tolist(), b.tolist(), strict=True)):
        assert (int(product.high[i]) if i < 50 else int(halves[i])) == (x * y) >> 32
    assert np.array_equal(np.asarray(product.high), halves)
    assert np.array_equal(np.asarray(product.low), (a.astype(np.int64) * b).astype(np.uint32))


def test_high_mul_rounds_ties_up_and_saturates() -> None:
    a, b = pairs(1)
    found = np.asarray(jax.jit(high_mul)(a, b)).tolist()
    assert found == [high_mul_of(x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)]


def test_rounding_shift_rounds_ties_away_from_zero() -> None:
    x, places = pairs(2)
    places = (places % 32).astype(np.int32)
    found = np.asarray(jax.jit(rounding_shift)(x, places)).tolist()
    wanted = [
        half_away(Fraction(v, 2**n)) for v, n in zip(x.tolist(), places.tolist(), strict=True)
    ]
    assert found == wanted


@pytest.mark.parametrize("places", [1, 5, 6])
def test_saturating_shift(places: int) -> None:
    x, _ = pairs(3)
    found = np.asarray(saturating_shift(jnp.asarray(x), places)).tolist()
    # -2^(31 - places) itself fits; gemmlowp's threshold is symmetric, its result is the same
    assert found == [max(min(v * 2**places, 2**31 - 1), -(2**31)) for v in x.tolist()]


def multipliers(rng: np.random.Generator, count: int, low: int, high: int):
    real = np.exp2(rng.uniform(low, high, count))
    return multiplier(real)


def test_rescale_rounds_twice() -> None:
    rng = np.random.default_rng(4)
    x, _ = pairs(4)
    m = multipliers(rng, x.size, -31, 12)
    found = np.asarray(jax.jit(rescale)(x, *m)).tolist()
    rows = zip(x.tolist(), m.significand.tolist(), m.shift.tolist(), strict=True)
    assert found == [
        half_away(Fraction(high_mul_of(wrap(v << max(n, 0)), s), 2 ** max(-n, 0)))
        for v, s, n in rows
    ]


def test_rescale_once_is_one_rounding() -> None:
    rng = np.random.default_rng(5)
    x, _ = pairs(5)
    m = multipliers(rng, x.size, -31, 12)
    found = np.asarray(jax.jit(rescale_once)(x, *m)).tolist()
    rows = zip(x.tolist(), m.significand.tolist(), m.shift.tolist(), strict=True)
    assert found == [wrap(half_up(Fraction(v * s, 2 ** (31 - n)))) for v, s, n in rows]


def test_wide_accumulators_have_short_multipliers() -> None:
    rng = np.random.default_rng(6)
    x = np.concatenate(
        [
            rng.integers(-(2**47), 2**47, 2000) >> rng.integers(0, 40, 2000),
            [-(2**47), 2**47 - 1, -1, 0, 1, 2**32, -(2**32), 2**31],
        ]
    )
    m = multipliers(rng, x.size, -31, 7)
    halves = Wide(jnp.asarray((x >> 32).astype(np.int32)), jnp.asarray(x.astype(np.uint32)))
    found = np.asarray(jax.jit(rescale_wide)(halves, *m)).tolist()
    for v, s, n, y in zip(x.tolist(), m.significand.tolist(), m.shift.tolist(), found, strict=True):
        short = min((s + 2**15) >> 16, 0x7FFF)
        assert y == wrap(half_up(Fraction(v * short, 2 ** (15 - n))))


def test_multipliers_are_the_nearest() -> None:
    real = np.concatenate(
        [
            np.exp2(np.random.default_rng(7).uniform(-31, 30, 500)),
            [0.5, 1.0, 1 - 2.0**-33, 0.0, 2.0**-33],
        ]
    )
    m = multiplier(real)
    for value, s, n in zip(real.tolist(), m.significand.tolist(), m.shift.tolist(), strict=True):
        if value < 2.0**-32:
            assert (s, n) == (0, 0)
            continue
        assert 2**30 <= s < 2**31
        # half a unit of the significand
        assert abs(Fraction(value) - Fraction(s) * Fraction(2) ** (n - 31)) <= Fraction(2) ** (
            n - 32
        )


@pytest.mark.parametrize(
    "bad",
    [
        {"bits": 4},
        {"scale": 0.0},
        {"scale": float("nan")},
        {"zero_point": 128},
        {"bits": 16, "zero_point": 1},
    ],
)
def test_bad_encodings_are_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(reversed(bad)))):
        Encoding(**{"scale": 0.5, **bad})


def test_ratios_that_abort_the_device_are_refused() -> None:
    for ratio in (1.0, 1 - 2.0**-40, 0.0, 2.5):
        with pytest.raises(ValueError, match="between 0 and 1"):
            ratio_below_one(ratio, "ratio")
    with pytest.raises(ValueError, match="ratios of scales"):
        multiplier(-1.0)
