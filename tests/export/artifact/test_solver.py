"""The host loop against the JAX rollout, and exports against their simulations on real runtimes."""

from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from export.artifact.open import Export
from export.artifact.solver import Solver, check_puzzles
from export.graph.ir import GraphModel
from export.lowering.model import blocks_of
from export.lowering.storage import plan_for
from export.pipeline import lower_model
from export.runtimes import child_process
from export.runtimes.contract import Runtime, check_inputs
from export.runtimes.registry import open_runtime
from export.targets import Target
from quant.scheme import parse
from quant.simulation import Simulation
from tests.support.export.runtimes import skip_without
from tests.support.slow import slow_except
from tests.support.thresholds import between
from tests.support.tiny import export as tiny
from trm_jax.config import Config
from trm_jax.halting import BY_Q, BY_Q_CONTINUE, halting_steps, parse_halting
from trm_jax.models.act import rollout_until_halted
from trm_jax.types import Weights

KINDS = tiny.configs()
ROUNDING = 2e-4
"""The same float32 operations, jitted whole and in parts: rounding, hardly amplified."""


class InJax:
    """The graphs of an export, computed by the Flax module."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation, self.calls = simulation, 0
        self.networks = [jax.jit(update) for update in simulation.reasoner.networks]
        self.read_out = jax.jit(simulation.reasoner.read_out)

    def run(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.calls += 1
        reasoner, params = self.simulation.reasoner, self.simulation.weights.params
        if signature == "head":
            out = self.read_out(params, jnp.asarray(inputs["z_H"]))
            q = jnp.stack([out.q_halt, out.q_continue], axis=-1)
            return {"logits": np.asarray(out.logits), "q": np.asarray(q)}
        is_H = signature == blocks_of(reasoner.config)[1] == "block_H"
        update = self.networks[is_H]
        z, injection = (jnp.asarray(inputs[name]) for name in ("z", "injection"))
        return {"z": np.asarray(update(params, z, injection))}

    def close(self) -> None:
        pass


def solver_in_jax(config: Config, scheme: str = "fp32") -> tuple[Solver, Simulation]:
    """Make the host loop of a tiny export over JAX."""
    simulation = tiny.simulated(config, scheme)
    plan = plan_for(parse(scheme), Target.LITERT)
    model, host = lower_model(tiny.source(config), plan, simulation, batch=tiny.BATCH)

    class Facts:
        batch, carry, puzzles = tiny.BATCH, plan.precision.carry, None

    export = Export.__new__(Export)
    for name, value in {"manifest": Facts, "model": model, "host": host}.items():
        object.__setattr__(export, name, value)
    Facts.config = config  # type: ignore[attr-defined]
    return Solver(export, InJax(simulation)), simulation


LOOPED = KINDS | {"no prefix": tiny.without_prefix()}


@pytest.mark.parametrize("kind", slow_except(LOOPED, "mlp"))
def test_the_host_loop_is_the_rollout(kind: str) -> None:
    solver, simulation = solver_in_jax(LOOPED[kind])
    batch = tiny.puzzles(LOOPED[kind], 7)  # two full groups and a padded one
    states = np.zeros(
        (tiny.STEPS * 2, 7, *solver.states.start(solver.batch)[0].shape[1:]), np.float32
    )

    def observe(rows: slice, cycles: int, z_H: np.ndarray) -> None:
        states[cycles - 1, rows] = z_H

    inputs, ids = tiny.arrays(batch)
    solution = solver.solve(inputs, ids, steps=tiny.STEPS, observe=observe)
    expected = np.asarray(simulation.trajectory(batch, steps=tiny.STEPS))
    np.testing.assert_allclose(states, expected, atol=ROUNDING)
    np.testing.assert_array_equal(solution.tokens, simulation.answers(batch, steps=tiny.STEPS))
    assert (solution.steps == tiny.STEPS).all()


def halting_values(solver: Solver, inputs: np.ndarray, ids: np.ndarray, steps: int) -> np.ndarray:
    """Compute what must be above 0 to halt, for every puzzle."""
    solution = solver.solve(inputs, ids, steps=steps)
    compares = not solver.config.no_ACT_continue
    return solution.q_halt - (solution.q_continue if compares else 0)


@pytest.mark.parametrize("kind", slow_except(["mlp", "hrm"]))
def test_halting_freezes_every_puzzle_at_its_own_step(kind: str) -> None:
    config = KINDS[kind]
    solver, simulation = solver_in_jax(config)
    batch = tiny.puzzles(config, 7)
    inputs, ids = tiny.arrays(batch)
    # shift the halting bias so that some halt at the first step, some do not, and none at a tie
    says = np.stack([halting_values(solver, inputs, ids, n + 1) for n in range(tiny.STEPS)])
    shift = between(says, low=says[0].min(), high=says[0].max(), rounding=ROUNDING)
    bias = simulation.weights.params["q_head"]["bias"].at[0].add(-shift)
    params = {
        **simulation.weights.params,
        "q_head": {**simulation.weights.params["q_head"], "bias": bias},
    }
    shifted = Weights(params, simulation.weights.buffers, simulation.weights.puzzle_emb)
    solver._runtime = InJax(
        Simulation(reasoner=simulation.reasoner, weights=shifted, ranges={}, quantised={})
    )
    rule = BY_Q if config.no_ACT_continue else BY_Q_CONTINUE
    solution = solver.solve(inputs, ids, steps=tiny.STEPS, halting=rule)
    halted = rollout_until_halted(simulation.reasoner, shifted, batch, max_steps=tiny.STEPS)
    np.testing.assert_array_equal(solution.steps, halted.steps)
    assert len(set(solution.steps.tolist())) > 1
    np.testing.assert_allclose(solution.q_halt, halted.q_halt, atol=ROUNDING)
    np.testing.assert_array_equal(solution.tokens, np.argmax(halted.logits, -1))


@pytest.mark.parametrize("rule", ["unchanged", "residual:0.135"])
def test_every_puzzle_ends_with_its_own_states(rule: str) -> None:
    """As the simulation's readings of all steps say, whatever others do in the meantime."""
    config, halting = KINDS["mlp"], parse_halting(rule)
    solver, simulation = solver_in_jax(config)
    batch = tiny.puzzles(config, 7)
    inputs, ids = tiny.arrays(batch)
    wanted = halting_steps(halting, inputs, simulation.readings(batch, steps=tiny.STEPS))
    solution = solver.solve(inputs, ids, steps=tiny.STEPS, halting=halting)
    np.testing.assert_array_equal(solution.steps, wanted)
    for row, steps in enumerate(wanted):
        alone = solver.solve(inputs[row : row + 1], ids[row : row + 1], steps=int(steps))
        np.testing.assert_array_equal(solution.tokens[row], alone.tokens[0])
        np.testing.assert_allclose(solution.z_H[row], alone.z_H[0], atol=ROUNDING)
        np.testing.assert_allclose(solution.z_L[row], alone.z_L[0], atol=ROUNDING)
    assert len(set(wanted.tolist())) > 1


