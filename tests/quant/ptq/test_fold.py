"""The SwiGLU fold changes no bit of a network in float, and makes channels alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quant.ptq.fold import CAP, fold, fold_factors, powers_of_two
from quant.scheme import Ranges, parse
from tests.support.samples import random_batch, random_weights, small
from trm_jax.config import Mixer, Positions, TRMConfig
from trm_jax.evaluators import trajectory
from trm_jax.models.build import build
from trm_jax.types import Weights

SIZES = small(seq_len=9, H_cycles=1)
MLP = TRMConfig(**SIZES, puzzle_emb_len=2, L_layers=1, mixer=Mixer.MLP, positions=Positions.NONE)
ATTENTION = TRMConfig(**SIZES, puzzle_emb_len=2, L_layers=1)
STEPS = 2


def some_factors(config: TRMConfig, weights: Weights) -> dict[str, np.ndarray]:
    return fold_factors(build(config), weights, [random_batch(config, 3)], steps=STEPS)


@pytest.mark.parametrize("config", [MLP, ATTENTION], ids=["mlp", "attention"])
def test_fold_changes_no_bit_of_a_trajectory(config: TRMConfig) -> None:
    weights = random_weights(config)
    factors = some_factors(config, weights)
    assert any(np.any(s != 1) for s in factors.values())
    folded = weights._replace(params=fold(weights.params, factors, lambda site: True))
    batch = random_batch(config, 3)
    before, after = (trajectory(build(config), w, batch, steps=STEPS) for w in (weights, folded))
    np.testing.assert_array_equal(before, after)  # powers of two move exponents alone


def test_fold_leaves_mlps_that_are_not_chosen() -> None:
    weights = random_weights(MLP)
    factors = {site: np.full_like(s, 2) for site, s in some_factors(MLP, weights).items()}
    folded = fold(weights.params, factors, lambda site: "mlp_t" in site)
    same = jax.tree_util.tree_map(lambda a, b: bool(jnp.all(a == b)), weights.params, folded)
    changed = {
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, equal in jax.tree_util.tree_leaves_with_path(same)
        if not equal
    }
    assert changed
    assert all("/mlp_t/" in name for name in changed)


def test_factors_are_capped_powers_of_two() -> None:
    factors = powers_of_two(np.asarray([0, 0.01, 1, 1, 1, 2.1, 1000], np.float32))
    np.testing.assert_array_equal(factors, [1 / CAP, 1 / CAP, 1, 1, 1, 2, CAP])


def test_channels_that_never_fire_keep_their_size() -> None:
    np.testing.assert_array_equal(powers_of_two(np.zeros(3, np.float32)), [1, 1, 1])


def test_factors_need_puzzles() -> None:
    with pytest.raises(ValueError, match="at least one batch"):
        fold_factors(build(MLP), random_weights(MLP), [], steps=STEPS)


@pytest.mark.parametrize("name", ["w8c-sym_a8s-cells-fold", "w8c-sym_a16s-cells-fold_tflm"])
def test_names_of_folded_schemes_are_read_back(name: str) -> None:
    assert parse(name).ranges is Ranges.FOLDED_CELLS
    assert parse(name).name == name


def test_fold_of_activations_without_ranges_is_refused() -> None:
    with pytest.raises(ValueError, match="only static activations"):
        parse("w8c-sym_a8d-cells-fold")
