"""Fixed-point arithmetic of TFLM on int32 arrays: exact, jitted, without 64-bit types.

    high_mul         round(a b / 2^31), ties up         (saturating rounding doubling high mul)
    rounding_shift   round(x / 2^n), ties away from 0   (rounding divide by a power of two)
    rescale          x m 2^(shift - 31) for the multipliers of integer/encoding.py:
                     twice rounded, high_mul and then rounding_shift; TFLM's default build, the
                     tflite-micro wheel and CMSIS-NN's default compute this
    rescale_once     the same rounded once, ties up: a build with TFLITE_SINGLE_ROUNDING=1 (or
                     CMSIS_NN_USE_SINGLE_ROUNDING). They differ by at most 1
    rescale_wide     of 64-bit accumulators, m first rounded to 15 bits; rounded once in every build

JAX's default has no int64, and x64 switched on inside jit is slower (7.1 against 1.6 ns per
high_mul on a busy x86 core), so a 64-bit number is a `Wide`, two halves of 32 bits: CPU, GPU and
TPU alike. The high half of a product is `jax.lax.mulhi`, or before JAX had it four products of
16 bits (11 ns).

On these stand the transcendental functions of gemmlowp's fixed-point numbers (exp_of_negative,
logistic, reciprocal, inverse_sqrt). A number in Qm is an int32 that means x / 2^(31 - m); the
product of Qa and Qb is `high_mul`, in Q(a + b). Series and iterations are those of the public
gemmlowp design (fixedpoint): a Taylor series of exp around -1/8 with one multiplication per binary
digit beyond, Newton-Raphson for 1/(1 + x) from 48/17 - 32/17 y, and for 1/sqrt(x) from 1. Their
rounding, digit by digit, is what a device computes; a better exp would be a wrong simulation.

Not here: where multipliers come from (integer/encoding.py), and operators.
"""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Int32, UInt32

Ints = Int32[Array, "*axes"]
Broadcast = Int32[Array, "*scales"]
"""Scalar, or of the rank of what it is combined with."""

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1


class Wide(NamedTuple):
    """A 64-bit two's complement integer: high * 2^32 + low."""

    high: Int32[Any, "*axes"]
    low: UInt32[Any, "*axes"]


def wide_product(a: Ints, b: Broadcast) -> Wide:
    """Multiply exactly."""
    return Wide(_mulhi(*_alike(a, b)), (a * b).astype(jnp.uint32))


def wide_shifted(x: Ints, places: int) -> Wide:
    """Compute x * 2^places for 0 < places < 32."""
    return Wide(x >> (32 - places), x.astype(jnp.uint32) << places)


def wide(x: Ints) -> Wide:
    """Extend the sign."""
    return Wide(x >> 31, x.astype(jnp.uint32))


def wide_sum(a: Wide, b: Wide) -> Wide:
    """Add modulo 2^64."""
    low = a.low + b.low
    return Wide(a.high + b.high + (low < a.low).astype(jnp.int32), low)


def wide_rounding_shift(x: Wide, places: Broadcast | int) -> Ints:
    """Compute the low 32 bits of floor(x / 2^places + 1/2).

    Args:
      places: 1 to 62.
    """
    n = jnp.asarray(places, jnp.int32)
    in_high = n > 32
    half_low = jnp.where(in_high, 0, _bit(jnp.minimum(n - 1, 31))).astype(jnp.uint32)
    half_high = jnp.where(in_high, _bit(jnp.maximum(n - 33, 0)), 0)
    shape = x.high.shape
    y = wide_sum(x, Wide(jnp.broadcast_to(half_high, shape), jnp.broadcast_to(half_low, shape)))
    small = jnp.clip(n, 1, 31)
    narrow = (y.low >> small.astype(jnp.uint32)).astype(jnp.int32) | (y.high << (32 - small))
    return jnp.where(n < 32, narrow, y.high >> jnp.clip(n - 32, 0, 31))


def high_mul(a: Ints, b: Broadcast) -> Ints:
    """Compute round(a b / 2^31), ties up; only (-2^31)^2 saturates."""
    product = wide_product(a, b)
    low = product.low + jnp.uint32(2**30)
    high = product.high + (low < product.low).astype(jnp.int32)
    result = (high << 1) | (low >> 31).astype(jnp.int32)
    return jnp.where((a == INT32_MIN) & (b == INT32_MIN), INT32_MAX, result)


