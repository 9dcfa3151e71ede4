"""The grid again, as float64 loops over single numbers: an oracle that shares no code."""

import math

import numpy as np


def limits(bits: int, symmetric: bool) -> tuple[int, int]:
    if symmetric:
        return -(2 ** (bits - 1) - 1), 2 ** (bits - 1) - 1
    return 0, 2**bits - 1


def quantise_row(row: list[float], bits: int, symmetric: bool) -> tuple[list[int], float, int]:
    """Integers, scale and zero point of the numbers that share a scale."""
    q_min, q_max = limits(bits, symmetric)
    low, high = min([0.0, *row]), max([0.0, *row])
    scale = (max(-low, high) if symmetric else high - low) / q_max
    if scale < float(np.finfo(np.float32).tiny):
        scale = 1.0
    zero = 0 if symmetric else half_even(-low / scale)
    return [min(max(half_even(x / scale) + zero, q_min), q_max) for x in row], scale, zero


def half_even(x: float) -> int:
    """Round to the nearest integer, ties to the even one."""
    below = math.floor(x)
    rest = x - below
    if rest == 0.5:
        return below + below % 2
    return below + (rest > 0.5)


def near_tie(x: float, scale: float) -> bool:
    """Return whether float32 may round x/scale to the other side.

    float32 makes s, 1/s and x*(1/s), each with a relative error below 2^-24 times 1, so their
    product is within 4 * 2^-24 of x/scale; so is the tie it is compared with.
    """
    steps = x / scale
    return abs(abs(steps - math.floor(steps)) - 0.5) <= 4 * 2.0**-24 * max(abs(steps), 1.0)


def squared_error(row: list[float], factor: float, bits: int, symmetric: bool) -> float:
    """Sum of squared errors of the row on the grid over its range shrunk by `factor`."""
    q_min, q_max = limits(bits, symmetric)
    low, high = factor * min([0.0, *row]), factor * max([0.0, *row])
    scale = (max(-low, high) if symmetric else high - low) / q_max
    if scale < float(np.finfo(np.float32).tiny):
        scale = 1.0
    zero = 0 if symmetric else half_even(-low / scale)
    total = 0.0
    for x in row:
        q = min(max(half_even(x / scale) + zero, q_min), q_max)
        total += (x - (q - zero) * scale) ** 2
    return total
