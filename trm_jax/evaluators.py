"""Evaluators: one rollout answers every depth (sections 3.5, 3.6, App. N).

`trajectory` runs a model once and keeps z_H after every H-cycle; `measure` reads any of these
states out and compares it with a reference trajectory. Nothing here divides or averages over
puzzles: the result is per puzzle, so that shards merge and two schemes compare in pairs.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int

from trm_jax import metrics
from trm_jax.halting import StepReading
from trm_jax.models.act import inject, predictions, rollout
from trm_jax.models.reasoner import Reasoner
from trm_jax.types import Batch, State, Tokens, Weights

Trajectory = Float[Array, "cycles batch pos emb"]
"""z_H after H-cycles 1, 2, ... of a rollout."""


class Readout(NamedTuple):
    """What is known of every puzzle at every depth asked for."""

    cell_correct: Int[Array, "depths batch"]
    exact: Bool[Array, "depths batch"]
    lenient: Bool[Array, "depths batch"]  # mazes: any shortest path; otherwise equal to exact
    q_halt: Float[Array, "depths batch"]
    fidelity: Float[Array, "depths batch"]  # to the reference at the same depth
    similarity: Float[Array, "depths batch"]  # to the state one H-cycle before
    residual: Float[Array, "depths batch"]  # |change over the last H-cycle| / |state|


Lenient = Callable[[Tokens, Batch], Bool[Array, " batch"]]


def strict(predicted: Tokens, batch: Batch) -> Bool[Array, " batch"]:
    """Score a puzzle that has one right answer: no wrong cell."""
    return metrics.puzzle_exact(predicted, batch.labels)


def any_shortest_path(rows: int, columns: int) -> Lenient:
    """Make the lenient maze score for mazes of a shape."""
    shape = rows, columns
    return lambda predicted, batch: metrics.maze_solved(
        predicted, batch.inputs, batch.labels, shape
    )


@partial(jax.jit, static_argnames=("reasoner", "steps"))
def trajectory(reasoner: Reasoner, weights: Weights, batch: Batch, *, steps: int) -> Trajectory:
    """Run `steps` supervision steps and keep z_H after each of their H-cycles."""
    _, z_H = rollout(reasoner, weights, batch, steps=steps, observe=lambda latents: latents.z_H)
    return z_H.reshape(-1, *z_H.shape[2:])


@partial(jax.jit, static_argnames=("reasoner", "depths", "lenient"))
def measure(
    reasoner: Reasoner,
    weights: Weights,
    batch: Batch,
    states: Trajectory,
    reference: Trajectory,
    *,
    depths: tuple[int, ...],
    lenient: Lenient = strict,
) -> Readout:
    """Read a trajectory out at the depths asked for.

    Args:
      states: the trajectory of the model under test.
      reference: the full-precision trajectory on the same batch.
      depths: H-cycle counts, each 1 .. cycles.
      lenient: second score beside exact match.
    """
    start = reasoner.start(weights.buffers, batch.inputs.shape[0]).z_H

    def at(cycles: Int[Array, ""]) -> Readout:
        z_H = states[cycles - 1]
        before = jnp.where(cycles > 1, states[cycles - 2], start)
        out = reasoner.read_out(weights.params, z_H)
        predicted = predictions(out.logits)
        return Readout(
            cell_correct=metrics.correct_cells(predicted, batch.labels),
            exact=metrics.puzzle_exact(predicted, batch.labels),
            lenient=lenient(predicted, batch),
            q_halt=out.q_halt,
            fidelity=metrics.token_cosine(z_H, reference[cycles - 1]),
            similarity=metrics.token_cosine(z_H, before),
            residual=metrics.residual(z_H, before),
        )

    return jax.lax.map(at, jnp.asarray(depths, jnp.int32))


def step_readings(reasoner: Reasoner, weights: Weights, states: Trajectory) -> list[StepReading]:
    """Read a trajectory out after every supervision step: all that a rule of halting looks at."""
    tokens, *rest = jax.device_get(_read_steps(reasoner, weights, states))
    return [StepReading(tokens[step], *(x[step] for x in rest)) for step in range(len(tokens))]


@partial(jax.jit, static_argnames="reasoner")
def _read_steps(reasoner: Reasoner, weights: Weights, states: Trajectory) -> tuple[Array, ...]:
    cycles = reasoner.config.H_cycles
    start = reasoner.start(weights.buffers, states.shape[1]).z_H

    def at(last: Int[Array, ""]) -> tuple[Array, ...]:
        z_H = states[last]
        out = reasoner.read_out(weights.params, z_H)
        before = jnp.where(last > 0, states[last - 1], start)
        change = metrics.residual(z_H, before)
        return predictions(out.logits), out.q_halt, out.q_continue, change

    return jax.lax.map(at, jnp.arange(cycles - 1, len(states), cycles, dtype=jnp.int32))


@partial(jax.jit, static_argnames="reasoner")
def call_outputs(
    reasoner: Reasoner, weights: Weights, batch: Batch
) -> Float[Array, "calls batch pos emb"]:
    """Collect the output of every network call of one supervision step, in order.

    These H(L+1) states are what the paper hooks for its consecutive similarity (Table 7).
    """
    c, networks = reasoner.config, reasoner.networks
    e = inject(reasoner, weights, batch)
    z_H, z_L = reasoner.start(weights.buffers, batch.inputs.shape[0])

    def l_step(carry: tuple[State, State], _: None) -> tuple[tuple[State, State], State]:
        z_H, z_L = carry
        z_L = networks.update_L(weights.params, z_L, networks.inject_L(z_H, e))
        return (z_H, z_L), z_L

    def h_step(
        carry: tuple[State, State], _: None
    ) -> tuple[tuple[State, State], Float[Array, "calls batch pos emb"]]:
        (z_H, z_L), outputs = jax.lax.scan(l_step, carry, length=c.L_cycles)
        z_H = networks.update_H(weights.params, z_H, z_L)
        return (z_H, z_L), jnp.concatenate([outputs, z_H[None]])

    _, outputs = jax.lax.scan(h_step, (z_H, z_L), length=c.H_cycles)
    return outputs.reshape(-1, *z_H.shape)


@partial(jax.jit, static_argnames="reasoner")
def consecutive_similarity(
    reasoner: Reasoner, weights: Weights, batch: Batch
) -> Float[Array, " batch"]:
    """Average the cosine of successive network outputs over one supervision step (Eq. 3)."""
    outputs = call_outputs(reasoner, weights, batch)
    return jnp.mean(jax.vmap(metrics.token_cosine)(outputs[1:], outputs[:-1]), axis=0)
