"""Kernels that are computed apart from their neighbours, because XLA fuses too much on CPUs.

XLA's CPU compiler fuses an operator into every consumer it has. In chains of integer operators
that costs time in two ways: a product that is read three times (by a table, by the multiplication
behind it, by the digits of the next product) is rescaled three times, and a gather in a fused loop
keeps the whole loop from being vectorised. `optimization_barrier` does not help: it is dropped
before operators are fused. What goes into a loop and comes out of it has memory of its own, so a
kernel in a loop over blocks of rows is computed once, and what stands before it is vectorised.

Other devices get the kernel as it is: their gathers are cheap, and short loops are not.
"""

from collections.abc import Callable
from typing import TypeVar

import jax
from jax import Array, lax

Result = TypeVar("Result")  # an array or a tuple of arrays


def apart(kernel: Callable[..., Result], *xs: Array) -> Result:
    """Apply a kernel that treats rows alike, on CPUs in a loop of its own; same result.

    Args:
      kernel: from arrays of (rows, last axis) to arrays of (rows, another last axis).
      xs: its arguments, of the same leading axes.
    """
    lead = xs[0].shape[:-1]
    rows = [x.reshape(-1, x.shape[-1]) for x in xs]
    blocks = smallest_factor(len(rows[0]))
    if blocks == 1 or jax.default_backend() != "cpu":
        result = kernel(*rows)
    else:  # of two rounds or more: XLA removes a loop of one
        cut = [x.reshape(blocks, -1, x.shape[-1]) for x in rows]
        result = lax.map(lambda block: kernel(*block), cut)
    return jax.tree.map(lambda y: y.reshape(*lead, y.shape[-1]), result)


def smallest_factor(count: int) -> int:
    """Find the smallest number above 1 that divides a count; 1 for 0 and 1."""
    return next((n for n in range(2, count + 1) if count % n == 0), 1)
