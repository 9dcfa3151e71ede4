"""The training step of the released recipe, as one jitted pure function (REFERENCE 1.3-1.5).

Every draw (puzzles, symmetries, exploration) is a function of (seed, step), so a run that was
stopped and resumed takes the same path as one that was not. Puzzles are drawn with
replacement; the released loader passes over all groups in epochs instead.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from trm_jax.act import continue_target, empty_carry, halt, refill, supervise
from trm_jax.augment import Augment
from trm_jax.losses import binary_cross_entropy, sequence_losses, step_metrics
from trm_jax.optim import (
    AdamATan2State,
    apply_decoupled,
    ema_update,
    learning_rate,
    scale_by_adam_atan2,
    sign_sgd,
)
from trm_jax.reasoner import Reasoner
from trm_jax.types import Batch, Carry, Latents, Outputs, Params, Weights


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Hyper-parameters. Defaults are the released Sudoku and Maze ones.

    Attributes:
      stagger: fill the slots over the first halt_max_steps steps instead of all at once. As
        released, all slots take new puzzles together until halting is learned: of a small
        batch, 16 updates in a row then see the same few puzzles.
    """

    total_steps: int
    batch_size: int = 768
    lr: float = 1e-4
    puzzle_emb_lr: float = 1e-4
    weight_decay: float = 1.0
    puzzle_emb_weight_decay: float = 1.0
    warmup_steps: int = 2000
    lr_min_ratio: float = 1.0
    b1: float = 0.9
    b2: float = 0.95
    ema: float = 0.999
    seed: int = 0
    stagger: bool = False

    def __post_init__(self) -> None:
        for name in ("total_steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {name}={getattr(self, name)}")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must lie in [0, 1), got ema={self.ema}")


class TrainState(NamedTuple):
    """All that a resumed run needs; `step` counts the updates done."""

    step: Int[Array, ""]
    weights: Weights
    optimiser: AdamATan2State
    ema: Params
    carry: Carry


Metrics = dict[str, Float[Array, ""]]
TrainStep = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


def init_state(
    reasoner: Reasoner, recipe: Recipe, puzzles: Batch, weights: Weights | None = None
) -> TrainState:
    """Make the state before the first step: weights, zero moments, an empty carry.

    Args:
      puzzles: the training set; only its shapes and dtypes matter here.
      weights: where to start from; drawn at random if not given.
    """
    weights = weights or reasoner.init(jax.random.key(recipe.seed))
    slots = jax.tree.map(lambda a: jnp.zeros((recipe.batch_size, *a.shape[1:]), jnp.int32), puzzles)
    # a copy: the step donates its state, and one buffer cannot be given away twice
    ema = jax.tree.map(jnp.copy, weights.params)
    optimiser = scale_by_adam_atan2(recipe.b1, recipe.b2).init(weights.params)
    optimiser = jax.tree.map(jnp.copy, optimiser)
    carry = jax.tree.map(jnp.copy, empty_carry(reasoner, weights.buffers, slots))
    if recipe.stagger:
        turns = jnp.arange(recipe.batch_size, dtype=jnp.int32) % reasoner.config.halt_max_steps
        carry = carry._replace(steps=turns, halted=turns == 0)
    return TrainState(jnp.zeros((), jnp.int32), weights, optimiser, ema, carry)  # type: ignore[arg-type]


def averaged(state: TrainState) -> Weights:
    """Take the weights to evaluate and to save: EMA of the parameters, the rest as it is."""
    return state.weights._replace(params=state.ema)


def _loss(
    params: Params,
    rows: Float[Array, "batch id_emb"],
    reasoner: Reasoner,
    carry: Carry,
) -> tuple[Float[Array, ""], tuple[Latents, Outputs]]:
    """Sum the loss over slots, divided by the batch as released."""
    latents, out = supervise(reasoner, params, rows, carry)
    losses = sequence_losses(out, carry.batch.labels)
    total = losses.lm_loss + 0.5 * losses.q_halt_loss
    if not reasoner.config.no_ACT_continue:
        after = Carry(latents, carry.steps + 1, carry.halted, carry.batch)
        target = continue_target(reasoner, *jax.lax.stop_gradient((params, rows)), after)
        total += 0.5 * binary_cross_entropy(out.q_continue, target)
    return total / carry.halted.shape[0], (latents, out)


def draw(key: Array, puzzles: Batch, size: int, augment: Augment) -> Batch:
    """Draw a batch with replacement and give every puzzle a random symmetry."""
    pick_key, augment_key = jax.random.split(key)
    index = jax.random.randint(pick_key, (size,), 0, puzzles.inputs.shape[0])
    picked = jax.tree.map(lambda a: a[index].astype(jnp.int32), puzzles)
    inputs, labels = augment(augment_key, picked.inputs, picked.labels)
    return Batch(inputs, labels, picked.puzzle_identifiers)


def make_train_step(reasoner: Reasoner, recipe: Recipe, augment: Augment) -> TrainStep:
    """Compile one update: draw, refill, one supervision step, gradients, optimisers, EMA."""
    adam = scale_by_adam_atan2(recipe.b1, recipe.b2)
    gradient = jax.value_and_grad(_loss, argnums=(0, 1), has_aux=True)

    def step(state: TrainState, puzzles: Batch) -> tuple[TrainState, Metrics]:
        count = state.step + 1
        key = jax.random.fold_in(jax.random.key(recipe.seed), count)
        data_key, halt_key = jax.random.split(key)
        weights = state.weights
        incoming = draw(data_key, puzzles, recipe.batch_size, augment)
        carry = refill(reasoner, weights.buffers, state.carry, incoming)
        ids = carry.batch.puzzle_identifiers
        (loss, (latents, out)), (grads, row_grads) = gradient(
            weights.params, weights.puzzle_emb[ids], reasoner, carry
        )
        steps = carry.steps + 1
        halted = halt(reasoner.config, out, steps, halt_key)

        def rate(base: float) -> Float[Array, ""]:
            return learning_rate(
                count, base=base, warmup_steps=recipe.warmup_steps,
                total_steps=recipe.total_steps, min_ratio=recipe.lr_min_ratio,
            )  # fmt: skip

        direction, optimiser = adam.update(grads, state.optimiser)  # type: ignore[arg-type]
        params = apply_decoupled(weights.params, direction, rate(recipe.lr), recipe.weight_decay)
        table = sign_sgd(
            weights.puzzle_emb, ids, row_grads,
            rate(recipe.puzzle_emb_lr), recipe.puzzle_emb_weight_decay,
        )  # fmt: skip
        metrics = step_metrics(
            sequence_losses(out, carry.batch.labels), out.q_halt, halted, steps
        ) | {"loss": loss, "lr": rate(recipe.lr)}
        new = TrainState(
            count,
            Weights(params, weights.buffers, table),
            optimiser,  # type: ignore[arg-type]
            ema_update(state.ema, params, recipe.ema),
            Carry(latents, steps, halted, carry.batch),
        )
        return new, metrics

    return jax.jit(step, donate_argnums=0)
