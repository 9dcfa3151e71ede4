"""Learned rounding: from integers of GPTQ to better ones, and never to worse ones."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from quant.affine import QTensor, validate
from quant.ptq import rounding
from quant.ptq.calibrate import Calibration, input_widths
from quant.ptq.methods import quantise_weights
from quant.ptq.rounding import (
    CYCLES,
    INSIDE,
    LearnedMatrix,
    LearningProblem,
    LearningSettings,
    PuzzleStates,
    distance,
    draw_puzzles,
    first_matrix,
    follow,
    lead,
    learn_rounding,
    learned_weights,
    rates_of,
    round_learned,
    score_matrices,
    split_puzzles,
)
from quant.ptq.weights import QuantisedParams, quantise_params
from quant.scheme import parse
from quant.simulation import simulate
from tests.support.samples import random_batch, random_weights, small
from trm_jax.config import Config, HRMConfig, Mixer, Positions, TRMConfig
from trm_jax.models.recursion import h_cycle

MLP = TRMConfig(**small(), mixer=Mixer.MLP, positions=Positions.NONE, L_layers=1, puzzle_emb_len=1)
ATTENTION = TRMConfig(**small(), L_layers=1)
HRM = HRMConfig(**small(), L_layers=1, H_layers=1)
QUICK = LearningSettings(updates=6, tokens=15, score_every=2)
PUZZLES = 8


def calibration_of(config: Config) -> Calibration:
    return Calibration(config, random_weights(config), [random_batch(config, PUZZLES)], steps=2)


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return calibration_of(MLP)


@pytest.fixture
def last_is_best(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have learning end with its last iterate, whatever that is worth."""
    scores = itertools.count(0, -1)
    monkeypatch.setattr(rounding, "score_matrices", lambda *_: next(scores))


def start_of(calibration: Calibration, name: str) -> QuantisedParams:
    """Round to nearest: what is learned may start from any integers."""
    return quantise_params(calibration.weights.params, parse(name))


def leaves_of(tree: QuantisedParams) -> dict[str, Any]:
    leaves = flatten_dict(tree, sep="/", is_leaf=lambda _, leaf: isinstance(leaf, QTensor))
    return dict(leaves)


def problem_of(calibration: Calibration, tree: QuantisedParams) -> LearningProblem:
    leaves = leaves_of(tree)
    start = {
        site: leaves.pop(f"{site}/kernel") for site in input_widths(calibration.weights.params)
    }
    return LearningProblem(calibration.weights, start, leaves)


def first_matrices(calibration: Calibration, problem: LearningProblem) -> dict[str, LearnedMatrix]:
    kernels = leaves_of(calibration.weights.params)
    return {s: first_matrix(q, kernels[f"{s}/kernel"]) for s, q in problem.start.items()}


def held_out_loss(calibration: Calibration, tree: QuantisedParams) -> float:
    """Score a tree on the puzzles that are held out, from its integers alone."""
    problem, rng = problem_of(calibration, tree), np.random.default_rng(QUICK.seed)
    reasoner = calibration.reasoner
    _, held_out = split_puzzles(reasoner, calibration.weights, calibration.batches, 2, rng)
    return score_matrices(reasoner, problem, first_matrices(calibration, problem), held_out)


@pytest.mark.slow
@pytest.mark.parametrize("config", [MLP, ATTENTION, HRM], ids=["mlp", "attention", "hrm"])
def test_integers_are_better_on_puzzles_held_out(config: Config) -> None:
    """And on the grid, and the same again from the same seed."""
    calibration = calibration_of(config)
    start = start_of(calibration, "w2t-auto-mse")
    sites = list(input_widths(calibration.weights.params))
    learned = learn_rounding(start, sites, calibration, QUICK)
    again = learn_rounding(start, sites, calibration, QUICK)
    assert held_out_loss(calibration, learned) < held_out_loss(calibration, start)
    jax.tree.map(np.testing.assert_array_equal, learned, again)
    for name, leaf in leaves_of(learned).items():
        if isinstance(leaf, QTensor):
            validate(leaf)
            old = leaves_of(start)[name]
            assert leaf.grid == old.grid
            np.testing.assert_array_equal(leaf.zero_point, old.zero_point)


