"""THE grid: every integer of this project is rounded here, by four verbs.

    calibrate         x -> range [low, high]
    scale_zero_point  range -> scale s, zero point z
    quantise          q = clip(round(x * (1/s)) + z, q_min, q_max)
    dequantise        x' = (q - z) * s

All arithmetic is float32; round is half to even; clip comes after the zero point is added.

Grids of b bits:

    symmetric    q in [-(2^(b-1)-1), 2^(b-1)-1], z = 0          (narrow: never -2^(b-1), which
                 LiteRT's int4 kernels refuse);  s = max(-low, high) / q_max
    asymmetric   q in [0, 2^b - 1];  s = (high - low) / q_max,  z = round(-low * (1/s))

Zero rule: a range always contains 0 (low <= 0 <= high), so 0 is exactly representable, z is on
the grid and fits every runtime's zero-point field. Ranges that contain 0 anyway give the
published integers (Sec. 3.4: scale (max-min)/15, zp round(-min/scale)); for a one-sided row the
published z leaves [0, 15]. A constant row is q_max (or 0): it survives. If s would be below the
smallest normal float32 the data is zero for all purposes: s = 1, every q = z.

Error: |x - x'| <= s/2 (and a few float32 ulp of x) for low <= x <= high, since z is off
by at most half a step. Idempotence: quantise(dequantise(q)) = q exactly.

Why 1/s: XLA turns x / broadcast(s) into x * broadcast(1/s), AQT multiplies as well; writing it
makes jit, eager and NumPy agree bit for bit. The barriers hold s itself still: without them
XLA folds x / (a/7) into x * 7 / a under jit.

Not here: bytes (packing.py), which tensors (ptq/weights.py), products (dot_general.py).
"""

import enum
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Integer

WEIGHT_BITS = (2, 3, 4, 5, 6, 7, 8)
BITS = (*WEIGHT_BITS, 16)  # 16: activations and carries of int16 kernels
CLIP_FACTORS = tuple(k / 100 for k in range(100, 4, -1))


class Symmetry(enum.Enum):
    """Where the zero of the grid is."""

    SYMMETRIC = "sym"
    ASYMMETRIC = "asym"


class Clipping(enum.Enum):
    """How the range is read from the data."""

    MINMAX = "minmax"  # the whole range
    MSE = "mse"  # the shrunken range of least squared error
    ALIGNED = "aligned"  # likewise, with zero points on either side of the whole range's


@jax.tree_util.register_static
@dataclass(frozen=True, kw_only=True)
class Grid:
    """Static description of a grid: part of a pytree's structure, never traced.

    Attributes:
      bits: width of an integer.
      channel_axes: axes that have a scale per index; () is per tensor.

    Raises:
      ValueError: unsupported width.
    """

    bits: int
    symmetry: Symmetry = Symmetry.SYMMETRIC
    channel_axes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.bits not in BITS:
            raise ValueError(f"bits must be one of {list(BITS)}, got bits={self.bits}")

    @property
    def q_max(self) -> int:
        """Largest integer."""
        return 2 ** (self.bits - self.is_symmetric) - 1

    @property
    def q_min(self) -> int:
        """Smallest integer."""
        return -self.q_max if self.is_symmetric else 0

    @property
    def is_symmetric(self) -> bool:
        return self.symmetry is Symmetry.SYMMETRIC

    @property
    def dtype(self) -> np.dtype:
        """Storage of the integers in memory: int8/uint8, or int16/uint16 above 8 bits."""
        kind = "int" if self.is_symmetric else "uint"
        return np.dtype(f"{kind}{8 if self.bits <= 8 else 16}")

    def reduced_axes(self, ndim: int) -> tuple[int, ...]:
        """Axes that share a scale, for an array of `ndim` axes."""
        channels = {axis % ndim for axis in self.channel_axes}
        return tuple(axis for axis in range(ndim) if axis not in channels)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class WidthlessGrid:
    """A grid whose ends are traced, so that one compiled program serves every width.

    It has no storage: `round_to` gives integers that a `Grid` stores.

    Attributes:
      q_min, q_max: as of a `Grid`.
    """

    q_min: Float[Array, ""]
    q_max: Float[Array, ""]
    symmetry: Symmetry = field(metadata={"static": True})
    channel_axes: tuple[int, ...] = field(metadata={"static": True})

    is_symmetric = Grid.is_symmetric
    reduced_axes = Grid.reduced_axes


def without_width(grid: Grid) -> WidthlessGrid:
    """Trace the ends of a grid; integers and scales are the same as of the grid itself."""
    return WidthlessGrid(
        q_min=jnp.float32(grid.q_min),
        q_max=jnp.float32(grid.q_max),
        symmetry=grid.symmetry,
        channel_axes=grid.channel_axes,
    )


