"""How often integers lie at the ends of their type: what headroom did not cover.

Counted over whole rollouts, tensor by tensor, over both roles of the network and all injections: a
result of -128 or 127 (-32768 or 32767) may have been cut off.

Not here: sums inside a product, which cannot overflow (operators.py, `accumulator_of`); LOGISTIC
and SOFTMAX, whose largest integer means 1.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Int32

from quant.integer.attention_operators import MixedPrecisionOps
from quant.integer.kernels.elementwise import count_saturated
from quant.integer.network import apply_level, read_out
from quant.integer.operators import NamedArray, name_injection, name_state
from quant.integer.reasoner import IntegerReasoner, Simulated
from quant.integer.tensor_names import STATE, TensorName
from trm_jax.types import Batch, Injection, Latents, State, Weights

Counts = dict[str, Int32[Array, ""]]


class CountingOps(MixedPrecisionOps):
    """TFLM's operators; `counts` gathers what saturates, by the printed name of the tensor.

    The tensors of all heads are counted together.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.counts: Counts = {}

    def linear(self, name: TensorName, x: NamedArray) -> NamedArray:
        return self.counted(super().linear(name, x))

    def gate_up(
        self, name: TensorName, x: NamedArray, part: slice
    ) -> tuple[NamedArray, NamedArray]:
        gate, up = super().gate_up(name, x, part)
        return self.counted(gate), self.counted(up)

    def add(self, name: TensorName, a: NamedArray, b: NamedArray) -> NamedArray:
        return self.counted(super().add(name, a, b))

    def multiply(self, name: TensorName, a: NamedArray, b: NamedArray) -> NamedArray:
        return self.counted(super().multiply(name, a, b))

    def silu(self, name: TensorName, x: NamedArray, sigmoid: TensorName) -> NamedArray:
        return self.multiply(name, x, self.logistic(sigmoid, x))

    def norm(self, name: TensorName, x: NamedArray) -> NamedArray:
        return self.counted(super().norm(name, x))

    def counted(self, result: NamedArray) -> NamedArray:
        """Count the ends of the type in a tensor, and return it."""
        count = count_saturated(result.value, self.encoding(result.name))
        name = str(result.name)
        self.counts[name] = self.counts[name] + count if name in self.counts else count
        return result

    def matmul(self, name: TensorName, a: NamedArray, b: NamedArray) -> NamedArray:
        return self.counted(super().matmul(name, a, b))

    def residual(self, name: TensorName, h: NamedArray, y: NamedArray) -> NamedArray:
        return self.counted(super().residual(name, h, y))


def count_rollout(simulated: Simulated, batch: Batch, *, steps: int) -> dict[str, int]:
    """Count what saturates while puzzles are solved, tensor by tensor.

    Args:
      steps: supervision steps; an answer is read out after every H-cycle.
    """
    reasoner, weights = simulated
    counts = _count(reasoner, weights, batch, steps=steps)
    return {name: int(count) for name, count in jax.device_get(counts).items()}


@partial(jax.jit, static_argnames=("reasoner", "steps"))
def _count(reasoner: IntegerReasoner, weights: Weights, batch: Batch, *, steps: int) -> Counts:
    c, networks = reasoner.config, reasoner.networks
    e = reasoner.embed(weights.params, batch.inputs, weights.puzzle_emb[batch.puzzle_identifiers])

    def update(z: State, injected: Injection) -> tuple[State, Counts]:
        ops = _ops(reasoner)
        added = ops.counted(name_injection(reasoner.integers(injected, "injection")))
        out = apply_level(name_state(reasoner.integers(z, "z")), added, c, ops)
        return reasoner.real(replace(out, name=STATE)), ops.counts

    def l_cycle(latents: Latents, _: None) -> tuple[Latents, Counts]:
        z_L, counts = update(latents.z_L, networks.inject_L(latents.z_H, e))
        return Latents(latents.z_H, z_L), counts

    def h_cycle(latents: Latents, _: None) -> tuple[Latents, Counts]:
        (z_H, z_L), stacked = jax.lax.scan(l_cycle, latents, length=c.L_cycles)
        z_H, counts = update(z_H, reasoner.inject_H(z_L))
        ops = _ops(reasoner)
        read_out(name_state(reasoner.integers(z_H, "z")), c, ops)
        counts = {name: count + jnp.sum(stacked[name]) for name, count in counts.items()}
        return Latents(z_H, z_L), {**counts, **ops.counts}

    start = reasoner.start(weights.buffers, batch.inputs.shape[0])
    _, stacked = jax.lax.scan(h_cycle, start, length=steps * c.H_cycles)
    return {name: jnp.sum(count) for name, count in stacked.items()}


def _ops(reasoner: IntegerReasoner) -> CountingOps:
    model, c = reasoner.model, reasoner.config
    return CountingOps(model.products, model.encodings, c.rms_norm_eps, c.num_heads)
