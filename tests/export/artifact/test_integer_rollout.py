"""Whole rollouts: the host loop over TFLM against the simulation, every bit of every state."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from export.artifact import check_operators
from export.artifact.check_blocks import check_blocks
from export.artifact.manifest import dump_manifest, parse_manifest
from export.artifact.open import Export, check_model
from export.artifact.solver import Solver
from export.graph.files import HOST_FILE, MODEL_FILE
from export.graph.ir import GraphModel
from export.pipeline import add_saturation, collect_integer_facts, draft_manifest, lower_model
from export.runtimes.registry import open_runtime
from export.targets import Target
from quant.integer.model import IntegerModel
from quant.integer.reasoner import IntegerReasoner, Simulated, simulate_integers
from quant.ptq.weights import quantise_params
from quant.scheme import parse as parse_scheme
from quant.simulation import Simulation
from tests.support.export import integers
from tests.support.samples import random_batch, random_weights
from tests.support.slow import slow_except
from trm_jax import zoo
from trm_jax.evaluators import trajectory
from trm_jax.halting import BY_Q
from trm_jax.loading import LoadedModel
from trm_jax.models.act import rollout_until_halted
from trm_jax.types import Batch, Weights

FILES = (HOST_FILE, MODEL_FILE)


def exported(model: IntegerModel, weights: Weights, scheme: str) -> tuple[Export, Simulation]:
    """Make an export in memory, one puzzle per call, and its simulation."""
    plan = integers.plan_of(scheme)
    quantised = quantise_params(weights.params, parse_scheme(scheme))
    reasoner, used = simulate_integers(model)
    simulation = Simulation(
        reasoner=reasoner, weights=used, ranges={}, quantised=quantised, integers=model
    )
    source = LoadedModel(
        name="tiny", origin="tiny", task=None, config=model.config, weights=weights
    )
    graphs, host = lower_model(source, plan, simulation, batch=1)
    manifest = draft_manifest(
        source, plan, simulation, graphs, dict.fromkeys(FILES, b""), batch=1, steps=2
    )
    return Export(manifest=manifest, model=graphs, host=host), simulation


def solved(made: Export, batch: Batch, **options: Any) -> tuple[Any, np.ndarray]:
    """Solve puzzles in TFLM; returns the solution and z_H after every H-cycle, in order."""
    runtime = open_runtime(Target.TFLM, made.model)
    states: dict[tuple[int, int], np.ndarray] = {}
    try:
        solution = Solver(made, runtime).solve(
            np.asarray(batch.inputs),
            np.asarray(batch.puzzle_identifiers),
            observe=lambda rows, cycles, z_H: states.update({(cycles, rows.start): z_H}),
            **options,
        )
    finally:
        runtime.close()
    cycles, rows = (sorted({key[i] for key in states}) for i in (0, 1))
    stacked = [np.concatenate([states[c, r] for r in rows if (c, r) in states]) for c in cycles]
    return solution, np.stack(stacked) if len({s.shape for s in stacked}) == 1 else np.empty(0)


@pytest.fixture(
    scope="module",
    params=slow_except(
        ["w4c-asym_a16s_tflm", "w4c-asym_a8s_tflm", "w4c-asym_a8s_tflm+tproduct+tout+tsum"]
    ),
)
def tiny(request: pytest.FixtureRequest) -> tuple[Export, Simulation]:
    return exported(
        integers.tiny(request.param), random_weights(integers.TINY, seed=2), request.param
    )


def test_rollouts_have_the_bits_of_the_simulation(tiny: tuple[Export, Simulation]) -> None:
    made, simulation = tiny
    batch = random_batch(integers.TINY, 3, seed=9)
    solution, states = solved(made, batch, steps=3)
    wanted = trajectory(simulation.reasoner, simulation.weights, batch, steps=3)
    np.testing.assert_array_equal(states, wanted)
    assert len(np.unique(states)) > 50
    out = simulation.reasoner.read_out({}, wanted[-1])
    np.testing.assert_array_equal(solution.tokens, jnp.argmax(out.logits, axis=-1))
    np.testing.assert_array_equal(solution.q_halt, out.q_halt)


def test_halting_is_the_simulations(tiny: tuple[Export, Simulation]) -> None:
    made, simulation = tiny
    batch = random_batch(integers.TINY, 6, seed=11)
    solution, _ = solved(made, batch, halting=BY_Q)
    halted = jax.jit(rollout_until_halted, static_argnames=("reasoner", "max_steps"))(
        simulation.reasoner, simulation.weights, batch, max_steps=integers.TINY.halt_max_steps
    )
    np.testing.assert_array_equal(solution.steps, halted.steps)
    np.testing.assert_array_equal(solution.tokens, jnp.argmax(halted.logits, axis=-1))


@pytest.mark.slow
def test_the_bundled_model_answers_as_simulated_in_every_cell() -> None:
    scheme = "w4c-asym_a16s_tflm"
    model = integers.trained(scheme)
    _, weights = zoo.load("sudoku-trm-mlp-mini")
    made, simulation = exported(model, weights, scheme)
    batch = integers.bundled_puzzles(2)
    solution, states = solved(made, batch, steps=4)
    wanted = trajectory(simulation.reasoner, simulation.weights, batch, steps=4)
    np.testing.assert_array_equal(states, wanted)
    logits = simulation.reasoner.read_out({}, wanted[-1]).logits
    np.testing.assert_array_equal(solution.tokens, jnp.argmax(logits, axis=-1))
    assert (solution.tokens == np.asarray(batch.labels)).all(axis=1).any()  # it solves them


def test_verification_passes_and_finds_another_weight(tiny: tuple[Export, Simulation]) -> None:
    made, _ = tiny
    cut = check_operators.cut_products(made.model)
    runtime = open_runtime(Target.TFLM, cut)
    checks = [check_operators.check_product(g, runtime, i) for i, g in enumerate(cut.graphs)]
    runtime.close()
    # six products of weights and two means of norms in a layer, and the heads
    assert len(checks) == 8 * integers.TINY.L_layers + 2
    assert all(check.passed for check in checks)
    other = cut.graphs[0]
    codes = next(t for t in other.tensors if t.name.endswith("/codes"))
    assert codes.data is not None
    changed = dataclasses.replace(codes, data=codes.data ^ np.uint8(0x77))
    tensors = tuple(changed if t is codes else t for t in other.tensors)
    wrong = open_runtime(
        Target.TFLM, GraphModel(graphs=(dataclasses.replace(other, tensors=tensors),))
    )
    assert not check_operators.check_product(other, wrong, 0).passed
    wrong.close()


def test_blocks_are_compared_bit_for_bit(tiny: tuple[Export, Simulation]) -> None:
    made, simulation = tiny
    z = np.asarray(
        trajectory(simulation.reasoner, simulation.weights, random_batch(integers.TINY, 1), steps=1)
    )
    runtime = open_runtime(Target.TFLM, made.model)
    (good,) = check_blocks(simulation, runtime, z[-1], z[-1])
    runtime.close()
    assert good == ("block", 0.0, 0.0)
    assert not good._replace(distance=1e-9).passed


def test_manifests_keep_what_decides_the_integers(tiny: tuple[Export, Simulation]) -> None:
    made, simulation = tiny
    assert simulation.integers is not None
    assert isinstance(simulation.reasoner, IntegerReasoner)
    manifest = parse_manifest(dump_manifest(made.manifest))
    assert manifest.integers == collect_integer_facts(simulation.integers)
    check_model(made.model, manifest)
    assert manifest.integers is not None
    counted = add_saturation(
        manifest.integers,
        Simulated(simulation.reasoner, simulation.weights),
        random_batch(integers.TINY, 3),
        2,
    )
    assert counted.saturated_puzzles == 3
    moved = {**manifest.integers.encodings, "z": (1.0, 0)}
    wrong = dataclasses.replace(manifest.integers, encodings=moved)
    with pytest.raises(ValueError, match="z of graph 'block' means"):
        check_model(made.model, dataclasses.replace(manifest, integers=wrong))
