"""Integer states, embedding rows and injections: what the host computes between two calls.

    injection = clamp((z_factor * z + e_factor * e + offset) >> shift)      64-bit sums

The factors fold the scales of state, embedding and injection; the offset folds their zero points
and half a step: ties round up. The firmware (carry.c), the host loop (NumPy) and the simulation
(JAX) compute the same integers. Embedding rows, of tokens and puzzles alike, share one symmetric
grid of their own, already scaled by sqrt(hidden_size); initial states are on the grid of the state.

Not here: learned positions, which would be one more row per position.
"""

import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int32, Integer

from quant.affine import Affine, Grid, Symmetry, calibrate, quantise, scale_zero_point
from quant.integer.encoding import Encoding
from quant.integer.kernels.fixed_point import Wide, wide_product, wide_rounding_shift, wide_sum

FACTOR_BITS = 30


@dataclass(frozen=True, kw_only=True)
class Combine:
    """Fixed-point injection: (z_factor * z + e_factor * e + offset) >> shift, then clamped."""

    z_factor: int
    e_factor: int
    offset: int
    shift: int


def combine_for(*, z: tuple[float, int], e: float | None, injection: tuple[float, int]) -> Combine:
    """Fold scales and zero points into the constants of an injection.

    Args:
      z, injection: (scale, zero point) of the state and of the sum.
      e: scale of the embedding rows, which have zero point 0; None: no embedding.

    Raises:
      ValueError: a ratio of scales outside 2^-31 .. 2^29.
    """
    ratios = [z[0] / injection[0]] + ([] if e is None else [e / injection[0]])
    # the larger ratio gets as many bits as an int32 has; both are over one power of two
    shift = min(FACTOR_BITS - math.frexp(max(ratios))[1], 62)
    factors = [round(ratio * 2.0**shift) for ratio in ratios]
    if shift < 1 or not 0 < max(factors) < 2**31:
        raise ValueError(f"scales of state and injection are too far apart: ratios {ratios}")
    offset = (injection[1] << shift) - factors[0] * z[1] + (1 << (shift - 1))
    return Combine(
        z_factor=factors[0], e_factor=0 if e is None else factors[1], offset=offset, shift=shift
    )


def combine_on_host(
    z: Integer[np.ndarray, "*axes"],
    e: Integer[np.ndarray, "*axes"] | None,
    combine: Combine,
    injection: Encoding,
) -> Integer[np.ndarray, "*axes"]:
    """Inject in NumPy: what the firmware computes."""
    total = combine.z_factor * z.astype(np.int64) + combine.offset
    if e is not None:
        total = total + combine.e_factor * e.astype(np.int64)
    return np.clip(total >> combine.shift, injection.q_min, injection.q_max).astype(injection.dtype)


def combine_steps(
    z: Int32[Array, "*axes"], e: Int32[Array, "*axes"] | None, combine: Combine
) -> Int32[Array, "*axes"]:
    """Inject in JAX, not yet clamped.

    Raises:
      ValueError: steps of the states are so large that the sum may leave 32 bits.
    """
    factors = combine.z_factor + combine.e_factor
    if (factors << 15) >> combine.shift >= 2**30:
        raise ValueError(f"the injection's scale is too small for its states: {combine}")
    # the rounding shift adds half a step by itself
    rest = combine.offset - (1 << (combine.shift - 1))
    total = wide_sum(wide_product(z, jnp.int32(combine.z_factor)), _constant(rest, z.shape))
    if e is not None:
        total = wide_sum(total, wide_product(e, jnp.int32(combine.e_factor)))
    return wide_rounding_shift(total, combine.shift)


def _constant(value: int, shape: tuple[int, ...]) -> Wide:
    high, low = np.int32(value >> 32), np.uint32(value & 0xFFFFFFFF)
    return Wide(jnp.full(shape, high, jnp.int32), jnp.full(shape, low, jnp.uint32))


def row_scale(tables: tuple[np.ndarray, ...], bits: int) -> float:
    """Choose the one scale of all embedding rows.

    Args:
      tables: scaled rows.
    """
    grid = Grid(bits=bits)
    everything = jnp.concatenate([jnp.asarray(table, jnp.float32).ravel() for table in tables])
    return float(scale_zero_point(calibrate(everything, grid), grid).scale.reshape(()))


def scaled_rows(table: np.ndarray, hidden_size: int) -> Float[np.ndarray, "rows width"]:
    """Scale embedding rows as the model does (embedding.combine), float32."""
    return np.float32(math.sqrt(hidden_size)) * np.asarray(table, np.float32)


def on_grid(x: Float[Any, "*axes"], encoding: Encoding) -> Integer[np.ndarray, "*axes"]:
    """Round rows or states; int8 with a zero point is uint8's grid less 128."""
    middle = 0 if encoding.zero_point == 0 else 128
    symmetry = Symmetry.ASYMMETRIC if middle else Symmetry.SYMMETRIC
    shape = (1,) * np.ndim(x)
    affine = Affine(
        jnp.full(shape, encoding.scale, jnp.float32),
        jnp.full(shape, encoding.zero_point + middle, jnp.int32),
    )
    q = quantise(jnp.asarray(x), affine, Grid(bits=encoding.bits, symmetry=symmetry)).qvalue
    return (np.asarray(q).astype(np.int32) - middle).astype(encoding.dtype)
