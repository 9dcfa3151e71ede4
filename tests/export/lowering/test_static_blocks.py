"""Blocks of static products in LiteRT against the simulation that a sweep evaluates."""

import numpy as np
import pytest

from export.graph.tflite_writer import write_tflite
from export.lowering.model import lower_floats
from export.lowering.storage import plan_for
from export.targets import Target
from quant.dot_general import site_dot_general
from quant.scheme import parse
from quant.simulation import simulate
from tests.support.export.models import CONFIGS, run, states
from tests.support.rounding import rms
from tests.support.samples import random_batch
from tests.support.slow import slow_except
from tests.support.tiny.export import source
from trm_jax.models.trm import trm

CONFIG = CONFIGS["mlp"]
STEPS = 2


@pytest.mark.parametrize("scheme", slow_except(["w8c-sym_a8s", "w4c-asym_a8s"]))
def test_static_blocks_equal_their_simulation(scheme: str) -> None:
    """XNNPACK rounds inputs and outputs as simulated, but for ties (test_model.py).

    A simulation that rounds inputs alone is farther from the file than one that rounds both.
    """
    plan = plan_for(parse(scheme), Target.LITERT)
    batches = [random_batch(CONFIG, 3)]
    simulation = simulate(source(CONFIG), parse(scheme), batches, steps=STEPS)
    quantised, ranges = simulation.quantised, simulation.ranges
    data = write_tflite(
        lower_floats(CONFIG, quantised, plan, batch=2, graphs=("block",), ranges=ranges)
    )
    params = simulation.weights.params
    z, injection = states(CONFIG, 2, 2)
    got = run(data, "block", z=z, injection=injection)["z"]
    want = np.asarray(simulation.reasoner.networks.update_L(params, z, injection))
    exact = np.asarray(trm(CONFIG).networks.update_L(params, z, injection))
    flips = np.sqrt(12 * 2 * 4 * 2.0**-24 * 255)
    # inputs and outputs of two products in a row, in two layers
    assert rms(got - want) <= 4 * flips * rms(want - exact)
    assert rms(want - exact) > 0
    inputs = {site: span.input for site, span in ranges.items()}
    half = trm(CONFIG, site_dot_general(parse(scheme), inputs)).networks.update_L
    assert rms(got - np.asarray(half(params, z, injection))) > 4 * flips * rms(want - exact)
