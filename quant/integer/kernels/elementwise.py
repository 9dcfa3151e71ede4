"""Operators on elements as TFLM computes them: QUANTIZE, DEQUANTIZE, ADD, MUL, MEAN.

Each has a `prepare_` function that runs on the host, from encodings to static constants, and a pure
function of arrays and those constants. Results have the type of the inputs; only QUANTIZE changes
it. Arrays of one rank broadcast. TRANSPOSE, RESHAPE, SPLIT, SLICE and CONCATENATION only move
integers: JAX's own do for them.

Not here: fused activations, and functions of one variable (lookup.py).
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float, Int32, Integer

from quant.integer.encoding import Encoding, Multiplier, multiplier, ratio_below_one
from quant.integer.kernels.apart import apart
from quant.integer.kernels.fixed_point import rescale
from quant.integer.kernels.matmul import saturate

Elements = Integer[Array, "*axes"]
ADD_SHIFT = {8: 20, 16: 15}  # bits of headroom that TFLM's ADD works with


class Requantise(NamedTuple):
    """A prepared QUANTIZE from integers to integers."""

    scale: Multiplier
    zero_points: tuple[Any, Any]


def prepare_requantise(x: Encoding, y: Encoding) -> Requantise:
    """Prepare the change of an encoding."""
    return Requantise(multiplier(x.scale / y.scale), (_zero(x), _zero(y)))


def requantise(x: Elements, op: Requantise, dtype: Any) -> Elements:
    """Change the encoding; `dtype` is the new one's."""
    zx, zy = op.zero_points
    return saturate(rescale(_centred(x, zx), *_arrays(op.scale)) + jnp.asarray(zy), dtype)


def quantise_floats(x: Float[Array, "*axes"], y: Encoding) -> Elements:
    """Apply QUANTIZE to float32: round(x / scale) + zero_point, ties away from zero.

    Beyond 2^31 steps the device's conversion is undefined; here it saturates.
    """
    # a barrier over the full shape: XLA would multiply by 1/scale, which rounds differently
    scale = lax.optimization_barrier(jnp.full_like(x, y.scale, dtype=jnp.float32))
    steps = lax.round(x.astype(jnp.float32) / scale, lax.RoundingMethod.AWAY_FROM_ZERO)
    steps = jnp.clip(steps, -(2.0**24), 2.0**24).astype(jnp.int32)
    return saturate(steps + y.zero_point, y.dtype)


def dequantise_integers(x: Elements, encoding: Encoding) -> Float[Array, "*axes"]:
    """Apply DEQUANTIZE: (q - zero_point) * scale, rounded once to float32."""
    steps = x.astype(jnp.int32) - encoding.zero_point
    # a barrier: XLA moves a constant factor past a later product, which rounds differently
    return lax.optimization_barrier(steps.astype(jnp.float32) * jnp.float32(encoding.scale))


class Add(NamedTuple):
    """A prepared ADD: multipliers of both inputs and of the sum, bits of headroom."""

    a_scale: Multiplier
    b_scale: Multiplier
    scale: Multiplier
    headroom: Int32[Any, ""]
    zero_points: tuple[Any, Any, Any]


def prepare_add(a: Encoding, b: Encoding, y: Encoding) -> Add:
    """Prepare ADD.

    Raises:
      ValueError: the widths differ, or the sum's scale is too small for the kernel.
    """
    _one_width(a, b, y)
    headroom = ADD_SHIFT[y.bits]
    twice = 2 * max(a.scale, b.scale)
    ratio = twice / (2**headroom * y.scale)
    return Add(
        multiplier(a.scale / twice),
        multiplier(b.scale / twice),
        ratio_below_one(ratio, "2 max(input scales) / (2^headroom output scale) of ADD"),
        np.asarray(headroom, np.int32),
        (_zero(a), _zero(b), _zero(y)),
    )


def add(a: Elements, b: Integer[Array, "*others"], op: Add) -> Integer[Array, "*result"]:
    """Add two tensors."""
    za, zb, zy = op.zero_points
    headroom = jnp.asarray(op.headroom)

    def total(a: Array, b: Array) -> Array:
        x = rescale(_centred(a, za) << headroom, *_arrays(op.a_scale))
        y = rescale(_centred(b, zb) << headroom, *_arrays(op.b_scale))
        return saturate(rescale(x + y, *_arrays(op.scale)) + jnp.asarray(zy), a.dtype)

    return apart(total, a, b) if a.shape == b.shape else total(a, b)


class Multiply(NamedTuple):
    """A prepared MUL."""

    scale: Multiplier
    zero_points: tuple[Any, Any, Any]


def prepare_multiply(a: Encoding, b: Encoding, y: Encoding) -> Multiply:
    """Prepare MUL.

    Raises:
      ValueError: the widths differ.
    """
    _one_width(a, b, y)
    return Multiply(multiplier(a.scale * b.scale / y.scale), (_zero(a), _zero(b), _zero(y)))


def multiply(a: Elements, b: Integer[Array, "*others"], op: Multiply) -> Integer[Array, "*result"]:
    """Multiply two tensors."""
    za, zb, zy = op.zero_points
    product = _centred(a, za) * _centred(b, zb)
    return saturate(rescale(product, *_arrays(op.scale)) + jnp.asarray(zy), a.dtype)


class Mean(NamedTuple):
    """A prepared MEAN: what the zero point adds up to, and the multiplier with 1/count in it."""

    offset: Int32[Any, ""]
    scale: Multiplier
    zero_point: Int32[Any, ""]


def prepare_mean(x: Encoding, y: Encoding, count: int) -> Mean:
    """Prepare MEAN over `count` elements.

    1/count goes into the multiplier by an integer division: its last bits are cut, not rounded.

    Raises:
      ValueError: the widths differ, or nothing is averaged.
    """
    _one_width(x, y)
    if count < 1:
        raise ValueError(f"a mean needs at least 1 element, got count={count}")
    significand, shift = (int(part) for part in multiplier(x.scale / y.scale))
    places = min(count.bit_length() - 1, 32, 31 + shift)
    scale = Multiplier(
        np.asarray((significand << places) // count, np.int32),
        np.asarray(shift - places, np.int32),
    )
    return Mean(np.asarray(x.zero_point * count, np.int32), scale, _zero(y))


def mean(x: Elements, op: Mean) -> Integer[Array, "*reduced"]:
    """Average the last axis and keep it; the sum is int32, as on the device."""
    total = jnp.sum(x, axis=-1, keepdims=True, dtype=jnp.int32) - jnp.asarray(op.offset)
    return saturate(rescale(total, *_arrays(op.scale)) + jnp.asarray(op.zero_point), x.dtype)


def count_saturated(x: Elements, valid: Encoding) -> Int32[Array, ""]:
    """Count integers at the ends of their type: what an encoding may have cut off."""
    return jnp.sum((x == valid.q_min) | (x == valid.q_max), dtype=jnp.int32)


def _centred(x: Array, zero_point: Any) -> Array:
    return x.astype(jnp.int32) - jnp.asarray(zero_point)


def _arrays(scale: Multiplier) -> tuple[Array, Array]:
    return jnp.asarray(scale.significand), jnp.asarray(scale.shift)


def _zero(encoding: Encoding) -> np.ndarray:
    return np.asarray(encoding.zero_point, np.int32)


def _one_width(*encodings: Encoding) -> None:
    if len({encoding.bits for encoding in encodings}) > 1:
        widths = ", ".join(str(encoding.bits) for encoding in encodings)
        raise ValueError(f"inputs and output must have one width, got {widths}")
