"""The training step of the released recipe, as one jitted pure function (REFERENCE 1.3-1.5).

Every draw (puzzles, symmetries, exploration) is a function of (seed, step), so a run that was
stopped and resumed takes the same path as one that was not. Puzzles are drawn with
replacement; the released loader passes over all groups in epochs instead.

Parameters, moments and average are float32; `forward_dtype` of the configuration is what the
network computes in. With a mesh the slots are spread over its devices. Where memory is short
the slots take turns (`in_turns`); every update is watched for infinities (`watched`).
"""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.sharding import Mesh
from jaxtyping import Float, Int

from trm_jax.models.act import continue_target, empty_carry, halt, refill, supervise
from trm_jax.models.reasoner import Reasoner
from trm_jax.sharding import everywhere, over_batch
from trm_jax.training.augment import Augment
from trm_jax.training.losses import binary_cross_entropy, sequence_losses, step_metrics
from trm_jax.training.optim import (
    MomentState,
    apply_decoupled,
    ema_update,
    learning_rate,
    scale_by,
    sign_sgd,
)
from trm_jax.training.recipe import RELEASED_Q_WEIGHT, Recipe
from trm_jax.types import Batch, Carry, Latents, Outputs, Params, Weights

Gradient = Callable[..., Any]
"""(params, rows, reasoner, carry) -> (loss, (latents, outputs)), (grads, row_grads)."""


Metrics = dict[str, Float[Array, ""]]
ManyMetrics = dict[str, Float[Array, " updates"]]
Objective = Callable[
    [Params, Float[Array, "batch id_emb"], Reasoner, Carry],
    tuple[Float[Array, ""], tuple[Latents, Outputs]],
]
"""(params, puzzle rows, reasoner, carry) -> loss and what the supervision step left."""


def in_turns(gradient: Gradient, turns: int) -> Gradient:
    """Take the gradient over the slots in turns, one after the other.

    Slot i belongs to turn i % turns: each device keeps its own slots.
    """
    if turns == 1:
        return gradient

    def deal(x: Array) -> Array:
        return x.reshape(-1, turns, *x.shape[1:]).swapaxes(0, 1)

    def gather(x: Array) -> Array:
        return x.swapaxes(0, 1).reshape(-1, *x.shape[2:])

    def whole(params: Params, rows: Array, reasoner: Reasoner, carry: Carry) -> Any:
        def turn(sums: Any, slots: tuple[Array, Carry]) -> tuple[Any, Any]:
            (loss, seen), (grads, row_grads) = gradient(params, slots[0], reasoner, slots[1])
            return jax.tree.map(jnp.add, sums, (loss, grads)), (seen, row_grads)

        nothing = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, params))
        sums, (seen, row_grads) = jax.lax.scan(turn, nothing, jax.tree.map(deal, (rows, carry)))
        # a turn's loss is the mean over its own slots
        loss, grads = jax.tree.map(lambda x: x / turns, sums)
        return (loss, jax.tree.map(gather, seen)), (grads, gather(row_grads) / turns)

    return whole


def watched(grads: Params, weights: Weights, optimiser: Any) -> dict[str, Any]:
    """Name the tensors that must stay finite."""
    return {"gradient": grads, "optimiser": optimiser, "weights": weights}


def watched_names(weights: Weights, optimiser: Any) -> list[str]:
    """List the names of these tensors in the order in which `first_not_finite` counts."""
    tree = watched(weights.params, weights, optimiser)
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]


def first_not_finite(tree: Any) -> Float[Array, ""]:
    """Number the first tensor with an infinity or NaN, counted from 1; 0 if there is none."""
    bad = jnp.stack([~jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(tree)])
    return jnp.where(jnp.any(bad), jnp.argmax(bad) + 1, 0).astype(jnp.float32)


class TrainState(NamedTuple):
    """All that a resumed run needs; `step` counts the updates done."""

    step: Int[Array, ""]
    weights: Weights
    optimiser: MomentState
    ema: Params
    carry: Carry


TrainStep = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


class Schedule(NamedTuple):
    """What an update does at its place in a run; numbers, or int32 and float32 scalars.

    Attributes:
      begin: updates done before the learning rate rises: of a run that goes on from another.
      warmup_steps, total_steps: of the rise, and of rise and fall together, counted from `begin`.
      ema: decay of the average.
    """

    begin: int | Int[Array, ""]
    warmup_steps: int | Int[Array, ""]
    total_steps: int | Int[Array, ""]
    ema: float | Float[Array, ""]


