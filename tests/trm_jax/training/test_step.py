"""The training step: it learns, it is a function of (seed, step), slots refill as released."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.samples import random_batch, small
from trm_jax.config import HRMConfig, TRMConfig
from trm_jax.models.build import build
from trm_jax.training.augment import no_augmentation
from trm_jax.training.recipe import Optimizer, Recipe
from trm_jax.training.step import TrainState, averaged, init_state, make_train_step
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
def test_adamw_learns_too() -> None:
    recipe = dataclasses.replace(RECIPE, optimizer=Optimizer.ADAMW)
    reasoner = build(CONFIG)
    step = make_train_step(reasoner, recipe, no_augmentation)
    state = init_state(reasoner, recipe, puzzles())
    losses = []
    for _ in range(100):
        state, metrics = step(state, puzzles())
        losses.append(float(metrics["lm_loss"]))
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
