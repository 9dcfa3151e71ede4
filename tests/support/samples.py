"""Small random models and puzzles for tests, made by NumPy so that nothing has to compile."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from trm_jax.config import Config
from trm_jax.models.build import build
from trm_jax.types import IGNORE_LABEL, Batch, Weights


def random_weights(config: Config, seed: int = 0) -> Weights:
    """Fill the tree that a configuration asks for with float32 noise of the released size."""
    rng = np.random.default_rng(seed)
    tree = jax.eval_shape(build(config).init, jax.random.key(0))

    def draw(leaf: jax.ShapeDtypeStruct) -> jax.Array:
        fan_in = leaf.shape[0] if len(leaf.shape) == 2 else 1
        return jnp.asarray(rng.normal(size=leaf.shape) / np.sqrt(fan_in), jnp.float32)

    return jax.tree.map(draw, tree)


def random_batch(config: Config, size: int, seed: int = 0) -> Batch:
    """Draw puzzles of random tokens; about a fifth of the cells is unscored."""
    rng = np.random.default_rng(seed)
    shape = (size, config.seq_len)
    inputs = rng.integers(0, config.vocab_size, shape)
    labels = rng.integers(0, config.vocab_size, shape)
    labels[rng.random(shape) < 0.2] = IGNORE_LABEL
    ids = rng.integers(0, config.num_puzzle_identifiers, size)
    return Batch(*(jnp.asarray(x, jnp.int32) for x in (inputs, labels, ids)))


def small(**changes: Any) -> Mapping[str, Any]:
    """Name the fields of a configuration small enough for a loop in NumPy."""
    fields = {
        "vocab_size": 5,
        "seq_len": 4,
        "num_puzzle_identifiers": 3,
        "hidden_size": 8,
        "num_heads": 2,
        "expansion": 1.0,
        "H_cycles": 2,
        "L_cycles": 2,
        "puzzle_emb_ndim": 8,
        "halt_max_steps": 4,
        "halt_exploration_prob": 0.0,
        "forward_dtype": "float32",
    }
    return {**fields, **changes}