@pytest.mark.slow
@pytest.mark.usefixtures("last_is_best")
def test_a_matrix_that_is_learned_alone_leaves_the_others(calibration: Calibration) -> None:
    start = start_of(calibration, "w2c-asym[head=w3t-sym]")
    site = "L_level/layers_0/mlp/down_proj"
    learned = leaves_of(learn_rounding(start, [site], calibration, QUICK))
    before = leaves_of(start)
    assert learned.keys() == before.keys()
    changed = {
        name
        for name, leaf in before.items()
        if any(not np.array_equal(a, b) for a, b in zip(leaf, learned[name], strict=True))
    }
    assert changed == {f"{site}/kernel"}


@pytest.mark.slow
def test_updates_that_only_harm_keep_the_start(calibration: Calibration) -> None:
    start = start_of(calibration, "w4c-sym")
    wild = LearningSettings(updates=2, tokens=15, lr=100.0, scale_lr=10.0, score_every=1)
    sites = list(input_widths(calibration.weights.params))
    learned = learn_rounding(start, sites, calibration, wild)
    jax.tree.map(np.testing.assert_array_equal, learned, start)


@pytest.mark.slow
@pytest.mark.usefixtures("last_is_best")
def test_no_weight_crosses_before_it_was_looked_at(calibration: Calibration) -> None:
    """Adam's first updates move every weight alike, small gradients as large ones."""
    start = start_of(calibration, "w2t-sym")
    few = LearningSettings(updates=rounding.WARMUP, tokens=15)
    learned = leaves_of(
        learn_rounding(start, list(input_widths(calibration.weights.params)), calibration, few)
    )
    for name, leaf in leaves_of(start).items():
        if isinstance(leaf, QTensor):
            np.testing.assert_array_equal(learned[name].qvalue, leaf.qvalue)
            assert not np.array_equal(learned[name].scale, leaf.scale)


@pytest.mark.slow
def test_a_scheme_learns_the_matrices_that_ask_for_it(calibration: Calibration) -> None:
    """The others are rounded as without them; the whole runs like any other scheme."""
    name = "w2t-auto-gptq[head=w2t-auto-learned]"
    model = simulate(calibration_model(calibration), parse(name), calibration)
    alone = leaves_of(
        quantise_weights(calibration.weights.params, parse("w2t-auto-gptq"), calibration)
    )
    for path, leaf in leaves_of(model.quantised).items():
        if not path.startswith(("lm_head/kernel", "q_head/kernel")):
            jax.tree.map(np.testing.assert_array_equal, leaf, alone[path])
    trajectory = model.trajectory(calibration.batches[0], steps=4)
    assert np.isfinite(np.asarray(trajectory)).all()
    assert model.tokens(trajectory[-1]).shape == (PUZZLES, MLP.seq_len)


def calibration_model(calibration: Calibration) -> Any:
    class Model:
        config = calibration.reasoner.config
        weights = calibration.weights

    return Model()


def test_one_puzzle_cannot_be_learned_from() -> None:
    one = Calibration(MLP, random_weights(MLP), [random_batch(MLP, 1)], steps=2)
    with pytest.raises(ValueError, match="on two calibration puzzles or more, got 1"):
        learn_rounding(start_of(one, "w4t-sym"), ["lm_head"], one)
    with pytest.raises(ValueError, match="w4t-sym-learned needs calibration puzzles, got none"):
        quantise_weights(one.weights.params, parse("w4t-sym-learned"))


@pytest.mark.parametrize("name", ["w3t-sym", "w2c-asym", "w4t-auto-mse"])
def test_the_first_matrix_is_that_of_the_start(calibration: Calibration, name: str) -> None:
    problem = problem_of(calibration, start_of(calibration, name))
    kernels = leaves_of(calibration.weights.params)
    for site, matrix in first_matrices(calibration, problem).items():
        start = problem.start[site]
        jax.tree.map(np.testing.assert_array_equal, round_learned(start, matrix), start)
        exact = np.asarray(kernels[f"{site}/kernel"] / start.scale)
        steps = np.asarray(start.qvalue, np.int64) - np.asarray(start.zero_point)
        near = np.abs(exact - steps) <= 0.5
        off = np.abs(np.asarray(matrix.steps) - exact)[near & (np.abs(exact) <= np.abs(steps))]
        assert off.max(initial=0) <= 0.5 - INSIDE + 1e-6  # held INSIDE from the integer, not .5


