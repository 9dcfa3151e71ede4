"""Supervision steps: carry reset, halting rules, exploration (REFERENCE 1.4).

Trajectories and their values are compared in test_properties.py and test_golden.py.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.samples import random_batch, random_weights, small
from trm_jax.config import HRMConfig, Mixer, Positions, TRMConfig
from trm_jax.models.act import (
    continue_target,
    empty_carry,
    halt,
    predictions,
    refill,
    rollout_until_halted,
    supervise,
    wants_to_halt,
)
from trm_jax.models.build import build
from trm_jax.types import IGNORE_LABEL, Carry, Outputs, Params

# the cheapest model to compile: these tests are about bookkeeping
CONFIG = TRMConfig(
    **small(puzzle_emb_len=2, L_layers=1, L_cycles=1, mixer=Mixer.MLP, positions=Positions.NONE)
)
HRM = HRMConfig(
    **small(
        L_layers=1,
        H_layers=1,
        H_cycles=1,
        L_cycles=1,
        no_ACT_continue=False,
        mixer=Mixer.LINEAR_ATTENTION,
        positions=Positions.NONE,
    )
)


def outputs(q_halt: list[float], q_continue: list[float]) -> Outputs:
    return Outputs(jnp.zeros((len(q_halt), 1, 1)), jnp.array(q_halt), jnp.array(q_continue))


def test_first_carry_is_halted_everywhere_and_scores_nothing() -> None:
    reasoner, weights = build(CONFIG), random_weights(CONFIG)
    carry = empty_carry(reasoner, weights.buffers, random_batch(CONFIG, 3))
    assert carry.halted.all()
    assert (carry.batch.labels == IGNORE_LABEL).all()
    np.testing.assert_array_equal(carry.steps, [0, 0, 0])


def test_refill_resets_halted_slots_and_drops_the_puzzle_of_the_others() -> None:
    reasoner, weights = build(CONFIG), random_weights(CONFIG)
    old, new = random_batch(CONFIG, 3, seed=1), random_batch(CONFIG, 3, seed=2)
    latents = jax.tree.map(lambda z: z + 1, reasoner.start(weights.buffers, 3))
    carry = Carry(latents, jnp.array([2, 3, 4]), jnp.array([False, True, False]), old)
    after = refill(reasoner, weights.buffers, carry, new)
    np.testing.assert_array_equal(after.steps, [2, 0, 4])
    assert not after.halted.any()
    for slot, source in enumerate((old, new, old)):
        for kept, expected in zip(after.batch, source, strict=True):
            np.testing.assert_array_equal(kept[slot], expected[slot])
    for z, before, init in zip(after.latents, latents, weights.buffers, strict=True):
        np.testing.assert_array_equal(z[0], before[0])
        np.testing.assert_array_equal(z[2], before[2])
        np.testing.assert_array_equal(z[1], np.tile(init, (CONFIG.num_positions, 1)))


def test_halting_rules() -> None:
    out = outputs([0.1, 0.0, -0.1, 0.3], [0.2, -0.1, -0.2, 0.3])
    np.testing.assert_array_equal(wants_to_halt(out, CONFIG), [True, False, False, True])
    np.testing.assert_array_equal(wants_to_halt(out, HRM), [False, True, True, False])


def test_the_last_step_always_halts() -> None:
    out, steps = outputs([-1.0, -1.0, 1.0], [0.0] * 3), jnp.array([3, 4, 3])
    halted = halt(CONFIG, out, steps, jax.random.key(0))
    np.testing.assert_array_equal(halted, [False, True, True])
    single = dataclasses.replace(CONFIG, halt_max_steps=1, halt_exploration_prob=1.0)
    assert halt(single, out, jnp.array([1, 1, 1]), jax.random.key(0)).all()


def test_exploration_demands_a_uniform_minimum_of_two_to_the_maximum() -> None:
    size, probability = 20_000, 0.25
    config = dataclasses.replace(CONFIG, halt_max_steps=5, halt_exploration_prob=probability)
    eager = outputs([1.0] * size, [0.0] * size)
    halted = [
        float(halt(config, eager, jnp.full(size, n), jax.random.key(n)).mean()) for n in range(1, 6)
    ]
    # a slot that wants to halt does so after n steps unless it explores and its minimum, one of
    # 2 3 4 5, is larger; the standard error of each rate is below 0.0031, five of them allowed
    expected = [1 - probability * share for share in (1.0, 0.75, 0.5, 0.25, 0.0)]
    np.testing.assert_allclose(halted, expected, atol=5 * 0.0031)
    assert halted[-1] == 1.0


def test_no_exploration_when_its_probability_is_zero() -> None:
    size = 1000
    halted = halt(
        CONFIG, outputs([1.0] * size, [0.0] * size), jnp.ones(size, jnp.int32), jax.random.key(3)
    )
    assert halted.all()


@pytest.mark.slow
def test_continue_target_looks_one_step_ahead() -> None:
    reasoner, weights, batch = build(HRM), random_weights(HRM), random_batch(HRM, 3)
    rows = weights.puzzle_emb[batch.puzzle_identifiers]
    steps = jnp.array([1, 3, 4])  # the last of 4 may only halt
    latents = reasoner.start(weights.buffers, 3)
    carry = Carry(latents, steps, jnp.zeros(3, jnp.bool_), batch)

    def target(params: Params) -> tuple[jax.Array, jax.Array]:
        values = continue_target(reasoner, params, rows, carry)
        return values.sum(), values

    (_, values), gradient = jax.jit(jax.value_and_grad(target, has_aux=True))(weights.params)
    _, ahead = jax.jit(lambda p: supervise(reasoner, p, rows, carry))(weights.params)
    q_halt, q_continue = np.asarray(ahead.q_halt), np.asarray(ahead.q_continue)
    value = np.where([True, True, False], np.maximum(q_halt, q_continue), q_halt)
    # two compilations of the same step: their logits agree to some float32 ulps
    np.testing.assert_allclose(values, 1 / (1 + np.exp(-value)), rtol=1e-5)
    assert all((np.asarray(g) == 0).all() for g in jax.tree.leaves(gradient))


@pytest.mark.parametrize("bias", [-1e4, 1e4])
def test_halting_rollout_uses_one_step_or_all(bias: float) -> None:
    weights = random_weights(CONFIG)
    weights.params["q_head"]["bias"] = jnp.array([bias, 0.0])
    run = jax.jit(lambda w, b: rollout_until_halted(build(CONFIG), w, b, max_steps=3))
    halted = run(weights, random_batch(CONFIG, 2))
    np.testing.assert_array_equal(halted.steps, [1, 1] if bias > 0 else [3, 3])
    assert halted.logits.shape == (2, CONFIG.seq_len, CONFIG.vocab_size)


def test_predictions_take_the_first_best_token() -> None:
    logits = jnp.array([[[0.0, 2.0, 2.0], [3.0, -1.0, 2.0]]])
    np.testing.assert_array_equal(predictions(logits), [[1, 0]])
