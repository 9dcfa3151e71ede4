"""The injection: token, puzzle and position embeddings as one state-shaped array.

The rows of the puzzle table are an argument: whether they were gathered from a table of
876,406 rows or streamed as one row from flash is the caller's business (section 4.1).
"""

import math

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from trm_jax.config import ReasonerConfig
from trm_jax.types import Injection


def prefix_from_rows(
    rows: Float[Array, "batch id_emb"], config: ReasonerConfig
) -> Float[Array, "batch prefix emb"]:
    """Lay puzzle rows out over the prefix positions, zeros behind them."""
    room = config.prefix_len * config.hidden_size - rows.shape[-1]
    return jnp.pad(rows, ((0, 0), (0, room))).reshape(-1, config.prefix_len, config.hidden_size)


def combine(
    tokens: Float[Array, "batch seq emb"],
    rows: Float[Array, "batch id_emb"],
    positions: Float[Array, "pos emb"] | None,
    config: ReasonerConfig,
) -> Injection:
    """Join prefix and tokens, add learned positions, scale by sqrt(hidden_size).

    Factors are applied in float32 and rounded once, as PyTorch does for a bfloat16 tensor
    times a Python number; a weakly typed JAX scalar would itself be rounded to bfloat16.
    """
    dtype = jnp.dtype(config.forward_dtype)
    prefix = prefix_from_rows(rows.astype(dtype), config)
    e = jnp.concatenate([prefix, tokens.astype(dtype)], axis=1)
    if positions is not None:
        both = (e + positions.astype(dtype)[None]).astype(jnp.float32)
        e = (math.sqrt(0.5) * both).astype(dtype)
    return (math.sqrt(config.hidden_size) * e.astype(jnp.float32)).astype(dtype)
