"""The distillation objective against NumPy, and what it reduces to at its ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.samples import random_batch, random_weights, small
from trm_jax.config import Mixer, Positions, TRMConfig
from trm_jax.models.act import empty_carry, refill, rollout
from trm_jax.models.build import build
from trm_jax.training.distillation import distillation, divergence, teach
from trm_jax.training.step import supervised
from trm_jax.types import IGNORE_LABEL

CONFIG = TRMConfig(
    **small(mixer=Mixer.MLP, positions=Positions.NONE, H_cycles=1, L_layers=1), puzzle_emb_len=1
)
SIZE = 3


@pytest.fixture(scope="module")
def step():
    """Reasoner, weights and a carry with puzzles numbered 0, 1, 2."""
    reasoner, weights = build(CONFIG), random_weights(CONFIG, seed=1)
    batch = random_batch(CONFIG, SIZE, seed=2)
    batch = batch._replace(puzzle_identifiers=jnp.arange(SIZE, dtype=jnp.int32))
    carry = refill(reasoner, weights.buffers, empty_carry(reasoner, weights.buffers, batch), batch)
    return reasoner, weights, carry


def kl(teacher: np.ndarray, student: np.ndarray, temperature: float) -> float:
    """T^2 sum p log(p / q) of one cell."""
    p, q = (np.exp(x / temperature) / np.exp(x / temperature).sum() for x in (teacher, student))
    return temperature**2 * float(np.sum(p * np.log(p / q)))


def test_divergence_is_the_sum_over_the_alphabet():
    rng = np.random.default_rng(0)
    teacher, student = rng.normal(size=(2, 2, 3, 5))
    found = divergence(jnp.float32(teacher), jnp.float32(student), 4.0)
    for b in range(2):
        for t in range(3):
            # float32 logarithms: a few parts in 10^7 of terms up to 16
            assert found[b, t] == pytest.approx(kl(teacher[b, t], student[b, t], 4.0), abs=1e-5)


def test_a_teacher_that_agrees_costs_nothing():
    logits = jnp.float32(np.random.default_rng(1).normal(size=(1, 2, 5)))
    np.testing.assert_array_equal(divergence(logits, logits, 4.0), 0.0)


def loss(objective, step):
    reasoner, weights, carry = step
    rows = weights.puzzle_emb[carry.batch.puzzle_identifiers]
    run = jax.jit(objective, static_argnums=2)
    return run(weights.params, rows, reasoner, carry)


@pytest.mark.slow
def test_the_objective_weighs_teacher_and_labels(step):
    taught = np.random.default_rng(3).normal(size=(SIZE, CONFIG.seq_len, CONFIG.vocab_size))
    released, (_, out) = loss(supervised, step)
    mixed, _ = loss(distillation(jnp.float32(taught), temperature=2.0, share=0.7), step)
    labels = np.asarray(step[2].batch.labels)
    logits = np.asarray(out.logits, np.float64)
    cells = [kl(taught[b, t], logits[b, t], 2.0) for b, t in np.argwhere(labels != IGNORE_LABEL)]
    assert float(mixed) == pytest.approx(0.7 * np.mean(cells) + 0.3 * float(released), rel=1e-5)


@pytest.mark.slow
def test_teachers_are_looked_up_by_number(step):
    """Swapping puzzles with their numbers swaps nothing in the loss."""
    taught = jnp.float32(np.random.default_rng(4).normal(size=(SIZE, CONFIG.seq_len, 5)))
    objective = distillation(taught, temperature=4.0, share=1.0)
    reasoner, weights, carry = step
    turned = jax.tree.map(lambda a: a[::-1], carry)
    straight, _ = loss(objective, step)
    again, _ = loss(objective, (reasoner, weights, turned))
    assert float(straight) == pytest.approx(float(again), rel=1e-6)
    numbers = jnp.array([0, 0, 0], jnp.int32)
    wrong = carry._replace(batch=carry.batch._replace(puzzle_identifiers=numbers))
    other, _ = jax.jit(objective, static_argnums=2)(
        weights.params, weights.puzzle_emb[jnp.arange(SIZE)], reasoner, wrong
    )
    assert float(other) != pytest.approx(float(straight), rel=1e-3)


def test_a_teacher_answers_after_its_last_step(step):
    reasoner, weights, carry = step
    latents, _ = rollout(reasoner, weights, carry.batch, steps=2, observe=lambda _: None)
    expected = reasoner.read_out(weights.params, latents.z_H).logits
    np.testing.assert_array_equal(teach(reasoner, weights, carry.batch, steps=2), expected)


@pytest.mark.parametrize(("temperature", "share"), [(0.0, 0.5), (4.0, 1.5)])
def test_settings_are_checked(temperature, share):
    with pytest.raises(ValueError, match="must"):
        distillation(jnp.zeros((1, 2, 3)), temperature=temperature, share=share)