Update = Callable[[TrainState, Batch, Schedule], tuple[TrainState, Metrics]]


def schedule_of(recipe: Recipe) -> Schedule:
    """Read the schedule off a recipe."""
    return Schedule(0, recipe.warmup_steps, recipe.total_steps, recipe.ema)


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
    optimiser = jax.tree.map(jnp.copy, direction(recipe).init(weights.params))
    carry = jax.tree.map(jnp.copy, empty_carry(reasoner, weights.buffers, slots))
    if recipe.stagger:
        turns = jnp.arange(recipe.batch_size, dtype=jnp.int32) % reasoner.config.halt_max_steps
        carry = carry._replace(steps=turns, halted=turns == 0)
    return TrainState(jnp.zeros((), jnp.int32), weights, optimiser, ema, carry)  # type: ignore[arg-type]


def direction(recipe: Recipe) -> optax.GradientTransformation:
    """Make the optimiser that a recipe names."""
    return scale_by(recipe.optimizer, b1=recipe.b1, b2=recipe.b2, eps=recipe.adam_eps)


def shardings(mesh: Mesh) -> TrainState:
    """Say where the parts of a state live: slots over the devices, the rest on each."""
    copy = everywhere(mesh)
    return TrainState(copy, copy, copy, copy, over_batch(mesh))  # type: ignore[arg-type]


def place(state: TrainState, mesh: Mesh) -> TrainState:
    """Lay a state out over a mesh."""
    spread = (jax.device_put(part, to) for part, to in zip(state, shardings(mesh), strict=True))
    return TrainState(*spread)


def averaged(state: TrainState) -> Weights:
    """Take the weights to evaluate and to save: EMA of the parameters, the rest as it is."""
    return state.weights._replace(params=state.ema)


def supervised(
    params: Params,
    rows: Float[Array, "batch id_emb"],
    reasoner: Reasoner,
    carry: Carry,
    q_weight: float = RELEASED_Q_WEIGHT,
) -> tuple[Float[Array, ""], tuple[Latents, Outputs]]:
    """Sum the released loss over slots, divided by the batch (the `Objective` of training).

    Args:
      q_weight: of the halting losses beside the tokens' loss.
    """
    latents, out = supervise(reasoner, params, rows, carry)
    losses = sequence_losses(out, carry.batch.labels)
    total = losses.lm_loss + q_weight * losses.q_halt_loss
    if not reasoner.config.no_ACT_continue:
        after = Carry(latents, carry.steps + 1, carry.halted, carry.batch)
        target = continue_target(reasoner, *jax.lax.stop_gradient((params, rows)), after)
        total += q_weight * binary_cross_entropy(out.q_continue, target)
    return total / carry.halted.shape[0], (latents, out)


def draw(key: Array, puzzles: Batch, size: int, augment: Augment) -> Batch:
    """Draw a batch with replacement and give every puzzle a random symmetry."""
    pick_key, augment_key = jax.random.split(key)
    index = jax.random.randint(pick_key, (size,), 0, puzzles.inputs.shape[0])
    picked = jax.tree.map(lambda a: a[index].astype(jnp.int32), puzzles)
    inputs, labels = augment(augment_key, picked.inputs, picked.labels)
    return Batch(inputs, labels, picked.puzzle_identifiers)


def rate_at(
    recipe: Recipe, schedule: Schedule, count: Int[Array, ""], base: float
) -> Float[Array, ""]:
    """Compute a learning rate at an update.

    Args:
      count: number of the update, from 1.
      base: the rate between rise and fall.
    """
    return learning_rate(
        count - schedule.begin,
        base=base,
        warmup_steps=schedule.warmup_steps,
        total_steps=schedule.total_steps,
        min_ratio=recipe.lr_min_ratio,
    )


def move_weights(
    optimiser: optax.GradientTransformation,
    recipe: Recipe,
    state: TrainState,
    grads: tuple[Params, Float[Array, "batch id_emb"]],
    batch: Batch,
    rate: Callable[[float], Float[Array, ""]],
) -> tuple[Weights, Any]:
    """Move the parameters and the rows of the puzzle table that a batch reads.

    Args:
      grads: of the parameters and of those rows.
      rate: from a base to the learning rate of this update.

    Returns:
      The weights, and the state of the optimiser.
    """
    weights, (of_params, of_rows) = state.weights, grads
    step, moments = optimiser.update(of_params, state.optimiser)
    params = apply_decoupled(weights.params, step, rate(recipe.lr), recipe.weight_decay)
    table = sign_sgd(
        weights.puzzle_emb,
        batch.puzzle_identifiers,
        of_rows,
        rate(recipe.puzzle_emb_lr),
        recipe.puzzle_emb_weight_decay,
    )
    return Weights(params, weights.buffers, table), moments


