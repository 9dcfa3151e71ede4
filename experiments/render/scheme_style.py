"""One colour and marker for a scheme, whatever figure or file it is drawn in.

The colour says what is stored (bits, and one scale per tensor or per channel), the marker how the
integers were chosen and what the inputs are. Series that are no schemes count from 0 by
themselves.

Not here: the colours themselves (svg.py for the report's pictures, figures.py for matplotlib).
"""

from quant.affine import Clipping
from quant.scheme import Activations, FloatDtype, Granularity, Rounding, Scheme, parse

SERIES = 8
"""Colours, and markers; beyond them the index of a series chooses both: see `shape_of`."""
FULL, FLOAT16, EIGHT, OTHER = 0, 7, 2, 1
GRIDS = {
    (4, Granularity.PER_TENSOR): 4,
    (4, Granularity.PER_CHANNEL): 3,
    (3, Granularity.PER_TENSOR): 6,
    (3, Granularity.PER_CHANNEL): 5,
}
"""Bits of a weight and granularity -> colour."""


def scheme_index(name: str) -> int:
    """Choose the index of a scheme: its colour modulo SERIES, its marker by `shape_of`."""
    scheme = parse(name)
    return _colour(scheme) + SERIES * (_variant(scheme) % SERIES)


def shape_of(index: int) -> int:
    """Choose the marker of a series: its colour's, one further for each round of colours."""
    return (index + index // SERIES) % SERIES


def _colour(scheme: Scheme) -> int:
    weights = scheme.weights
    if weights is None:
        return FULL if scheme.float_dtype is FloatDtype.FP32 else FLOAT16
    if weights.bits == 8:
        return EIGHT
    return GRIDS.get((weights.bits, weights.granularity), OTHER)


def _variant(scheme: Scheme) -> int:
    """Number what differs beside the grid: how integers are chosen, and what the inputs are."""
    variant = list(Activations).index(scheme.activations)
    weights = scheme.weights
    if weights is None:
        return variant + (scheme.float_dtype is FloatDtype.FP16)
    clipped = weights.clipping is Clipping.MSE
    return variant + list(Rounding).index(weights.rounding) + 5 * clipped + 3 * weights.adaptive
