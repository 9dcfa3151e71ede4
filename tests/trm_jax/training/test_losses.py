"""Losses and training metrics against the released functions and plain loops."""

import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trm_jax.training.losses import (
    binary_cross_entropy,
    log_stablemax,
    sequence_losses,
    softmax_cross_entropy,
    stablemax_cross_entropy,
    step_metrics,
)
from trm_jax.types import IGNORE_LABEL, Outputs

RNG = np.random.default_rng(0)
FLOAT32 = 1e-6  # relative: a dozen roundings of 2^-24 in sums of a few terms


def test_released_values(golden: Path) -> None:
    d = np.load(golden / "losses.npz")
    logits, labels = jnp.asarray(d["logits"]), jnp.asarray(d["labels"].astype(np.int32))
    stablemax = stablemax_cross_entropy(logits, labels)
    np.testing.assert_allclose(stablemax, d["stablemax"], rtol=FLOAT32)
    np.testing.assert_allclose(softmax_cross_entropy(logits, labels), d["softmax"], rtol=FLOAT32)


def stablemax_loop(row: list[float]) -> list[float]:
    """log(s(x) / sum s) with s(x) = x + 1 or 1 / (1 - x), number by number."""
    s = [x + 1 if x >= 0 else 1 / (1 - x) for x in row]
    return [math.log(x / sum(s)) for x in s]


def test_stablemax_equals_loop_at_every_size() -> None:
    rows = np.concatenate([RNG.normal(size=(5, 7)), [[0.0, -0.0, 1e4, -1e4, 1e-8, -1e-8, 3.0]]])
    exact = np.array([stablemax_loop(row) for row in rows.astype(np.float32).tolist()])
    # log(p) near p = 1 is small but made from logs of size up to 10
    np.testing.assert_allclose(
        log_stablemax(jnp.asarray(rows, jnp.float32)), exact, rtol=FLOAT32, atol=1e-5
    )


def test_stablemax_gradient_is_finite_on_both_sides_of_zero() -> None:
    x = jnp.array([-1e6, -1.0, 0.0, 1.0, 1e6])
    gradient = jax.grad(lambda x: log_stablemax(x)[1])(x)
    s = np.array([1 / (1 + 1e6), 0.5, 1, 2, 1e6 + 1])
    slope = np.array([s[0] ** 2, s[1] ** 2, 1, 1, 1])  # s' = 1 / (1 - x)^2 below zero, 1 above
    exact = np.array([0, 1, 0, 0, 0]) * slope / s - slope / s.sum()
    np.testing.assert_allclose(gradient, exact, rtol=1e-5, atol=1e-12)


def case() -> tuple[Outputs, jax.Array]:
    """Three puzzles: one solved, one half wrong, one without any scored cell."""
    logits = RNG.normal(size=(3, 4, 5)).astype(np.float32)
    labels = np.argmax(logits, axis=-1).astype(np.int32)
    labels[0, 1] = labels[1, 0] = IGNORE_LABEL
    labels[1, 1] = (labels[1, 1] + 1) % 5
    labels[2] = IGNORE_LABEL
    q_halt = jnp.array([0.7, 0.2, -0.3])
    return Outputs(jnp.asarray(logits), q_halt, jnp.zeros(3)), jnp.asarray(labels)


@pytest.mark.slow
def test_sequence_losses_equal_loops() -> None:
    out, labels = case()
    losses = sequence_losses(out, labels)
    lm = q = 0.0
    for b, exact in enumerate((True, False, True)):  # nothing scored counts as right, as released
        cells = [c for c in range(4) if labels[b, c] != IGNORE_LABEL]
        costs = [-stablemax_loop(out.logits[b, c].tolist())[int(labels[b, c])] for c in cells]
        lm += sum(costs) / max(len(cells), 1)
        p = 1 / (1 + math.exp(-float(out.q_halt[b])))
        q -= math.log(p if exact else 1 - p)
    np.testing.assert_allclose(losses.lm_loss, lm, rtol=FLOAT32)
    np.testing.assert_allclose(losses.q_halt_loss, q, rtol=FLOAT32)
    np.testing.assert_array_equal(losses.exact, [True, False, True])
    np.testing.assert_array_equal(losses.scored, [True, True, False])
    np.testing.assert_allclose(losses.cell_accuracy, [1.0, 2 / 3, 0.0], rtol=FLOAT32)


@pytest.mark.slow
def test_unscored_cells_have_no_gradient() -> None:
    out, labels = case()

    def loss(logits: jax.Array) -> jax.Array:
        return sequence_losses(out._replace(logits=logits), labels).lm_loss

    gradient = np.asarray(jax.grad(loss)(out.logits))
    blank = np.asarray(labels) == IGNORE_LABEL
    assert (gradient[blank] == 0).all()
    assert (np.abs(gradient[~blank]).sum(axis=-1) > 0).all()


def test_step_metrics_count_halted_scored_puzzles_only() -> None:
    out, labels = case()
    losses = sequence_losses(out, labels)
    steps = jnp.array([3, 4, 5])
    m = step_metrics(losses, out.q_halt, jnp.array([True, True, True]), steps)
    counted = {
        k: float(v) for k, v in m.items() if k.endswith(("count", "steps", "exact_accuracy"))
    }
    assert counted == {"count": 2.0, "steps": 7.0, "exact_accuracy": 1.0}
    np.testing.assert_allclose(m["accuracy"], 1 + 2 / 3, rtol=FLOAT32)
    assert m["q_halt_accuracy"] == 1.0  # says right to both, and one is
    m = step_metrics(losses, out.q_halt, jnp.array([False, True, True]), steps)
    assert (m["count"], m["steps"], m["exact_accuracy"]) == (1.0, 4.0, 0.0)


def test_binary_cross_entropy_sums_and_takes_soft_targets() -> None:
    logits, targets = np.array([-30.0, 0.5, 30.0]), np.array([0.25, 0.5, 1.0])
    exact = sum(
        t * math.log1p(math.exp(-x)) + (1 - t) * math.log1p(math.exp(x))
        for x, t in zip(logits, targets, strict=True)
    )
    ours = binary_cross_entropy(jnp.asarray(logits, jnp.float32), jnp.asarray(targets, jnp.float32))
    np.testing.assert_allclose(ours, exact, rtol=FLOAT32)