@pytest.mark.slow
def test_cycles_are_free_at_run_time() -> None:
    config = KINDS["mlp"]
    solver, _ = solver_in_jax(config)
    inputs, ids = tiny.arrays(tiny.puzzles(config, 3))
    a = solver.solve(inputs, ids, steps=2, H_cycles=2)
    b = solver.solve(inputs, ids, steps=4, H_cycles=1)
    np.testing.assert_array_equal(a.q_halt, b.q_halt)
    runtime = solver._runtime
    assert isinstance(runtime, InJax)
    runtime.calls = 0
    solver.solve(inputs, ids, steps=2, H_cycles=3, L_cycles=5)
    assert runtime.calls == 2 * 3 * (5 + 1) + 1


BAD = {
    "size": (np.zeros((1, 5), np.int32), None, "4 cells"),
    "alphabet": (np.full((1, 4), 5, np.int32), None, "tokens must lie in 0..4, got 5 to 5"),
    "negative": (np.full((1, 4), -1, np.int32), None, "got -1"),
    "float": (np.zeros((1, 4)), None, "must be integers"),
    "identifier": (np.zeros((1, 4), np.int32), np.asarray([3]), "identifiers must lie in 0..2"),
    "number": (np.zeros((2, 4), np.int32), np.asarray([0]), "as many identifiers"),
}


