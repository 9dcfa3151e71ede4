"""Energy of one puzzle: the paper's figure per operation, and a model that says what it counts.

The paper (App. H) takes 1 mJ per GFLOP, 1 pJ per operation, whatever the precision. That is the
order of an accelerator's arithmetic; nothing for moving weights. `energy` adds up what grows
with the scheme instead:

    multiply-accumulates   by the arithmetic: float32 4.6 pJ, 16-bit float 1.5 pJ, int16 x int8
                           0.9 pJ, int8 0.3 pJ (a multiplication and a 32-bit addition)
    weight bytes           once per block application, from SRAM (FULL) or flash

Assumptions: switching energy at 45 nm and 0.9 V (Horowitz, ISSCC 2014, Fig. 1.1.9: additions int32
0.1, float32 0.9, float16 0.4; products int8 0.2, float32 3.7, float16 1.1; the int16 x int8
product, which is not there, is taken as 0.8); 12.5 pJ per byte from 1 MB of SRAM (100 pJ per
64 bits, the same source); 270 pJ per byte from octal NOR flash (30 mA at 1.8 V for 200 MB/s,
an ordinary part). Not here: fetching and decoding instructions, activations, leakage. On a CPU the
instructions alone cost more than all of this, so these are lower bounds, and good for comparing
schemes, not for sizing batteries.
"""

import enum
from typing import NamedTuple

from export.footprint.sram import Residency
from quant.scheme import Activations, FloatDtype, Scheme

PAPER_PJ_PER_FLOP = 1.0
SRAM_PJ_PER_BYTE = 12.5
FLASH_PJ_PER_BYTE = 270.0


class Arithmetic(enum.Enum):
    """What multiplies; the value is the energy of a multiply-accumulate in pJ."""

    FLOAT32 = 4.6
    FLOAT16 = 1.5
    INT16 = 0.9
    INT8 = 0.3


class Energy(NamedTuple):
    """mJ per puzzle."""

    arithmetic: float
    weights: float

    @property
    def total(self) -> float:
        return sum(self)


_ARITHMETIC = {
    Activations.DYNAMIC_INT8: Arithmetic.INT8,
    Activations.DYNAMIC_INT8_ASYM: Arithmetic.INT8,
    Activations.STATIC_INT8: Arithmetic.INT8,
    Activations.STATIC_INT16: Arithmetic.INT16,
}


def arithmetic_of(scheme: Scheme) -> Arithmetic:
    """Choose what multiplies under a scheme: integers only where inputs are integers too."""
    floats = Arithmetic.FLOAT32 if scheme.float_dtype is FloatDtype.FP32 else Arithmetic.FLOAT16
    if scheme.weights is None:
        return floats
    return _ARITHMETIC.get(scheme.activations, floats)


def paper_energy(gflops: float) -> float:
    """Compute mJ as App. H does."""
    return gflops * PAPER_PJ_PER_FLOP  # 1e9 operations of 1e-12 J are 1e-3 J


def estimate_energy(
    gflops: float, weight_bytes: int, scheme: Scheme, residency: Residency
) -> Energy:
    """Estimate a lower bound in mJ.

    Args:
      gflops: two operations per multiply-accumulate.
      weight_bytes: read in the same time, each block as often as it is applied.
    """
    per_byte = SRAM_PJ_PER_BYTE if residency is Residency.FULL else FLASH_PJ_PER_BYTE
    return Energy(gflops / 2 * arithmetic_of(scheme).value, weight_bytes * per_byte * 1e-9)
