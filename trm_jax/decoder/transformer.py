"""The decoder: Llama's block on the project's own Dense, so that every scheme applies.

    x = x + attention(norm(x));  x = x + SwiGLU(norm(x))      RMSNorm with a gain, before each

Attention is causal, with rotary positions and grouped queries: several heads of queries share one
of keys and values. Sites of the matrices are those of the release, `layers_0/self_attn/q_proj`,
`layers_0/mlp/down_proj`, `lm_head`, so that roles (quant/sites.py) need no table of their own.

With a cache a call writes its tokens into it and looks at all that lies there (prefill and
decoding are the same function); without one it looks at its own tokens (training).

Not here: the loop that writes tokens (generate.py), weights from files (name_table.py).
"""

from dataclasses import dataclass, replace
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict
from jax import Array
from jaxtyping import Bool, Float, Int

from trm_jax.decoder.config import DecoderConfig
from trm_jax.decoder.kv_cache import (
    FLOAT_STORE,
    CacheStore,
    KVCache,
    LayerCache,
    empty_cache,
    write_heads,
)
from trm_jax.decoder.lora import AdaptedRows, adapted_dot_general
from trm_jax.models.layers import Dense, Embedding, exact_dot_general, rms_norm, rotate_halves
from trm_jax.types import Logits, Params, SiteDotGeneral, Tokens

Hidden = Float[Array, "batch seq emb"]
TokenPositions = Int[Array, "batch seq"]
Visible = Bool[Array, "batch seq cache"]
"""Which cached tokens a query looks at."""


class RMSNorm(nn.Module):
    """Unit mean square times a learned gain."""

    eps: float

    @nn.compact
    def __call__(self, x: Hidden) -> Hidden:
        gain = self.param("gain", nn.initializers.ones, (x.shape[-1],), jnp.float32)
        return rms_norm(x, self.eps) * gain.astype(x.dtype)[None, None]


class GatedMLP(nn.Module):
    """down(silu(gate) * up), gate and up as two matrices, as these releases store them."""

    config: DecoderConfig
    dot_general: SiteDotGeneral

    @nn.compact
    def __call__(self, x: Hidden) -> Hidden:
        def dense(features: int, name: str) -> Dense:
            return Dense(features, dot_general=self.dot_general, name=name)

        inner = self.config.intermediate_size
        gate = nn.silu(dense(inner, "gate_proj")(x))
        return dense(self.config.hidden_size, "down_proj")(gate * dense(inner, "up_proj")(x))


def grouped_attention(
    q: Float[Array, "batch seq heads head_dim"],
    k: Float[Array, "batch cache kv_heads head_dim"],
    v: Float[Array, "batch cache kv_heads head_dim"],
    visible: Visible,
) -> Float[Array, "batch seq heads head_dim"]:
    """Attend with grouped queries, scale 1/sqrt(head_dim), softmax in float32."""
    batch, seq, heads, head_dim = q.shape
    grouped = (q * head_dim**-0.5).reshape(batch, seq, k.shape[2], -1, head_dim)
    scores = jnp.einsum("btgrk,bjgk->bgrtj", grouped, k, preferred_element_type=jnp.float32)
    hidden = jnp.finfo(jnp.float32).min
    scores = jnp.where(visible[:, None, None], scores, hidden)
    share = nn.softmax(scores, axis=-1).astype(v.dtype)
    return jnp.einsum("bgrtj,bjgk->btgrk", share, v).reshape(batch, seq, heads, head_dim)


class GroupedAttention(nn.Module):
    """Causal attention of one layer: over its own tokens, or over the cache it writes to."""

    config: DecoderConfig
    dot_general: SiteDotGeneral
    store: CacheStore

    @nn.compact
    def __call__(
        self, x: Hidden, positions: TokenPositions, visible: Visible, cache: LayerCache | None
    ) -> tuple[Hidden, LayerCache | None]:
        c = self.config

        def heads(count: int, name: str) -> Array:
            dense = Dense(
                count * c.head_dim, use_bias=c.qkv_bias, dot_general=self.dot_general, name=name
            )
            return dense(x).reshape(*x.shape[:2], count, c.head_dim)

        cos, sin = _rotary(positions, c)
        q = rotate_halves(heads(c.num_heads, "q_proj"), cos, sin)
        k = rotate_halves(heads(c.num_kv_heads, "k_proj"), cos, sin)
        v = heads(c.num_kv_heads, "v_proj")
        if cache is not None:
            cache = LayerCache(
                write_heads(cache.keys, self.store.encode(k), positions),
                write_heads(cache.values, self.store.encode(v), positions),
            )
            k, v = (self.store.decode(each, x.dtype) for each in cache)
        mixed = grouped_attention(q, k, v, visible).reshape(*x.shape[:2], -1)
        return Dense(c.hidden_size, dot_general=self.dot_general, name="o_proj")(mixed), cache


