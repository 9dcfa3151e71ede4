"""Functions of one variable as TFLM computes them: LOGISTIC, RSQRT, DECODE.

A function of an int8 or int16 is a table of 256 or 65,536 entries, computed once from what the
kernel does with every input. DECODE is the same with a table per channel.

    LOGISTIC int8    gemmlowp's logistic in Q4, output scale 1/256, zero point -128
    LOGISTIC int16   interpolation in 256 values of the sigmoid, output scale 2^-15
    RSQRT            integer Newton-Raphson; negative numbers make the device fail: here they are
                     cut to 0, whose answer is the largest integer

Not here: SOFTMAX (softmax.py).
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Int8, Int32, Integer, UInt8

from quant.integer.encoding import Encoding, Multiplier, multiplier
from quant.integer.kernels.apart import apart
from quant.integer.kernels.fixed_point import inverse_sqrt, logistic, rescale, rounding_shift

Table = Integer[np.ndarray, " entries"]
LOGISTIC_BITS = 4  # integer bits of the int8 kernel's argument
SIGMOID_STEPS = 24  # steps per unit of the int16 sigmoid


def every_integer(encoding: Encoding) -> Int32[np.ndarray, " entries"]:
    """List the integers of an encoding: the inputs of a table, in its order."""
    return np.arange(encoding.q_min, encoding.q_max + 1, dtype=np.int32)


def look_up(x: Integer[Array, "*axes"], table: Any) -> Integer[Array, "*axes"]:
    """Apply a table to int8 or int16."""
    entries = jnp.asarray(table)
    return apart(lambda rows: entries[rows.astype(jnp.int32) - jnp.iinfo(x.dtype).min], x)


def tabulate(function: Callable[[Array], Array], x: Encoding) -> Table:
    """Tabulate operators that follow each other, from what they do with every integer."""
    with jax.ensure_compile_time_eval():
        return np.asarray(function(jnp.asarray(every_integer(x), x.dtype)))


def decode(
    indices: UInt8[Array, "outputs inputs"], tables: Int8[Array, "channels entries"]
) -> Int8[Array, "outputs inputs"]:
    """Apply TFLM_DECODE's tables: one per output, or one for all.

    Args:
      indices: unpacked, 4 bits for 16 entries.
    """
    rows = jnp.broadcast_to(tables, (indices.shape[0], tables.shape[1]))
    return jnp.take_along_axis(rows, indices.astype(jnp.int32), axis=1)


def logistic_table(x: Encoding) -> Table:
    """Tabulate LOGISTIC; its output encoding is fixed."""
    return _logistic_int8(x) if x.bits == 8 else _logistic_int16(x)


def _logistic_int8(x: Encoding) -> Table:
    scale = multiplier(x.scale * 2.0 ** (31 - LOGISTIC_BITS))
    radius = input_radius(LOGISTIC_BITS, scale)
    steps = every_integer(x) - x.zero_point
    values = on_host(_logistic_kernel, np.clip(steps, -radius, radius), *scale)
    values = np.where(steps <= -radius, -128, np.where(steps >= radius, 127, values))
    return values.astype(np.int8)


@jax.jit
def _logistic_kernel(steps: Array, significand: Array, shift: Array) -> Array:
    raw = logistic(rescale(steps, significand, shift), LOGISTIC_BITS)
    return jnp.clip(rounding_shift(raw, 23) - 128, -128, 127)


def input_radius(integer_bits: int, scale: Multiplier) -> int:
    """Bound the integers whose product with `scale` fits Qm."""
    most = (2**integer_bits - 1) * 2.0 ** (31 - integer_bits)
    return math.floor(most / 2.0 ** int(scale.shift))


def sigmoid_samples() -> Integer[np.ndarray, " samples"]:
    """Sample the sigmoid at k/24 in 16 bits, for the interpolation of the int16 kernel.

    Every sample is lifted by half of what the chord to the next one misses in its middle,
    which halves the error of interpolation; the last one is the end of the range.
    """
    k = np.arange(256)
    sample, middle, after = (2**16 / (1 + np.exp(-(k + d) / SIGMOID_STEPS)) for d in (0, 0.5, 1))
    lifted = np.floor(sample + (middle - (sample + after) / 2) / 2 + 0.5).astype(np.int64)
    return np.where(k == 255, 65535, lifted)


def _logistic_int16(x: Encoding) -> Table:
    log2 = np.log(np.float32(x.scale)) * (np.float32(1) / np.log(np.float32(2)))
    factor, places = 3, 0
    if round(float(log2)) != -12 or abs(float(log2) + 12) >= 1e-3:
        real = x.scale * 4096.0 * 3.0
        while real <= 32767.0 / 2.0 and places <= 30:
            real, places = real * 2, places + 1
        if real > 32767.0:
            raise ValueError(f"LOGISTIC int16 needs a scale below 2.66, got scale={x.scale}")
        factor = int(real)
    half = (1 << places) >> 1
    steps = (every_integer(x).astype(np.int64) * factor + half) >> places
    samples = sigmoid_samples()
    size = np.abs(steps)
    index = np.minimum(size >> 9, 254)
    low, high = samples[index], samples[index + 1]
    result = np.where(size >> 9 >= 255, 0x7FFF << 10, (low << 9) + (size & 511) * (high - low))
    result = np.where(steps >= 0, result + 512, (1 << 25) - result + 511)
    return (result >> 10).astype(np.int16)


def rsqrt_table(x: Encoding, y: Encoding) -> Table:
    """Tabulate RSQRT.

    The multiplier is made in float64, as in the wheel of 2026-10-23 (8f6596d). The source of
    2026-08-20 (90b983c) makes it in float32: about one int16 in a thousand differs, by 1.
    """
    scale = multiplier(1.0 / (math.sqrt(x.scale) * y.scale))
    steps = np.maximum(every_integer(x) - x.zero_point, 0)
    values = on_host(_rsqrt_kernel, np.maximum(steps, 1), *scale) + y.zero_point
    values = np.where(steps == 0, y.q_max, values)
    return np.clip(values, y.q_min, y.q_max).astype(y.dtype)


@jax.jit
def _rsqrt_kernel(steps: Array, significand: Array, shift: Array) -> Array:
    fraction = 20  # bits between the two multiplications
    inverse, places = inverse_sqrt(steps)
    one = jnp.ones_like(steps)
    return rescale(rescale(one, inverse, places + fraction), significand, shift - fraction)


def on_host(kernel: Callable[..., Array], *values: Any) -> np.ndarray:
    """Run a kernel on integer constants, also while a caller is being traced."""
    with jax.ensure_compile_time_eval():
        return np.asarray(kernel(*(jnp.asarray(value, jnp.int32) for value in values)))
