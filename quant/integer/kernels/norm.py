"""RMSNorm in float32 between integers, bit for bit as TFLM's kernels add it up.

    DEQUANTIZE, MUL, MEAN, ADD, RSQRT, MUL, QUANTIZE    all of it in float32
    MUL, DEQUANTIZE, MEAN, ADD, RSQRT, QUANTIZE, MUL    the mean of a row alone: squares and scaling
                                                        are products of int16

TFLM adds a row from left to right in float32, and so does this: the order of additions is part of
the result. Squares are computed before the loop, so that no compiler fuses multiplication and
addition. A device must be built without such fusion too (-ffp-contract=off) to give the same bits.

Not here: the products of int16 (elementwise.py); the norm in integers from end to end, whose mean
would be rounded too: where rows differ in size by more than 180 times, it loses the small ones.
"""

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float, Integer

from quant.integer.encoding import Encoding
from quant.integer.kernels.apart import apart
from quant.integer.kernels.elementwise import dequantise_integers, quantise_floats

UNROLLED = 8  # additions in a round of the loop


def float_norm(x: Float[Array, "*lead last"], eps: float) -> Float[Array, "*lead last"]:
    """Normalise the last axis to unit mean square, with additions from left to right."""
    return x * _inverse_root(x * x, eps)


def _inverse_root(squares: Float[Array, "*lead last"], eps: float) -> Float[Array, "*lead 1"]:
    """Compute 1 / sqrt(mean + eps) of every row, with additions from left to right."""
    width = squares.shape[-1]
    squares = jnp.moveaxis(squares, -1, 0)
    # zeros change no sum; two rounds at least, since XLA removes a loop of one
    rounds = max(-(-width // UNROLLED), 2)
    padding = [(0, rounds * UNROLLED - width)] + [(0, 0)] * (squares.ndim - 1)
    squares = lax.optimization_barrier(jnp.pad(squares, padding))
    total = lax.fori_loop(
        0, rounds, lambda i, total: _added(total, squares, i * UNROLLED), jnp.zeros_like(squares[0])
    )
    # barriers: XLA divides by multiplying with a reciprocal, and makes 1/sqrt one approximation
    count = lax.optimization_barrier(jnp.full_like(total, width))
    root = lax.optimization_barrier(jnp.sqrt(total / count + jnp.float32(eps)))
    return (1.0 / root)[..., None]


def _added(total: Array, squares: Array, start: Array) -> Array:
    for i in range(UNROLLED):
        total = total + squares[start + i]
    return total


def inverse_root_of_squares(
    squares: Integer[Array, "*lead last"],
    encodings: tuple[Encoding, Encoding],
    eps: float,
) -> Integer[Array, "*lead 1"]:
    """Compute what normalises a row from its squares: integers in, integers out.

    Args:
      encodings: of the squares and of the result.
    """

    def inverse(rows: Array) -> Array:
        return quantise_floats(
            _inverse_root(dequantise_integers(rows, encodings[0]), eps), encodings[1]
        )

    return apart(inverse, squares)


def norm_in_float32(
    x: Integer[Array, "*lead last"], x_encoding: Encoding, y_encoding: Encoding, eps: float
) -> Integer[Array, "*lead last"]:
    """Normalise integers in float32 and round the result onto its grid."""

    def norm(rows: Array) -> Array:
        return quantise_floats(float_norm(dequantise_integers(rows, x_encoding), eps), y_encoding)

    return apart(norm, x)


def residual_in_float32(
    h: Integer[Array, "*lead last"],
    y: Integer[Array, "*lead last"],
    encodings: tuple[Encoding, Encoding, Encoding],
    eps: float,
) -> Integer[Array, "*lead last"]:
    """Add integers in float32 and normalise the sum: DEQUANTIZE twice, ADD, and the norm.

    Args:
      encodings: of h, of y and of the result.
    """

    def residual(h: Array, y: Array) -> Array:
        total = _unfused(h, encodings[0]) + _unfused(y, encodings[1])
        return quantise_floats(float_norm(total, eps), encodings[2])

    return apart(residual, h, y)


def _unfused(x: Integer[Array, "*axes"], encoding: Encoding) -> Float[Array, "*axes"]:
    # bounds that nothing exceeds: without them LLVM fuses product and sum, which rounds once
    bound = jnp.float32(2.0**encoding.bits * encoding.scale)
    return jnp.clip(dequantise_integers(x, encoding), -bound, bound)
