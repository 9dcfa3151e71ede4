"""Matrix products of integers as TFLM computes them: FULLY_CONNECTED, CONV_2D 1x1, BATCH_MATMUL.

    y = clip(rescale(sum_k w (x - z_x) + bias) + z_y)

A 1x1 convolution is a matrix product over the last axis; so is FULLY_CONNECTED. Where the filter
has one scale, and in BATCH_MATMUL, some revisions of TFLM round the product of both scales to
float32; scales on which they would differ are refused (encoding.py, `product_of_scales`).

Sums are exact: int16 inputs are split into two int8 digits, x = 256 h + l + 128, so that every
product is int8 x int8 -> int32, which CPUs, GPUs (tensor cores) and TPUs have. Zero points and
the 128 go into one offset per output. int32 accumulators wrap, as on the device; 64-bit ones
are `Wide`. Weights are int8 whatever the file holds: INT4 is unpacked, DECODE looks up a table.

On CPUs a float32 product takes less time than two of int8, and it is exact in any order of
additions while no sum can reach 2^24: int16 inputs have it where filters of 4 bits stay below
that, over all inputs or over each half of them (`float_weights`).

Not here: spatial filters, fused activations.
"""

import enum
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float32, Int8, Int32, Integer

from quant.integer.encoding import Encoding, Multiplier, multiplier, product_of_scales
from quant.integer.kernels.apart import apart
from quant.integer.kernels.fixed_point import (
    Wide,
    rescale,
    rescale_wide,
    wide,
    wide_shifted,
    wide_sum,
)

Rows = Integer[Array, "*lead inputs"]
MOST_PARTS = 2  # of a product in float32, which has half the speed of int8
MAX_DEPTH = 2**16  # 2 * 128 * 128 * depth fits int32


class Accumulator(enum.Enum):
    """Width of the sums of int16 kernels: the type of the bias tensor."""

    INT32 = 32
    INT64 = 64


class Linear(NamedTuple):
    """A prepared product.

    Attributes:
      weights: one column per output: as products want them, also as operands of a loop. float32
        has an axis more in front, of parts whose sums are exact.
      offset: bias and what the zero points contribute, int32 or Wide.
      scale: multiplier per output.
      zero_point: of the result.
    """

    weights: Int8[Any, "inputs outputs"] | Float32[Any, "parts depth outputs"]
    offset: Any
    scale: Multiplier
    zero_point: Int32[Any, ""]


def prepare_conv(
    weights: Int8[np.ndarray, "outputs inputs"],
    scales: Float32[np.ndarray, " scales"],
    x: Encoding,
    y: Encoding,
    *,
    bias: Integer[np.ndarray, " outputs"] | None = None,
    accumulator: Accumulator = Accumulator.INT32,
    in_floats: bool = False,
) -> Linear:
    """Prepare CONV_2D 1x1.

    Args:
      scales: of the filter, one or one per output.
      bias: integers of scale x.scale * scales.
      accumulator: of int16 kernels; int8 kernels have int32.
      in_floats: multiply int16 in float32 where that is exact; the same integers.

    Raises:
      ValueError: number of scales, depth, widths, or an int8 kernel with 64 bits.
    """
    real = np.float64(x.scale) * scales.astype(np.float64) / np.float64(y.scale)
    return _prepare(weights, real, x, y, bias, accumulator, in_floats)


def prepare_fully_connected(
    weights: Int8[np.ndarray, "outputs inputs"],
    scales: Float32[np.ndarray, " scales"],
    x: Encoding,
    y: Encoding,
    *,
    bias: Integer[np.ndarray, " outputs"] | None = None,
    accumulator: Accumulator = Accumulator.INT32,
) -> Linear:
    """Prepare FULLY_CONNECTED; arguments as `prepare_conv`.

    Raises:
      ValueError: as `prepare_conv`, or one scale as in `product_of_scales`.
    """
    if scales.size == 1:
        product_of_scales(x.scale, scales)
    return prepare_conv(weights, scales, x, y, bias=bias, accumulator=accumulator)


