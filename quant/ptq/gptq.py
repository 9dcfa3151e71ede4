"""GPTQ over whole trajectories: weights rounded so that the outputs of a product change least.

A kernel W (inputs, outputs) is rounded one input row at a time; what a row's rounding adds to the
outputs is taken back by the rows that are not rounded yet. With the Hessian H = sum of x x^T over
the inputs x of the product, the weights that follow change by

    W[j, :] -= (W[i, :] - Q[i, :]) * U[i, j] / U[i, i]   for j > i,    inv(H + d I) = U^T U

and the sum over all inputs of |x (W - Q)|^2 is what comes out small. Rows go in the order of
their Hessian's diagonal, the largest first; d is DAMPING times its mean.

A recursive network meets its own outputs: H is summed over every L-cycle, H-cycle and supervision
step, and over both roles of a shared network (calibrate.py). Scales do not change while weights are
rounded: they come from `affine.calibrate` (least squared error), per tensor or per output channel,
or are those of several that leave the least change (grids.py).

    round_with_hessian   the mathematics: kernel, Hessian, grid -> integers
    round_site           one kernel by its scheme

Source: Frantar et al., GPTQ (arXiv 2210.17323), sections 3 and 4. Not here: the other roundings
(weights.py), and Hessians (calibrate.py).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jax import Array
from jaxtyping import Float, Int

from quant.affine import (
    Affine,
    Grid,
    QTensor,
    WidthlessGrid,
    real_values,
    round_to,
    without_width,
)
from quant.ptq.calibrate import not_finite
from quant.ptq.grids import REACHES, candidate_grids, keep_least, output_error
from quant.scheme import WeightScheme

DAMPING = 0.01  # of the mean of the Hessian's diagonal, as in the paper's code


def round_site(
    site: str,
    kernel: Float[Array, "inputs outputs"],
    weights: WeightScheme,
    hessian: Float[Array, "inputs inputs"],
) -> QTensor:
    """Round the kernel of one site by the Hessian of its inputs, on the best grid of its scheme.

    Raises:
      ValueError: the Hessian is not finite; the message names the site.
    """
    exact = np.asarray(hessian, np.float64)
    if not np.isfinite(exact).all():
        raise ValueError(not_finite(site))
    factor = factorise(exact, DAMPING)
    tried = [
        _round(kernel, factor, affine, weights.grid)
        for affine in candidate_grids(kernel, weights, REACHES)
    ]
    return keep_least(tried, [output_error(kernel, q, jnp.asarray(hessian)) for q in tried])


def round_with_hessian(
    kernel: Float[Array, "inputs outputs"],
    hessian: Float[np.ndarray, "inputs inputs"],
    affine: Affine,
    grid: Grid,
    *,
    damping: float = DAMPING,
) -> QTensor:
    """Round a kernel onto a grid so that its product changes least on the Hessian's inputs.

    Args:
      hessian: sum of x x^T over inputs x; rows that are zero (inputs that are never used) are
        rounded to nearest.
      affine: scale and zero point, per tensor or per output.
      damping: added to the diagonal, in units of its mean.

    Raises:
      ValueError: damping is not positive.
    """
    if not damping > 0:
        raise ValueError(f"damping must be positive, got damping={damping}")
    return _round(kernel, factorise(hessian, damping), affine, grid)


class HessianFactor(NamedTuple):
    """What rounding reads of a Hessian: the order of the inputs, and its inverse's factor."""

    order: Int[np.ndarray, " inputs"]
    factor: Float[np.ndarray, "inputs inputs"]


def factorise(hessian: Float[np.ndarray, "inputs inputs"], damping: float) -> HessianFactor:
    """Order the inputs, the largest first, and factor the inverse of their damped Hessian."""
    order = np.argsort(-np.diag(hessian), kind="stable")
    return HessianFactor(order, inverse_factor(hessian[np.ix_(order, order)], damping))


def _round(
    kernel: Float[Array, "inputs outputs"], of: HessianFactor, affine: Affine, grid: Grid
) -> QTensor:
    places = np.argsort(of.order)
    integers = _compensate(kernel, of.order, places, of.factor, affine, without_width(grid))
    return QTensor(integers.astype(grid.dtype), affine.scale, affine.zero_point, grid)


def inverse_factor(
    hessian: Float[np.ndarray, "inputs inputs"], damping: float
) -> Float[np.ndarray, "inputs inputs"]:
    """Factor the inverse of a damped Hessian: U, upper triangular, inv(H + d I) = U^T U.

    Rows are divided by their diagonal, as `_compensate` needs them. float64: a Hessian over
    thousands of tokens has a condition beyond float32's. A Hessian that is zero throughout (a
    product that never ran) gives the identity. Where float32 sums have made a Hessian so far from
    positive that the damping does not mend it, ten times the damping is tried, and again.
    """
    # inv(A) = U^T U with upper U: reversing rows and columns turns it into a lower factor of A
    lower = _damped_cholesky(hessian[::-1, ::-1], damping)
    identity = np.eye(len(hessian))
    factor = scipy.linalg.solve_triangular(lower, identity, lower=True)[::-1, ::-1]
    return np.asarray(factor / np.diag(factor)[:, None], np.float32)


def _damped_cholesky(
    hessian: Float[np.ndarray, "inputs inputs"], damping: float
) -> Float[np.ndarray, "inputs inputs"]:
    diagonal = np.diag(hessian)
    unused = diagonal <= 0
    # of unit mean: sums near the ends of float64 would underflow in the products of a factor
    mean = diagonal.mean() if diagonal.mean() > 0 else 1.0
    damped = hessian / mean + np.diag(np.where(unused, max(1.0, damping), damping))
    try:
        return np.linalg.cholesky(damped)
    except np.linalg.LinAlgError:
        # ends: |hessian| <= width * mean for sums of x x^T, and damping grows past it
        return _damped_cholesky(hessian, 10 * damping)


@jax.jit
def _compensate(
    kernel: Float[Array, "inputs outputs"],
    order: Int[Array, " inputs"],
    places: Int[Array, " inputs"],
    factor: Float[Array, "inputs inputs"],
    affine: Affine,
    grid: WidthlessGrid,
) -> Int[Array, "inputs outputs"]:
    """Round row by row; every row's error is taken back by the rows behind it.

    Args:
      order: which row comes first, second, ...
      places: where each row comes, the inverse of `order`.
    """

    def round_row(remaining: Array, index: Array) -> tuple[Array, Array]:
        row = remaining[index][None]
        rounded = round_to(row, affine, grid)
        error = row - real_values(rounded, affine)
        # the factor is 0 before the row itself: rows that are rounded stay
        return remaining - factor[index][:, None] * error, rounded[0]

    ordered = kernel[order].astype(jnp.float32)
    _, integers = jax.lax.scan(round_row, ordered, jnp.arange(len(kernel)))
    return integers[places]
