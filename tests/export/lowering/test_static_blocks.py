"""Blocks of static products in LiteRT against the simulation that a sweep evaluates."""

import numpy as np
import pytest

from export.graph.ir import GraphModel, Tensor
from export.graph.onnx_file import read_onnx, write_onnx
from export.graph.onnx_translate import translate_model
from export.graph.tflite_reader import read_tflite
from export.graph.tflite_writer import write_tflite
from export.lowering.model import integer_graphs, lower_floats
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
WITH_INTEGERS = ("w8c-sym_a8s-cells-fold_tflm", "w4c-asym_a8s-cells_tflm+tproduct+tout+tsum")


@pytest.mark.parametrize(
    "scheme", slow_except(["w8c-sym_a8s", "w4c-asym_a8s", "w8c-sym_a8s-cells-fold"])
)
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


def grid_of(interval: tuple[float, float]) -> tuple[float, int]:
    """Place uint8's grid by hand: scale in float32, and the integer that means 0."""
    low, high = (np.float32(end) for end in (min(interval[0], 0), max(interval[1], 0)))
    scale = np.float32((high - low) / np.float32(255))
    return float(scale), int(np.round(-low / scale))


def test_files_hold_the_ranges_of_the_simulation() -> None:
    """Each product's in TFLite (int8, so less 128) and in ONNX, read back from their bytes."""
    name, batches = "w8c-sym_a8s-cells-fold", [random_batch(CONFIG, 3)]
    simulation = simulate(source(CONFIG), parse(name), batches, steps=STEPS)
    whole = simulate(source(CONFIG), parse("w8c-sym_a8s"), batches, steps=STEPS)
    assert simulation.ranges != whole.ranges
    lowered = {
        target: lower_floats(
            CONFIG,
            simulation.quantised,
            plan_for(parse(name), target),
            batch=2,
            ranges=simulation.ranges,
        )
        for target in (Target.LITERT, Target.ONNX)
    }
    tflite = read_tflite(write_tflite(lowered[Target.LITERT]))
    onnx = read_onnx(write_onnx(translate_model(lowered[Target.ONNX])))
    for site, span in simulation.ranges.items():
        at = site.removeprefix("L_level/")
        for part, interval in (("quantised", span.input), ("integer", span.output)):
            scale, zero_point = grid_of(interval)
            quant = tensor_of(tflite, f"{at}/{part}").quant
            assert quant is not None
            assert (float(quant.scale[0]), int(quant.zero_point[0]) + 128) == (scale, zero_point)
            constants = [tensor_of(onnx, f"{at}/{part}/{word}") for word in ("scale", "zero_point")]
            assert [np.ravel(np.asarray(c.data))[0] for c in constants] == [scale, zero_point]


def tensor_of(model: GraphModel, name: str) -> Tensor:
    """Find a tensor of the block or of the head."""
    (found,) = (t for graph in model.graphs for t in graph.tensors if t.name == name)
    return found


@pytest.mark.parametrize("name", slow_except(WITH_INTEGERS, "w8c-sym_a8s-cells-fold_tflm"))
def test_graphs_of_integers_hold_them_too(name: str) -> None:
    """Every activation of a file for TFLM has the encoding that the simulation calibrated."""
    simulation = simulate(source(CONFIG), parse(name), [random_batch(CONFIG, 3)], steps=STEPS)
    assert simulation.integers is not None
    graphs = integer_graphs(simulation.integers, plan_for(parse(name), Target.TFLM), batch=1)
    found = {
        (float(t.quant.scale[0]), int(t.quant.zero_point[0]), t.dtype.bits)
        for graph in read_tflite(write_tflite(GraphModel(graphs=graphs))).graphs
        for t in graph.tensors
        if t.quant is not None and t.quant.axis is None and t.data is None  # decoded filters aside
    }
    own = {e for n, e in simulation.integers.encodings.items() if n != "e" and "@" not in n}
    casts = {e for n, e in simulation.integers.encodings.items() if "@" in n}
    as_found = [{(e.scale, e.zero_point, e.bits) for e in group} for group in (own, casts)]
    assert as_found[0] <= found <= as_found[0] | as_found[1]
