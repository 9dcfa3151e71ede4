"""A reasoner that computes in a device's integers: evaluators see a Reasoner like any other.

Between two calls a state is the real numbers (q - zero_point) * scale in float32: every integer of
16 bits comes back from them exactly. So the carry is the device's, bit for bit, while trajectories,
fidelities and read-outs need no code of their own. Inside a call, injections are fixed point
(carry.py) and networks are TFLM's (operators.py).

The reasoner owns its integers; `weights` beside it hold only what a batch looks up or starts from.

Not here: making the integers (model.py), counting what saturates (saturation.py).
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Integer

from quant.integer.carry import Combine, combine_steps
from quant.integer.encoding import Encoding
from quant.integer.kernels.elementwise import dequantise_integers
from quant.integer.kernels.matmul import saturate
from quant.integer.model import IntegerModel
from quant.integer.network import apply_level, read_out
from quant.integer.operators import IntegerOps, NamedArray, name_injection, name_state
from quant.integer.tensor_names import STATE
from trm_jax.models.build import build
from trm_jax.models.layers import prefix_from_rows
from trm_jax.models.reasoner import Reasoner
from trm_jax.models.recursion import Networks
from trm_jax.types import Buffers, Injection, Outputs, Params, State, Tokens, Weights


class Simulated(NamedTuple):
    """A reasoner in integers and the weights that go with it."""

    reasoner: "IntegerReasoner"
    weights: Weights


@dataclass(frozen=True, kw_only=True)
class IntegerReasoner(Reasoner):
    """Pure functions of states that stand for integers; equal if they have the same model.

    Attributes:
      model: the integers; compared by identity, so a compiled program is never another model's.
    """

    model: IntegerModel

    def embed(
        self, params: Params, inputs: Tokens, rows: Float[Array, "batch id_emb"]
    ) -> Injection:
        """Put the rows of tokens behind those of the puzzle, which are on their grid already."""
        tokens = dequantise_integers(jnp.asarray(self.model.token_rows), self._encoding("e"))
        return jnp.concatenate([prefix_from_rows(rows, self.config), tokens[inputs]], axis=1)

    @property
    def networks(self) -> Networks:
        """Level and injections; every update takes the state that is to be injected."""
        return Networks(self._update, self._update_H, self._inject_L)

    def read_out(self, params: Params, z_H: State) -> Outputs:
        """Decode the answer state; the logits are those of the integers."""
        logits, q = read_out(name_state(self.integers(z_H, "z")), self.config, self.ops())
        real_q = self.real(q)[:, 0]
        return Outputs(self.real(logits), real_q[:, 0], real_q[:, 1])

    def ops(self) -> IntegerOps:
        """Make the operators."""
        return self.model.ops()

    def integers(self, x: Float[Array, "*axes"], name: str) -> Integer[Array, "*axes"]:
        """Recover the integers that real numbers stand for."""
        encoding = self._encoding(name)
        steps = jnp.round(x / jnp.float32(encoding.scale)).astype(jnp.int32)
        return saturate(steps + encoding.zero_point, encoding.dtype)

    def real(self, x: NamedArray) -> Float[Array, "*axes"]:
        """Read integers as real numbers."""
        return dequantise_integers(x.value, self._encoding(str(x.name)))

    def _update(self, params: Params, z: State, injected: Injection) -> State:
        state = name_state(self.integers(z, "z"))
        injection = name_injection(self.integers(injected, "injection"))
        out = apply_level(state, injection, self.config, self.ops())
        return self.real(replace(out, name=STATE))

    def _update_H(self, params: Params, z_H: State, z_L: State) -> State:
        return self._update(params, z_H, self.inject_H(z_L))

    def inject_H(self, z_L: State) -> Injection:
        """Bring z_L into the encoding of an injection."""
        return self._inject(z_L, None, self.model.combine_H)

    def _inject_L(self, z_H: State, e: Injection) -> Injection:
        return self._inject(z_H, e, self.model.combine_L)

    def _inject(self, z: State, e: Injection | None, combine: Combine) -> Injection:
        target = self._encoding("injection")
        z_q = self.integers(z, "z").astype(jnp.int32)
        e_q = None if e is None else self.integers(e, "e").astype(jnp.int32)
        steps = saturate(combine_steps(z_q, e_q, combine), target.dtype)
        return dequantise_integers(steps, target)

    def _encoding(self, name: str) -> Encoding:
        return self.model.encodings[name]


def simulate_integers(model: IntegerModel) -> Simulated:
    """Make the reasoner of a model in integers, and its weights: no parameters beside it."""
    plain = build(model.config)
    reasoner = IntegerReasoner(
        config=model.config, module=plain.module, live_L_cycles=plain.live_L_cycles, model=model
    )
    real = {name: np.float32(model.encodings[name].scale) for name in ("z", "e")}
    zero = model.encodings["z"].zero_point
    init = (
        jnp.asarray((v.astype(np.float32) - np.float32(zero)) * real["z"])
        for v in (model.H_init, model.L_init)
    )
    table = jnp.asarray(model.puzzle_rows.astype(np.float32) * real["e"])
    return Simulated(reasoner, Weights({}, Buffers(*init), table))
