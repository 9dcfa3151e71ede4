"""What integers on a device mean, and the fixed-point multipliers computed from their scales.

    real = (q - zero_point) * scale         q of 8 or 16 bits, full two's complement range
    scale_in / scale_out = significand * 2^(shift - 31),   2^30 <= significand < 2^31

Multipliers are computed on the host in float64, like in TFLM's Prepare functions: their scales are
static, while the multipliers themselves may be traced.

Not here: grids of weights (quant/affine.py), and which encoding a tensor has (calibration.py).
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int32

BITS = (8, 16)
SHORT = 12
"""Significant bits of a scale; float32 holds the product of two such scales exactly."""


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """Grid of an activation tensor.

    Attributes:
      scale: real units per step; rounded to float32.
      zero_point: the integer that means 0; int16 kernels require 0.

    Raises:
      ValueError: unsupported width, scale or zero point.
    """

    scale: float
    zero_point: int = 0
    bits: int = 8

    def __post_init__(self) -> None:
        if self.bits not in BITS:
            raise ValueError(f"bits must be one of {list(BITS)}, got bits={self.bits}")
        scale = float(np.float32(self.scale))
        if not np.finfo(np.float32).tiny <= scale < math.inf:
            raise ValueError(f"scale must be a positive normal float32, got scale={self.scale}")
        if self.bits == 16 and self.zero_point:
            raise ValueError(f"int16 needs zero_point 0, got zero_point={self.zero_point}")
        if not self.q_min <= self.zero_point <= self.q_max:
            raise ValueError(
                f"zero_point must lie in [{self.q_min}, {self.q_max}],"
                f" got zero_point={self.zero_point}"
            )
        object.__setattr__(self, "scale", scale)

    @property
    def q_min(self) -> int:
        return -(2 ** (self.bits - 1))

    @property
    def q_max(self) -> int:
        return 2 ** (self.bits - 1) - 1

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(f"int{self.bits}")


class Multiplier(NamedTuple):
    """The real number significand * 2^(shift - 31), or a vector of them."""

    significand: Int32[Any, "*scales"]
    shift: Int32[Any, "*scales"]


def multiplier(real: Float64[np.ndarray, "*scales"] | float) -> Multiplier:
    """Round real numbers to multipliers; below 2^-32 they become 0.

    Raises:
      ValueError: a number is negative, infinite or at least 2^31.
    """
    values = np.asarray(real, np.float64)
    if not np.all((values >= 0) & (values < 2.0**31)):
        raise ValueError(f"ratios of scales must lie in [0, 2^31), got {values.ravel()[:4]}")
    fraction, shift = np.frexp(values)
    significand = np.floor(fraction * 2.0**31 + 0.5).astype(np.int64)
    full = significand == 2**31
    significand, shift = np.where(full, 2**30, significand), np.where(full, shift + 1, shift)
    vanished = shift < -31
    significand, shift = np.where(vanished, 0, significand), np.where(vanished, 0, shift)
    return Multiplier(significand.astype(np.int32), shift.astype(np.int32))


def short_scale(scale: float) -> float:
    """Round a scale up to SHORT significant bits."""
    fraction, exponent = math.frexp(scale)
    return math.ldexp(math.ceil(math.ldexp(fraction, SHORT)), exponent - SHORT)


def product_of_scales(a: float, b: np.ndarray | float) -> Any:
    """Multiply scales as every revision of TFLM does.

    BATCH_MATMUL, and FULLY_CONNECTED with one scale, multiply them in float32 (90b983c) or in
    float64 (the wheel's 8f6596d); results differ by one where a sum lies near a border.

    Raises:
      ValueError: float32 does not hold the product exactly.
    """
    exact = np.float64(a) * np.asarray(b, np.float64)
    if not np.array_equal(exact.astype(np.float32).astype(np.float64), exact):
        raise ValueError(
            f"scales {a} and {b} have a product that revisions of TFLM round differently; round"
            f" one of them to a power of two or both to {SHORT} significant bits (short_scale)"
        )
    return exact


def ratio_below_one(ratio: float, what: str) -> Multiplier:
    """Round a ratio to a multiplier where the kernel aborts unless 0 < ratio < 1.

    Raises:
      ValueError: it is not.
    """
    rounded = multiplier(ratio)
    if not ratio > 0 or int(rounded.shift) > 0:
        raise ValueError(f"{what} must lie between 0 and 1, got {ratio}; choose other scales")
    return rounded
