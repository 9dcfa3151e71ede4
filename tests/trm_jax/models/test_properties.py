"""Properties of the recursion that hold whatever the weights are.

Where two programs do the same arithmetic in another order, they may differ by rounding: the
bound is measured, see rounding.py. Everything else is compared exactly.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.oracles import recursion as oracle
from tests.support.rounding import allowed_drift, rms
from tests.support.samples import random_batch, random_weights, small
from tests.support.slow import slow_except
from trm_jax.config import Config, HRMConfig, Mixer, Positions, TRMConfig
from trm_jax.models.act import inject, rollout, rollout_until_halted
from trm_jax.models.build import build
from trm_jax.models.reasoner import Reasoner
from trm_jax.types import IGNORE_LABEL, Batch, Buffers, Latents, Outputs, Weights

# one layer per level: what has to be compiled decides how long these tests take
CONFIGS: dict[str, Config] = {
    "attention": TRMConfig(**small(puzzle_emb_len=2, L_layers=1)),
    "learned": TRMConfig(**small(puzzle_emb_len=2, L_layers=1, positions=Positions.LEARNED)),
    "linear": TRMConfig(**small(puzzle_emb_len=2, L_layers=1, mixer=Mixer.LINEAR_ATTENTION)),
    "mlp": TRMConfig(
        **small(puzzle_emb_len=2, L_layers=1, mixer=Mixer.MLP, positions=Positions.NONE)
    ),
    "hrm": HRMConfig(**small(L_layers=1, H_layers=1)),
}
CORE = ("attention", "mlp", "hrm")
STEPS = 2


class Case(NamedTuple):
    """A model, puzzles, its compiled rollout and what rounding may do to it."""

    reasoner: Reasoner
    weights: Weights
    batch: Batch
    run: Callable[..., Latents]  # of a batch
    seen: Latents  # after every H-cycle: axis 0 is step * H_cycles + cycle
    drift: Latents


def compiled(
    reasoner: Reasoner,
    weights: Weights,
    steps: int,
    observe: Callable[[Latents], Any] = lambda latents: latents,
) -> Callable[..., Any]:
    """Compile a rollout that observes every H-cycle; steps and cycles share one axis."""

    @jax.jit
    def run(batch: Batch, buffers: Buffers = weights.buffers) -> Any:
        changed = weights._replace(buffers=buffers)
        _, seen = rollout(reasoner, changed, batch, steps=steps, observe=observe)
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), seen)

    return run


@functools.cache
def case(name: str) -> Case:
    """Make the case of a configuration, compiled once for all tests."""
    config = CONFIGS[name]
    reasoner, weights = build(config), random_weights(config)
    batch = random_batch(config, 4)
    run = compiled(reasoner, weights, STEPS)
    drift = allowed_drift(lambda b: run(batch, b), weights.buffers, config.L_cycles + 1)
    return Case(reasoner, weights, batch, run, run(batch), drift)


def assert_within_drift(case: Case, ours: Latents) -> None:
    """Check that a trajectory leaves the compiled one by no more than rounding allows."""
    for a, b, bound in zip(ours, case.seen, case.drift, strict=True):
        found = [rms(np.asarray(x, np.float64) - np.asarray(y)) for x, y in zip(a, b, strict=False)]
        assert len(found) >= 2
        assert (np.array(found) <= bound[: len(found)]).all(), (found, bound)


@pytest.mark.parametrize("name", slow_except(CONFIGS, "mlp"))
def test_trajectory_equals_numpy_loops(name: str) -> None:
    c = case(name)
    cycles = STEPS * c.reasoner.config.H_cycles
    z_H, z_L = oracle.trajectory(c.reasoner.config, c.weights, c.batch, cycles)
    assert_within_drift(c, Latents(z_H, z_L))  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("name", CORE)
def test_read_out_equals_numpy(name: str) -> None:
    c = case(name)
    z_H = c.seen.z_H[-1]
    out = c.reasoner.read_out(c.weights.params, z_H)
    logits, q = oracle.read_out(c.reasoner.config, c.weights, np.asarray(z_H, np.float64))
    # sums of 8 products of numbers of a few units: 8 roundings of 2^-24 each stay below this
    np.testing.assert_allclose(out.logits, logits, rtol=0, atol=1e-5)
    np.testing.assert_allclose(np.stack([out.q_halt, out.q_continue], 1), q, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", CORE)
def test_scan_equals_python_loop(name: str) -> None:
    c = case(name)
    config, params = c.reasoner.config, c.weights.params
    e = inject(c.reasoner, c.weights, c.batch)
    update_L, update_H = (jax.jit(f) for f in c.reasoner.networks[:2])
    z_H, z_L = c.reasoner.start(c.weights.buffers, 4)
    seen = []
    for _ in range(STEPS * config.H_cycles):
        for _ in range(config.L_cycles):
            z_L = update_L(params, z_L, z_H + e)
        z_H = update_H(params, z_H, z_L)
        seen.append(Latents(z_H, z_L))
    assert_within_drift(c, Latents(*(jnp.stack(z) for z in zip(*seen, strict=True))))


@pytest.mark.parametrize("name", slow_except(["attention", "mlp"], "mlp"))
def test_jit_equals_eager(name: str) -> None:
    c = case(name)
    with jax.disable_jit():
        _, seen = rollout(c.reasoner, c.weights, c.batch, steps=1, observe=lambda x: x)
    assert_within_drift(c, jax.tree.map(lambda x: x[0], seen))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mlp", "hrm"])
def test_depth_is_one_trajectory(name: str) -> None:
    c = case(name)  # H = 2, n = 2
    for H_cycles, steps in ((1, 4), (4, 1)):
        config = dataclasses.replace(c.reasoner.config, H_cycles=H_cycles)
        assert_within_drift(c, compiled(build(config), c.weights, steps)(c.batch))


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_neighbours_and_padding_change_nothing(name: str) -> None:
    c = case(name)
    blank = (jnp.zeros_like(c.batch.inputs), jnp.full_like(c.batch.labels, IGNORE_LABEL))
    first = jnp.arange(4) == 0
    alone = Batch(
        *(jnp.where(first[:, None], a, b) for a, b in zip(c.batch[:2], blank, strict=True)),
        jnp.where(first, c.batch.puzzle_identifiers, 0),
    )
    seen = c.run(alone)
    for padded, full in zip(seen, c.seen, strict=True):
        np.testing.assert_array_equal(padded[:, 0], full[:, 0])  # one program: not a bit
        assert not np.array_equal(padded[:, 1:], full[:, 1:])


@pytest.mark.parametrize("name", ["attention", "mlp"])
def test_split_batches_change_nothing(name: str) -> None:
    c = case(name)
    parts = [c.run(jax.tree.map(lambda a, i=i: a[i : i + 1], c.batch)) for i in range(4)]
    assert_within_drift(c, Latents(*(jnp.concatenate(z, 1) for z in zip(*parts, strict=True))))


class Read(NamedTuple):
    """What `rollout_until_halted` should return, at every step of the full rollout."""

    latents: Latents
    out: Outputs


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "no_ACT_continue", "seed"), [("attention", True, 9), ("hrm", False, 11)]
)
def test_halting_reads_the_full_rollout_at_each_puzzles_step(
    name: str, no_ACT_continue: bool, seed: int
) -> None:
    config = dataclasses.replace(CONFIGS[name], no_ACT_continue=no_ACT_continue, H_cycles=1)
    reasoner, weights = build(config), random_weights(config, seed)
    weights.params["q_head"]["bias"] = jnp.array([-1.0, 0.0])  # some halt, some do not
    batch = random_batch(config, 8)

    def read(latents: Latents) -> Read:
        return Read(latents, reasoner.read_out(weights.params, latents.z_H))

    run = compiled(reasoner, weights, 4, read)
    full = run(batch)
    halted = jax.jit(lambda b: rollout_until_halted(reasoner, weights, b, max_steps=4))(batch)
    above = np.asarray(full.out.q_halt) - (
        0 if no_ACT_continue else np.asarray(full.out.q_continue)
    )
    says_halt = above > 0
    expected = np.where(says_halt.any(axis=0), says_halt.argmax(axis=0) + 1, 4)
    assert len(set(expected.tolist())) >= 3  # the batch is a real mixture
    np.testing.assert_array_equal(halted.steps, expected)
    at = (expected - 1, np.arange(8))
    drift = allowed_drift(lambda b: run(batch, b).latents, weights.buffers, config.L_cycles + 1)
    assert np.abs(above).min() > 4 * drift.z_H.max()  # rounding decides about no puzzle
    assert rms(halted.latents.z_H - full.latents.z_H[at]) <= drift.z_H[-1]
    assert rms(halted.latents.z_L - full.latents.z_L[at]) <= drift.z_L[-1]
    # heads are rows of length about 1: they pass the drift on and add roundings of their own
    assert rms(halted.logits - full.out.logits[at]) <= 2 * drift.z_H[-1]
    assert rms(halted.q_halt - full.out.q_halt[at]) <= 4 * drift.z_H[-1]
