"""The KV cache: keys and values of the tokens seen so far, the state of a decoder.

It is to a decoder what z_H and z_L are to TRM: all that is carried from one application of the
network to the next. In what format memory keeps it is a function (`CacheStore`), as for the carry;
here is the one that keeps floats, and quant/carry.py has the one of int8.

Position p of a stream lies in row p. Rows behind a stream's end hold what padding left there;
nobody reads them before they are written again, since a query looks at rows up to its own.

Not here: attention over the cache (transformer.py), and who writes which token (generate.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float, Int, Num

from trm_jax.decoder.config import DecoderConfig

CachedHeads = Float[Array, "batch cache kv_heads head_dim"]


class StoredHeads(NamedTuple):
    """Keys or values of one layer as memory keeps them.

    Attributes:
      values: floats, or integers of a symmetric grid.
      scales: one per token and head; None where values are floats.
    """

    values: Num[Array, "batch cache kv_heads head_dim"]
    scales: Float[Array, "batch cache kv_heads"] | None


class LayerCache(NamedTuple):
    """Keys and values of one layer."""

    keys: StoredHeads
    values: StoredHeads


KVCache = tuple[LayerCache, ...]
"""The cache of a decoder, layer by layer."""


@runtime_checkable
class CacheStore(Protocol):
    """What memory does to keys and values; hashable, so that it can be static."""

    def encode(self, heads: CachedHeads) -> StoredHeads:
        """Bring heads into the format of the memory."""
        ...

    def decode(self, stored: StoredHeads, dtype: DTypeLike) -> CachedHeads:
        """Read heads back for the arithmetic."""
        ...


@dataclass(frozen=True)
class FloatStore:
    """Keeps keys and values in the dtype in which they were computed."""

    def encode(self, heads: CachedHeads) -> StoredHeads:
        return StoredHeads(heads, None)

    def decode(self, stored: StoredHeads, dtype: DTypeLike) -> CachedHeads:
        return stored.values.astype(dtype)


FLOAT_STORE = FloatStore()


def empty_cache(
    config: DecoderConfig, store: CacheStore, *, batch_size: int, positions: int
) -> KVCache:
    """Make room for keys and values.

    Args:
      positions: tokens of prompt and answer together.

    Raises:
      ValueError: more positions than the model has.
    """
    if not 1 <= positions <= config.max_positions:
        raise ValueError(
            f"positions must lie between 1 and the model's {config.max_positions}, got"
            f" positions={positions}; shorten the prompt or ask for fewer tokens"
        )
    shape = (batch_size, positions, config.num_kv_heads, config.head_dim)
    heads = jax.ShapeDtypeStruct(shape, jnp.dtype(config.forward_dtype))
    # zeros that were encoded would be a constant of a program, folded for seconds by its compiler
    empty = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(store.encode, heads))
    return (LayerCache(empty, empty),) * config.num_layers


def write_heads(
    stored: StoredHeads, new: StoredHeads, positions: Int[Array, "batch seq"]
) -> StoredHeads:
    """Write the tokens of a batch at their positions, stream by stream."""
    stream = jnp.arange(positions.shape[0])[:, None]
    return jax.tree.map(lambda old, x: old.at[stream, positions].set(x), stored, new)


def repeat_streams(cache: KVCache, times: int) -> KVCache:
    """Give every stream's cache to `times` streams that go on from it, side by side.

    One prompt is so prefilled once for several samples (self-consistency, groups of a policy
    gradient).
    """
    return jax.tree.map(lambda x: jnp.repeat(x, times, axis=0), cache)


def cache_bytes(cache: KVCache) -> int:
    """Count the bytes of a cache, scales included."""
    leaves: Sequence[Array] = jax.tree.leaves(cache)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)


def bytes_per_token(config: DecoderConfig, store: CacheStore) -> int:
    """Count the bytes that one token of one stream takes in all layers."""
    shapes = jax.eval_shape(lambda: empty_cache(config, store, batch_size=1, positions=1))
    return cache_bytes(shapes)
