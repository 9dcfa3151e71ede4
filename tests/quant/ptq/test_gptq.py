"""Rounding with Hessians, against the update that removes one input after the other."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quant.affine import (
    Affine,
    Clipping,
    Grid,
    QTensor,
    Symmetry,
    calibrate,
    dequantise,
    quantise,
    scale_zero_point,
    validate,
)
from quant.ptq.calibrate import Calibration
from quant.ptq.gptq import round_site, round_with_hessian
from quant.ptq.methods import quantise_weights
from quant.ptq.weights import quantise_params
from quant.scheme import parse, parse_weights
from quant.simulation import calibrate_on, simulate
from tests.support.samples import random_batch, random_weights, small
from trm_jax.config import Mixer, Positions, TRMConfig

INPUTS, OUTPUTS, TOKENS = 24, 10, 400
METHODS_OF = ("gptq-first", "gptq")
GRIDS = [
    Grid(bits=4),
    Grid(bits=3, channel_axes=(-1,)),
    Grid(bits=4, symmetry=Symmetry.ASYMMETRIC),
    Grid(bits=2, symmetry=Symmetry.ASYMMETRIC, channel_axes=(-1,)),
]
EACH_GRID = pytest.mark.parametrize("grid", GRIDS, ids=lambda g: f"{g.bits}{g.symmetry.value}")


class TinyModel:
    config = TRMConfig(
        **small(), mixer=Mixer.MLP, positions=Positions.NONE, L_layers=1, puzzle_emb_len=1
    )
    weights = random_weights(config)


def sample(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw a kernel, and inputs that go together, as activations do."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(TOKENS, 6)) @ rng.normal(size=(6, INPUTS))
    inputs = mixed + 0.3 * rng.normal(size=(TOKENS, INPUTS))
    return rng.normal(size=(INPUTS, OUTPUTS)).astype(np.float32), inputs


def grid_of(kernel: np.ndarray, grid: Grid) -> Affine:
    return scale_zero_point(calibrate(jnp.asarray(kernel), grid, Clipping.ALIGNED), grid)


def remove_one_by_one(
    kernel: np.ndarray, hessian: np.ndarray, affine: Affine, grid: Grid, damping: float
) -> np.ndarray:
    """Optimal brain quantisation in the paper's first form, in float64.

    The inverse Hessian of the inputs that are left is made anew for every input.
    """
    w, q = kernel.astype(np.float64), np.zeros(kernel.shape, np.int64)
    h = hessian + damping * np.diag(hessian).mean() * np.eye(len(hessian))
    scale, zero = np.asarray(affine.scale, np.float64)[0], np.asarray(affine.zero_point)[0]
    left = list(np.argsort(-np.diag(hessian), kind="stable"))
    while left:
        inverse, i = np.linalg.inv(h[np.ix_(left, left)]), left[0]
        q[i] = np.clip(np.round(w[i] / scale) + zero, grid.q_min, grid.q_max)
        error = (w[i] - (q[i] - zero) * scale) / inverse[0, 0]
        w[left] -= inverse[:, :1] * error
        left = left[1:]
    return q


@EACH_GRID
def test_integers_are_those_of_removing_inputs_one_by_one(grid: Grid) -> None:
    kernel, inputs = sample()
    hessian, affine = inputs.T @ inputs, grid_of(kernel, grid)
    q = round_with_hessian(jnp.asarray(kernel), hessian, affine, grid)
    validate(q)
    expected = remove_one_by_one(kernel, hessian, affine, grid, damping=0.01)
    np.testing.assert_array_equal(np.asarray(q.qvalue, np.int64), expected)


@EACH_GRID
def test_outputs_change_less_than_by_rounding_to_nearest(grid: Grid) -> None:
    kernel, inputs = sample(1)
    affine = grid_of(kernel, grid)

    def loss(q: QTensor) -> float:
        return float(np.square(inputs @ (np.asarray(dequantise(q), np.float64) - kernel)).sum())

    compensated = round_with_hessian(jnp.asarray(kernel), inputs.T @ inputs, affine, grid)
    assert loss(compensated) < loss(quantise(jnp.asarray(kernel), affine, grid))


@pytest.mark.parametrize("hessian", [np.eye(INPUTS), np.zeros((INPUTS, INPUTS))])
def test_inputs_that_do_not_go_together_are_rounded_to_nearest(hessian: np.ndarray) -> None:
    """Among them a product that never ran."""
    kernel, grid = sample()[0], GRIDS[0]
    affine = grid_of(kernel, grid)
    q = round_with_hessian(jnp.asarray(kernel), hessian, affine, grid)
    np.testing.assert_array_equal(q.qvalue, quantise(jnp.asarray(kernel), affine, grid).qvalue)


def test_a_singular_hessian_and_unused_inputs() -> None:
    kernel, inputs = sample()
    inputs = np.repeat(inputs[:, :1], INPUTS, axis=1)  # all puzzles alike: one direction
    inputs[:, 5] = 0.0
    grid = GRIDS[0]
    affine = grid_of(kernel, grid)
    q = round_with_hessian(jnp.asarray(kernel), inputs.T @ inputs, affine, grid)
    validate(q)
    nearest = quantise(jnp.asarray(kernel), affine, grid)
    np.testing.assert_array_equal(q.qvalue[5], nearest.qvalue[5])
    change = inputs @ (np.asarray(dequantise(q)) - kernel)
    assert np.abs(change).max() < np.abs(inputs @ (np.asarray(dequantise(nearest)) - kernel)).max()


@pytest.mark.parametrize("rank", [1, 2])
def test_puzzles_that_are_all_alike_leave_the_outputs_alone(rank: int) -> None:
    """A Hessian of low rank: what the inputs do not see may move, what they see hardly does."""
    kernel, inputs = sample(2)
    inputs = np.repeat(inputs[:rank], TOKENS // rank, axis=0)
    grid = GRIDS[0]
    affine = grid_of(kernel, grid)
    q = round_with_hessian(jnp.asarray(kernel), inputs.T @ inputs, affine, grid)
    validate(q)
    nearest = quantise(jnp.asarray(kernel), affine, grid)
    ours, theirs = (np.abs(inputs @ (np.asarray(dequantise(r)) - kernel)) for r in (q, nearest))
    assert ours.sum() < theirs.sum()


def test_a_hessian_that_sums_have_made_indefinite_is_damped_until_it_is_not() -> None:
    kernel, inputs = sample(3)
    hessian = np.outer(inputs[0], inputs[0])
    hessian -= 0.05 * np.diag(hessian).mean() * np.eye(INPUTS)  # five times the damping
    np.fill_diagonal(hessian, np.maximum(np.diag(hessian), 1e-3))
    assert np.linalg.eigvalsh(hessian).min() < -0.01 * np.diag(hessian).mean()
    grid = GRIDS[1]
    validate(round_with_hessian(jnp.asarray(kernel), hessian, grid_of(kernel, grid), grid))


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_the_size_of_a_hessian_changes_no_integer(size: float) -> None:
    kernel, inputs = sample(4)
    hessian, grid = inputs.T @ inputs, GRIDS[2]
    round_by = functools.partial(
        round_with_hessian, jnp.asarray(kernel), affine=grid_of(kernel, grid), grid=grid
    )
    np.testing.assert_array_equal(round_by(hessian * size).qvalue, round_by(hessian).qvalue)


@pytest.mark.parametrize("name", ["w2c-auto-gptq", "w4t-sym-gptq-norm", "w3t-asym-gptq-first"])
def test_one_puzzle_is_enough_for_finite_weights(name: str) -> None:
    one = simulate(TinyModel(), parse(name), [random_batch(TinyModel.config, 1)], steps=2)
    for leaf in jax.tree.leaves(one.weights.params):
        assert np.isfinite(np.asarray(leaf)).all()


def test_damping_must_be_positive() -> None:
    kernel, grid = sample()[0], GRIDS[0]
    with pytest.raises(ValueError, match="damping must be positive, got damping=0"):
        round_with_hessian(
            jnp.asarray(kernel), np.eye(INPUTS), grid_of(kernel, grid), grid, damping=0.0
        )


def calibration() -> Calibration:
    return calibrate_on(TinyModel(), [random_batch(TinyModel.config, 3)], 2)


def test_a_hessian_that_overflowed_names_its_site() -> None:
    seen = calibration()
    seen.hessians = {**seen.hessians, "lm_head": seen.hessians["lm_head"] * jnp.inf}
    with pytest.raises(ValueError, match="lm_head: the calibration puzzles drive its inputs"):
        quantise_weights(TinyModel.weights.params, parse("w4t-sym-gptq"), seen)


def test_rounding_asks_for_puzzles() -> None:
    scheme, params = parse("w4t-sym-gptq"), TinyModel.weights.params
    with pytest.raises(ValueError, match="w4t-sym-gptq rounds weights by what puzzles drive"):
        quantise_params(params, scheme)
    with pytest.raises(ValueError, match="w4t-sym-gptq needs calibration puzzles, got none"):
        quantise_weights(params, scheme)
    with pytest.raises(ValueError, match="w4t-sym-gptq is calibrated on puzzles, and there are"):
        simulate(TinyModel(), scheme)


def test_the_first_calls_round_otherwise_than_all_cycles() -> None:
    shared, params = calibration(), TinyModel.weights.params
    seen = calibration()
    by_all = quantise_weights(params, parse("w3t-sym-gptq"), seen)
    other = calibration()  # one that has rounded nothing yet: what it rounds it keeps
    other.hessians = shared.first_call_hessians  # one method, that of the other's Hessians
    by_first = quantise_weights(params, parse("w3t-sym-gptq"), other)
    first, every = (quantise_weights(params, parse(f"w3t-sym-{m}"), shared) for m in METHODS_OF)
    for expected, got in ((by_first, first), (by_all, every)):
        jax.tree.map(np.testing.assert_array_equal, expected, got)
    site = ("L_level", "layers_0", "mlp", "down_proj", "kernel")
    a, b = (functools.reduce(lambda node, key: node[key], site, tree) for tree in (first, every))
    assert np.any(np.asarray(a.qvalue) != np.asarray(b.qvalue))
    with pytest.raises(ValueError, match="w3t-sym-gptq-first needs calibration puzzles"):
        quantise_weights(params, parse("w3t-sym-gptq-first"))


def test_a_calibration_serves_several_schemes() -> None:
    shared = calibration()
    for name in ("w4t-sym-gptq", "w3c-asym-gptq", "w8c-sym_a8s"):
        alone = simulate(TinyModel(), parse(name), [random_batch(TinyModel.config, 3)], steps=2)
        together = simulate(TinyModel(), parse(name), shared)
        assert together.ranges == alone.ranges
        for a, b in zip(*(map(np.asarray, _leaves(s)) for s in (together, alone)), strict=True):
            np.testing.assert_array_equal(a, b)


def _leaves(simulation) -> list:
    return jax.tree.leaves(simulation.weights)


def test_one_program_rounds_to_every_width(caplog: pytest.LogCaptureFixture):
    """A search for a recipe rounds every matrix to six widths: compiling took most of its time."""
    kernel, inputs = sample()
    kernel, hessian = (
        kernel[:, :7],
        jnp.asarray(inputs.T @ inputs, jnp.float32),
    )  # a shape of its own

    def compiled(name: str) -> int:
        caplog.clear()
        with jax.log_compiles():
            round_site("site", jnp.asarray(kernel), parse_weights(name), hessian)
        return sum(record.message.startswith("Compiling") for record in caplog.records)

    assert compiled("w3c-auto-gptq-norm") > 0
    assert compiled("w6c-auto-gptq-norm") == 0