def _rotary(positions: TokenPositions, config: DecoderConfig) -> tuple[Array, Array]:
    """Compute cosines and sines for tokens at any positions, one angle for all heads."""
    half = jnp.arange(0, config.head_dim, 2, dtype=jnp.float32) / config.head_dim
    angle = positions.astype(jnp.float32)[..., None] * (config.rope_theta**-half)[None, None]
    return jnp.cos(angle)[:, :, None], jnp.sin(angle)[:, :, None]


class DecoderLayer(nn.Module):
    """Attention and MLP, each on the normalised sum of what came before."""

    config: DecoderConfig
    dot_general: SiteDotGeneral
    store: CacheStore

    @nn.compact
    def __call__(
        self, x: Hidden, positions: TokenPositions, visible: Visible, cache: LayerCache | None
    ) -> tuple[Hidden, LayerCache | None]:
        eps = self.config.rms_norm_eps
        attend = GroupedAttention(self.config, self.dot_general, self.store, name="self_attn")
        mixed, cache = attend(RMSNorm(eps, name="input_layernorm")(x), positions, visible, cache)
        x = x + mixed
        mlp = GatedMLP(self.config, self.dot_general, name="mlp")
        return x + mlp(RMSNorm(eps, name="post_attention_layernorm")(x)), cache


class TiedHead(nn.Module):
    """One matrix that reads tokens and writes logits; it is a kernel, and quantised as one."""

    config: DecoderConfig
    dot_general: SiteDotGeneral

    def setup(self) -> None:
        width, vocab = self.config.hidden_size, self.config.vocab_size
        init = nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal")
        self.kernel = self.param("kernel", init, (width, vocab), jnp.float32)

    def embed(self, tokens: Tokens) -> Hidden:
        """Look the columns of tokens up."""
        return self.kernel.T[tokens]

    def __call__(self, x: Hidden) -> Logits:
        self.sow("intermediates", "input", x)
        product = self.dot_general("/".join(self.path))
        rows = x.reshape(-1, x.shape[-1])
        y = product(rows, self.kernel.astype(x.dtype), (((1,), (0,)), ((), ())))
        return y.reshape(*x.shape[:-1], self.config.vocab_size)


class Transformer(nn.Module):
    """Embeddings, layers, last norm and head."""

    config: DecoderConfig
    dot_general: SiteDotGeneral = exact_dot_general
    store: CacheStore = FLOAT_STORE

    def setup(self) -> None:
        c = self.config
        if c.tie_word_embeddings:
            self.lm_head = TiedHead(c, self.dot_general)
        else:
            self.embed_tokens = Embedding(c.vocab_size, c.hidden_size)
            self.lm_head = Dense(c.vocab_size, dot_general=self.dot_general)
        self.layers = [DecoderLayer(c, self.dot_general, self.store) for _ in range(c.num_layers)]
        self.norm = RMSNorm(c.rms_norm_eps)

    def hidden(
        self, tokens: Tokens, positions: TokenPositions, cache: KVCache | None
    ) -> tuple[Hidden, KVCache | None]:
        """Run all layers; the last normalised states, and the cache with these tokens."""
        tied = self.config.tie_word_embeddings
        x = self.lm_head.embed(tokens) if tied else self.embed_tokens(tokens)
        x = x.astype(jnp.dtype(self.config.forward_dtype))
        seen = positions[:, None, :]
        if cache is not None:
            seen = jnp.arange(cache[0].keys.values.shape[1], dtype=positions.dtype)[None, None]
        visible = seen <= positions[:, :, None]
        layers: list[LayerCache] = []
        for number, layer in enumerate(self.layers):
            x, written = layer(x, positions, visible, None if cache is None else cache[number])
            layers += [] if written is None else [written]
        return self.norm(x), (tuple(layers) or None)

    def read_out(self, hidden: Hidden) -> Logits:
        """Multiply by the head."""
        return self.lm_head(hidden)

    def __call__(self, tokens: Tokens) -> Logits:
        """Touch every parameter once (for `init` only)."""
        hidden, _ = self.hidden(tokens, token_positions(tokens), None)
        return self.read_out(hidden)