class Range(NamedTuple):
    """What a grid must cover; broadcasts against the data."""

    low: Float[Array, "*scales"]
    high: Float[Array, "*scales"]


class Affine(NamedTuple):
    """Scale (real units per step) and zero point (the integer that means 0)."""

    scale: Float[Array, "*scales"]
    zero_point: Integer[Array, "*scales"]


class QTensor(NamedTuple):
    """Integers with their grid; `validate` states the invariants.

    Attributes:
      qvalue: integers of `grid.dtype` in [q_min, q_max].
      scale: positive normal float32; size 1 on shared axes, full size on channel axes.
      zero_point: int32 of the shape of `scale`, in [q_min, q_max]; 0 if symmetric.
    """

    qvalue: Integer[Array, "..."]
    scale: Float[Array, "..."]
    zero_point: Integer[Array, "..."]
    grid: Grid


def calibrate(
    x: Float[Array, "..."], grid: Grid | WidthlessGrid, clipping: Clipping = Clipping.MINMAX
) -> Range:
    """Read the range of the data, per tensor or per channel.

    Args:
      clipping: MINMAX covers all data. MSE tries the ranges (c*low, c*high) for every c in
        CLIP_FACTORS, 1.00 down to 0.05, and keeps the first of least squared error. ALIGNED tries
        them also with the zero points z on either side of -low/s, and steps that then reach the
        data, max(-low/z, high/(q_max-z)): a min/max range puts the zero of an asymmetric grid
        between two integers, and data that lies on a symmetric grid would be moved off it. On a
        symmetric grid it is MSE.
    """
    x = x.astype(jnp.float32)
    axes = grid.reduced_axes(x.ndim)
    low = jnp.minimum(jnp.min(x, axis=axes, keepdims=True), 0.0)
    high = jnp.maximum(jnp.max(x, axis=axes, keepdims=True), 0.0)
    if clipping is Clipping.MINMAX:
        return Range(low, high)
    ranges = [Range(low, high)]
    if clipping is Clipping.ALIGNED and not grid.is_symmetric:
        ranges += _aligned_ranges(low, high, grid)
    return _least_error(x, ranges, grid)


def _aligned_ranges(low: Array, high: Array, grid: Grid | WidthlessGrid) -> list[Range]:
    """List the ranges around the two zero points next to the min/max one that reach all data."""
    below = jnp.floor(-low * grid.q_max / jnp.maximum(high - low, jnp.finfo(jnp.float32).tiny))
    ranges = []
    for zero_point in (below, below + 1):
        z = jnp.clip(zero_point, 1, grid.q_max - 1)
        step = jnp.maximum(-low / z, high / (grid.q_max - z))
        ranges.append(Range(-step * z, step * (grid.q_max - z)))
    return ranges


def _least_error(x: Array, ranges: Sequence[Range], grid: Grid | WidthlessGrid) -> Range:
    """Find the range and the factor of CLIP_FACTORS on it of least squared error, the first."""
    axes = grid.reduced_axes(x.ndim)
    factors = jnp.asarray(CLIP_FACTORS, jnp.float32)
    lows, highs = (jnp.stack(ends) for ends in zip(*ranges, strict=True))

    def try_range(best: tuple[Array, Range], tried: tuple[Array, Array]) -> tuple:
        lows, highs = tried

        def try_factor(best: tuple[Array, Range], factor: Array) -> tuple:
            span = Range(lows * factor, highs * factor)
            affine = scale_zero_point(span, grid)
            error = jnp.square(x - real_values(round_to(x, affine, grid), affine))
            loss = jnp.sum(error, axis=axes, keepdims=True)
            better = loss < best[0]
            kept = Range(*(jnp.where(better, *ends) for ends in zip(span, best[1], strict=True)))
            return (jnp.where(better, loss, best[0]), kept), None

        return jax.lax.scan(try_factor, best, factors)

    nothing = jnp.full_like(lows[0], jnp.inf)
    (_, span), _ = jax.lax.scan(try_range, (nothing, ranges[0]), (lows, highs))
    return span


def scale_zero_point(span: Range, grid: Grid | WidthlessGrid) -> Affine:
    """Place the grid over a range (extended to contain 0)."""
    low = jnp.minimum(span.low.astype(jnp.float32), 0.0)
    high = jnp.maximum(span.high.astype(jnp.float32), 0.0)
    reach = jnp.maximum(-low, high) if grid.is_symmetric else high - low
    scale = reach / jax.lax.optimization_barrier(jnp.full_like(reach, grid.q_max))
    tiny = float(jnp.finfo(jnp.float32).tiny)
    scale = jax.lax.optimization_barrier(jnp.where(scale < tiny, 1.0, scale))
    if grid.is_symmetric:
        return Affine(scale, jnp.zeros_like(scale, jnp.int32))
    zero_point = jnp.clip(jnp.round(-low * jax.lax.reciprocal(scale)), grid.q_min, grid.q_max)
    return Affine(scale, zero_point.astype(jnp.int32))


