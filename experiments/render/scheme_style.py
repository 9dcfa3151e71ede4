"""One colour and marker for a scheme, whatever figure or file it is drawn in.

The colour says what is stored (bits, and one scale per tensor or per channel), the marker how the
integers were chosen and how they are multiplied. Series that are no schemes count from 0 by
themselves.

Not here: the shapes of markers (svg.py for the report's pictures, figures.py for matplotlib).
"""

from quant.affine import Symmetry
from quant.scheme import (
    METHOD_SUFFIXES,
    Activations,
    CarryPrecision,
    FloatDtype,
    Granularity,
    Ranges,
    Scheme,
    WeightScheme,
    parse,
)

LIGHT = (
    "#000000",
    "#b86f00",
    "#0b78b5",
    "#00795a",
    "#c64a00",
    "#5b46b8",
    "#a8437f",
    "#6b6b6b",
    "#8f8f8f",
    "#5a0f00",
    "#c800e0",
    "#002d69",
    "#6f8f00",
    "#4b4b00",
    "#2a2af0",
    "#782d4b",
    "#9687d2",
    "#0097a0",
)
"""Colours of series on white; names of schemes are written in the darker of them."""
DARK = (
    "#ffffff",
    "#f0a93b",
    "#63bdf2",
    "#3ccb9f",
    "#ff8a50",
    "#a898ff",
    "#ee8fc5",
    "#b0b0b0",
    "#808080",
    "#c37869",
    "#d45cff",
    "#5a87d2",
    "#cfe83a",
    "#8f8f3a",
    "#5f78ff",
    "#e0305c",
    "#cdc2ff",
    "#2ee0e6",
)
"""The same on dark pages."""
SERIES = len(LIGHT)
"""Colours; beyond them the index of a series chooses its marker: see `shape_of`."""
SHAPES = 12
"""Markers."""
FLOATS = {FloatDtype.FP32: 0, FloatDtype.FP16: 7, FloatDtype.BF16: 8}
GRIDS = {
    (2, Granularity.PER_TENSOR): 9,
    (2, Granularity.PER_CHANNEL): 10,
    (3, Granularity.PER_TENSOR): 6,
    (3, Granularity.PER_CHANNEL): 5,
    (4, Granularity.PER_TENSOR): 4,
    (4, Granularity.PER_CHANNEL): 3,
    (5, Granularity.PER_TENSOR): 11,
    (5, Granularity.PER_CHANNEL): 12,
    (6, Granularity.PER_TENSOR): 13,
    (6, Granularity.PER_CHANNEL): 14,
    (7, Granularity.PER_TENSOR): 15,
    (7, Granularity.PER_CHANNEL): 16,
    (8, Granularity.PER_TENSOR): 17,
    (8, Granularity.PER_CHANNEL): 2,
}
"""Bits of a weight and granularity -> colour; 1 is left to series that are no schemes."""


def scheme_index(name: str) -> int:
    """Choose the index of a scheme: its colour modulo SERIES, its marker by `shape_of`."""
    scheme = parse(name)
    return _colour(scheme) + SERIES * (_variant(scheme) % SHAPES)


def shape_of(index: int) -> int:
    """Choose the marker of a series: its colour's, one further for each round of colours."""
    return (index + index // SERIES) % SHAPES


def _colour(scheme: Scheme) -> int:
    weights = scheme.weights
    if weights is None:
        return FLOATS[scheme.float_dtype]
    return GRIDS[weights.bits, weights.granularity]


def _variant(scheme: Scheme) -> int:
    """Number what differs beside bits and granularity.

    The factors tell apart, modulo SHAPES, all schemes of one colour that have a name of their own
    or that a full report sweeps, and the six methods on both grids.
    """
    variant = 7 * list(Activations).index(scheme.activations)
    variant += 2 * list(Ranges).index(scheme.ranges) + 6 * scheme.is_integer
    variant += 2 * list(CarryPrecision).index(scheme.carry)
    weights = scheme.weights
    if weights is None:
        return variant
    method = list(METHOD_SUFFIXES.values()).index((weights.clipping, weights.rounding))
    return variant + 2 * method + 3 * _grid(weights)


def _grid(weights: WeightScheme) -> int:
    return 2 if weights.adaptive else int(weights.symmetry is Symmetry.ASYMMETRIC)
