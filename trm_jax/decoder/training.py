"""One update of a decoder: next-token loss over traces, warm-up and cosine, an average.

The prompt is read and not predicted: what is given follows from nothing. Sums of the loss are
float32 whatever the network computes in. Optimiser, schedule and average are those of the
recursive models (trm_jax/training); gradients are scaled down to `LONGEST_GRADIENT`.

Not here: which puzzles an update sees and how they become tokens (experiments/train/traces.py).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int

from trm_jax.decoder.transformer import Decoder
from trm_jax.training.optim import (
    MomentState,
    apply_decoupled,
    ema_update,
    learning_rate,
    shortened,
)
from trm_jax.training.recipe import Recipe
from trm_jax.training.step import direction, first_not_finite
from trm_jax.types import Params, Tokens

LONGEST_GRADIENT = 1.0
"""Length that a gradient is scaled down to; rare long traces make long ones."""


class TraceBatch(NamedTuple):
    """Prompts with their traces.

    Attributes:
      tokens: prompt and trace, padded on the right.
      begins: tokens of each prompt.
      lengths: tokens of prompt and trace.
    """

    tokens: Tokens
    begins: Int[Array, " batch"]
    lengths: Int[Array, " batch"]


class DecoderState(NamedTuple):
    """All that a resumed run needs; `step` counts the updates done."""

    step: Int[Array, ""]
    params: Params
    optimiser: MomentState
    ema: Params


class TraceScores(NamedTuple):
    """What is predicted right of each trace, every token from the trace's own earlier ones.

    Attributes:
      nats: summed loss.
      right: tokens of which the likeliest is the trace's.
      tokens: their number.
    """

    nats: Float[Array, " batch"]
    right: Float[Array, " batch"]
    tokens: Float[Array, " batch"]


def predicted(batch: TraceBatch) -> Bool[Array, "batch next"]:
    """Mark the tokens, from the second on, that the loss counts: those of traces."""
    at = jnp.arange(1, batch.tokens.shape[1])[None]
    return (at >= batch.begins[:, None]) & (at < batch.lengths[:, None])


def trace_scores(decoder: Decoder, params: Params, batch: TraceBatch) -> TraceScores:
    """Score the next-token predictions of a batch, puzzle by puzzle."""
    logits = decoder.logits(params, batch.tokens[:, :-1]).astype(jnp.float32)
    targets, counts = batch.tokens[:, 1:], predicted(batch).astype(jnp.float32)
    log_probs = jax.nn.log_softmax(logits, axis=-1)
    nats = -jnp.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]
    right = (jnp.argmax(logits, axis=-1) == targets).astype(jnp.float32)
    return TraceScores(*(jnp.sum(x * counts, axis=1) for x in (nats, right, jnp.ones_like(nats))))


def init_decoder_state(
    decoder: Decoder, recipe: Recipe, params: Params | None = None
) -> DecoderState:
    """Make the state before the first update.

    Args:
      params: where to start from; drawn from the recipe's seed if not given.
    """
    if params is None:
        params = decoder.init(jax.random.key(recipe.seed))
    moments: MomentState = direction(recipe).init(params)  # type: ignore[assignment]
    # copies: the update donates its state, and one buffer cannot be given away twice
    moments, ema = jax.tree.map(jnp.copy, (moments, params))
    return DecoderState(jnp.zeros((), jnp.int32), params, moments, ema)


def decoder_watched(grads: Params, params: Params, optimiser: MomentState) -> dict[str, object]:
    """Name the tensors that must stay finite."""
    return {"gradient": grads, "optimiser": optimiser, "weights": params}


def decoder_watched_names(state: DecoderState) -> list[str]:
    """List the names of these tensors in the order in which `first_not_finite` counts."""
    tree = decoder_watched(state.params, state.params, state.optimiser)
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]


def batch_metrics(scores: TraceScores) -> dict[str, Float[Array, ""]]:
    """Sum over puzzles what a row of metrics averages (trm_jax/training/running_metrics.py)."""
    puzzles = jnp.full((), scores.tokens.shape[0], jnp.float32)
    exact = (scores.right == scores.tokens).astype(jnp.float32)
    return {
        "count": puzzles,
        "accuracy": jnp.sum(scores.right / jnp.maximum(scores.tokens, 1.0)),
        "exact_accuracy": jnp.sum(exact),
        "tokens": jnp.sum(scores.tokens),
    }


DecoderUpdate = Callable[[DecoderState, TraceBatch], tuple[DecoderState, dict[str, Array]]]


def make_decoder_update(decoder: Decoder, recipe: Recipe) -> DecoderUpdate:
    """Make one update, compiled for each width of batches; the state that goes in is used up.

    The loss is the mean over all tokens of the batch's traces.
    """
    adam = direction(recipe)

    def loss(params: Params, batch: TraceBatch) -> tuple[Array, TraceScores]:
        scores = trace_scores(decoder, params, batch)
        return jnp.sum(scores.nats) / jnp.maximum(jnp.sum(scores.tokens), 1.0), scores

    def update(state: DecoderState, batch: TraceBatch) -> tuple[DecoderState, dict[str, Array]]:
        (mean, scores), grads = jax.value_and_grad(loss, has_aux=True)(state.params, batch)
        move, moments = adam.update(shortened(grads, LONGEST_GRADIENT), state.optimiser)  # type: ignore[arg-type]
        count = state.step + 1
        rate = learning_rate(
            count,
            base=recipe.lr,
            warmup_steps=recipe.warmup_steps,
            total_steps=recipe.total_steps,
            min_ratio=recipe.lr_min_ratio,
        )
        params = apply_decoupled(state.params, move, rate, recipe.weight_decay)
        watched = decoder_watched(grads, params, moments)  # type: ignore[arg-type]
        metrics = batch_metrics(scores) | {
            "loss": mean,
            "lr": rate,
            "not_finite": first_not_finite(watched),
        }
        ema = ema_update(state.ema, params, recipe.ema)
        return DecoderState(count, params, moments, ema), metrics  # type: ignore[arg-type]

    return jax.jit(update, donate_argnums=0)
