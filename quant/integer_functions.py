"""Transcendental functions of gemmlowp's fixed-point numbers, bit for bit.

A number in Qm is an int32 that means x / 2^(31 - m); the product of Qa and Qb is `high_mul`, in
Q(a + b). Series and iterations are those of the public gemmlowp design (fixedpoint): a Taylor
series of exp around -1/8 with one multiplication per binary digit beyond, Newton-Raphson for
1/(1 + x) from 48/17 - 32/17 y, and for 1/sqrt(x) from 1. Their rounding, digit by digit, is what a
device computes; a better exp would be a wrong simulation.
"""

import math

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Int32

from quant.integer_fixed import INT32_MAX, Ints, high_mul, rounding_shift, saturating_shift


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
