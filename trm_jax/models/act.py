"""Adaptive computation time: supervision steps, carry reset, halting, the rollout.

REFERENCE 1.4. Training keeps one slot per puzzle: a slot that has halted takes the incoming
puzzle and starts from H_init, L_init; the others go on with theirs. Evaluation never halts
early unless asked to (`rollout_until_halted`).
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int

from trm_jax.config import ReasonerConfig
from trm_jax.models.reasoner import Reasoner
from trm_jax.models.recursion import run_cycles, run_cycles_one_step_gradient
from trm_jax.types import (
    IGNORE_LABEL,
    Batch,
    Buffers,
    Carry,
    Injection,
    Latents,
    Logits,
    Outputs,
    Params,
    Tokens,
    Weights,
)

Observed = TypeVar("Observed")


def inject(reasoner: Reasoner, weights: Weights, batch: Batch) -> Injection:
    """Embed a batch, gathering its rows from the puzzle table."""
    rows = weights.puzzle_emb[batch.puzzle_identifiers]
    return reasoner.embed(weights.params, batch.inputs, rows)


def rollout(
    reasoner: Reasoner,
    weights: Weights,
    batch: Batch,
    *,
    steps: int,
    observe: Callable[[Latents], Observed],
) -> tuple[Latents, Observed]:
    """Run supervision steps to the end, as the released evaluation does.

    Args:
      steps: supervision steps n; each runs `config.H_cycles` H-cycles.
      observe: read-out taken after every H-cycle.

    Returns:
      The last latents and the observations with leading axes `steps cycles`.
    """
    c = reasoner.config
    e = inject(reasoner, weights, batch)
    networks = reasoner.networks

    def body(latents: Latents, _: None) -> tuple[Latents, Observed]:
        return run_cycles(
            networks,
            weights.params,
            latents,
            e,
            H_cycles=c.H_cycles,
            L_cycles=c.L_cycles,
            observe=observe,
            store=reasoner.store,
        )

    start = reasoner.start(weights.buffers, batch.inputs.shape[0])
    return jax.lax.scan(body, start, length=steps)


class Halted(NamedTuple):
    """What `rollout_until_halted` returns: answers at each puzzle's own halting step."""

    latents: Latents
    logits: Logits
    q_halt: Float[Array, " batch"]
    steps: Int[Array, " batch"]


def rollout_until_halted(
    reasoner: Reasoner, weights: Weights, batch: Batch, *, max_steps: int
) -> Halted:
    """Run supervision steps and freeze every puzzle at the first step that says halt.

    The batch runs until its last puzzle halts; a puzzle's answer does not depend on its
    neighbours. The halting rule is the one of training without exploration.

    Returns:
      Per puzzle: latents, logits and q_halt at its halting step, and the steps it used.
    """
    c = reasoner.config
    e = inject(reasoner, weights, batch)
    networks = reasoner.networks

    def advance(latents: Latents) -> tuple[Latents, Outputs]:
        latents, _ = run_cycles(
            networks,
            weights.params,
            latents,
            e,
            H_cycles=c.H_cycles,
            L_cycles=c.L_cycles,
            observe=lambda _: None,
            store=reasoner.store,
        )
        return latents, reasoner.read_out(weights.params, latents.z_H)

    def body(state: tuple[Halted, Array, Array]) -> tuple[Halted, Array, Array]:
        done, running, step = state
        latents, out = advance(done.latents)
        new = Halted(latents, out.logits, out.q_halt, jnp.full_like(done.steps, step))
        done = jax.tree.map(lambda a, b: jnp.where(_like(running, a), a, b), new, done)
        return done, running & ~wants_to_halt(out, c), step + 1

    batch_size = batch.inputs.shape[0]
    latents = reasoner.start(weights.buffers, batch_size)
    out = reasoner.read_out(weights.params, latents.z_H)
    first = Halted(latents, out.logits, out.q_halt, jnp.zeros(batch_size, jnp.int32))
    state = (first, jnp.ones(batch_size, jnp.bool_), jnp.int32(1))
    halted, _, _ = jax.lax.while_loop(lambda s: jnp.any(s[1]) & (s[2] <= max_steps), body, state)
    return halted