def test_gradients_pass_all_cycles(calibration: Calibration) -> None:
    """Of scales against central differences, which know nothing of the rounding's gradient.

    The loss is smooth in the logarithm of a scale: differences over 2e-2 are off by its third
    derivative times 2e-4 / 6, and by float32's 1e-7 of the loss over 2e-2.
    """
    problem = problem_of(calibration, start_of(calibration, "w3t-sym"))
    matrices = first_matrices(calibration, problem)
    batch, reasoner = calibration.batches[0], calibration.reasoner
    latents = reasoner.start(calibration.weights.buffers, PUZZLES)
    states = PuzzleStates(batch, latents, jnp.zeros(PUZZLES, jnp.int32))
    exact = lead(reasoner, calibration.weights, states)

    @jax.jit
    def loss(matrices: dict[str, LearnedMatrix]) -> jax.Array:
        return distance(exact, follow(reasoner, learned_weights(problem, matrices), states))

    gradients = jax.grad(loss)(matrices)
    for site, gradient in gradients.items():
        assert np.abs(gradient.steps).max() > 0, site
        above, below = (
            loss({**matrices, site: m._replace(log_scale=m.log_scale + step)})
            for m, step in ((matrices[site], 0.01), (matrices[site], -0.01))
        )
        numerical = float(above - below) / 0.02
        assert float(gradient.log_scale.sum()) == pytest.approx(numerical, rel=0.02, abs=2e-4)


def test_both_models_run_the_same_cycles(calibration: Calibration) -> None:
    """Scanned or laid out, and like the recursion of one H-cycle; apart by float32 alone."""
    batch, reasoner, weights = calibration.batches[0], calibration.reasoner, calibration.weights
    latents = reasoner.start(weights.buffers, PUZZLES)
    states = PuzzleStates(batch, latents, jnp.zeros(PUZZLES, jnp.int32))
    rows = weights.puzzle_emb[batch.puzzle_identifiers]
    e = reasoner.embed(weights.params, batch.inputs, rows)
    for _ in range(CYCLES):
        latents = h_cycle(reasoner.networks, weights.params, latents, e, MLP.L_cycles)
    for run in (lead, follow):
        (z_H, z_L), _ = run(reasoner, weights, states)
        np.testing.assert_allclose(z_H, latents.z_H, rtol=0, atol=1e-5)
        np.testing.assert_allclose(z_L, latents.z_L, rtol=0, atol=1e-5)
    assert float(distance(lead(reasoner, weights, states), lead(reasoner, weights, states))) == 0.0


def test_puzzles_are_held_out_and_placed_along_their_trajectories(
    calibration: Calibration,
) -> None:
    reasoner, weights = calibration.reasoner, calibration.weights
    training, held_out = split_puzzles(
        reasoner, weights, calibration.batches, 3, np.random.default_rng(1)
    )
    inputs = np.concatenate([held_out[0].puzzles.inputs, training.puzzles.inputs])
    np.testing.assert_array_equal(inputs, calibration.batches[0].inputs)
    assert not np.any(held_out[0].turns)
    assert set(np.asarray(training.turns)) <= {0, 1, 2}
    for states in (training, *held_out):
        latents = reasoner.start(weights.buffers, len(states.turns))
        for turn in range(3):
            here = np.asarray(states.turns) == turn
            for kept, now in zip(states.latents, latents, strict=True):
                np.testing.assert_allclose(kept[here], now[here], rtol=0, atol=1e-5)
            latents, _ = lead(reasoner, weights, states._replace(latents=latents))


def test_every_puzzle_has_its_turn() -> None:
    draws = draw_puzzles(np.random.default_rng(0), 7, 3)
    for _ in range(3):
        once = np.concatenate([next(draws), next(draws)])
        assert len(set(once.tolist())) == 6


def test_learning_rates_rise_and_fall_to_nothing() -> None:
    settings = LearningSettings(updates=50, lr=0.5, scale_lr=0.1)
    rates = [rates_of(settings, update) for update in range(1, 51)]
    steps = np.array([float(rate.steps) for rate in rates])
    assert steps.argmax() == 9
    assert steps.max() == pytest.approx(0.5)
    assert steps[-1] == pytest.approx(0, abs=1e-7)
    np.testing.assert_allclose([float(r.log_scale) for r in rates], steps / 5, rtol=1e-6)
