"""Static int8 states: the grid against NumPy, the ranges against a plain run, the wiring."""

import jax.numpy as jnp
import numpy as np
import pytest

from quant.carry import static_states
from quant.ptq.calibrate import activation_ranges, input_and_state_ranges, state_widths
from tests.support.oracles import recursion as oracle
from tests.support.samples import random_batch, random_weights, small
from trm_jax.config import HRMConfig, Mixer, Positions, TRMConfig
from trm_jax.models.build import build

MLP = TRMConfig(  # one L-cycle: a trajectory of z_L then shows every update
    **small(mixer=Mixer.MLP, positions=Positions.NONE, L_cycles=1), puzzle_emb_len=1
)
ATT = TRMConfig(**small(), puzzle_emb_len=1)
STEPS = 2


@pytest.fixture(scope="module")
def calibrated():
    """Weights, batch and ranges of the MLP model."""
    weights, batch = random_weights(MLP, seed=5), random_batch(MLP, 4, seed=6)
    return weights, batch, *input_and_state_ranges(build(MLP), weights, [batch], steps=STEPS)


def test_sites_are_the_states_of_every_block_in_both_levels():
    halves = {"MLP": ("mlp_t", "mlp"), "ATT": ("self_attn", "mlp")}
    for config, names in ((MLP, halves["MLP"]), (ATT, halves["ATT"])):
        wanted = {"L_level/injection", "L_level/start"} | {
            f"L_level/layers_{i}/{half}_{what}"
            for i in range(2)
            for half in names
            for what in ("out", "sum", "norm")
        }
        found = state_widths(build(config), random_weights(config).params)
        assert found.keys() == wanted
    hrm = HRMConfig(**small(), H_layers=1, L_layers=1)
    levels = {site.split("/")[0] for site in state_widths(build(hrm), random_weights(hrm).params)}
    assert levels == {"L_level", "H_level"}


def test_inputs_are_calibrated_as_alone(calibrated):
    weights, batch, inputs, _ = calibrated
    assert inputs == activation_ranges(build(MLP), weights, [batch], steps=STEPS)


def test_ranges_of_states_are_those_of_a_plain_run(calibrated):
    """The normalised output of the last half-block is the state itself, z_L or z_H."""
    weights, batch, _, states = calibrated
    z_H, z_L = oracle.trajectory(MLP, weights, batch, MLP.H_cycles * STEPS)
    low, high = states["L_level/layers_1/mlp_norm"]
    # float32 against float64 over 8 network calls
    assert low == pytest.approx(min(z_H.min(), z_L.min()), rel=1e-4)
    assert high == pytest.approx(max(z_H.max(), z_L.max()), rel=1e-4)


def test_a_state_is_rounded_as_numpy_does():
    rounding = static_states({"L_level/start": (-1.5, 3.0)})
    x = np.linspace(-2, 4, 601, dtype=np.float32)
    scale = np.float32(4.5) / np.float32(255)
    zero = np.round(np.float32(1.5) * (np.float32(1) / scale))
    q = np.clip(np.round(x * (np.float32(1) / scale)) + zero, 0, 255)
    np.testing.assert_array_equal(
        rounding("L_level/start", jnp.asarray(x)), (q - zero).astype(np.float32) * scale
    )


@pytest.mark.slow
def test_every_site_passes_through_the_rounding(calibrated):
    weights, batch, _, states = calibrated
    seen = []

    def note(site, state):
        seen.append(site)
        return state

    z = jnp.zeros((1, MLP.num_positions, MLP.hidden_size))
    build(MLP, on_state=note).networks.update_L(weights.params, z, z)
    assert set(seen) == states.keys()
    del batch


def test_a_rounded_model_leaves_its_path_a_little(calibrated):
    weights, _, _, states = calibrated
    z = jnp.asarray(
        np.random.default_rng(1).normal(size=(1, MLP.num_positions, MLP.hidden_size)), jnp.float32
    )
    exact = build(MLP).networks.update_L(weights.params, z, z * 0)
    rounded = build(MLP, on_state=static_states(states)).networks.update_L(weights.params, z, z * 0)
    assert not np.array_equal(exact, rounded)
    low, high = states["L_level/layers_1/mlp_norm"]
    steps = np.asarray(rounded) / ((high - low) / 255)
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)  # on the grid of the last site


def test_an_uncalibrated_site_is_refused():
    with pytest.raises(ValueError, match="no calibrated range for 'L_level/start'"):
        static_states({"L_level/injection": (0.0, 1.0)})("L_level/start", jnp.zeros(2))