def _prepare(
    weights: np.ndarray,
    real: np.ndarray,
    x: Encoding,
    y: Encoding,
    bias: np.ndarray | None,
    accumulator: Accumulator,
    in_floats: bool = False,
) -> Linear:
    outputs, inputs = weights.shape
    if real.size not in (1, outputs):
        raise ValueError(f"{outputs} outputs need 1 or {outputs} scales, got {real.size}")
    if inputs > MAX_DEPTH:
        raise ValueError(f"at most {MAX_DEPTH} inputs, got {inputs}")
    if x.bits != y.bits:
        raise ValueError(f"input and output must have one width, got {x.bits} and {y.bits}")
    is_wide = accumulator is Accumulator.INT64
    if is_wide and x.bits == 8:
        raise ValueError("int8 kernels have int32 accumulators, got INT64")
    floats = float_weights(weights) if in_floats and x.bits == 16 else None
    constant = 128 if x.bits == 16 and floats is None else -x.zero_point
    offset = constant * weights.astype(np.int64).sum(axis=1)
    offset = offset + (0 if bias is None else bias.astype(np.int64))
    return Linear(
        np.ascontiguousarray(weights.T) if floats is None else floats,
        _halves(offset) if is_wide else offset.astype(np.int32),
        multiplier(np.broadcast_to(real, (outputs,)).copy()),
        np.asarray(y.zero_point, np.int32),
    )


def float_weights(
    weights: Int8[np.ndarray, "outputs inputs"],
) -> Float32[np.ndarray, "parts depth outputs"] | None:
    """Cut weights into parts by whose float32 products sums of int16 are exact.

    Returns:
      None where that takes more parts than is worth it: two products of int8 take less time then.
    """
    outputs, inputs = weights.shape
    for parts in range(1, MOST_PARTS + 1):
        padded = np.pad(weights, [(0, 0), (0, -inputs % parts)])
        cut = padded.reshape(outputs, parts, -1).astype(np.int64)
        if np.abs(cut).sum(axis=-1).max(initial=0) * 2**15 < 2**24:
            return np.ascontiguousarray(cut.transpose(1, 2, 0).astype(np.float32))
    return None


def linear(x: Rows, op: Linear) -> Integer[Array, "*lead outputs"]:
    """Apply a prepared product to the last axis; the result has the input's type."""
    weights = jnp.asarray(op.weights)
    shape = (1,) * (x.ndim - 1) + (weights.shape[-1],)
    significand, shift = (jnp.asarray(part).reshape(shape) for part in op.scale)
    if isinstance(op.offset, Wide):
        high, low = (_dot(digit, weights) for digit in apart(digits, x))
        halves = (jnp.broadcast_to(jnp.asarray(h).reshape(shape), low.shape) for h in op.offset)
        total = wide_sum(wide_sum(wide_shifted(high, 8), wide(low)), Wide(*halves))
        return saturate(rescale_wide(total, significand, shift), x.dtype)
    if weights.dtype == jnp.float32:
        total = _float_dot(x, weights)
    elif x.dtype == jnp.int16:
        high, low = (_dot(digit, weights) for digit in apart(digits, x))
        total = (high << 8) + low
    else:
        total = _dot(x, weights)
    scaled = rescale(total + jnp.asarray(op.offset).reshape(shape), significand, shift)
    return saturate(scaled + jnp.asarray(op.zero_point), x.dtype)


def halves_of(op: Linear) -> tuple[Linear, Linear]:
    """Cut the outputs of a prepared product in two."""
    middle = op.weights.shape[-1] // 2

    def cut(outputs: slice) -> Linear:
        return jax.tree.map(lambda part: part[..., outputs] if np.ndim(part) else part, op)

    return cut(slice(middle)), cut(slice(middle, None))


class BatchMatmul(NamedTuple):
    """A prepared BATCH_MATMUL: zero points of both sides and the result, and the multiplier."""

    a_zero_point: Int32[Any, ""]
    b_zero_point: Int32[Any, ""]
    zero_point: Int32[Any, ""]
    scale: Multiplier


