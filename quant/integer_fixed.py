"""Fixed-point arithmetic of TFLM on int32 arrays: exact, jitted, without 64-bit types.

    high_mul         round(a b / 2^31), ties up         (saturating rounding doubling high mul)
    rounding_shift   round(x / 2^n), ties away from 0   (rounding divide by a power of two)
    rescale          x m 2^(shift - 31) for the multipliers of integer_encoding.py:
                     twice rounded, high_mul and then rounding_shift; TFLM's default build, the
                     tflite-micro wheel and CMSIS-NN's default compute this
    rescale_once     the same rounded once, ties up: a build with TFLITE_SINGLE_ROUNDING=1 (or
                     CMSIS_NN_USE_SINGLE_ROUNDING). They differ by at most 1
    rescale_wide     of 64-bit accumulators, m first rounded to 15 bits; rounded once in every build

JAX's default has no int64, and x64 switched on inside jit is slower (7.1 against 1.6 ns per
high_mul on a busy x86 core), so a 64-bit number is a `Wide`, two halves of 32 bits: CPU, GPU and
TPU alike. The high half of a product is `jax.lax.mulhi`, or before JAX had it
four products of 16 bits (11 ns).
Left out: where multipliers come from, and operators.
"""

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
    """Multiply by significand * 2^(shift - 31), rounding twice; overflow of x 2^shift wraps."""
    left, right = jnp.maximum(shift, 0), jnp.maximum(-shift, 0)
    return rounding_shift(high_mul(x << left, significand), right)


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
