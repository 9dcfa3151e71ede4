"""How positions exchange information: attention, linear attention, MLP mixing; and the block.

REFERENCE 1.3. A block is post-norm: h <- rms(h + mixer(h)); h <- rms(h + mlp(h)).
"""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from trm_jax.config import Mixer, Positions, ReasonerConfig
from trm_jax.layers import (
    Dense,
    SwiGLU,
    apply_rotary,
    as_computed,
    at_site,
    exact_dot_general,
    rms_norm,
    rotary_tables,
)
from trm_jax.types import Injection, OnState, SiteDotGeneral, State

Heads = Float[Array, "batch pos heads head_dim"]


def softmax_attention(q: Heads, k: Heads, v: Heads) -> Heads:
    """Attend over all positions, no mask, scale 1/sqrt(head_dim), softmax in float32.

    Heads lead in every product: on CPU this is 1.2 to 1.5 times as fast as
    `jax.nn.dot_product_attention`, which keeps them inside.
    """
    q, k, v = (x.swapaxes(1, 2) for x in (q * q.shape[-1] ** -0.5, k, v))
    scores = jnp.einsum("bhsk,bhjk->bhsj", q, k, preferred_element_type=jnp.float32)
    share = nn.softmax(scores, axis=-1).astype(v.dtype)
    return jnp.einsum("bhsj,bhjk->bhsk", share, v).swapaxes(1, 2)


def elu_plus_one(x: Heads) -> Heads:
    """Map features to positive ones: x + 1 above 0, exp(x) below.

    Written out: elu(x) + 1 cancels to 0 for x < -17, and 0 / 0 would follow. exp is held
    at exp(-40), so that a product of two features stays above the smallest float32.
    """
    return jnp.where(x > 0, x + 1.0, jnp.exp(jnp.clip(x, -40.0, 0.0)))


def linear_attention(q: Heads, k: Heads, v: Heads) -> Heads:
    """Attend in O(pos) with the elu+1 feature map (App. J), sums in float32."""
    q32, k32, v32 = (x.astype(jnp.float32) for x in (q, k, v))
    q32, k32 = elu_plus_one(q32), elu_plus_one(k32)
    memory = jnp.einsum("bshk,bshj->bhkj", k32, v32)
    norm = jnp.einsum("bshk,bhk->bsh", q32, jnp.sum(k32, axis=1))
    mixed = jnp.einsum("bshk,bhkj->bshj", q32, memory) / norm[..., None]
    return mixed.astype(v.dtype)


ATTENTION = {Mixer.ATTENTION: softmax_attention, Mixer.LINEAR_ATTENTION: linear_attention}


class SelfAttention(nn.Module):
    """Multi-head attention with a fused qkv product and rotary positions."""

    config: ReasonerConfig
    dot_general: SiteDotGeneral = exact_dot_general

    @nn.compact
    def __call__(self, h: State) -> State:
        c = self.config
        batch, pos, emb = h.shape
        qkv = Dense(3 * emb, dot_general=self.dot_general, name="qkv_proj")(h)
        q, k, v = jnp.split(qkv.reshape(batch, pos, 3 * c.num_heads, c.head_dim), 3, axis=2)
        if c.positions is Positions.ROPE:
            cos, sin = rotary_tables(c.num_positions, c.head_dim, c.rope_theta)
            q, k = apply_rotary(q, cos, sin), apply_rotary(k, cos, sin)
        mixed = ATTENTION[c.mixer](q, k, v).reshape(batch, pos, emb)
        return Dense(emb, dot_general=self.dot_general, name="o_proj")(mixed)


class Block(nn.Module):
    """One layer of a level: mixing over positions, then SwiGLU over channels.

    Sites of states, for either half (`mlp_t` or `self_attn`, and `mlp`): `_out` what the half
    adds, `_sum` the residual sum, `_norm` the sum normalised.
    """

    config: ReasonerConfig
    dot_general: SiteDotGeneral = exact_dot_general
    on_state: OnState = as_computed

    @nn.compact
    def __call__(self, h: State) -> State:
        c = self.config
        if c.mixer is Mixer.MLP:
            # the norm runs over the position axis here, as in the released code. Positions lead:
            # one product over all puzzles, and rows of channels move whole
            u = h.swapaxes(0, 1)
            inner = c.swiglu_size(c.num_positions)
            mlp_t = SwiGLU(inner, self.dot_general, axis=0, name="mlp_t")
            h = self.updated("mlp_t", u, mlp_t(u), axis=0).swapaxes(0, 1)
        else:
            attention = SelfAttention(c, self.dot_general, name="self_attn")
            h = self.updated("self_attn", h, attention(h))
        mlp = SwiGLU(c.swiglu_size(c.hidden_size), self.dot_general, name="mlp")
        return self.updated("mlp", h, mlp(h))

    def updated(self, half: str, h: State, out: State, axis: int = -1) -> State:
        """Add what one half computed and normalise an axis."""
        out = at_site(self, self.on_state, f"{half}_out", out)
        total = at_site(self, self.on_state, f"{half}_sum", h + out)
        normed = rms_norm(total, self.config.rms_norm_eps, axis)
        return at_site(self, self.on_state, f"{half}_norm", normed)


class Level(nn.Module):
    """A stack of blocks applied to state + injection (L_level, H_level).

    Sites of states: `injection`, and `start`, its sum with the state.
    """

    config: ReasonerConfig
    num_layers: int
    dot_general: SiteDotGeneral = exact_dot_general
    on_state: OnState = as_computed

    @nn.compact
    def __call__(self, h: State, injection: Injection) -> State:
        injection = at_site(self, self.on_state, "injection", injection)
        h = at_site(self, self.on_state, "start", h + injection)
        for i in range(self.num_layers):
            h = Block(self.config, self.dot_general, self.on_state, name=f"layers_{i}")(h)
        return h