def prepare_batch_matmul(a: Encoding, b: Encoding, y: Encoding) -> BatchMatmul:
    """Prepare BATCH_MATMUL.

    Raises:
      ValueError: the widths differ, or as `product_of_scales`.
    """
    if not a.bits == b.bits == y.bits:
        raise ValueError(f"widths must be one, got {a.bits}, {b.bits} and {y.bits}")
    real = product_of_scales(a.scale, b.scale) / np.float64(y.scale)
    za, zb, zy = (np.asarray(e.zero_point, np.int32) for e in (a, b, y))
    return BatchMatmul(za, zb, zy, multiplier(float(real)))


def batch_matmul(
    a: Integer[Array, "*lead rows inner"], b: Integer[Array, "*lead columns inner"], op: BatchMatmul
) -> Integer[Array, "*lead rows columns"]:
    """Multiply a by the transpose of b (adj_y)."""
    significand, shift = (jnp.asarray(part) for part in op.scale)
    if a.dtype == jnp.int16:
        return saturate(rescale_wide(_wide_products(a, b), significand, shift), a.dtype)
    za, zb, zy = (jnp.asarray(z) for z in op[:3])
    rows, columns = _sums(a)[..., None], _sums(b)[..., None, :]
    total = _products(a, b) - zb * rows - za * columns + za * zb * a.shape[-1]
    return saturate(rescale(total, significand, shift) + zy, a.dtype)


def digits(x: Integer[Array, "*axes"]) -> tuple[Int8[Array, "*axes"], Int8[Array, "*axes"]]:
    """Split int16 into h and l with x = 256 h + l + 128."""
    wide_x = x.astype(jnp.int32)
    return (wide_x >> 8).astype(jnp.int8), ((wide_x & 255) - 128).astype(jnp.int8)


def saturate(x: Int32[Array, "*axes"], dtype: Any) -> Integer[Array, "*axes"]:
    """Clip to the range of a type."""
    info = jnp.iinfo(dtype)
    return jnp.clip(x, info.min, info.max).astype(dtype)


def _dot(x: Array, weights: Array) -> Array:
    # rows first, and no axis to transpose: twice as fast on CPU
    rows = x.reshape(-1, x.shape[-1])
    total = lax.dot(rows, weights, preferred_element_type=jnp.int32)
    return total.reshape(*x.shape[:-1], -1)


def _float_dot(x: Array, weights: Array) -> Array:
    """Multiply integers in float32, part by part of the inputs; sums of parts are int32."""
    rows = x.reshape(-1, x.shape[-1])
    size, total = weights.shape[1], jnp.zeros((), jnp.int32)
    for start, part in zip(range(0, len(weights) * size, size), weights, strict=True):
        some = rows[:, start : start + size].astype(jnp.float32)
        exact = lax.dot(some, part[: some.shape[1]], precision=lax.Precision.HIGHEST)
        total = total + exact.astype(jnp.int32)
    return total.reshape(*x.shape[:-1], -1)


def _products(a: Array, b: Array) -> Array:
    last, lead = a.ndim - 1, tuple(range(a.ndim - 2))
    axes = (((last,), (last,)), (lead, lead))
    return lax.dot_general(a, b, axes, preferred_element_type=jnp.int32)


def _wide_products(a: Array, b: Array) -> Wide:
    """Sum int16 products over the last axis: (256 h + l + 128) (256 g + m + 128)."""
    (h, low_a), (g, low_b) = apart(digits, a), apart(digits, b)
    sums_a = (_sums(h) * 256 + _sums(low_a) + 64 * a.shape[-1])[..., None]
    sums_b = (_sums(g) * 256 + _sums(low_b) + 64 * a.shape[-1])[..., None, :]
    total = wide_sum(wide_shifted(_products(h, g), 16), wide(_products(low_a, low_b)))
    for part in (_products(h, low_b), _products(low_a, g)):
        total = wide_sum(total, wide_shifted(part, 8))
    return wide_sum(total, wide_shifted(sums_a + sums_b, 7))


def _sums(x: Array) -> Array:
    return jnp.sum(x, axis=-1, dtype=jnp.int32)


def _halves(x: np.ndarray) -> Wide:
    """Split int64."""
    return Wide((x >> 32).astype(np.int32), (x & 0xFFFFFFFF).astype(np.uint32))
