"""Evaluators against one rollout per depth, and the states behind the paper's diagnostics."""

import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.samples import random_batch, random_weights, small
from tests.support.slow import slow_except
from trm_jax import metrics
from trm_jax.config import HRMConfig, TRMConfig
from trm_jax.evaluators import call_outputs, consecutive_similarity, measure, trajectory
from trm_jax.models.act import inject, predictions, rollout
from trm_jax.models.build import build
from trm_jax.sharding import shard_batch
from trm_jax.types import Batch

CONFIGS = [TRMConfig(**small(), puzzle_emb_len=1), HRMConfig(**small(), L_layers=1, H_layers=1)]


@pytest.mark.parametrize("config", slow_except(CONFIGS), ids=["trm", "hrm"])
def test_read_out_at_a_depth_is_a_rollout_of_that_depth(config: TRMConfig | HRMConfig) -> None:
    reasoner, weights = build(config), random_weights(config)
    batch = random_batch(config, 5)
    states = trajectory(reasoner, weights, batch, steps=3)
    read = measure(reasoner, weights, batch, states, states, depths=(2, 4, 6))
    for row, steps in enumerate((1, 2, 3)):
        latents, _ = rollout(reasoner, weights, batch, steps=steps, observe=lambda _: None)
        predicted = predictions(reasoner.read_out(weights.params, latents.z_H).logits)
        correct = metrics.correct_cells(predicted, batch.labels)
        np.testing.assert_array_equal(read.cell_correct[row], correct)
    assert (np.asarray(read.fidelity) == 1.0).all()


@pytest.mark.slow
def test_neighbouring_states_make_similarity_and_residual() -> None:
    config = CONFIGS[0]
    reasoner, weights, batch = build(config), random_weights(config), random_batch(config, 2)
    states = trajectory(reasoner, weights, batch, steps=2)
    read = measure(reasoner, weights, batch, states, states[::-1], depths=(1, 3))
    start = reasoner.start(weights.buffers, 2).z_H
    # the same formula inside and outside a compiled program: a few float32 roundings apart
    for row, (now, before, reference) in enumerate(
        [(states[0], start, states[3]), (states[2], states[1], states[1])]
    ):
        np.testing.assert_allclose(
            read.similarity[row], metrics.token_cosine(now, before), atol=1e-6
        )
        np.testing.assert_allclose(read.residual[row], metrics.residual(now, before), rtol=1e-5)
        np.testing.assert_allclose(
            read.fidelity[row], metrics.token_cosine(now, reference), atol=1e-6
        )


@pytest.mark.parametrize("config", slow_except(CONFIGS), ids=["trm", "hrm"])
def test_call_outputs_are_the_network_calls_in_order(config: TRMConfig | HRMConfig) -> None:
    reasoner, weights, batch = build(config), random_weights(config), random_batch(config, 2)
    networks, e = reasoner.networks, inject(reasoner, weights, batch)
    z_H, z_L = reasoner.start(weights.buffers, 2)
    expected = []
    for _ in range(config.H_cycles):
        for _ in range(config.L_cycles):
            z_L = networks.update_L(weights.params, z_L, z_H + e)
            expected.append(z_L)
        z_H = networks.update_H(weights.params, z_H, z_L)
        expected.append(z_H)
    found = call_outputs(reasoner, weights, batch)
    # eager against compiled, six calls of a small random network
    np.testing.assert_allclose(found, jnp.stack(expected), atol=1e-4)
    pairs = [metrics.token_cosine(a, b) for a, b in zip(found[1:], found[:-1], strict=True)]
    similarity = consecutive_similarity(reasoner, weights, batch)
    np.testing.assert_allclose(similarity, np.mean(pairs, axis=0), atol=1e-6)


def test_shard_batch_keeps_the_puzzles() -> None:
    batch: Batch = random_batch(CONFIGS[0], 4)
    for kept, given in zip(shard_batch(batch), batch, strict=True):
        np.testing.assert_array_equal(kept, given)
