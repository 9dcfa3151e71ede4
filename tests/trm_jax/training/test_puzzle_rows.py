"""Rows of new tasks: trained as the released step trains its table, and nothing else moves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.samples import random_batch, random_weights, small
from trm_jax.config import TRMConfig
from trm_jax.models.build import build
from trm_jax.training.augment import no_augmentation
from trm_jax.training.puzzle_rows import RowRecipe, train_rows
from trm_jax.training.recipe import Recipe
from trm_jax.training.step import init_state, make_train_step

CONFIG = TRMConfig(**small(num_puzzle_identifiers=3), puzzle_emb_len=1)
STEPS, LR, DECAY = 6, 1e-2, 0.1


@pytest.mark.slow
def test_equals_training_with_a_frozen_backbone() -> None:
    """The whole training step with rate 0 for the parameters: the same draws, the same table."""
    weights, puzzles = random_weights(CONFIG, seed=2), random_batch(CONFIG, 7, seed=3)
    # row 0 is blank: what slots hold before their first puzzle
    weights = weights._replace(puzzle_emb=weights.puzzle_emb.at[0].set(0.0))
    rows = jnp.asarray([1, 2, 1, 2, 2, 1, 2], jnp.int32)
    puzzles = puzzles._replace(puzzle_identifiers=rows)
    recipe = Recipe(
        total_steps=STEPS,
        batch_size=8,
        lr=0.0,
        puzzle_emb_lr=LR,
        weight_decay=0.0,
        puzzle_emb_weight_decay=DECAY,
        warmup_steps=1,
        seed=5,
        stagger=True,
    )
    reasoner = build(CONFIG)
    whole = make_train_step(reasoner, recipe, no_augmentation)
    state, losses = init_state(reasoner, recipe, puzzles, jax.tree.map(jnp.copy, weights)), []
    for _ in range(STEPS):
        state, metrics = whole(state, puzzles)
        losses.append(float(metrics["loss"]))
    rows, found = train_rows(
        reasoner,
        weights,
        weights.puzzle_emb[1:],
        puzzles._replace(puzzle_identifiers=puzzles.puzzle_identifiers - 1),
        RowRecipe(steps=STEPS, batch_size=8, lr=LR, weight_decay=DECAY, seed=5),
    )
    # gradients of two programs differ by rounding, so a sign may differ where one is about 0: each
    # such update moves an element by 2 * LR; rows and decay are otherwise the same operations
    apart = np.abs(np.asarray(rows) - np.asarray(state.weights.puzzle_emb[1:])) > 1e-6
    assert apart.mean() <= 0.05
    np.testing.assert_allclose(found[0], losses[0], rtol=1e-5)
    np.testing.assert_allclose(found, losses, rtol=1e-2)
    moved = np.abs(np.asarray(rows - weights.puzzle_emb[1:]))
    assert (moved > LR / 2).mean() > 0.9


@pytest.mark.slow
def test_rows_without_demonstrations_stay() -> None:
    weights = random_weights(CONFIG, seed=2)
    puzzles = random_batch(CONFIG, 4, seed=3)._replace(puzzle_identifiers=jnp.full(4, 1))
    recipe = RowRecipe(steps=2, batch_size=8)
    rows, _ = train_rows(build(CONFIG), weights, weights.puzzle_emb, puzzles, recipe)
    same = np.asarray(rows == weights.puzzle_emb).all(axis=1)
    assert same.tolist() == [True, False, True]


def test_impossible_recipes() -> None:
    with pytest.raises(ValueError, match="steps must be at least 1, got steps=0"):
        RowRecipe(steps=0)
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        RowRecipe(steps=1, batch_size=0)
