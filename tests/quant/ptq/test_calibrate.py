"""Statistics of trajectories against an unrolled loop that keeps every input."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quant.carry import CarryStore
from quant.ptq.calibrate import (
    HESSIAN,
    RANGE,
    Calibration,
    activation_ranges,
    finite_ends,
    first_call_hessians,
    hessians,
    input_and_state_ranges,
    input_widths,
    normed_hessians,
    observed_rollout,
)
from quant.scheme import CarryPrecision
from tests.support.samples import random_weights
from tests.support.slow import slow_except
from trm_jax.config import HRMConfig, Mixer, Positions, TRMConfig
from trm_jax.models.act import inject, rollout
from trm_jax.models.build import build
from trm_jax.types import Batch, Latents

SIZES = dict(vocab_size=7, seq_len=5, hidden_size=16, num_heads=2, puzzle_emb_ndim=16)  # noqa: C408
TRM = TRMConfig(
    **SIZES,
    L_layers=1,
    H_cycles=2,
    L_cycles=2,
    puzzle_emb_len=1,
    mixer=Mixer.MLP,
    positions=Positions.NONE,
    forward_dtype="float32",
)
HRM = HRMConfig(**SIZES, L_layers=1, H_layers=1, L_cycles=2, forward_dtype="float32")
CONFIGS = pytest.mark.parametrize("config", [TRM, HRM], ids=["trm", "hrm"])
STEPS = 2


def batches() -> list[Batch]:
    rng = np.random.default_rng(0)
    tokens = jnp.asarray(rng.integers(1, 7, (2, 3, 5)), jnp.int32)
    return [Batch(t, t, jnp.zeros(3, jnp.int32)) for t in tokens]


def all_inputs(
    config, weights, store=lambda latents: latents, *, first_calls: bool = False
) -> dict[str, np.ndarray]:
    """Unroll the recursion in Python and keep the inputs of every Dense, rows by width.

    Args:
      first_calls: keep those of the first call of each role alone.
    """
    reasoner = build(config)
    kept: dict[str, list] = {}

    @jax.jit
    def capture(params, z, injection, readout):
        methods = {"L": "update_L", "H": "update_H"}
        apply = lambda method, *a: reasoner.module.apply(  # noqa: E731
            {"params": params},
            *a,
            method=method,
            capture_intermediates=False,
            mutable=["intermediates"],
        )
        outs = {k: apply(m, z, injection) for k, m in methods.items()}
        return outs | {"read": apply("read_out", readout)}

    def keep(tree, prefix=()):
        for key, value in tree.items():
            if key == "input":
                x = np.asarray(value[0])
                kept.setdefault("/".join(prefix), []).append(x.reshape(-1, x.shape[-1]))
            else:
                keep(value, (*prefix, key))

    for batch in batches():
        e = inject(reasoner, weights, batch)
        z_H, z_L = reasoner.start(weights.buffers, 3)
        for h in range(STEPS * config.H_cycles):
            for l in range(config.L_cycles):  # noqa: E741
                z_L, state = capture(weights.params, z_L, z_H + e, z_H)["L"]
                if not (first_calls and (h or l)):
                    keep(state["intermediates"])
            z_H, state = capture(weights.params, z_H, z_L, z_H)["H"]
            z_H, z_L = store(Latents(z_H, z_L))
            if not (first_calls and h):
                keep(state["intermediates"])
                keep(capture(weights.params, z_H, z_L, z_H)["read"][1]["intermediates"])
    return {site: np.concatenate(rows) for site, rows in kept.items()}


@pytest.mark.parametrize("config", slow_except([TRM, HRM]), ids=["trm", "hrm"])
def test_statistics_are_those_of_every_input_of_the_trajectory(config):
    weights = random_weights(config)
    expected = all_inputs(config, weights)
    assert {s: x.shape[1] for s, x in expected.items()} == input_widths(weights.params)
    ranges = activation_ranges(build(config), weights, batches(), steps=STEPS)
    sums = hessians(build(config), weights, iter(batches()), steps=STEPS)
    assert set(ranges) == set(sums) == set(expected)
    for site, x in expected.items():
        # the same float32 network, compiled differently: the contraction of a few roundings
        # (2^-24 each) over the cycles of this trajectory stays far below 1e-4
        scale = np.abs(x).max()
        np.testing.assert_allclose(ranges[site], (x.min(), x.max()), rtol=0, atol=1e-4 * scale)
        hessian = x.astype(np.float64).T @ x
        np.testing.assert_allclose(sums[site], hessian, rtol=0, atol=3e-4 * hessian.max())


@pytest.mark.parametrize("config", slow_except([TRM, HRM]), ids=["trm", "hrm"])
def test_first_calls_are_one_update_of_each_state_and_one_read_out(config):
    weights = random_weights(config)
    expected = all_inputs(config, weights, first_calls=True)
    sums = first_call_hessians(build(config), weights, iter(batches()))
    assert set(sums) == set(expected)
    for site, x in expected.items():
        # one H-cycle, compiled differently: as above, with fewer cycles
        hessian = x.astype(np.float64).T @ x
        np.testing.assert_allclose(sums[site], hessian, rtol=0, atol=3e-4 * hessian.max())
    with pytest.raises(ValueError, match="at least one batch"):
        first_call_hessians(build(config), weights, [])


@pytest.mark.slow
@CONFIGS
def test_rows_with_large_outputs_weigh_less(config):
    weights = random_weights(config)
    kernels = {
        "/".join(key.key for key in path[:-1]): np.asarray(leaf, np.float64)
        for path, leaf in jax.tree_util.tree_leaves_with_path(weights.params)
        if path[-1].key == "kernel"
    }
    sums = normed_hessians(build(config), weights, iter(batches()), steps=STEPS)
    for site, x in all_inputs(config, weights).items():
        shares = 1 / (1 + np.square(x @ kernels[site]).mean(axis=-1))
        hessian = (x * shares[:, None]).astype(np.float64).T @ x
        # as above: the same network compiled differently
        np.testing.assert_allclose(sums[site], hessian, rtol=0, atol=3e-4 * hessian.max())


@pytest.mark.slow
@CONFIGS
def test_the_observed_rollout_is_the_rollout(config):
    weights, batch = random_weights(config), batches()[0]
    reasoner = build(config, store=CarryStore(CarryPrecision.FP16))
    empty = {site: RANGE.empty(w) for site, w in input_widths(weights.params).items()}
    seen, _ = observed_rollout(reasoner, weights, batch, empty, STEPS, RANGE)
    expected, _ = jax.jit(
        lambda: rollout(reasoner, weights, batch, steps=STEPS, observe=lambda _: None)
    )()
    # one float16 rounding of states of unit mean square may fall to the other side
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=4e-3), seen, expected)


def test_deeper_trajectories_and_headroom_only_widen():
    weights = random_weights(TRM)
    one = activation_ranges(build(TRM), weights, batches(), steps=1)
    two = activation_ranges(build(TRM), weights, batches(), steps=2)
    roomy = activation_ranges(build(TRM), weights, batches(), steps=1, headroom=4.0)
    assert all(two[s][0] <= low and two[s][1] >= high for s, (low, high) in one.items())
    assert roomy == {s: (4 * low, 4 * high) for s, (low, high) in one.items()}


def test_misuse_is_explained():
    weights = random_weights(TRM)
    with pytest.raises(ValueError, match="at least one batch"):
        activation_ranges(build(TRM), weights, [], steps=1)
    with pytest.raises(ValueError, match=r"headroom must be positive, got headroom=0.0"):
        activation_ranges(build(TRM), weights, batches(), steps=1, headroom=0.0)


def broken(factor: float, name: str = "gate_up_proj"):
    """Scale the kernels of one name."""
    weights = random_weights(TRM)

    def scaled(path, leaf):
        return leaf * factor if any(key.key == name for key in path) else leaf

    return weights._replace(params=jax.tree_util.tree_map_with_path(scaled, weights.params))


@pytest.mark.parametrize("measure", [activation_ranges, input_and_state_ranges])
def test_trajectories_beyond_float32_name_a_site(measure):
    weights = broken(1e25)  # silu(gate) * up is a product of two of them
    with pytest.raises(ValueError, match=r"down_proj: the calibration puzzles drive its inputs"):
        measure(build(TRM), weights, batches(), steps=1)


def test_a_site_that_nothing_reaches_has_no_range():
    with pytest.raises(ValueError, match=r"lm_head: no calibration puzzle reaches it"):
        finite_ends("lm_head", RANGE.empty(4))


def test_a_batch_without_puzzles_is_refused():
    empty = Batch(*(x[:0] for x in batches()[0]))
    weights = random_weights(TRM)
    for measure in (activation_ranges, hessians):
        with pytest.raises(ValueError, match="batch 1 of the calibration holds no puzzles"):
            measure(build(TRM), weights, [batches()[0], empty], steps=1)
    with pytest.raises(ValueError, match="batch 0 of the calibration holds no puzzles"):
        Calibration(TRM, weights, [empty], steps=1).batches  # noqa: B018


def test_what_is_measured_once_is_kept():
    seen, values = Calibration(TRM, random_weights(TRM), batches(), steps=1), iter("xy")
    assert [seen.once(name, lambda: next(values)) for name in "aba"] == ["x", "y", "x"]


THREADS = """
import hashlib, sys
import jax, numpy as np
from quant.ptq.calibrate import HESSIAN
for rows, width in ((4096, 37), (2080, 128)):
    x = np.random.default_rng(0).normal(size=(rows, width)).astype(np.float32)
    sums = jax.jit(HESSIAN.add)(HESSIAN.empty(width), x)
    print(hashlib.sha256(np.asarray(sums).tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_hessians_do_not_depend_on_the_number_of_threads():
    """XLA's CPU client reads NPROC; one long product differs between 1 and 2 threads."""
    told = {
        subprocess.run(
            [sys.executable, "-c", THREADS],
            env=os.environ | {"NPROC": threads, "JAX_ENABLE_COMPILATION_CACHE": "false"},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for threads in ("1", "2", "16")
    }
    assert len(told) == 1
    assert next(iter(told))


def test_a_hessian_of_blocks_is_that_of_all_rows():
    """The last block is filled up with rows of zeros, which add nothing."""
    x = np.random.default_rng(1).normal(size=(2, 75, 5)).astype(np.float32)
    exact = np.einsum("bri,brj->ij", x.astype(np.float64), x.astype(np.float64))
    sums = HESSIAN.add(HESSIAN.add(HESSIAN.empty(5), jnp.asarray(x[:1])), jnp.asarray(x[1:]))
    # each sum of 150 products has at most 150 roundings of half an ulp of its absolute terms
    bound = 150 * 2.0**-24 * np.einsum("bri,brj->ij", np.abs(x), np.abs(x))
    assert (np.abs(np.asarray(sums) - exact) <= bound).all()
