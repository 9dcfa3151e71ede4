"""The checks of `export.verify`, and that each of them can fail."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from export import pipeline
from export.artifact import check_operators, check_rollouts, verification
from export.artifact.check_blocks import check_blocks
from export.artifact.host_state import embed
from export.artifact.open import Export
from export.graph.ir import DType, GraphModel, Tensor
from export.legality import check as legality_check
from export.lowering.storage import plan_for
from export.runtimes.contract import Runtime
from export.runtimes.litert import LiteRT
from export.targets import Target
from quant.scheme import parse
from quant.simulation import Simulation, simulate
from tests.support.slow import slow_except
from tests.support.tiny import export as tiny
from trm_jax.data.format import from_examples
from trm_jax.halting import BY_Q, StepReading

CONFIG = tiny.configs()["mlp"]
SCHEMES = ("fp32", "w4c-asym", "w4c-asym_a8da", "w8c-sym_a8s")


def opened(model: GraphModel) -> Runtime:
    return LiteRT(model, threads=1, xnnpack=True)


@pytest.fixture(scope="module", params=slow_except(SCHEMES, "w4c-asym"))
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Export:
    return tiny.make(tmp_path_factory.mktemp("e") / "e", CONFIG, request.param)


def with_filter(model: GraphModel, change: float) -> GraphModel:
    """Move one weight of the first product by `change` steps (or by that number)."""
    graph = model.graphs[0]
    kernel = next(t for t in graph.tensors if t.name.endswith("/kernel"))
    assert kernel.data is not None
    data = kernel.data.copy()
    step = 1 if kernel.dtype is not DType.FLOAT32 else change
    data[0, 0] += step if data[0, 0] <= 0 else -step
    tensors = tuple(
        dataclasses.replace(t, data=data) if t.name == kernel.name else t for t in graph.tensors
    )
    return GraphModel(graphs=(dataclasses.replace(graph, tensors=tensors), *model.graphs[1:]))


def test_products_lie_within_their_bounds(made: Export) -> None:
    cut = check_operators.cut_products(made.model)
    sites = {"gate_up_proj", "down_proj", "lm_head", "q_head"}
    checks = [check_operators.check_product(g, opened(cut), i) for i, g in enumerate(cut.graphs)]
    assert {check.name.split("/")[-2] for check in checks if "kernel" in check.name} == sites
    assert all(check.passed for check in checks)
    assert legality_check.find_violations(made.model, made.manifest.target) == []


@pytest.mark.parametrize("scheme", ["fp32", "w4c-asym"])
def test_a_product_with_another_weight_is_found(scheme: str, tmp_path: Path) -> None:
    cut = check_operators.cut_products(tiny.make(tmp_path / "e", CONFIG, scheme).model)
    wrong = opened(with_filter(cut, 0.5))
    assert not check_operators.check_product(cut.graphs[0], wrong, 0).passed


@pytest.mark.slow
def test_blocks_lie_within_their_bounds_and_damage_does_not(made: Export) -> None:
    scheme = made.manifest.scheme
    simulation = tiny.simulated(CONFIG, scheme)
    batch = tiny.puzzles(CONFIG, tiny.BATCH)
    z = np.asarray(simulation.trajectory(batch, steps=1)[-1])
    e = embed(*tiny.arrays(batch), made.host, CONFIG)
    (good,) = check_blocks(simulation, opened(made.model), z, e)
    assert good.passed, good
    assert good.bound < 0.2  # a bound that everything keeps would be none
    if scheme == "fp32":
        (bad,) = check_blocks(simulation, opened(with_filter(made.model, 0.5)), z, e)
        assert not bad.passed


def test_joined_rollouts_compare_in_pairs() -> None:
    exact = np.asarray([True] * 8 + [False] * 8)
    none = np.zeros(16)
    base = {
        "exact": exact,
        "simulated_exact": ~exact,
        "equal": exact,
        "equal_cells": 1.0,
        "fidelity": none,
    }
    balanced = check_rollouts.Rollouts(**base)  # type: ignore[arg-type]
    assert balanced.mcnemar == 1.0
    worse = balanced._replace(exact=none.astype(bool), simulated_exact=exact)
    assert worse.mcnemar == pytest.approx(2 * 0.5**8)  # eight heads in a row, or tails
    assert check_rollouts.show_rate(exact).startswith("0.5000 [.280, .720]")  # Wilson, by hand


def test_an_export_that_computes_something_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation = tiny.simulated(CONFIG, "fp32")
    wrong = StepReading(np.full((4, 4), -1), np.zeros(4), np.zeros(4))
    monkeypatch.setattr(Simulation, "readings", lambda *_, **__: [wrong])
    with pytest.raises(ValueError, match="computes something else"):
        pipeline.write_artifact(
            tmp_path / "e",
            tiny.source(CONFIG),
            plan_for(parse("fp32"), Target.LITERT),
            simulation,
            tiny.puzzles(CONFIG, 4),
            batch=2,
            steps=1,
        )
    assert not (tmp_path / "e").exists()


def test_illegal_models_are_not_written(tmp_path: Path) -> None:
    plan = plan_for(parse("w4c-asym_a8da"), Target.LITERT)
    forced = dataclasses.replace(plan, target=Target.LITERT_BUILTIN)
    simulation = tiny.simulated(CONFIG, "w4c-asym_a8da")
    with pytest.raises(ValueError, match=r"silent garbage.*holds -8"):
        pipeline.write_artifact(
            tmp_path / "e",
            tiny.source(CONFIG),
            forced,
            simulation,
            tiny.puzzles(CONFIG, 4),
            batch=2,
            steps=1,
        )
    assert not (tmp_path / "e").exists()


def test_weight_bytes_are_close_to_the_file(made: Export) -> None:
    assert made.manifest.weight_bytes < made.manifest.files["model.tflite"].bytes


def test_verify_names_another_model(tmp_path: Path) -> None:
    export = tiny.make(tmp_path / "e", CONFIG, "fp32")
    cells = np.ones((2, CONFIG.seq_len), np.int32)
    with pytest.raises(ValueError, match="unknown model 'tiny'"):
        verification.simulate_export(
            export, None, verification.Calibrated(from_examples(cells, cells, vocab_size=5))
        )


@pytest.mark.slow
def test_tensors_of_a_cut_product_are_the_models_own(made: Export) -> None:
    cut = check_operators.cut_products(made.model)
    kernels = {t.name for g in cut.graphs for t in g.tensors if t.data is not None}
    whole: dict[str, Tensor] = {t.name: t for g in made.model.graphs for t in g.tensors}
    assert kernels <= set(whole)


def test_puzzles_are_not_named_for_an_export_that_was_calibrated_on_none(tmp_path: Path) -> None:
    tiny.make(tmp_path / "e", CONFIG, "w4c-asym")
    checks = verification.run_checks(tmp_path / "e", limit=1, calibration=tmp_path)
    with pytest.raises(ValueError, match=r"w4c-asym, is calibrated on no puzzles; leave --calibr"):
        next(checks)


def kept(folder: Path, scale: float = 1.0, **changed: Any) -> Export:
    """Open the export of a folder as a deployment does, of weights of some size."""
    source = tiny.source(CONFIG)
    params = jax.tree.map(lambda x: x * scale, source.weights.params)
    source = dataclasses.replace(source, weights=source.weights._replace(params=params))
    plan = plan_for(parse("w4c-asym"), Target.LITERT)
    inputs = np.asarray(tiny.puzzles(CONFIG, 4).inputs)
    puzzles = from_examples(inputs, inputs, vocab_size=CONFIG.vocab_size)
    asked: dict[str, Any] = {"batch": tiny.BATCH, "steps": tiny.STEPS, **changed}
    return pipeline.keep_artifact(
        folder, source, plan, simulate(source, plan.precision), puzzles, **asked
    )


def test_an_export_is_kept_for_what_it_was_made_of_alone(tmp_path: Path) -> None:
    """A deployment whose schemes were all refused leaves exports where another one may look."""
    folder = tmp_path / "e"
    first = kept(folder)
    assert kept(folder).manifest == first.manifest
    before = (folder / "manifest.json").read_bytes()
    changes: list[tuple[dict[str, Any], str]] = [
        ({"scale": 2.0}, "another model"),
        ({"batch": 2}, "another batch"),
        ({"steps": 1}, "another number of steps"),
        ({"halting": BY_Q}, "another rule of halting"),
        ({"scale": 2.0, "batch": 2}, "another model and another batch; choose another --out"),
    ]
    for change, other in changes:
        with pytest.raises(ValueError, match=f"holds an export of .*{other}"):
            kept(folder, **change)
    assert (folder / "manifest.json").read_bytes() == before
