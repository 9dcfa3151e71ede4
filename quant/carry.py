"""States at low precision: the carry in memory, and the naive rounding of every state.

    carry_store           between H-cycles memory keeps z_H and z_L in a scheme's `CarryPrecision`:
                          they are rounded to its format and read back. Everything within a cycle
                          has the arithmetic's format. int8 and int16 use a symmetric grid per
                          token (one scale per position, as dynamic quantisation would write it)
    carry_store_on_host   the same bits in NumPy, for the host loop of an export
    kv_store              the carry of a decoder is its KV cache: int8 and int16 keep one scale per
                          token and head of keys and values
    StaticStates          naive static int8 of every operator, the counterpart of the paper's
                          "selective operator exclusion" (section 4.2): a scheme's a8s rounds
                          inputs and outputs of products only, this also the injection, block
                          inputs, what a half-block adds, the residual sums and the normalised
                          states, each on one asymmetric grid per tensor over its calibrated range

Not here: integer states (quant/integer/carry.py), and the insides of RMSNorm, softmax and SwiGLU.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import ml_dtypes
import numpy as np
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from quant.affine import (
    Grid,
    QTensor,
    Range,
    Symmetry,
    calibrate,
    dequantise,
    fake_quantise,
    quantise,
    scale_zero_point,
)
from quant.dot_general import Ranges
from quant.scheme import CarryPrecision, Scheme
from trm_jax.decoder.kv_cache import FLOAT_STORE, CachedHeads, CacheStore, StoredHeads
from trm_jax.models.recursion import identity
from trm_jax.types import Latents, State

_BITS = {CarryPrecision.INT8: 8, CarryPrecision.INT16: 16}
_DTYPES = {CarryPrecision.BF16: jnp.bfloat16, CarryPrecision.FP16: jnp.float16}


def carry_store(scheme: Scheme) -> Callable[[Latents], Latents]:
    """Choose the `store` of a reasoner; schemes that round nothing share one function."""
    if scheme.carry is CarryPrecision.ARITHMETIC:
        return identity
    return CarryStore(scheme.carry)


@dataclass(frozen=True)
class RoundedStore:
    """A precision that memory keeps a state in; hashable, so it can be static.

    Raises:
      ValueError: ARITHMETIC, which names no format.
    """

    precision: CarryPrecision
    CHOICE: ClassVar[str]  # what chooses a store for any scheme

    def __post_init__(self) -> None:
        if self.precision is CarryPrecision.ARITHMETIC:
            raise ValueError(f"ARITHMETIC rounds nothing; use {self.CHOICE}(scheme)")

    def integers(self, x: Float[Array, "*lead width"]) -> QTensor:
        """Put vectors onto the symmetric grid of the precision, one scale each."""
        grid = Grid(bits=_BITS[self.precision], channel_axes=tuple(range(x.ndim - 1)))
        return quantise(x, scale_zero_point(calibrate(x, grid), grid), grid)


@dataclass(frozen=True)
class CarryStore(RoundedStore):
    """Rounds latents to a precision and reads them back."""

    CHOICE = "carry_store"

    def __call__(self, latents: Latents) -> Latents:
        return Latents(*(self.round(z) for z in latents))

    def round(self, z: State) -> State:
        """Round one state; the dtype stays the arithmetic's."""
        if self.precision in _DTYPES:
            return z.astype(_DTYPES[self.precision]).astype(z.dtype)
        return dequantise(self.integers(z)).astype(z.dtype)


def kv_store(scheme: Scheme) -> CacheStore:
    """Choose what memory does to keys and values of a decoder."""
    if scheme.carry is CarryPrecision.ARITHMETIC:
        return FLOAT_STORE
    return KVStore(scheme.carry)


@dataclass(frozen=True)
class KVStore(RoundedStore):
    """Keeps keys and values at a precision, as the integers or short floats that memory holds."""

    CHOICE = "kv_store"

    def encode(self, heads: CachedHeads) -> StoredHeads:
        """Round heads; integers of a symmetric grid per token and head."""
        if self.precision in _DTYPES:
            return StoredHeads(heads.astype(_DTYPES[self.precision]), None)
        stored = self.integers(heads)
        return StoredHeads(stored.qvalue, stored.scale[..., 0])

    def decode(self, stored: StoredHeads, dtype: DTypeLike) -> CachedHeads:
        """Read heads back."""
        if stored.scales is None:
            return stored.values.astype(dtype)
        return (stored.values.astype(jnp.float32) * stored.scales[..., None]).astype(dtype)


def carry_store_on_host(precision: CarryPrecision) -> Callable[[np.ndarray], np.ndarray]:
    """Choose what memory does to a state of a NumPy loop: the bits of `CarryStore` in float32."""
    floats = {
        CarryPrecision.BF16: np.dtype(ml_dtypes.bfloat16),
        CarryPrecision.FP16: np.dtype(np.float16),
    }
    if precision is CarryPrecision.ARITHMETIC:
        return lambda z: z
    if precision in floats:
        return lambda z: z.astype(floats[precision]).astype(np.float32)
    top = np.float32({CarryPrecision.INT16: 32767, CarryPrecision.INT8: 127}[precision])
    return lambda z: _round_per_token(z, top)


def _round_per_token(z: np.ndarray, top: np.float32) -> np.ndarray:
    scale = np.abs(z).max(axis=-1, keepdims=True) / top
    scale = np.where(scale < np.finfo(np.float32).tiny, np.float32(1), scale)
    return np.clip(np.round(z * (np.float32(1) / scale)), -top, top) * scale


GRID = Grid(bits=8, symmetry=Symmetry.ASYMMETRIC)


@dataclass(frozen=True)
class StaticStates:
    """Rounds the state of every site (an `OnState`); hashable, so it can be static.

    Attributes:
      ranges: (site, low, high), from `calibrate.input_and_state_ranges`.
    """

    ranges: tuple[tuple[str, float, float], ...]

    def __call__(self, site: str, state: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
        """Round one state; the dtype stays the arithmetic's.

        Raises:
          ValueError: the site was not calibrated.
        """
        ranges = {name: (low, high) for name, low, high in self.ranges}
        if site not in ranges:
            raise ValueError(f"no calibrated range for {site!r}; calibrated: {', '.join(ranges)}")
        span = Range(*map(jnp.float32, ranges[site]))
        affine = scale_zero_point(span, GRID)
        return jnp.asarray(fake_quantise(state, affine, GRID), state.dtype)


def static_states(ranges: Ranges) -> StaticStates:
    """Freeze calibrated ranges."""
    return StaticStates(tuple((site, low, high) for site, (low, high) in sorted(ranges.items())))