def rounding_shift(x: Ints, places: Broadcast | int) -> Ints:
    """Compute round(x / 2^places), ties away from zero.

    Args:
      places: 0 to 31.
    """
    n = jnp.asarray(places, jnp.int32)
    mask = _bit(n) - 1
    threshold = (mask >> 1) + (x < 0).astype(jnp.int32)
    return (x >> n) + ((x & mask) > threshold).astype(jnp.int32)


def rescale(x: Ints, significand: Broadcast, shift: Broadcast) -> Ints:
    """Multiply by significand * 2^(shift - 31), rounding twice; overflow of x 2^shift wraps.

    Every integer product ends here, so it spends fewer instructions than `high_mul` and
    `rounding_shift` (3/4 of their time) on what a multiplier is: 0 <= significand < 2^31.
    """
    left, right = jnp.maximum(shift, 0), jnp.maximum(-shift, 0)
    y = _high_mul_unsigned(x << left, significand)
    # |y| < 2^31, so a negative number has room for what rounds its ties away from zero
    last = jnp.minimum(right, 1)  # 0 where nothing is shifted
    return (((y + ((y >> 31) & -last)) >> jnp.maximum(right - 1, 0)) + last) >> last


def _high_mul_unsigned(a: Ints, b: Broadcast) -> Ints:
    """Compute round(a b / 2^31), ties up, for b >= 0: the high half of a (2 b), and its next bit.

    2 b needs all 32 bits: as an int32 it is 2 b - 2^32 wherever b >= 2^30.
    """
    x, twice = _alike(a, b << 1)
    high = _mulhi(x, twice) + jnp.where(twice < 0, x, 0)
    return high + ((x * twice).astype(jnp.uint32) >> 31).astype(jnp.int32)


def rescale_once(x: Ints, significand: Broadcast, shift: Broadcast) -> Ints:
    """Multiply by significand * 2^(shift - 31), rounding once."""
    return wide_rounding_shift(wide_product(x, significand), 31 - shift)


def rescale_wide(x: Wide, significand: Broadcast, shift: Broadcast) -> Ints:
    """Multiply a 48-bit accumulator by significand * 2^(shift - 31), significand of 15 bits."""
    reduced = jnp.where(significand < 0x7FFF0000, (significand + 2**15) >> 16, 0x7FFF)
    r = jnp.broadcast_to(reduced, x.high.shape).astype(jnp.uint32)
    # low * r / 2^32 in two halves, none of which overflows: r has 15 bits
    carried = (((x.low >> 16) * r + ((x.low & 0xFFFF) * r >> 16)) >> 16).astype(jnp.int32)
    product = Wide(x.high * r.astype(jnp.int32) + carried, x.low * r)
    return wide_rounding_shift(product, 15 - shift)


def saturating_shift(x: Ints, places: int) -> Ints:
    """Multiply by 2^places and saturate; divide with `rounding_shift` if places < 0."""
    if places <= 0:
        return rounding_shift(x, -places)
    limit = 2 ** (31 - places) - 1
    y = jnp.where(x > limit, INT32_MAX, x << places)
    return jnp.where(x < -limit, INT32_MIN, y)


def mulhi_of_halves(a: Array, b: Array) -> Array:
    """Compute the high half of a product of int32 from products of 16 bits."""
    a_high, a_low, b_high, b_low = a >> 16, a & 0xFFFF, b >> 16, b & 0xFFFF
    lowest = (a_low.astype(jnp.uint32) * b_low.astype(jnp.uint32)) >> 16
    first, second = a_high * b_low + lowest.astype(jnp.int32), a_low * b_high
    carried = ((first & 0xFFFF) + (second & 0xFFFF)) >> 16
    return a_high * b_high + (first >> 16) + (second >> 16) + carried


_mulhi = getattr(lax, "mulhi", mulhi_of_halves)  # JAX 0.10.0 has no lax.mulhi


def _bit(n: Array) -> Array:
    return lax.shift_left(jnp.ones_like(n), n)


def _alike(a: Array, b: Array) -> tuple[Array, Array]:
    shape = jnp.broadcast_shapes(a.shape, b.shape)
    return jnp.broadcast_to(a, shape), jnp.broadcast_to(b, shape)


def q(value: float, integer_bits: int) -> Array:
    """Make a constant in Qm."""
    scaled = math.floor(value * 2.0 ** (31 - integer_bits) + 0.5)
    return jnp.asarray(min(scaled, INT32_MAX), jnp.int32)


