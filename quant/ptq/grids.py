"""Grids chosen by the error they leave: symmetric or asymmetric, and how far they reach.

A min/max asymmetric grid puts the zero between two integers of the weights that matter. On
weights that lie on a symmetric grid already (ternary kernels) it is much worse than the symmetric
one; on one-sided weights the symmetric grid wastes half its integers. Schemes with `auto` try
both and keep, for all weights that share a scale, the one of less error:

    rounding to nearest    |W - Q|^2
    rounding by Hessians   the change of the outputs, tr (W - Q)^T H (W - Q), over REACHES too

Every candidate is stored on the asymmetric grid, where a symmetric one has its zero point in the
middle: (q - z) s is the same number, so files and arithmetic know one kind. The symmetric one comes
first and wins ties.

Not here: the search for the range of least squared error (quant/affine.py), and roundings
(weights.py, gptq.py).
"""

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Integer

from quant.affine import (
    Affine,
    Clipping,
    Grid,
    QTensor,
    Symmetry,
    WidthlessGrid,
    calibrate,
    real_values,
    scale_zero_point,
    without_width,
)
from quant.scheme import WeightScheme

Candidate = TypeVar("Candidate")

REACHES = (1.0, 0.9, 0.8, 1.1, 1.25)
"""Factors on the range of least squared error that rounding by Hessians tries."""


def candidate_grids(
    kernel: Float[Array, "inputs outputs"],
    weights: WeightScheme,
    reaches: tuple[float, ...] = (1.0,),
) -> list[Affine]:
    """List the scales and zero points that a scheme allows for a kernel, the symmetric first.

    Args:
      reaches: factors on every scale of an adaptive scheme.

    Returns:
      Of `weights.grid`; one, unless the scheme is adaptive.
    """
    return widthless_candidates(kernel, widthless_grids(weights), weights.clipping, reaches)


def widthless_grids(weights: WeightScheme) -> list[WidthlessGrid]:
    """List the scheme's grid; of an adaptive scheme the asymmetric one, then the symmetric one."""
    grids = [without_width(weights.grid)]
    if weights.adaptive:
        grids.append(without_width(replace(weights.grid, symmetry=Symmetry.SYMMETRIC)))
    return grids


@functools.partial(jax.jit, static_argnums=(2, 3))
def widthless_candidates(
    kernel: Float[Array, "inputs outputs"],
    grids: Sequence[WidthlessGrid],
    clipping: Clipping,
    reaches: tuple[float, ...] = (1.0,),
) -> list[Affine]:
    """List what `candidate_grids` does, for any width.

    Args:
      grids: as `widthless_grids` lists them.
    """
    own, *symmetric = (scale_zero_point(calibrate(kernel, grid, clipping), grid) for grid in grids)
    if not symmetric:
        return [own]
    scale = symmetric[0].scale
    middle = jnp.broadcast_to(grids[1].q_max.astype(jnp.int32), scale.shape)
    return [
        affine._replace(scale=affine.scale * jnp.float32(reach))
        for affine in (Affine(scale, middle), own)
        for reach in reaches
    ]


def squared_error(
    kernel: Float[Array, "inputs outputs"],
    rounded: Float[Array, "inputs outputs"],
    grid: Grid | WidthlessGrid,
) -> Float[Array, "1 scale_outputs"]:
    """Sum the squared error over all weights that share a scale."""
    error = jnp.square(kernel.astype(jnp.float32) - rounded)
    return jnp.sum(error, axis=grid.reduced_axes(error.ndim), keepdims=True)


def output_error(
    kernel: Float[Array, "inputs outputs"],
    q: QTensor,
    hessian: Float[Array, "inputs inputs"],
) -> Float[Array, "1 scale_outputs"]:
    """Sum the squared change of the outputs over all weights that share a scale."""
    per_output = bool(q.grid.channel_axes)
    return _output_error(kernel, q.qvalue, Affine(q.scale, q.zero_point), hessian, per_output)


@functools.partial(jax.jit, static_argnums=4)
def _output_error(
    kernel: Float[Array, "inputs outputs"],
    integers: Integer[Array, "inputs outputs"],
    affine: Affine,
    hessian: Float[Array, "inputs inputs"],
    per_output: bool,
) -> Float[Array, "1 scale_outputs"]:
    """Sum it for any width."""
    error = kernel.astype(jnp.float32) - real_values(integers, affine)
    products = error * jnp.einsum("ij,jo->io", hessian, error)
    # the barrier keeps XLA from fusing the product into the sum, which would round otherwise
    change = jnp.sum(jax.lax.optimization_barrier(products), axis=0, keepdims=True)
    return change if per_output else jnp.sum(change, keepdims=True)


def keep_least(candidates: Sequence[Candidate], errors: Sequence[Array]) -> Candidate:
    """Keep, for all weights that share a scale, the candidate of least error, the first of equals.

    Args:
      candidates: trees of integers, scales and zero points, of one grid.
      errors: of each candidate, in the shape of its scales.
    """
    best, least = candidates[0], errors[0]
    for candidate, error in zip(candidates[1:], errors[1:], strict=True):
        better = error < least
        least = jnp.where(better, error, least)
        best = jax.tree.map(functools.partial(jnp.where, better), candidate, best)
    return best
