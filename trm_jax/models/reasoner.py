"""A reasoner: configuration + Flax module, seen as pure functions of its weights.

The module owns parameters and knows the wiring (trm.py, hrm.py); everything that loops
(act.py, evaluators.py, training/step.py) sees only this record. It is static and hashable, so it
can be a static argument of `jax.jit`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from trm_jax.config import Config, Positions, ReasonerConfig
from trm_jax.models.attention import Attend, softmax_attention
from trm_jax.models.blocks import Level
from trm_jax.models.layers import Dense, Embedding, as_computed, combine, exact_dot_general
from trm_jax.models.recursion import Networks, identity
from trm_jax.types import (
    Buffers,
    Injection,
    Latents,
    OnState,
    Outputs,
    Params,
    SiteDotGeneral,
    State,
    Tokens,
    Weights,
)


class ReasonerModule(nn.Module):
    """Embeddings, the L-level and the two heads; subclasses say what updates z_H."""

    config: ReasonerConfig
    dot_general: SiteDotGeneral = exact_dot_general
    on_state: OnState = as_computed
    attend: Attend = softmax_attention

    def setup(self) -> None:
        c = self.config
        self.embed_tokens = Embedding(c.vocab_size, c.hidden_size)
        if c.positions is Positions.LEARNED:
            self.embed_pos = Embedding(c.num_positions, c.hidden_size)
        self.L_level = Level(c, c.L_layers, self.dot_general, self.on_state, self.attend)
        self.lm_head = Dense(c.vocab_size, dot_general=self.dot_general)
        self.q_head = Dense(
            2,
            use_bias=True,
            dot_general=self.dot_general,
            kernel_init=nn.initializers.zeros,
            bias_init=nn.initializers.constant(-5.0),
        )

    def embed(self, inputs: Tokens, rows: Float[Array, "batch id_emb"]) -> Injection:
        """Make the injection from tokens and puzzle rows."""
        learned = self.config.positions is Positions.LEARNED
        positions = self.embed_pos.embedding if learned else None
        return combine(self.embed_tokens(inputs), rows, positions, self.config)

    def update_L(self, z_L: State, injection: Injection) -> State:
        """Apply the L-level."""
        return self.L_level(z_L, injection)

    def update_H(self, z_H: State, injection: Injection) -> State:
        """Apply the network that updates z_H."""
        raise NotImplementedError

    def read_out(self, z_H: State) -> Outputs:
        """Decode z_H: token logits behind the prefix, halting logits from position 0."""
        logits = self.lm_head(z_H)[:, self.config.prefix_len :]
        q = self.q_head(z_H[:, 0]).astype(jnp.float32)
        return Outputs(logits, q[:, 0], q[:, 1])

    def __call__(self, inputs: Tokens, rows: Float[Array, "batch id_emb"]) -> Outputs:
        """Touch every parameter once (for `init` only)."""
        e = self.embed(inputs, rows)
        return self.read_out(self.update_H(e, self.update_L(e, e)))


@dataclass(frozen=True)
class Reasoner:
    """Pure functions of `Weights`.

    Attributes:
      config: sizes and cycle counts.
      module: the Flax wiring.
      live_L_cycles: updates of z_L that carry gradient in training (all in TRM, 1 in HRM).
      store: what memory does to the carry between H-cycles (identity: keep its precision).
    """

    config: Config
    module: ReasonerModule
    live_L_cycles: int
    store: Callable[[Latents], Latents] = identity

    def init(self, key: Array) -> Weights:
        """Draw weights as the released code initialises them; puzzle rows start at zero."""
        c = self.config
        params_key, h_key, l_key = jax.random.split(key, 3)
        rows = jnp.zeros((1, c.puzzle_emb_ndim), jnp.float32)
        tokens = jnp.zeros((1, c.seq_len), jnp.int32)
        params = jax.jit(self.module.init)(params_key, tokens, rows)["params"]
        unit = nn.initializers.truncated_normal(1.0 / 0.87962566103423978)  # std 1 after the cut
        buffers = Buffers(unit(h_key, (c.hidden_size,)), unit(l_key, (c.hidden_size,)))
        table = jnp.zeros((c.num_puzzle_identifiers, c.puzzle_emb_ndim), jnp.float32)
        return Weights(params, buffers, table)

    def embed(
        self, params: Params, inputs: Tokens, rows: Float[Array, "batch id_emb"]
    ) -> Injection:
        """Make the injection e."""
        return self._apply("embed", params, inputs, rows)

    def _apply(self, method: str, params: Params, *arguments: Array) -> Any:
        """Call a method of the module (Flax types its results as anything)."""
        return self.module.apply({"params": params}, *arguments, method=method)

    @property
    def networks(self) -> Networks:
        """The two state updates as functions of the parameters."""

        def apply(method: str) -> Callable[[Params, State, Injection], State]:
            return lambda params, z, injection: self._apply(method, params, z, injection)

        return Networks(apply("update_L"), apply("update_H"))

    def read_out(self, params: Params, z_H: State) -> Outputs:
        """Decode the answer state."""
        return self._apply("read_out", params, z_H)

    def start(self, buffers: Buffers, batch_size: int) -> Latents:
        """Broadcast the initial states over a batch."""
        shape = (batch_size, self.config.num_positions, self.config.hidden_size)
        dtype = jnp.dtype(self.config.forward_dtype)
        return Latents(*(jnp.broadcast_to(v.astype(dtype)[None, None], shape) for v in buffers))