def token_positions(tokens: Tokens) -> TokenPositions:
    """Count the tokens of every stream from 0."""
    return jnp.broadcast_to(jnp.arange(tokens.shape[1])[None], tokens.shape)


def flat_leaves(params: Params) -> dict[str, Any]:
    """Give every leaf its flat name, `layers_0/self_attn/q_proj/kernel`."""
    return cast(dict[str, Any], flatten_dict(params, sep="/"))


def leaf_shapes(config: DecoderConfig) -> dict[str, tuple[int, ...]]:
    """List the flat names and shapes that a configuration asks for, allocating nothing."""
    params = jax.eval_shape(Decoder(config).init, jax.random.key(0))
    return {name: leaf.shape for name, leaf in flat_leaves(params).items()}


@dataclass(frozen=True)
class Decoder:
    """Pure functions of the parameters; static and hashable.

    Attributes:
      dot_general: chooses the product of every Dense (a scheme's).
      store: what memory does to keys and values.
    """

    config: DecoderConfig
    dot_general: SiteDotGeneral = exact_dot_general
    store: CacheStore = FLOAT_STORE

    def init(self, key: Array) -> Params:
        """Draw parameters: kernels with standard deviation 1/sqrt(inputs), gains 1, biases 0."""
        tokens = jnp.zeros((1, 1), jnp.int32)
        return jax.jit(Transformer(self.config).init)(key, tokens)["params"]

    def empty_cache(self, *, batch_size: int, positions: int) -> KVCache:
        """Make room for keys and values of `positions` tokens a stream.

        Raises:
          ValueError: more positions than the model has.
        """
        return empty_cache(self.config, self.store, batch_size=batch_size, positions=positions)

    def hidden(
        self,
        params: Params,
        tokens: Tokens,
        positions: TokenPositions | None = None,
        *,
        adapted: AdaptedRows | None = None,
    ) -> Hidden:
        """Compute the last states of tokens that see themselves and those before them.

        Args:
          positions: None: 0, 1, ... from the left.
          adapted: low-rank adapters, and where they act.
        """
        at = token_positions(tokens) if positions is None else positions
        hidden, _ = self._apply("hidden", params, adapted, tokens, at, None)
        return hidden

    def extend(
        self,
        params: Params,
        tokens: Tokens,
        positions: TokenPositions,
        cache: KVCache,
        *,
        adapted: AdaptedRows | None = None,
    ) -> tuple[Hidden, KVCache]:
        """Write tokens into the cache and compute their last states: prefill, or one token."""
        return self._apply("hidden", params, adapted, tokens, positions, cache)

    def read_out(
        self, params: Params, hidden: Hidden, *, adapted: AdaptedRows | None = None
    ) -> Logits:
        """Compute logits from last states."""
        return self._apply("read_out", params, adapted, hidden)

    def logits(
        self, params: Params, tokens: Tokens, *, adapted: AdaptedRows | None = None
    ) -> Logits:
        """Compute the logits of every next token, without a cache."""
        return self.read_out(params, self.hidden(params, tokens, adapted=adapted), adapted=adapted)

    def _apply(
        self, method: str, params: Params, adapted: AdaptedRows | None, *arguments: Any
    ) -> Any:
        """Call a method of the module (Flax types its results as anything)."""
        products = self.dot_general
        if adapted is not None:
            products = adapted_dot_general(products, adapted)
        module = Transformer(self.config, products, self.store)
        return module.apply({"params": params}, *arguments, method=method)

    def with_config(self, **changes: Any) -> "Decoder":
        """Change fields of the configuration, such as `forward_dtype`."""
        return replace(self, config=replace(self.config, **changes))