def make_update(
    reasoner: Reasoner,
    recipe: Recipe,
    augment: Augment,
    mesh: Mesh | None = None,
    objective: Objective | None = None,
) -> Update:
    """Make one update: draw, refill, one supervision step, gradients, optimisers, EMA.

    Args:
      mesh: devices that share the slots.
      objective: what is minimised, it runs the supervision step itself; None: `supervised`.

    Returns:
      The pure function, not compiled. The recipe's own schedule is not looked at.
    """
    adam = direction(recipe)
    objective = objective or partial(supervised, q_weight=recipe.q_weight)
    gradient = in_turns(
        jax.value_and_grad(objective, argnums=(0, 1), has_aux=True), recipe.accumulate
    )

    def update(state: TrainState, puzzles: Batch, schedule: Schedule) -> tuple[TrainState, Metrics]:
        count, weights = state.step + 1, state.weights
        data_key, halt_key = jax.random.split(
            jax.random.fold_in(jax.random.key(recipe.seed), count)
        )
        incoming = draw(data_key, puzzles, recipe.batch_size, augment)
        if mesh is not None:
            incoming = jax.lax.with_sharding_constraint(incoming, over_batch(mesh))
        carry = refill(reasoner, weights.buffers, state.carry, incoming)
        rows = weights.puzzle_emb[carry.batch.puzzle_identifiers]
        (loss, (latents, out)), grads = gradient(weights.params, rows, reasoner, carry)
        after = Carry(latents, carry.steps + 1, carry.halted, carry.batch)
        after = after._replace(halted=halt(reasoner.config, out, after.steps, halt_key))
        rate = partial(rate_at, recipe, schedule, count)
        moved, optimiser = move_weights(adam, recipe, state, grads, carry.batch, rate)
        metrics = step_metrics(
            sequence_losses(out, carry.batch.labels), out.q_halt, after.halted, after.steps
        ) | {
            "loss": loss,
            "lr": rate(recipe.lr),
            "not_finite": first_not_finite(watched(grads[0], moved, optimiser)),
        }
        ema = ema_update(state.ema, moved.params, schedule.ema)
        return TrainState(count, moved, optimiser, ema, after), metrics  # type: ignore[arg-type]

    return update


def make_train_step(
    reasoner: Reasoner,
    recipe: Recipe,
    augment: Augment,
    mesh: Mesh | None = None,
    objective: Objective | None = None,
) -> jax.stages.Wrapped:
    """Compile one update by the schedule of its recipe.

    Args:
      mesh: devices that share the slots; the state must lie as `place` lays it.

    Returns:
      A jitted `TrainStep`. The state that goes in is used up.
    """
    update = make_update(reasoner, recipe, augment, mesh, objective)
    schedule = schedule_of(recipe)

    def step(state: TrainState, puzzles: Batch) -> tuple[TrainState, Metrics]:
        return update(state, puzzles, schedule)

    return _jitted(step, mesh)


def make_train_steps(
    reasoner: Reasoner, recipe: Recipe, augment: Augment, count: int, mesh: Mesh | None = None
) -> jax.stages.Wrapped:
    """Compile `count` updates in a row as one program: the host is asked for nothing in between.

    The program takes the schedule as an argument, so that a run whose length follows from its
    measured speed is compiled once.

    Returns:
      A jitted (state, puzzles, schedule) -> (state, metrics), each metric of shape (count,). The
      state that goes in is used up.
    """
    update = make_update(reasoner, recipe, augment, mesh)

    def steps(
        state: TrainState, puzzles: Batch, schedule: Schedule
    ) -> tuple[TrainState, ManyMetrics]:
        return jax.lax.scan(lambda s, _: update(s, puzzles, schedule), state, length=count)

    return _jitted(steps, mesh)


def _jitted(step: Callable[..., Any], mesh: Mesh | None) -> jax.stages.Wrapped:
    """Compile with the state donated; its slots lie over the mesh, all else is on every device."""
    if mesh is None:
        return jax.jit(step, donate_argnums=0)
    layout, copy = shardings(mesh), everywhere(mesh)
    others = (copy,) * (len(inspect.signature(step).parameters) - 1)
    return jax.jit(
        step, donate_argnums=0, in_shardings=(layout, *others), out_shardings=(layout, copy)
    )
