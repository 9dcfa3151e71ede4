"""SOFTMAX over the last axis as TFLM computes it, for int8 and int16.

    int8     exponentials in Q5 to Q0, their sum in Q12, one reciprocal per row by Newton-Raphson;
             output scale 1/256, zero point -128. The kernel aborts the device when the sum
             is 512 or more, which takes 512 positions with scores alike: `count_too_flat`
    int16    exponentials and the reciprocal 1/(1 + x) interpolated in tables of 513 values;
             output scale 2^-15

A row has at most 256 different distances from its maximum (65,536 for int16), so the
exponentials are one table, computed on the host.

Not here: int8 to int16, other axes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Int8, Int16, Int32

from quant.integer.encoding import Encoding, multiplier
from quant.integer.kernels.apart import apart
from quant.integer.kernels.fixed_point import (
    exp_of_negative,
    high_mul,
    reciprocal,
    rescale,
    rounding_shift,
)
from quant.integer.kernels.lookup import input_radius, on_host

EXP_BITS = 5  # integer bits of the int8 kernel's argument of exp
LARGEST_SCALE = 2.0**31 - 1
INT16_RANGE = 65535


class SoftmaxInt8(NamedTuple):
    """Exponentials in Q0 of the differences 0, -1, ..., -255; 0 where the kernel skips."""

    exponentials: Int32[Any, " entries"]


def prepare_softmax_int8(x: Encoding, beta: float = 1.0) -> SoftmaxInt8:
    """Prepare SOFTMAX of int8.

    Raises:
      ValueError: x is not int8, or its scale is so small that the kernel aborts.
    """
    if x.bits != 8:
        raise ValueError(f"needs an int8 encoding, got bits={x.bits}")
    real = min(float(np.float32(beta)) * x.scale * 2.0 ** (31 - EXP_BITS), LARGEST_SCALE)
    if real <= 1:
        raise ValueError(f"SOFTMAX needs beta * scale above 2^-26, got scale={x.scale}")
    scale = multiplier(real)
    radius = input_radius(EXP_BITS, scale)
    steps = -np.arange(256, dtype=np.int32)
    values = on_host(_exp_kernel, np.maximum(steps, -radius), *scale)
    return SoftmaxInt8(np.where(steps >= -radius, values, 0).astype(np.int32))


@jax.jit
def _exp_kernel(steps: Array, significand: Array, shift: Array) -> Array:
    return exp_of_negative(high_mul(steps << shift, significand), EXP_BITS)


def softmax_int8(x: Int8[Array, "*lead last"], op: SoftmaxInt8) -> Int8[Array, "*lead last"]:
    """Apply SOFTMAX to the last axis; the result has scale 1/256 and zero point -128."""
    powers = _powers(x, op.exponentials)
    scale, digits = reciprocal(_sum_in_q12(powers), 12)
    # what the kernel skips is -128 whatever the sum; its exponential 0 gives just that
    shares = rounding_shift(high_mul(powers, scale), jnp.minimum(digits + 23, 31)) - 128
    return jnp.clip(shares, -128, 127).astype(jnp.int8)


def count_too_flat(x: Int8[Array, "*lead last"], op: SoftmaxInt8) -> Int32[Array, ""]:
    """Count the rows on which the int8 kernel aborts: their exponentials sum to 512 or more."""
    return jnp.sum(_sum_in_q12(_powers(x, op.exponentials)) >= 512 << 19, dtype=jnp.int32)


def _powers(x: Array, table: Any) -> Array:
    """Look up the exponential of every distance from the maximum of a row."""
    exponentials = jnp.asarray(table)
    narrow = jnp.uint8 if x.dtype == jnp.int8 else jnp.uint16
    largest = jnp.max(x, axis=-1, keepdims=True).astype(jnp.int32)
    below = (largest - x.astype(jnp.int32)).astype(narrow)
    return apart(lambda rows: exponentials[rows.astype(jnp.int32)], below)


def _sum_in_q12(powers: Array) -> Array:
    return jnp.sum(rounding_shift(powers, 12), axis=-1, keepdims=True, dtype=jnp.int32)


class SoftmaxInt16(NamedTuple):
    """Exponentials in Q0.15 of the differences 0 to -65535; 1/(1 + x) of every int16."""

    exponentials: Int32[Any, " entries"]
    reciprocals: Int32[Any, " entries"]


def prepare_softmax_int16(x: Encoding, beta: float = 1.0) -> SoftmaxInt16:
    """Prepare SOFTMAX of int16.

    Raises:
      ValueError: x is not int16.
    """
    if x.bits != 16:
        raise ValueError(f"needs an int16 encoding, got bits={x.bits}")
    scale = multiplier(x.scale * float(np.float32(beta)) / (10.0 / INT16_RANGE))
    steps = -np.arange(INT16_RANGE + 1, dtype=np.int32)
    scaled = on_host(jax.jit(rescale), steps, *scale)
    one = np.float32(1)
    exponentials = samples(10.0, 32767, lambda v: np.exp(v.astype(np.float64)).astype(np.float32))
    reciprocals = samples(1.0, -32768, lambda v: one / (one + v))
    every = np.arange(-32768, 32768)
    return SoftmaxInt16(
        interpolate(np.clip(scaled.astype(np.int64) + 32767, -32768, 32767), exponentials),
        interpolate(every, reciprocals),
    )


def softmax_int16(x: Int16[Array, "*lead last"], op: SoftmaxInt16) -> Int16[Array, "*lead last"]:
    """Apply SOFTMAX to the last axis."""
    powers = _powers(x, op.exponentials)
    total = jnp.sum(powers, axis=-1, keepdims=True, dtype=jnp.int32)
    zeros = lax.clz(total)
    normal = (total << (zeros - 1)).astype(jnp.uint32) + jnp.uint32(1 << 13)
    centred = jnp.clip((normal >> 14).astype(jnp.int32) - (1 << 16), 0, INT16_RANGE)
    scale = jnp.asarray(op.reciprocals)[centred]
    places = 31 - zeros
    shares = (powers * scale + (1 << (places - 1))) >> places
    return jnp.clip(shares, 0, 32767).astype(jnp.int16)


def samples(
    span: float, centre: int, function: Callable[[np.ndarray], np.ndarray]
) -> Int32[np.ndarray, " samples"]:
    """Sample a function for interpolation, 513 values in float32 like the kernel.

    Inner samples give way by half the error of interpolation in the middle of their step.

    Args:
      span: length of the domain, as 65,535 steps.
      centre: the integer that means 0.
    """
    f = np.float32
    step = f(span) / f(INT16_RANGE)
    low, high = step * f(-32768 - centre), step * f(32767 - centre)
    unit = f(2) / f(INT16_RANGE)
    gain = f(65536) / (unit * f(32767) - unit * f(-32768))
    width = (high - low) / f(512)
    index = np.arange(512, dtype=np.float32)
    here, after = (function(low + i * width) * gain for i in (index, index + f(1)))
    middle = function(low + index * width + width / f(2)) * gain
    error = _round((after + _round(here)) / f(2)) - _round(middle)
    inner = _round(here) - _round(error / f(2))
    last = _round(function(np.asarray([high], np.float32)) * gain)
    return np.clip(np.concatenate([inner, last]), -32768, 32767).astype(np.int32)


def interpolate(x: np.ndarray, values: np.ndarray) -> Int32[np.ndarray, " entries"]:
    """Interpolate int16 in 513 samples, ties up."""
    index, offset = 256 + (x >> 7), x & 127
    base = values[index]
    return (base + (((values[index + 1] - base) * offset + 64) >> 7)).astype(np.int32)


def _round(x: np.ndarray) -> np.ndarray:
    """Round float32, ties away from zero."""
    wide = x.astype(np.float64)
    return (np.sign(wide) * np.floor(np.abs(wide) + 0.5)).astype(np.float32)
