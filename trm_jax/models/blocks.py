"""How positions exchange information, by attention or MLP mixing; and the block.

REFERENCE 1.3. A block is post-norm: h <- rms(h + mixer(h)); h <- rms(h + mlp(h)).
"""

import flax.linen as nn
import jax.numpy as jnp

from trm_jax.config import Mixer, Positions, ReasonerConfig
from trm_jax.models.attention import Attend, linear_attention, softmax_attention
from trm_jax.models.layers import (
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


class SelfAttention(nn.Module):
    """Multi-head attention with a fused qkv product and rotary positions.

    Attributes:
      attend: computes softmax attention; linear attention has one way only.
    """

    config: ReasonerConfig
    dot_general: SiteDotGeneral = exact_dot_general
    attend: Attend = softmax_attention

    @nn.compact
    def __call__(self, h: State) -> State:
        c = self.config
        batch, pos, emb = h.shape
        qkv = Dense(3 * emb, dot_general=self.dot_general, name="qkv_proj")(h)
        q, k, v = jnp.split(qkv.reshape(batch, pos, 3 * c.num_heads, c.head_dim), 3, axis=2)
        if c.positions is Positions.ROPE:
            cos, sin = rotary_tables(c.num_positions, c.head_dim, c.rope_theta)
            q, k = apply_rotary(q, cos, sin), apply_rotary(k, cos, sin)
        mix = linear_attention if c.mixer is Mixer.LINEAR_ATTENTION else self.attend
        mixed = mix(q, k, v).reshape(batch, pos, emb)
        return Dense(emb, dot_general=self.dot_general, name="o_proj")(mixed)


class Block(nn.Module):
    """One layer of a level: mixing over positions, then SwiGLU over channels.

    Sites of states, for either half (`mlp_t` or `self_attn`, and `mlp`): `_out` what the half
    adds, `_sum` the residual sum, `_norm` the sum normalised.
    """

    config: ReasonerConfig
    dot_general: SiteDotGeneral = exact_dot_general
    on_state: OnState = as_computed
    attend: Attend = softmax_attention

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
            attention = SelfAttention(c, self.dot_general, self.attend, name="self_attn")
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
    attend: Attend = softmax_attention

    @nn.compact
    def __call__(self, h: State, injection: Injection) -> State:
        injection = at_site(self, self.on_state, "injection", injection)
        h = at_site(self, self.on_state, "start", h + injection)
        for i in range(self.num_layers):
            fields = (self.config, self.dot_general, self.on_state, self.attend)
            h = Block(*fields, name=f"layers_{i}")(h)
        return h
