"""The training loss: stablemax cross-entropy on tokens + halting loss (REFERENCE 1.4)."""

from typing import NamedTuple

import jax.numpy as jnp
import optax
from jax import Array
from jaxtyping import Bool, Float, Int

from trm_jax.types import IGNORE_LABEL, Logits, Outputs, Tokens


def log_stablemax(logits: Float[Array, "*lead vocab"]) -> Float[Array, "*lead vocab"]:
    """Log of s(x) / sum s(x), s(x) = x + 1 for x >= 0 and 1 / (1 - x) below, in float32.

    The released code adds 1e-30 to 1 - x and computes in float64; 1 - x >= 1 in that branch,
    so the term vanishes at either precision.
    """
    x = logits.astype(jnp.float32)
    s = jnp.where(x < 0, 1.0 / (1.0 - jnp.minimum(x, 0.0)), x + 1.0)
    return jnp.log(s) - jnp.log(jnp.sum(s, axis=-1, keepdims=True))


def stablemax_cross_entropy(logits: Logits, labels: Tokens) -> Float[Array, "batch seq"]:
    """Compute the loss of every cell; unscored cells cost 0."""
    scored = labels != IGNORE_LABEL
    log_p = log_stablemax(logits)
    picked = jnp.take_along_axis(log_p, jnp.where(scored, labels, 0)[..., None], axis=-1)[..., 0]
    return jnp.where(scored, -picked, 0.0)


def softmax_cross_entropy(logits: Logits, labels: Tokens) -> Float[Array, "batch seq"]:
    """Compute the plain cross-entropy of every cell; unscored cells cost 0."""
    scored = labels != IGNORE_LABEL
    loss = optax.softmax_cross_entropy_with_integer_labels(
        logits.astype(jnp.float32), jnp.where(scored, labels, 0)
    )
    return jnp.where(scored, loss, 0.0)


class SequenceLosses(NamedTuple):
    """Sums over slots and what the training metrics need, before any division."""

    lm_loss: Float[Array, ""]
    q_halt_loss: Float[Array, ""]
    cell_accuracy: Float[Array, " batch"]
    exact: Bool[Array, " batch"]
    scored: Bool[Array, " batch"]


def sequence_losses(out: Outputs, labels: Tokens) -> SequenceLosses:
    """Compute token and halting losses of a batch.

    Each slot's token loss is the mean over its scored cells; q_halt learns whether the whole
    sequence is right. The total is lm_loss + q_halt_loss / 2 (+ q_continue_loss / 2).
    """
    mask = labels != IGNORE_LABEL
    count = jnp.sum(mask, axis=-1, dtype=jnp.int32)
    divisor = jnp.maximum(count, 1).astype(jnp.float32)
    correct = jnp.sum(mask & (jnp.argmax(out.logits, axis=-1) == labels), axis=-1, dtype=jnp.int32)
    exact = correct == count
    cells = stablemax_cross_entropy(out.logits, labels)
    return SequenceLosses(
        lm_loss=jnp.sum(jnp.sum(cells, axis=-1) / divisor),
        q_halt_loss=binary_cross_entropy(out.q_halt, exact.astype(jnp.float32)),
        cell_accuracy=correct.astype(jnp.float32) / divisor,
        exact=exact,
        scored=count > 0,
    )


def binary_cross_entropy(
    logits: Float[Array, " batch"], targets: Float[Array, " batch"]
) -> Float[Array, ""]:
    """Sum the binary cross-entropy of halting logits over slots."""
    return jnp.sum(optax.sigmoid_binary_cross_entropy(logits, targets))


def step_metrics(
    losses: SequenceLosses,
    q_halt: Float[Array, " batch"],
    halted: Bool[Array, " batch"],
    steps: Int[Array, " batch"],
) -> dict[str, Float[Array, ""]]:
    """Sum the released training metrics over slots that halted with a scored puzzle."""
    valid = halted & losses.scored

    def total(values: Array) -> Array:
        return jnp.sum(jnp.where(valid, values.astype(jnp.float32), 0.0))

    return {
        "count": total(valid),
        "accuracy": total(losses.cell_accuracy),
        "exact_accuracy": total(losses.exact),
        "q_halt_accuracy": total((q_halt >= 0) == losses.exact),
        "steps": total(steps),
        "lm_loss": losses.lm_loss,
        "q_halt_loss": losses.q_halt_loss,
    }
