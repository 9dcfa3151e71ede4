"""Calibrated output ranges against the products of a rollout, and static blocks against them."""

import jax
import numpy as np
import pytest

from export.graph.tflite_writer import write_tflite
from export.lowering.model import lower_floats
from export.lowering.storage import plan_for
from export.targets import Target
from quant.ptq.calibrate import ProductRange
from quant.ptq.weights import dequantise_params
from quant.scheme import parse
from quant.simulation import plan_dot_general, quantise_for
from tests.support.export.models import CONFIGS, run, states
from tests.support.rounding import rms
from tests.support.samples import random_batch, random_weights
from tests.support.slow import slow_except
from trm_jax.models.act import rollout
from trm_jax.models.build import build
from trm_jax.models.trm import trm
from trm_jax.types import DotGeneral, Weights

CONFIG = CONFIGS["mlp"]
STEPS = 2


@pytest.fixture(scope="module")
def weights() -> Weights:
    return random_weights(CONFIG)


@pytest.fixture(scope="module")
def ranges(weights: Weights) -> dict[str, ProductRange]:
    return calibrated(build(CONFIG), weights, [random_batch(CONFIG, 3)], steps=STEPS)


def test_ranges_are_the_ends_of_a_rollout(
    weights: Weights, ranges: dict[str, ProductRange]
) -> None:
    """Watch every product of the rollout itself, from inside, by a callback."""
    seen: dict[str, list[tuple[float, float]]] = {}

    def watched(site: str) -> DotGeneral:
        def product(x: jax.Array, kernel: jax.Array, *rest: object, **named: object) -> jax.Array:
            y = jax.lax.dot_general(x, kernel, *rest, **named)  # pyright: ignore
            low_high = seen.setdefault(site, [])
            jax.debug.callback(lambda a: low_high.append((float(a.min()), float(a.max()))), y)
            return y

        return product

    batch = random_batch(CONFIG, 3)
    jax.block_until_ready(
        rollout(trm(CONFIG, watched), weights, batch, steps=STEPS, observe=lambda _: None)
    )
    jax.effects_barrier()
    assert seen.keys() == {site for site in ranges if "level" in site}
    for site, ends in seen.items():
        low, high = np.min([e[0] for e in ends]), np.max([e[1] for e in ends])
        # two float32 programs of one rollout: rounding grows to 1e-4 in 6 applications at most
        np.testing.assert_allclose(ranges[site].output, (low, high), rtol=1e-3)


def test_headroom_scales_both_ends(weights: Weights, ranges: dict[str, ProductRange]) -> None:
    batches = [random_batch(CONFIG, 3)]
    wide = calibrated(build(CONFIG), weights, batches, steps=STEPS, headroom=1.5)
    for site, (inputs, outputs) in ranges.items():
        np.testing.assert_allclose(wide[site].input, np.multiply(inputs, 1.5))
        np.testing.assert_allclose(wide[site].output, np.multiply(outputs, 1.5))


@pytest.mark.parametrize("scheme", slow_except(["w8c-sym_a8s", "w4c-asym_a8s"], "w8c-sym_a8s"))
def test_static_blocks_equal_their_simulation(
    scheme: str, weights: Weights, ranges: dict[str, ProductRange]
) -> None:
    """XNNPACK rounds inputs and outputs as simulated, but for ties (lowering/test_model.py)."""
    plan = plan_for(parse(scheme), Target.LITERT)
    quantised = quantise_for(weights.params, plan.precision)
    data = write_tflite(
        lower_floats(CONFIG, quantised, plan, batch=2, graphs=("block",), ranges=ranges)
    )
    params = dequantise_params(quantised)
    z, injection = states(CONFIG, 2, 2)
    got = run(data, "block", z=z, injection=injection)["z"]
    update = trm(CONFIG, plan_dot_general(plan.precision, ranges)).networks.update_L
    want = np.asarray(update(params, z, injection))
    exact = np.asarray(trm(CONFIG).networks.update_L(params, z, injection))
    flips = np.sqrt(12 * 2 * 4 * 2.0**-24 * 255)
    # inputs and outputs of two products in a row, in two layers
    assert rms(got - want) <= 4 * flips * rms(want - exact)
    assert rms(want - exact) > 0


def test_static_plans_ask_for_ranges() -> None:
    plan = plan_for(parse("w8c-sym_a8s"), Target.LITERT)
    with pytest.raises(ValueError, match="needs calibrated ranges, got none"):
        plan_dot_general(plan.precision)
    product = plan_dot_general(plan.precision, {"lm_head": ProductRange((0.0, 1.0), (0.0, 1.0))})
    with pytest.raises(ValueError, match="no calibrated range for 'q_head'; calibrated sites: lm"):
        product("q_head")