def quantise(x: Float[Array, "..."], affine: Affine, grid: Grid) -> QTensor:
    """Round data onto the grid; data beyond the range saturates. NaN has no meaning here."""
    q = _unclipped(x, affine)
    qvalue = jnp.clip(q, grid.q_min, grid.q_max).astype(grid.dtype)
    return QTensor(qvalue, affine.scale, affine.zero_point, grid)


def dequantise(q: QTensor) -> Float[Array, "..."]:
    """Return the real values, float32."""
    return real_values(q.qvalue, Affine(q.scale, q.zero_point))


def round_to(
    x: Float[Array, "..."], affine: Affine, grid: Grid | WidthlessGrid
) -> Integer[Array, "..."]:
    """Round as `quantise` does, to int32 integers."""
    return jnp.clip(_unclipped(x, affine), grid.q_min, grid.q_max).astype(jnp.int32)


def real_values(integers: Integer[Array, "..."], affine: Affine) -> Float[Array, "..."]:
    """Return the real values of integers of any storage, float32."""
    steps = integers.astype(jnp.int32) - affine.zero_point
    return steps.astype(jnp.float32) * affine.scale


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def fake_quantise(x: Float[Array, "*axes"], affine: Affine, grid: Grid) -> Float[Array, "*axes"]:
    """Dequantise the quantised x, float32, with a straight-through gradient.

    The gradient is 1 where x did not saturate and 0 where it did; scale and zero point get none.
    """
    return dequantise(quantise(x, affine, grid))


def _fake_quantise_fwd(x: Array, affine: Affine, grid: Grid) -> tuple[Array, tuple]:
    q = _unclipped(x, affine)
    inside = (q >= grid.q_min) & (q <= grid.q_max)
    return fake_quantise(x, affine, grid), (inside, jnp.zeros((), x.dtype), affine)


def _fake_quantise_bwd(grid: Grid, residuals: tuple, g: Array) -> tuple[Array, Affine]:
    inside, like_x, affine = residuals
    no_gradient = np.zeros(affine.zero_point.shape, jax.dtypes.float0)
    dx = jnp.where(inside, g, 0.0).astype(like_x.dtype)
    return dx, Affine(jnp.zeros_like(affine.scale), no_gradient)  # type: ignore[arg-type]


fake_quantise.defvjp(_fake_quantise_fwd, _fake_quantise_bwd)


def validate(q: QTensor) -> None:
    """Check the invariants of a QTensor (concrete arrays only: for loaders and tests).

    Raises:
      ValueError: an invariant is broken; the message says which and shows the value.
    """
    grid = q.grid
    qvalue, scale, zero_point = (np.asarray(a) for a in (q.qvalue, q.scale, q.zero_point))
    shared = grid.reduced_axes(qvalue.ndim)
    shape = tuple(1 if axis in shared else n for axis, n in enumerate(qvalue.shape))
    if scale.shape != shape or zero_point.shape != shape:
        raise ValueError(
            f"scale and zero_point must have shape {shape} for {grid} over integers of"
            f" shape {qvalue.shape}, got {scale.shape} and {zero_point.shape}"
        )
    dtypes = (qvalue.dtype, scale.dtype, zero_point.dtype)
    if dtypes != (grid.dtype, np.float32, np.int32):
        raise ValueError(f"dtypes must be {grid.dtype}, float32, int32, got {dtypes}")
    for name, values in (("qvalue", qvalue), ("zero_point", zero_point)):
        if values.size and (values.min() < grid.q_min or values.max() > grid.q_max):
            raise ValueError(
                f"{name} must lie in [{grid.q_min}, {grid.q_max}] for {grid},"
                f" got {values.min()} to {values.max()}"
            )
    if not np.all(np.isfinite(scale) & (scale >= np.finfo(np.float32).tiny)):
        raise ValueError(f"scales must be positive normal float32, got {scale.min()} among them")
    if grid.is_symmetric and np.any(zero_point):
        raise ValueError("a symmetric grid has zero_point 0 everywhere")


def _unclipped(x: Array, affine: Affine) -> Array:
    """round(x/s) + z as float32 (exact up to 2^24), before saturation."""
    steps = jnp.round(x.astype(jnp.float32) * jax.lax.reciprocal(affine.scale))
    return steps + affine.zero_point.astype(jnp.float32)