EXP_DIGITS = (-2, -1, 0, 1, 2, 3, 4)  # exp(-2^digit), one factor for every set bit


def exp_of_negative(x: Ints, integer_bits: int) -> Ints:
    """Compute exp(x) in Q0 for x <= 0 in Qm, m = 4 or 5."""
    fraction_bits = 31 - integer_bits
    quarter = 1 << (fraction_bits - 2)
    near = (x & (quarter - 1)) - quarter  # x modulo 1/4, in [-1/4, 0)
    result = _exp_near_zero(saturating_shift(near, integer_bits))
    rest = near - x
    for digit in EXP_DIGITS:
        if digit < integer_bits:
            is_set = (rest & (1 << (fraction_bits + digit))) != 0
            result = jnp.where(is_set, high_mul(result, q(math.exp(-(2.0**digit)), 0)), result)
    return jnp.where(x == 0, INT32_MAX, result)


def _exp_near_zero(x: Ints) -> Ints:
    """Compute exp(x) in Q0 for x in [-1/4, 0)."""
    y = x + (1 << 28)  # around -1/8
    y2 = high_mul(y, y)
    y3, y4 = high_mul(y2, y), high_mul(y2, y2)
    thirds = high_mul(rounding_shift(y4, 2) + y3, q(1 / 3, 0))
    tail = rounding_shift(thirds + y2, 1)  # y^2/2 + y^3/6 + y^4/24
    middle = q(math.exp(-1 / 8), 0)
    return middle + high_mul(y + tail, middle)


def one_over_one_plus(x: Ints) -> Ints:
    """Compute 1 / (1 + x) in Q0 for x in [0, 1) in Q0."""
    half = (x >> 1) + (1 << 30)  # (1 + x) / 2

    def improve(_: Array, y: Array) -> Array:  # Q2
        residue = (1 << 29) - high_mul(half, y)
        return y + saturating_shift(high_mul(y, residue), 2)  # Q4 to Q2

    # a loop, not three copies: fused copies take XLA seconds to compile
    y = lax.fori_loop(0, 3, improve, high_mul(half, q(-32 / 17, 2)) + q(48 / 17, 2))
    return saturating_shift(y, 1)  # y / 2 is Q1 with the same integer


def logistic(x: Ints, integer_bits: int) -> Ints:
    """Compute 1 / (1 + exp(-x)) in Q0 for x in Qm."""
    above = one_over_one_plus(exp_of_negative(-jnp.abs(x), integer_bits))
    result = jnp.where(x > 0, above, INT32_MAX - above)
    return jnp.where(x == 0, 1 << 30, result)


def reciprocal(x: Ints, integer_bits: int) -> tuple[Ints, Ints]:
    """Compute 1/x for x > 0 in Qm as r 2^-bits.

    Returns:
      r in Q0, in [1/2, 1], and the binary digits of x before the point.
    """
    zeros = lax.clz(x)
    normal = (x.astype(jnp.uint32) << zeros.astype(jnp.uint32)) - jnp.uint32(2**31)
    return one_over_one_plus(normal.astype(jnp.int32)), integer_bits - zeros


def inverse_sqrt(x: Ints) -> tuple[Int32[Array, "*axes"], Int32[Array, "*axes"]]:
    """Compute 1/sqrt(x) for integers 0 < x < 2^29 as significand * 2^(shift - 31)."""
    pairs = (lax.clz(x) - 1) // 2 - 1
    halved = (x << (2 * pairs)) >> 1  # in Q3

    def improve(_: Array, y: Array) -> Array:  # Q3
        cube = saturating_shift(high_mul(high_mul(y, y), y), 6)  # Q9 to Q3
        step = high_mul(y, q(1.5, 3)) - high_mul(rounding_shift(halved, 1), cube)
        return saturating_shift(step, 3)  # Q6 to Q3

    y = lax.fori_loop(0, 5, improve, jnp.full_like(x, 1 << 28))
    significand = high_mul(y, q(math.sqrt(0.5), 0))
    right = 11 - pairs
    significand = jnp.where(right < 0, significand << jnp.maximum(-right, 0), significand)
    is_one = x <= 1
    return (
        jnp.where(is_one, INT32_MAX, significand),
        jnp.where(is_one, 0, -jnp.maximum(right, 0)),
    )
