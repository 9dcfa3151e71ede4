"""Other toolkits: what they make is run right, and what they refuse is told in their words."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from experiments.ablate.job import parse_studies
from experiments.ablate.runner import STUDIES, read_answers
from experiments.ablate.toolkits import litert_files, qwix_weights, refusal
from export.artifact.solver import Solver
from export.graph.ir import DType
from export.graph.tflite_reader import read_tflite
from export.runtimes.registry import open_runtime
from export.targets import Target
from quant.ptq.calibrate import Calibration
from quant.ptq.weights import is_kernel, leaf_name
from quant.scheme import parse
from quant.simulation import simulate
from tests.support.samples import random_weights
from tests.support.tiny import sweep as tiny
from trm_jax.evaluators import strict, trajectory
from trm_jax.loading import LoadedModel
from trm_jax.metrics import token_cosine
from trm_jax.models.act import predictions
from trm_jax.types import Batch, Params

qwix = pytest.importorskip("qwix", reason="needs extra [toolkits]")
pytest.importorskip("ai_edge_litert", reason="needs extra [toolkits]")

PUZZLES, STEPS = 30, 2  # more than one group of the file


@pytest.fixture(scope="module")
def puzzles() -> Batch:
    rng = np.random.default_rng(3)
    inputs = rng.integers(1, tiny.CONFIG.vocab_size, (PUZZLES, tiny.CONFIG.seq_len))
    return Batch(*(jnp.asarray(x, jnp.int32) for x in (inputs, inputs, np.zeros(PUZZLES))))


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    weights = random_weights(tiny.CONFIG, seed=4)
    return LoadedModel(name="tiny", origin="tiny", task=None, config=tiny.CONFIG, weights=weights)


@pytest.fixture(scope="module")
def calibration(model: LoadedModel, puzzles: Batch) -> Calibration:
    halves = [Batch(*(x[rows] for x in puzzles)) for rows in (slice(0, 15), slice(15, 30))]
    return Calibration(model.config, model.weights, halves, steps=STEPS)


@pytest.fixture(scope="module")
def file(model: LoadedModel) -> litert_files.FloatFile:
    return litert_files.export_floats(model, STEPS)


def kernels(params: Params) -> dict[str, np.ndarray]:
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {leaf_name(path): np.asarray(leaf) for path, leaf in leaves if is_kernel(path)}


@pytest.mark.slow
def test_qwix_sees_the_first_call_that_this_project_sums(calibration: Calibration) -> None:
    theirs = flatten_dict(qwix_weights.watch_first_calls(calibration, 4), sep="/")
    for site, sums in calibration.first_call_hessians.items():
        assert int(theirs[f"{site}/kernel_gptq/count"]) > 0
        # float32 sums of at most 15 * 17 products in another order, and the error of a product
        seen = np.asarray(theirs[f"{site}/kernel_gptq/sum_of_hessian"])
        np.testing.assert_allclose(seen, sums, rtol=1e-3, atol=1e-3 * float(jnp.max(sums)))


@pytest.mark.slow
def test_qwix_rounds_with_hessians_that_it_is_given(calibration: Calibration) -> None:
    """By the heads alone, which have few inputs: its rounding compiles column by column."""
    hessians = {s: h for s, h in calibration.hessians.items() if s.endswith("head")}
    stats = qwix_weights.stats_of(hessians)
    params = calibration.weights.params
    original, made = kernels(params), kernels(qwix_weights.round_by_stats(calibration, 4, stats))
    changed = {name for name, kernel in made.items() if not np.array_equal(kernel, original[name])}
    assert changed == {"lm_head/kernel", "q_head/kernel"}
    # symmetric 4 bits reach 7.5 steps to either side
    scale = np.abs(original["lm_head/kernel"]).max(axis=0) / 7.5
    steps, nearest = made["lm_head/kernel"] / scale, original["lm_head/kernel"] / scale
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-4)  # float32 of 8 steps
    assert np.any(np.abs(steps - nearest) > 0.5 + 1e-4)  # not each to its nearest
    # what it minimises: the change of the outputs
    h = np.asarray(hessians["lm_head"], np.float64)
    lost, lost_nearest = (
        np.einsum("io,ij,jo->", d, h, d)
        for d in ((steps - nearest) * scale, (np.clip(np.round(nearest), -8, 7) - nearest) * scale)
    )
    assert lost < lost_nearest


@pytest.mark.slow
def test_qep_rounds_the_matrices_of_the_call_that_are_named(calibration: Calibration) -> None:
    calls = qwix_weights.first_calls(calibration)
    made = qwix_weights.qep_weights(calibration, 4, calls, modules=".*head")
    before = calibration.weights.params
    assert jax.tree.structure(before) == jax.tree.structure(made)
    original, rounded = kernels(before), kernels(made)
    changed = {name for name in original if not np.array_equal(original[name], rounded[name])}
    assert changed == {"lm_head/kernel", "q_head/kernel"}
    assert all(len(np.unique(column)) <= 16 for column in rounded["lm_head/kernel"].T)


def test_calls_of_trajectories_begin_with_the_first(calibration: Calibration) -> None:
    calls = qwix_weights.calls_of_trajectories(calibration)
    c = calibration.reasoner.config
    total = 2 * STEPS * c.H_cycles * c.L_cycles
    assert len(calls) == -(-total // qwix_weights.CALLS_APART)
    for one, other in zip(calls[0], qwix_weights.first_calls(calibration)[0], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_qwix_says_itself_what_it_refuses(calibration: Calibration) -> None:
    said = qwix_weights.refusals(calibration, 4)
    assert str(said["refused_loop_inside"]).startswith("UnexpectedTracerError: ")
    assert "same param path across multiple stages" in str(said["refused_qep_twice"])
    assert "QArray" in str(said["refused_network_twice"])


def test_a_refusal_is_the_error_s_first_sentence() -> None:
    def fail() -> None:
        raise ValueError("No such thing. Try another.\nOr none.")

    assert refusal(fail) == "ValueError: No such thing"
    assert refusal(lambda: None) == ""


@pytest.mark.slow
def test_the_float_file_answers_as_the_model(
    model: LoadedModel, file: litert_files.FloatFile, puzzles: Batch
) -> None:
    solved = litert_files.FileSolver(file, file.content, STEPS)(puzzles)
    states = trajectory(model.reasoner, model.weights, puzzles, steps=STEPS)
    cycles = tiny.CONFIG.H_cycles
    expected = np.asarray(states)[[cycles - 1, STEPS * cycles - 1]]
    tokens = predictions(model.reasoner.read_out(model.weights.params, states[-1]).logits)
    np.testing.assert_array_equal(solved.tokens, tokens)
    readout = read_answers(solved, puzzles._replace(labels=tokens), expected, strict)
    assert np.asarray(readout.exact).all()
    # the error of a float32 rollout: tiny.COSINE_ERROR, at twice the weights
    assert np.asarray(readout.fidelity).min() > 1 - 1e-3


@pytest.mark.slow
def test_a_weight_only_file_answers_as_this_project_s_int8(
    model: LoadedModel, file: litert_files.FloatFile, puzzles: Batch
) -> None:
    """Both have one symmetric scale per channel, of the largest weight."""
    content = litert_files.quantise_file(file, "weight_only_wi8_afp32")
    solved = litert_files.FileSolver(file, content, 1)(puzzles)
    states = simulate(model, parse("int8")).trajectory(puzzles, steps=1)
    ours, theirs = states[tiny.CONFIG.H_cycles - 1], jnp.asarray(solved.ends[0])
    # a float32 rollout's error; integers at ties may differ, a weight in a thousand
    assert np.asarray(token_cosine(theirs, ours)).min() > 1 - 1e-3
    full = litert_files.FileSolver(file, file.content, 1)(puzzles)
    assert np.abs(full.ends - solved.ends).max() > 1e-3  # something was rounded


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["static_wi8_ai8", "static_wi8_ai16"])
def test_a_static_file_is_run_as_by_hand(
    file: litert_files.FloatFile, puzzles: Batch, recipe: str
) -> None:
    """The bytes themselves in LiteRT, inputs and outputs put onto their grids by hand."""
    from ai_edge_litert.interpreter import Interpreter

    samples = litert_files.collect_samples(file, puzzles, steps=1, whole=True)
    content = litert_files.quantise_file(file, recipe, samples)
    runner = Interpreter(model_content=content, num_threads=1).get_signature_runner("block")
    takes, gives = runner.get_input_details(), runner.get_output_details()

    def block(**values: np.ndarray) -> np.ndarray:
        encoded = {}
        for name, value in values.items():
            scale, zero = takes[name]["quantization"]
            limits = np.iinfo(takes[name]["dtype"])
            steps = np.round(value / np.float32(scale)) + zero
            encoded[name] = np.clip(steps, limits.min, limits.max).astype(limits.dtype)
        scale, zero = gives["z"]["quantization"]
        return (runner(**encoded)["z"].astype(np.float32) - zero) * np.float32(scale)

    solver = Solver(file.export, open_runtime(Target.LITERT, file.export.model))
    rows = np.asarray(puzzles.inputs)[: litert_files.BATCH]
    e = solver.states.embed(rows, np.zeros(len(rows), np.int32))
    z_H, z_L = solver.states.start(len(rows))
    for _ in range(tiny.CONFIG.H_cycles):
        for _ in range(tiny.CONFIG.L_cycles):
            z_L = block(z=z_L, injection=z_H + e)
        z_H = block(z=z_H, injection=z_L)
    solved = litert_files.FileSolver(file, content, 1)(puzzles)
    np.testing.assert_array_equal(solved.ends[0][: len(rows)], z_H)


def test_samples_are_of_the_first_cycle_or_of_rollouts(
    file: litert_files.FloatFile, puzzles: Batch
) -> None:
    first = litert_files.collect_samples(file, puzzles, steps=STEPS, whole=False)
    c = tiny.CONFIG
    assert {name: len(calls) for name, calls in first.items()} == {
        "block": c.L_cycles + 1,
        "head": 1,
    }
    whole = litert_files.collect_samples(file, puzzles, steps=STEPS, whole=True)
    calls = STEPS * c.H_cycles * (c.L_cycles + 1)
    assert len(whole["block"]) == -(-calls // litert_files.CALLS_APART)
    np.testing.assert_array_equal(whole["block"][0]["z"], first["block"][0]["z"])


def test_states_are_encoded_on_the_file_s_grid(
    file: litert_files.FloatFile, puzzles: Batch
) -> None:
    samples = litert_files.collect_samples(file, puzzles, steps=STEPS, whole=False)
    graph = read_tflite(litert_files.quantise_file(file, "static_wi8_ai8", samples)).graph("block")
    tensor = graph.tensor(graph.inputs["z"])
    assert tensor.dtype is DType.INT8
    integers = np.array([[-128, -3, 0, 127]], np.int8)
    values = litert_files.decode(integers, tensor)
    np.testing.assert_array_equal(litert_files.encode(values, tensor), integers)
    beyond = litert_files.encode(np.array([[-1e9, 1e9]], np.float32), tensor)
    np.testing.assert_array_equal(beyond, [[-128, 127]])


def test_toolkits_run_only_where_they_are_named() -> None:
    assert "toolkits" not in parse_studies(None, STUDIES)
    assert list(parse_studies("toolkits", STUDIES)) == ["toolkits"]
