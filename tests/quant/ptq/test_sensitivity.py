"""What quantising a matrix costs: heads are seen, and full precision costs nothing."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from jax import Array

from quant.affine import Affine, Grid, QTensor, Range, fake_quantise, scale_zero_point
from quant.dot_general import STATIC_GRIDS
from quant.ptq.calibrate import Calibration, input_widths
from quant.ptq.methods import METHODS, quantise_weights
from quant.ptq.sensitivity import Sensitivity, read_steps, state_losses, step_loss
from quant.ptq.weights import QuantisedParams, dequantise_params
from quant.scheme import Activations, Rounding, parse, parse_weights
from tests.support.samples import random_batch, random_weights, small
from trm_jax.config import Mixer, Positions, TRMConfig
from trm_jax.models.act import rollout
from trm_jax.models.build import build
from trm_jax.types import Batch

CONFIG = TRMConfig(
    **small(), mixer=Mixer.MLP, positions=Positions.NONE, L_layers=1, puzzle_emb_len=1
)
GPTQ = parse_weights("w3t-sym-gptq")


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    weights = random_weights(CONFIG)
    return Calibration(CONFIG, weights, [random_batch(CONFIG, 3)], steps=1)


def test_nothing_quantised_costs_nothing(calibration: Calibration) -> None:
    """The cosine of a state to itself is exactly 1, and the KL of equal numbers 0."""
    assert Sensitivity(calibration).loss({}) == 0.0


def test_every_matrix_is_seen(calibration: Calibration) -> None:
    """Also the heads, which the states do not see."""
    of = Sensitivity(calibration)
    coarse = parse_weights("w2t-sym")
    assert all(of.loss({site: coarse}) > 0 for site in input_widths(calibration.weights.params))


def test_all_matrices_are_what_quantise_weights_makes(calibration: Calibration) -> None:
    """Both round the same kernels by the same calibration and run the same compiled step."""
    weights, batch = calibration.weights, calibration.batches[0]
    mixed = dequantise_params(quantise_weights(weights.params, parse(GPTQ.name), calibration))
    exact = read_steps(calibration.reasoner, weights, batch, 1)
    step = read_steps(calibration.reasoner, weights._replace(params=mixed), batch, 1)
    sites = input_widths(weights.params)
    assert Sensitivity(calibration).loss(dict.fromkeys(sites, GPTQ)) == float(
        step_loss(exact, step)
    )


def test_the_loss_is_cosines_and_divergences(calibration: Calibration) -> None:
    """Against float64 NumPy; 1 - cosine cancels, so float32 leaves some 1e-6 of each term."""
    weights, batch = calibration.weights, calibration.batches[0]
    other = dequantise_params(quantise_weights(weights.params, parse("w2t-sym")))
    exact = read_steps(calibration.reasoner, weights, batch, 1)
    step = read_steps(calibration.reasoner, weights._replace(params=other), batch, 1)

    def cosine(a: Any, b: Any) -> float:
        x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
        norms = np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1)
        return float(np.mean(np.sum(x * y, axis=-1) / norms))

    p, q = (np.asarray(s[1].logits, np.float64) for s in (exact, step))
    logits = 1 - cosine(*(x - x.mean(axis=-1, keepdims=True) for x in (p, q)))
    a, b = (scipy.special.expit(np.asarray(s[1].q_halt, np.float64)) for s in (exact, step))
    halting = np.mean(scipy.special.rel_entr(a, b) + scipy.special.rel_entr(1 - a, 1 - b))
    states = sum(1 - cosine(x, y) for x, y in zip(exact[0], step[0], strict=True))
    expected = states + logits + halting
    assert float(step_loss(exact, step)) == pytest.approx(expected, rel=1e-4, abs=4e-6)


def test_steps_and_puzzles_are_averaged() -> None:
    """Two steps are those that rollouts of one and of two steps end with, of each batch alone."""
    weights = random_weights(CONFIG)
    batches = [random_batch(CONFIG, 3, seed) for seed in (1, 2)]
    of = Calibration(CONFIG, weights, batches, steps=2)
    coarse = dequantise_params(quantise_weights(weights.params, parse("w2t-sym")))

    def loss(batch: Batch, steps: int) -> float:
        ends = [
            rollout(of.reasoner, used, batch, steps=steps, observe=lambda _: None)[0]
            for used in (weights, weights._replace(params=coarse))
        ]
        params = (weights.params, coarse)
        both = [
            (end, of.reasoner.read_out(p, end.z_H)) for p, end in zip(params, ends, strict=True)
        ]
        return float(step_loss(*both))

    expected = np.mean([loss(batch, steps) for batch in batches for steps in (1, 2)])
    sites = input_widths(weights.params)
    found = Sensitivity(of, steps=2, batches=2).loss(dict.fromkeys(sites, parse_weights("w2t-sym")))
    # each of four cosines, and a sum in another order, is rounded to some 1e-6
    assert found == pytest.approx(expected, rel=1e-4, abs=4e-6)


@pytest.mark.parametrize(
    ("mixer", "site"), [(Mixer.MLP, "mlp_t_sum"), (Mixer.ATTENTION, "mlp_out")]
)
def test_a_state_is_rounded_alone(mixer: Mixer, site: str) -> None:
    """Against a model built with that one rounded, on a grid over what its cells hold."""
    config = TRMConfig(**small(puzzle_emb_len=1), mixer=mixer, positions=Positions.NONE, L_layers=1)
    weights, batch = random_weights(config), random_batch(config, 3)
    of = Calibration(config, weights, [batch], steps=1)
    state = f"L_level/layers_0/{'mlp_t_sum' if mixer is Mixer.MLP else 'mlp_out'}"
    seen: list[Array] = []

    def keep(name: str, x: Array) -> Array:
        if name == state:  # where positions are mixed, they lead
            seen.append(x if mixer is Mixer.MLP else x.swapaxes(0, 1))
        return x

    with jax.disable_jit():
        read_steps(build(of.reasoner.config, on_state=keep), weights, batch, 1)
    found = state_losses(of)[state]
    for first, activations, loss in (  # the prefix is one position
        (1, Activations.STATIC_INT8, found.int8_cells),
        (0, Activations.STATIC_INT8, found.int8),
        (0, Activations.STATIC_INT16, found.int16),
    ):
        span, grid = jnp.stack(seen)[:, first:], STATIC_GRIDS[activations]
        affine = scale_zero_point(Range(span.min(), span.max()), grid)

        def on_state(name: str, x: Array, affine: Affine = affine, grid: Grid = grid) -> Array:
            return fake_quantise(x, affine, grid) if name == state else x

        rounded = build(of.reasoner.config, on_state=on_state)
        steps = [read_steps(each, weights, batch, 1) for each in (of.reasoner, rounded)]
        # each of four cosines is rounded to some 1e-7, in two programs
        assert loss == pytest.approx(float(step_loss(*steps)), rel=1e-3, abs=4e-6)
    assert found.int8 > found.int16


def test_no_puzzles_are_refused() -> None:
    empty = Calibration(CONFIG, random_weights(CONFIG), [], steps=1)
    with pytest.raises(ValueError, match="measured on calibration puzzles, got none"):
        Sensitivity(empty)


def test_what_was_rounded_is_not_rounded_again(
    calibration: Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recipe's integers are those that its losses were measured with; other kernels are not."""
    asked: list[str] = []
    nearest = METHODS[Rounding.NEAREST]

    def counted(site: str, *rest: Any) -> QTensor:
        asked.append(site)
        return nearest(site, *rest)

    monkeypatch.setitem(METHODS, Rounding.NEAREST, counted)
    params = calibration.weights.params
    sites = sorted(input_widths(params))
    Sensitivity(calibration).loss(dict.fromkeys(sites, parse_weights("w5t-sym")))
    first = quantise_weights(params, parse("w5t-sym"), calibration)
    assert sorted(asked) == sites
    doubled = quantise_weights(jax.tree.map(lambda x: 2 * x, params), parse("w5t-sym"), calibration)
    assert sorted(asked) == sorted(2 * sites)
    for one, two in zip(*map(kernels_of, (first, doubled)), strict=True):
        np.testing.assert_array_equal(one.qvalue, two.qvalue)
        np.testing.assert_array_equal(2 * one.scale, two.scale)


def kernels_of(quantised: QuantisedParams) -> list[QTensor]:
    leaves = jax.tree.leaves(quantised, is_leaf=lambda leaf: isinstance(leaf, QTensor))
    return [leaf for leaf in leaves if isinstance(leaf, QTensor)]
