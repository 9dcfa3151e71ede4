"""The training step: it learns, it is a function of (seed, step), slots refill as released."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.compiled_flops import count_flops
from tests.support.samples import random_batch, small
from trm_jax.config import HRMConfig, TRMConfig, flops_per_update
from trm_jax.models.build import build
from trm_jax.training.augment import no_augmentation
from trm_jax.training.recipe import Optimizer, Recipe
from trm_jax.training.step import (
    Schedule,
    TrainState,
    averaged,
    init_state,
    make_train_step,
    make_train_steps,
    schedule_of,
)
from trm_jax.types import IGNORE_LABEL, Batch

CONFIG = TRMConfig(
    **small(num_puzzle_identifiers=1, hidden_size=32, puzzle_emb_ndim=32), puzzle_emb_len=1
)
RECIPE = Recipe(
    total_steps=150,
    batch_size=8,
    lr=3e-3,
    puzzle_emb_lr=3e-3,
    weight_decay=0.1,
    warmup_steps=5,
    ema=0.5,
)


def puzzles(config: TRMConfig | HRMConfig = CONFIG, size: int = 3) -> Batch:
    """Puzzles small enough to learn by heart."""
    return random_batch(config, size, seed=7)


@pytest.mark.slow
def test_learns_three_puzzles_by_heart() -> None:
    reasoner, step = build(CONFIG), make_train_step(build(CONFIG), RECIPE, no_augmentation)
    state = init_state(reasoner, RECIPE, puzzles())
    losses = []
    for _ in range(RECIPE.total_steps):
        state, metrics = step(state, puzzles())
        losses.append(float(metrics["lm_loss"]))
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:5])
    assert (np.asarray(state.weights.puzzle_emb) != 0).all()
    # the averaged parameters lag behind the raw ones; buffers are never trained
    lag = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), state.ema, state.weights.params)
    assert all(value > 0 for value in jax.tree.leaves(lag))
    fresh = init_state(reasoner, RECIPE, puzzles()).weights.buffers
    for kept, first in zip(averaged(state).buffers, fresh, strict=True):
        np.testing.assert_array_equal(kept, first)


def run(state: TrainState, steps: int) -> TrainState:
    """Take some steps."""
    step = make_train_step(build(CONFIG), RECIPE, no_augmentation)
    for _ in range(steps):
        state, _ = step(state, puzzles())
    return state


@pytest.mark.slow
def test_resumed_run_is_bit_for_bit_the_uninterrupted_one() -> None:
    whole = run(init_state(build(CONFIG), RECIPE, puzzles()), 8)
    half = run(init_state(build(CONFIG), RECIPE, puzzles()), 4)
    saved = jax.tree.map(np.asarray, half)  # what a checkpoint keeps
    resumed = run(jax.tree.map(jnp.asarray, saved), 4)
    jax.tree.map(np.testing.assert_array_equal, resumed, whole)


def as_scalars(schedule: Schedule) -> Schedule:
    """What a compiled program takes for a schedule."""
    begin, warmup, total, ema = schedule
    return Schedule(jnp.int32(begin), jnp.int32(warmup), jnp.int32(total), jnp.float32(ema))


@pytest.mark.slow
def test_updates_of_one_program_are_those_taken_one_by_one() -> None:
    reasoner, count = build(CONFIG), 6
    one = make_train_step(reasoner, RECIPE, no_augmentation)
    many = make_train_steps(reasoner, RECIPE, no_augmentation, count)
    state, losses = init_state(reasoner, RECIPE, puzzles()), []
    for _ in range(count):
        state, metrics = one(state, puzzles())
        losses.append(metrics["loss"])
    fresh = init_state(reasoner, RECIPE, puzzles())
    together, metrics = many(fresh, puzzles(), as_scalars(schedule_of(RECIPE)))
    # XLA fuses the body of a loop otherwise: sums of float32 in another order, six updates deep
    np.testing.assert_allclose(metrics["loss"], losses, rtol=1e-5)
    assert int(together.step) == int(state.step) == count
    for ours, theirs in zip(*map(jax.tree.leaves, (together.ema, state.ema)), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.slow
def test_a_schedule_begins_where_it_says() -> None:
    reasoner = build(CONFIG)
    many = make_train_steps(reasoner, RECIPE, no_augmentation, 4)
    state = init_state(reasoner, RECIPE, puzzles())._replace(step=jnp.int32(1000))
    state, metrics = many(state, puzzles(), as_scalars(Schedule(1000, 2, 4, 0.5)))
    base, half = RECIPE.lr, 0.5 * RECIPE.lr
    # two steps up, then a cosine from there down to lr_min_ratio, here 1: it stays
    np.testing.assert_allclose(metrics["lr"], [half, base, base, base], rtol=1e-6)
    assert int(state.step) == 1004


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        dataclasses.replace(CONFIG, H_cycles=3, L_cycles=4),
        HRMConfig(
            **small(num_puzzle_identifiers=1, H_cycles=3),
            L_layers=1,
            H_layers=2,
            no_ACT_continue=True,
        ),
    ],
    ids=["trm", "hrm"],
)
def test_flops_of_the_compiled_program_are_the_analytic_ones(
    config: TRMConfig | HRMConfig,
) -> None:
    reasoner, count = build(config), 3
    steps = make_train_steps(reasoner, RECIPE, no_augmentation, count)
    state = init_state(reasoner, RECIPE, puzzles(config))
    program = steps.lower(state, puzzles(config), as_scalars(schedule_of(RECIPE))).compile()
    counted = count_flops(program.as_text()) / (count * RECIPE.batch_size)
    # embeddings and heads are not in the analytic count
    assert counted == pytest.approx(flops_per_update(config), rel=0.1)


@pytest.mark.slow
def test_hrm_learns_q_continue_from_a_bootstrapped_target() -> None:
    config = HRMConfig(**small(num_puzzle_identifiers=1), L_layers=1, H_layers=1)
    assert not config.no_ACT_continue
    reasoner = build(config)
    state = init_state(reasoner, RECIPE, puzzles(config))
    before = np.asarray(state.weights.params["q_head"]["kernel"])
    state, metrics = make_train_step(reasoner, RECIPE, no_augmentation)(state, puzzles(config))
    moved = np.abs(np.asarray(state.weights.params["q_head"]["kernel"]) - before)
    assert (moved[:, 1] > 0).any()
    assert np.isfinite(float(metrics["loss"]))


def test_recipe_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="batch_size must be at least 1, got batch_size=0"):
        Recipe(total_steps=1, batch_size=0)
    with pytest.raises(ValueError, match=r"ema must lie in \[0, 1\), got ema=1.0"):
        Recipe(total_steps=1, ema=1.0)
    with pytest.raises(ValueError, match="multiple of accumulate, got batch_size=6 accumulate=4"):
        Recipe(total_steps=1, batch_size=6, accumulate=4)
    with pytest.raises(ValueError, match="adam_eps must be 0 or more, got adam_eps=-1"):
        Recipe(total_steps=1, adam_eps=-1.0)


@pytest.mark.slow
def test_slots_in_turns_give_the_gradient_of_all_at_once() -> None:
    reasoner, states = build(CONFIG), []
    for turns in (1, 4):
        recipe = dataclasses.replace(RECIPE, accumulate=turns)
        state = init_state(reasoner, recipe, puzzles())
        state, metrics = make_train_step(reasoner, recipe, no_augmentation)(state, puzzles())
        states.append((state, float(metrics["loss"])))
    (whole, loss), (parts, same_loss) = states
    assert loss == pytest.approx(same_loss, rel=1e-6)  # a mean of eight losses, in two orders
    # slots keep their places
    jax.tree.map(np.testing.assert_array_equal, whole.carry.batch, parts.carry.batch)
    # the first moment is the gradient / 10: sums of 8 x 4 x 2 terms, 64 half ulps of the largest
    for a, b in zip(*(jax.tree.leaves(s.optimiser.m) for s in (whole, parts)), strict=True):
        atol = 64 * 6e-8 * float(jnp.abs(a).max())
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", [Optimizer.ADAMW, Optimizer.MUON])
def test_other_optimisers_learn_too(optimizer: Optimizer) -> None:
    recipe = dataclasses.replace(RECIPE, optimizer=optimizer, q_weight=2.0)
    reasoner = build(CONFIG)
    step = make_train_step(reasoner, recipe, no_augmentation)
    state = init_state(reasoner, recipe, puzzles())
    losses = []
    for _ in range(100):
        state, metrics = step(state, puzzles())
        losses.append(float(metrics["lm_loss"]))
        total = losses[-1] + 2.0 * float(metrics["q_halt_loss"])  # as the recipe weighs them
        # sums of eight slots' losses in two orders
        assert float(metrics["loss"]) * RECIPE.batch_size == pytest.approx(total, rel=1e-5)
    assert np.mean(losses[-20:]) < 0.7 * np.mean(losses[:5])


@pytest.mark.slow
def test_staggered_slots_take_puzzles_by_turns() -> None:
    recipe = dataclasses.replace(RECIPE, stagger=True)
    reasoner = build(CONFIG)
    state = init_state(reasoner, recipe, puzzles())
    step = make_train_step(reasoner, recipe, no_augmentation)
    for done in range(1, CONFIG.halt_max_steps + 1):
        state, _ = step(state, puzzles())
        filled = (np.asarray(state.carry.batch.labels) != IGNORE_LABEL).any(axis=1)
        # two of eight slots begin at each of the four turns; a filled slot stays filled
        assert filled.sum() >= 2 * done - (done == CONFIG.halt_max_steps)
        assert done == CONFIG.halt_max_steps or filled.sum() < 8
