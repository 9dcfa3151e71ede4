"""Weights of a configuration without compiling its initialisers."""

import jax
import numpy as np

from trm_jax.config import Config
from trm_jax.models import build
from trm_jax.types import Weights


def random_weights(config: Config, seed: int = 0) -> Weights:
    """Fill every leaf with Gaussians of standard deviation 1/sqrt(first axis)."""
    shapes = jax.eval_shape(build(config).init, jax.random.key(0))
    rng = np.random.default_rng(seed)

    def draw(leaf: jax.ShapeDtypeStruct) -> jax.Array:
        return jax.numpy.asarray(rng.normal(size=leaf.shape) / leaf.shape[0] ** 0.5, leaf.dtype)

    return jax.tree.map(draw, shapes)