def _like(flags: Bool[Array, " batch"], x: Array) -> Array:
    """Reshape per-puzzle flags so that they broadcast against `x`."""
    return flags.reshape(flags.shape + (1,) * (x.ndim - 1))


def wants_to_halt(out: Outputs, config: ReasonerConfig) -> Bool[Array, " batch"]:
    """Apply the halting rule: q_halt > 0, or q_halt > q_continue where that is learned."""
    return out.q_halt > (0.0 if config.no_ACT_continue else out.q_continue)


def empty_carry(reasoner: Reasoner, buffers: Buffers, batch: Batch) -> Carry:
    """Make the carry of a training run that has not begun: every slot halted and unscored."""
    size = batch.inputs.shape[0]
    nothing = Batch(
        jnp.zeros_like(batch.inputs),
        jnp.full_like(batch.labels, IGNORE_LABEL),
        jnp.zeros_like(batch.puzzle_identifiers),
    )
    halted = jnp.ones(size, jnp.bool_)
    return Carry(reasoner.start(buffers, size), jnp.zeros(size, jnp.int32), halted, nothing)


def refill(reasoner: Reasoner, buffers: Buffers, carry: Carry, incoming: Batch) -> Carry:
    """Give halted slots the incoming puzzle and fresh states; drop it for the others."""
    fresh = reasoner.start(buffers, carry.halted.shape[0])
    latents, batch = jax.tree.map(
        lambda new, old: jnp.where(_like(carry.halted, new), new, old),
        (fresh, incoming),
        (carry.latents, carry.batch),
    )
    steps = jnp.where(carry.halted, 0, carry.steps)
    return Carry(latents, steps, jnp.zeros_like(carry.halted), batch)


def supervise(
    reasoner: Reasoner, params: Params, rows: Float[Array, "batch id_emb"], carry: Carry
) -> tuple[Latents, Outputs]:
    """Run one supervision step with the one-step gradient (training).

    Args:
      rows: puzzle rows of the carry's batch; an argument because they get their own gradient.
    """
    c = reasoner.config
    e = reasoner.embed(params, carry.batch.inputs, rows)
    latents = run_cycles_one_step_gradient(
        reasoner.networks,
        params,
        carry.latents,
        e,
        H_cycles=c.H_cycles,
        L_cycles=c.L_cycles,
        live_L_cycles=reasoner.live_L_cycles,
    )
    return latents, reasoner.read_out(params, latents.z_H)


def halt(
    config: ReasonerConfig, out: Outputs, steps: Int[Array, " batch"], key: Array
) -> Bool[Array, " batch"]:
    """Decide which slots halt after a training step, with exploration.

    Args:
      steps: supervision steps done, this one included.
      key: randomness of the exploration: with halt_exploration_prob a slot must first do
        a minimum of 2 .. halt_max_steps steps, drawn uniformly.
    """
    last = steps >= config.halt_max_steps
    if config.halt_max_steps == 1:
        return last
    explore_key, minimum_key = jax.random.split(key)
    explore = jax.random.uniform(explore_key, steps.shape) < config.halt_exploration_prob
    minimum = jax.random.randint(minimum_key, steps.shape, 2, config.halt_max_steps + 1)
    minimum = jnp.where(explore, minimum, 0)
    return (last | wants_to_halt(out, config)) & (steps >= minimum)


def continue_target(
    reasoner: Reasoner,
    params: Params,
    rows: Float[Array, "batch id_emb"],
    carry: Carry,
) -> Float[Array, " batch"]:
    """Bootstrap the target of q_continue from one more step (HRM; no gradient).

    Args:
      carry: the carry after the step that is being trained, `steps` already counted.
    """
    _, ahead = supervise(reasoner, params, rows, carry)
    best = jnp.maximum(ahead.q_halt, ahead.q_continue)
    last = carry.steps >= reasoner.config.halt_max_steps
    return jax.lax.stop_gradient(jax.nn.sigmoid(jnp.where(last, ahead.q_halt, best)))


def predictions(logits: Logits) -> Tokens:
    """Take the most likely token of every cell."""
    return jnp.argmax(logits, axis=-1).astype(jnp.int32)
