"""Structured magnitude pruning: the output neurons of least norm are set to zero (Table 13).

The paper zeroes, in every linear layer, the rows of lowest L2 norm. A row of a PyTorch linear is
an output neuron, which is a column of our (inputs, outputs) kernels.

Not here: taking the zeroed neurons out of the arrays (`kept_weights` counts what would stay), and
retraining (experiments/ablate/studies/pruning.py).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from quant.ptq.weights import is_kernel, site_of
from trm_jax.types import Params

Sites = Callable[[str], bool]
"""Whether a site, such as `L_level/layers_0/mlp/down_proj`, is pruned."""


def every_linear(site: str) -> bool:
    """Choose the blocks and both heads, as the paper does."""
    del site
    return True


def blocks_only(site: str) -> bool:
    """Choose the blocks and spare the heads: a token without output neuron is never an answer."""
    return "/layers_" in site


def prune(params: Params, share: float, sites: Sites = every_linear) -> Params:
    """Zero a share of the output neurons of each kernel, those of least L2 norm.

    Args:
      share: 0 keeps everything; floor(share * n) of n neurons are zeroed, of equal norms the first.
      sites: chooses the kernels.

    Raises:
      ValueError: a share outside [0, 1).
    """
    if not 0 <= share < 1:
        raise ValueError(f"share must lie in [0, 1), got share={share}")

    def leaf(path: tuple, value: Array) -> Array:
        if not is_kernel(path) or not sites(site_of(path)):
            return value
        return value * keep_mask(value, share)[None]

    return jax.tree_util.tree_map_with_path(leaf, params)


def keep_mask(kernel: Float[Array, "inputs outputs"], share: float) -> Float[Array, " outputs"]:
    """Mark the output neurons that stay with 1, the others with 0."""
    norms = np.linalg.norm(np.asarray(kernel, np.float64), axis=0)
    mask = np.ones(norms.size, np.float32)
    mask[np.argsort(norms, kind="stable")[: int(share * norms.size)]] = 0
    return jnp.asarray(mask)


def kept_weights(params: Params) -> int:
    """Count the weights that are not in zeroed neurons."""

    def leaf(path: tuple, value: Array) -> int:
        if not is_kernel(path):
            return value.size
        return value.shape[0] * int(np.any(np.asarray(value) != 0, axis=0).sum())

    return sum(leaf(*each) for each in jax.tree_util.tree_leaves_with_path(params))