@pytest.mark.parametrize("name", BAD)
def test_wrong_puzzles_are_refused(name: str) -> None:
    inputs, ids, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        check_puzzles(inputs, np.zeros(len(inputs), int) if ids is None else ids, KINDS["mlp"])


def test_no_puzzles_and_no_steps_are_refused() -> None:
    solver, _ = solver_in_jax(KINDS["mlp"])
    with pytest.raises(ValueError, match="must be at least 1"):
        solver.solve(np.zeros((0, 4), np.int32))
    with pytest.raises(ValueError, match="must be at least 1"):
        solver.solve(np.zeros((1, 4), np.int32), steps=0)


ON_RUNTIMES = [
    ("mlp", "fp32", Target.LITERT),
    ("learned", "fp16", Target.LITERT_BUILTIN),
    ("hrm", "w4c-asym_carry16", Target.LITERT),
    ("mlp", "int8", Target.TFLITE_RUNTIME),
    ("mlp", "fp32", Target.TFLM),
]


@pytest.mark.parametrize(("kind", "scheme", "target"), slow_except(ON_RUNTIMES, ON_RUNTIMES[0]))
def test_exports_answer_as_simulated(
    kind: str, scheme: str, target: Target, tmp_path: Path
) -> None:
    skip_without(target)
    export = tiny.make(tmp_path / "e", KINDS[kind], scheme, target)
    expected = export.manifest.expected
    assert (expected.confirmed_by, len(expected.tokens)) == (target.value, 4)
    runtime = open_runtime(target, export.model, threads=2)
    try:
        states: list[np.ndarray] = []
        inputs, ids = np.asarray(expected.inputs), np.asarray(expected.puzzle_identifiers)
        solution = Solver(export, runtime).solve(
            inputs[:2], ids[:2], steps=2, observe=lambda _, cycles, z_H: states.append(z_H)
        )
    finally:
        runtime.close()
    simulation = tiny.simulated(KINDS[kind], scheme, target)
    batch = tiny.puzzles(KINDS[kind], 4)
    want = np.asarray(simulation.trajectory(batch, steps=2))[:, :2]
    # weights only are integers here: sums in another order, hardly amplified
    np.testing.assert_allclose(np.stack(states), want, atol=2e-4)
    assert solution.tokens.shape == (2, 4)


def test_inputs_are_checked_before_a_runtime_sees_them() -> None:
    simulation = tiny.simulated(KINDS["mlp"], "fp32")
    plan = plan_for(parse("fp32"), Target.LITERT)
    model, _ = lower_model(tiny.source(KINDS["mlp"]), plan, simulation, batch=1)
    graph = model.graph("head")
    with pytest.raises(ValueError, match=r"takes \['z_H'\], got \['z'\]"):
        check_inputs(graph, {"z": np.zeros(1)})
    with pytest.raises(ValueError, match="got float64"):
        check_inputs(graph, {"z_H": np.zeros(graph.tensor("z_H").shape)})
    with pytest.raises(ValueError, match="threads must be at least 1"):
        open_runtime(Target.LITERT, model, threads=0)


def test_a_missing_environment_says_how_to_make_it(monkeypatch: pytest.MonkeyPatch) -> None:
    model = GraphModel(graphs=())
    monkeypatch.delenv(child_process.VARIABLE, raising=False)
    with pytest.raises(RuntimeError, match=r"pip install tflite-runtime==2\.14\.0 'numpy<2'"):
        open_runtime(Target.TFLITE_RUNTIME, model)
    monkeypatch.setenv(child_process.VARIABLE, "/no/such/python")
    with pytest.raises(RuntimeError, match="is no program"):
        open_runtime(Target.TFLITE_RUNTIME, model)


def test_a_python_without_the_runtime_says_how_to_make_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    if sys.modules.get("tflite_runtime"):
        pytest.skip("this Python has tflite-runtime")
    monkeypatch.setenv(child_process.VARIABLE, sys.executable)
    with pytest.raises(
        RuntimeError, match=r"(?s)No module named 'tflite_runtime'.*python3.11 -m venv"
    ):
        open_runtime(Target.TFLITE_RUNTIME, GraphModel(graphs=()))


def test_runtimes_keep_the_contract() -> None:
    assert isinstance(InJax(tiny.simulated(KINDS["mlp"], "fp32")), Runtime)
