"""How often integers end at the ends of their type: what a calibration's headroom left out.

Counted over whole rollouts, tensor by tensor, both roles of the network and all injections: a
number of -128, 127 (-32768, 32767) may have been larger. Sums inside a product are not counted
here: they cannot overflow (integer_ops.accumulator_of). Left out: LOGISTIC and SOFTMAX, whose
largest integers mean 1.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Int32

from quant.integer.attention_operators import MixedPrecisionOps
from quant.integer.network import mlp_level, read_out
from quant.integer.operators import IntegerOps, NamedValue
from quant.integer.reasoner import IntegerReasoner, Simulated
from trm_jax.config import Mixer
from trm_jax.types import Batch, Injection, Latents, State, Weights

Counts = dict[str, Int32[Array, ""]]


class CountingOps(IntegerOps):
    """TFLM's operators; `counts` gathers what saturates, by name."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.counts: Counts = {}

    def linear(self, name: str, x: NamedValue) -> NamedValue:
        return self.counted(super().linear(name, x))

    def add(self, name: str, a: NamedValue, b: NamedValue) -> NamedValue:
        return self.counted(super().add(name, a, b))

    def multiply(self, name: str, a: NamedValue, b: NamedValue) -> NamedValue:
        return self.counted(super().multiply(name, a, b))

    def norm(self, name: str, x: NamedValue) -> NamedValue:
        return self.counted(super().norm(name, x))

    def counted(self, made: NamedValue) -> NamedValue:
        """Count the ends of the type in a tensor."""
        ends = jnp.iinfo(made.value.dtype)
        found = jnp.sum((made.value == ends.min) | (made.value == ends.max), dtype=jnp.int32)
        before: Array = self.counts.get(made.name, jnp.zeros_like(found))
        self.counts[made.name] = before + found
        return made


class CountingMixedOps(CountingOps, MixedPrecisionOps):
    """The same for attention; a count of heads is that of all of them."""

    def matmul(self, name: str, a: NamedValue, b: NamedValue) -> NamedValue:
        return self.counted(super().matmul(name, a, b))

    def residual(self, name: str, h: NamedValue, y: NamedValue) -> NamedValue:
        return self.counted(super().residual(name, h, y))


def count_rollout(simulated: Simulated, batch: Batch, *, steps: int) -> dict[str, int]:
    """Count what saturates while puzzles are solved, tensor by tensor.

    Args:
      steps: supervision steps; after every H-cycle the heads are asked.
    """
    reasoner, weights = simulated
    counts = _count(reasoner, weights, batch, steps=steps)
    return {name: int(count) for name, count in jax.device_get(counts).items()}


@partial(jax.jit, static_argnames=("reasoner", "steps"))
def _count(reasoner: IntegerReasoner, weights: Weights, batch: Batch, *, steps: int) -> Counts:
    c, networks = reasoner.config, reasoner.networks
    e = reasoner.embed(weights.params, batch.inputs, weights.puzzle_emb[batch.puzzle_identifiers])

    def update(z: State, injection: Injection) -> tuple[State, Counts]:
        ops = _ops(reasoner)
        state = NamedValue(reasoner.integers(z, "z"), "z")
        added = ops.counted(NamedValue(reasoner.integers(injection, "injection"), "injection"))
        out = mlp_level(state, added, c, ops)
        return reasoner.real(out._replace(name="z")), ops.counts

    def l_cycle(latents: Latents, _: None) -> tuple[Latents, Counts]:
        z_L, counts = update(latents.z_L, networks.inject_L(latents.z_H, e))
        return Latents(latents.z_H, z_L), counts

    def h_cycle(latents: Latents, _: None) -> tuple[Latents, Counts]:
        (z_H, z_L), stacked = jax.lax.scan(l_cycle, latents, length=c.L_cycles)
        z_H, counts = update(z_H, reasoner.inject_H(z_L))
        ops = _ops(reasoner)
        read_out(NamedValue(reasoner.integers(z_H, "z"), "z"), c, ops)
        counts = {name: count + jnp.sum(stacked[name]) for name, count in counts.items()}
        return Latents(z_H, z_L), {**counts, **ops.counts}

    start = reasoner.start(weights.buffers, batch.inputs.shape[0])
    _, stacked = jax.lax.scan(h_cycle, start, length=steps * c.H_cycles)
    return {name: jnp.sum(count) for name, count in stacked.items()}


def _ops(reasoner: IntegerReasoner) -> CountingOps:
    model, c = reasoner.model, reasoner.config
    if c.mixer is Mixer.ATTENTION:
        return CountingMixedOps(model.products, model.encodings, c.rms_norm_eps, c.num_heads)
    return CountingOps(model.products, model.encodings, c.rms_norm_eps)
