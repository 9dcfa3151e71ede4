"""One update of a decoder: what its loss counts, against NumPy; AdamW's first step by hand."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trm_jax.decoder.config import DecoderConfig
from trm_jax.decoder.training import (
    LONGEST_GRADIENT,
    TraceBatch,
    decoder_watched_names,
    init_decoder_state,
    make_decoder_update,
    trace_scores,
)
from trm_jax.decoder.transformer import Decoder
from trm_jax.training.optim import shortened
from trm_jax.training.recipe import Optimizer, Recipe

EPS = float(np.finfo(np.float32).eps)
CONFIG = DecoderConfig(
    vocab_size=11,
    hidden_size=16,
    num_layers=2,
    num_heads=2,
    num_kv_heads=1,
    head_dim=8,
    intermediate_size=24,
    max_positions=16,
)
DECODER = Decoder(CONFIG)
RECIPE = Recipe(
    total_steps=60,
    batch_size=4,
    lr=1e-2,
    weight_decay=0.1,
    warmup_steps=1,
    optimizer=Optimizer.ADAMW,
    ema=0.5,
)


score = jax.jit(functools.partial(trace_scores, DECODER))


@pytest.fixture(scope="module")
def params() -> Any:
    return DECODER.init(jax.random.key(3))


def make_batch(width: int = 9) -> TraceBatch:
    rng = np.random.default_rng(0)
    tokens = np.zeros((4, width), np.int32)
    tokens[:, :9] = rng.integers(3, 11, (4, 9))
    begins, lengths = np.array([2, 3, 1, 4], np.int32), np.array([9, 5, 7, 8], np.int32)
    tokens[np.arange(width) >= lengths[:, None]] = 0
    return TraceBatch(*map(jnp.asarray, (tokens, begins, lengths)))


def test_the_loss_counts_traces_alone(params: Any) -> None:
    batch = make_batch()
    logits = np.asarray(jax.jit(DECODER.logits)(params, batch.tokens), np.float64)
    scores = score(params, batch)
    for row, (tokens, begin, length) in enumerate(zip(*map(np.asarray, batch), strict=True)):
        nats, right = 0.0, 0
        for at in range(begin, length):
            before = logits[row, at - 1]
            nats += np.log(np.exp(before - before.max()).sum()) + before.max() - before[tokens[at]]
            right += before.argmax() == tokens[at]
        assert int(scores.tokens[row]) == length - begin
        assert int(scores.right[row]) == right
        # each token's loss is a sum over the vocabulary and a difference, in float32
        bound = (length - begin) * (CONFIG.vocab_size + 4) * EPS * (1 + np.abs(logits).max())
        assert abs(float(scores.nats[row]) - nats) <= bound


def test_what_stands_behind_a_trace_does_not_matter(params: Any) -> None:
    batch = make_batch()
    behind = np.arange(9) >= np.asarray(batch.lengths)[:, None]
    other = batch._replace(tokens=jnp.where(behind, jnp.int32(7), batch.tokens))
    for a, b in zip(*(score(params, x) for x in (batch, other)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_wider_batch_has_the_same_loss(params: Any) -> None:
    narrow, wide = (score(params, make_batch(width)) for width in (9, 14))
    np.testing.assert_array_equal(narrow.tokens, wide.tokens)
    np.testing.assert_array_equal(narrow.right, wide.right)
    # sums over positions and over the softmax group differently in another width
    np.testing.assert_allclose(narrow.nats, wide.nats, rtol=100 * EPS)


def test_gradients_are_shortened_and_keep_their_direction() -> None:
    long = {"a": jnp.array([3.0, 4.0]), "b": jnp.array([12.0])}
    short = shortened(long, LONGEST_GRADIENT)
    np.testing.assert_allclose(short["a"], np.array([3.0, 4.0]) / 13, rtol=4 * EPS)
    assert LONGEST_GRADIENT == 1
    small = {"a": jnp.array([0.3]), "b": jnp.array([0.4])}
    jax.tree.map(np.testing.assert_array_equal, shortened(small, LONGEST_GRADIENT), small)


def test_the_first_update_is_adamw_s(params: Any) -> None:
    """After one step the corrected moments are g and |g|: p (1 - lr wd) - lr g / (|g| + eps)."""
    batch = make_batch()

    def loss(params: Any) -> jax.Array:
        scores = trace_scores(DECODER, params, batch)
        return jnp.sum(scores.nats) / jnp.sum(scores.tokens)

    grads = shortened(jax.jit(jax.grad(loss))(params), LONGEST_GRADIENT)
    state = init_decoder_state(DECODER, RECIPE, jax.tree.map(jnp.copy, params))
    moved, metrics = make_decoder_update(DECODER, RECIPE)(state, batch)
    assert float(metrics["not_finite"]) == 0
    lr, decay = RECIPE.lr, RECIPE.weight_decay

    def check(before: Any, grad: Any, after: Any, average: Any) -> None:
        before, grad = np.asarray(before, np.float64), np.asarray(grad, np.float64)
        clear = np.abs(grad) > 1e-5  # far above eps=1e-8 and the rounding of gradients
        expected = before * (1 - lr * decay) - lr * grad / (np.abs(grad) + RECIPE.adam_eps)
        # g/|g| is right to the gradient's own relative rounding, at most 1e-2 where clear
        np.testing.assert_allclose(np.asarray(after)[clear], expected[clear], atol=lr * 1e-2)
        halfway = (before + np.asarray(after)) / 2
        np.testing.assert_allclose(average, halfway, atol=2 * EPS * (1 + np.abs(halfway).max()))

    jax.tree.map(check, params, grads, moved.params, moved.ema)


def test_updates_learn_a_batch(params: Any) -> None:
    update, batch = make_decoder_update(DECODER, RECIPE), make_batch()
    state = init_decoder_state(DECODER, RECIPE, jax.tree.map(jnp.copy, params))
    losses = []
    for _ in range(RECIPE.total_steps):
        state, metrics = update(state, batch)
        losses.append(float(metrics["loss"]))
    assert losses[-1] < 0.1 * losses[0]
    assert int(state.step) == RECIPE.total_steps
    assert float(metrics["exact_accuracy"]) == float(metrics["count"]) == 4


def test_the_first_tensor_that_leaves_the_numbers_is_named(params: Any) -> None:
    broken = jax.tree.map(jnp.copy, params)
    broken["norm"]["gain"] = jnp.full((16,), jnp.nan)
    state = init_decoder_state(DECODER, RECIPE, broken)
    names = decoder_watched_names(state)
    _, metrics = make_decoder_update(DECODER, RECIPE)(state, make_batch())
    assert names[int(metrics["not_finite"]) - 1].startswith("gradient/")
