"""ONNX graphs against the TFLite schema's, the simulation, and onnx's reference evaluator."""

# ruff: noqa: E402 - what is optional is looked for before its users are imported
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the extra [onnx] is not installed")
ort = pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")

from onnx.reference import ReferenceEvaluator

from export import onnx as command
from export import tflite, verify
from export.artifact import check_operators
from export.artifact.check_blocks import check_blocks
from export.artifact.host_state import embed
from export.artifact.open import Export, open_artifact
from export.graph import onnx_file
from export.graph.files import check_format
from export.graph.ir import DType, Graph, GraphModel, Tensor
from export.graph.onnx_translate import translate_model
from export.legality import check as legality_check
from export.legality.onnx_table import USES, find_onnx_violations, onnx_use_of
from export.lowering.storage import plan_for
from export.runtimes.litert import LiteRT
from export.runtimes.onnx_runtime import OnnxRuntime
from export.runtimes.registry import open_runtime
from export.targets import Target
from quant.scheme import parse
from tests.support.decoders import LLAMA
from tests.support.export.decoders import lowered_decoder
from tests.support.export.lowered import lowered
from tests.support.export.models import CONFIGS, float_drift, states
from tests.support.rounding import rms
from tests.support.slow import slow_except
from tests.support.tiny import export as tiny

CONFIG = dataclasses.replace(tiny.configs()["mlp"], L_layers=1)
SCHEMES = ("int4_calibrated", "w4c-sym_a16s")
STATIC = ("w4c-sym_a16s",)
OTHERS = (
    "fp32",
    "w8c-sym_a8s",
    "fp16",
    "int8",
    "w4t-sym",
    "w8t-sym",
    "w4c-sym_a8s",
    "w8c-sym_a16s",
)


@pytest.fixture(scope="module", params=slow_except(SCHEMES, "int4_calibrated"))
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Export:
    return tiny.make(tmp_path_factory.mktemp("e") / "e", CONFIG, request.param, Target.ONNX)


class WithoutOptions(OnnxRuntime):
    """ONNX Runtime as its defaults are."""

    def __init__(self, model: GraphModel) -> None:
        super().__init__(model, threads=1)
        for graph in model.graphs:
            content = onnx_file.write_onnx_graph(graph, {})
            self._sessions[graph.name] = ort.InferenceSession(content)


@pytest.mark.parametrize("kind", CONFIGS)
def test_float_graphs_of_every_mixer_are_the_tflite_ones(kind: str) -> None:
    before = lowered(kind, "fp32")
    z, injection = (np.asarray(s) for s in states(CONFIGS[kind], 3, 2))
    name = before.graphs[0].name
    litert = LiteRT(before, threads=1, xnnpack=False)

    def in_litert(state: np.ndarray) -> np.ndarray:
        return litert.run(name, {"z": np.asarray(state), "injection": injection})["z"]

    got = OnnxRuntime(translate_model(before), threads=1).run(
        name, {"z": z, "injection": injection}
    )["z"]
    assert rms(got - in_litert(z)) <= float_drift(in_litert, z, before.graph(name))


def test_signatures_are_the_tflite_ones(made: Export) -> None:
    block = made.model.graph("block")
    assert dict(block.inputs) == {"z": "z", "injection": "injection"}
    assert dict(block.outputs) == {"z": "z_out"}  # ONNX wants another name than the input's
    assert list(made.model.graph("head").outputs) == ["logits", "q"]
    kernels = {t.name for t in block.tensors if t.name.endswith("/kernel")}
    assert "L_level/layers_0/mlp_t/gate_up_proj/kernel" in kernels


@pytest.mark.parametrize("scheme", slow_except(SCHEMES + OTHERS, "fp32", "int4_calibrated"))
def test_products_lie_within_their_bounds(scheme: str) -> None:
    model = translate_model(lowered("mlp", scheme))
    cut = check_operators.cut_products(model)
    runtime = open_runtime(Target.ONNX, cut)
    checks = [check_operators.check_product(g, runtime, i) for i, g in enumerate(cut.graphs)]
    kernels = {t.name for g in model.graphs for t in g.tensors if t.name.endswith("/kernel")}
    assert {check.name for check in checks} == kernels
    assert all(check.passed for check in checks), checks
    assert legality_check.find_violations(model, Target.ONNX) == []


@pytest.mark.slow
@pytest.mark.parametrize("made", STATIC, indirect=True)  # others: against LiteRT's graph above
def test_static_blocks_lie_within_their_bounds(made: Export) -> None:
    assert made.manifest.ranges
    batch = tiny.puzzles(CONFIG, tiny.BATCH)
    simulation = tiny.simulated(CONFIG, made.manifest.scheme, Target.ONNX)
    z = np.asarray(simulation.trajectory(batch, steps=1)[-1])
    e = embed(*tiny.arrays(batch), made.host, CONFIG)
    (found,) = check_blocks(simulation, open_runtime(Target.ONNX, made.model), z, e)
    assert found.passed, found
    assert found.bound < 0.2  # a bound that everything keeps would be none


def with_changed_filter(model: GraphModel) -> GraphModel:
    graph = model.graphs[0]
    kernel = next(t for t in graph.tensors if t.name.endswith("/kernel"))
    assert kernel.data is not None
    data = kernel.data.copy()
    data[0, 0] += 1 if data[0, 0] <= 0 else -1
    tensors = tuple(
        dataclasses.replace(t, data=data) if t.name == kernel.name else t for t in graph.tensors
    )
    return GraphModel(graphs=(dataclasses.replace(graph, tensors=tensors), *model.graphs[1:]))


@pytest.mark.parametrize("scheme", ["fp32", "w4c-sym_a16s"])
def test_another_weight_is_found(scheme: str) -> None:
    cut = check_operators.cut_products(translate_model(lowered("mlp", scheme)))
    wrong = open_runtime(Target.ONNX, with_changed_filter(cut))
    assert not check_operators.check_product(cut.graphs[0], wrong, 0).passed


def test_weight_only_products_are_not_rounded_in_silence() -> None:
    """ONNX Runtime's default rounds the rows of such products to int8; EXACT does not."""
    cut = check_operators.cut_products(translate_model(lowered("mlp", "int8")))

    assert check_operators.check_product(cut.graphs[0], OnnxRuntime(cut, threads=1), 0).passed
    assert check_operators.check_product(cut.graphs[0], WithoutOptions(cut), 0).worst > 100


@pytest.mark.parametrize("scheme", ["w8c-sym_a8s", "w7c-sym_a8s", "w4c-sym_a8s"])
def test_static_int8_products_need_no_options(scheme: str) -> None:
    """Files are right on every CPU as they are: a user's session sets no options."""
    cut = check_operators.cut_products(translate_model(lowered("mlp", scheme)))
    runtime = WithoutOptions(cut)
    checks = [check_operators.check_product(g, runtime, i) for i, g in enumerate(cut.graphs)]
    assert all(check.passed for check in checks), checks


def test_files_are_read_as_they_were_written(made: Export) -> None:
    files = onnx_file.write_onnx(made.model)
    assert onnx_file.write_onnx(onnx_file.read_onnx(files)) == files
    opsets = {onnx.load_from_string(content).opset_import[0].version for content in files.values()}
    new = {DType.INT4, DType.UINT16} & {t.dtype for g in made.model.graphs for t in g.tensors}
    assert max(opsets) == (21 if new else 18)


def test_the_bytes_of_a_small_file_mean_what_the_graph_says() -> None:
    """int4 lies two to a byte, low nibble first; onnx's own reader is the other side."""
    data = np.asarray([[1, -2], [-8, 7]], np.int8)
    graph = Graph(
        name="g",
        ops=(),
        inputs={},
        outputs={"w": "w"},
        tensors=(Tensor(name="w", shape=(2, 2), dtype=DType.INT4, data=data),),
    )
    (proto,) = onnx_file._graph_proto(graph).initializer
    assert proto.raw_data == bytes([0xE1, 0x78])  # -2, 1; 7, -8
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(proto).astype(np.int8), data)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["fp16", "w4c-sym_a16s", "w4c-asym"])
def test_every_operator_is_the_reference_evaluators(scheme: str) -> None:
    """A whole block in ONNX Runtime against onnx's NumPy implementation of the same file."""
    model = translate_model(lowered("mlp", scheme))
    z, injection = (np.asarray(s) for s in states(CONFIGS["mlp"], 3, 2))
    content = onnx_file.write_onnx_graph(model.graph("block"), {})
    (want,) = ReferenceEvaluator(content).run(None, {"z": z, "injection": injection})
    got = open_runtime(Target.ONNX, model).run("block", {"z": z, "injection": injection})["z"]
    # outputs are normalised (rms 1): float sums in another order, a flipped step of 1/32767
    assert rms(got - want) < 1e-4


@pytest.mark.slow
def test_measured_uses_are_what_models_need() -> None:
    """No row of the table that nothing uses, no use that it lacks."""
    used = set()
    models = [lowered(kind, "fp32") for kind in CONFIGS]
    models += [lowered("mlp", scheme) for scheme in (*SCHEMES, *OTHERS)]
    decoders = [lowered_decoder(LLAMA, name, Target.ONNX) for name in ("fp32", "fp32_carry8")]
    models = [*map(translate_model, models), *(each.model for each in decoders)]
    for model in models:
        assert find_onnx_violations(model) == []
        used |= {onnx_use_of(g, op) for g in model.graphs for op in g.ops}
    assert used == USES


def test_unmeasured_operators_are_refused(made: Export) -> None:
    graph = made.model.graphs[0]
    op = dataclasses.replace(graph.ops[0], code="Einsum")
    changed = dataclasses.replace(graph, ops=(op, *graph.ops[1:]))
    (found,) = legality_check.find_violations(GraphModel(graphs=(changed,)), Target.ONNX)
    assert "was not measured" in str(found)


def test_what_onnx_has_no_form_for_is_refused() -> None:
    with pytest.raises(ValueError, match="does not compute w8c-sym_a8da right"):
        plan_for(parse("w8c-sym_a8da"), Target.ONNX)
    with pytest.raises(ValueError, match=r"asymmetricQuantizeInputs.*has no ONNX form"):
        translate_model(lowered("mlp", "w8c-sym_a8da", Target.LITERT))
    with pytest.raises(ValueError, match="quantises every row at run time"):
        translate_model(lowered("mlp", "w8c-sym_a8d", Target.LITERT_BUILTIN))


def test_a_runtime_of_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="export again with --target litert"):
        check_format(Target.ONNX, Target.LITERT)
    check_format(Target.LITERT, Target.TFLM)


def test_damage_is_told(made: Export, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"not an ONNX file|is not ONNX"):
        onnx_file.read_onnx({"block.onnx": b"\xff\x00nonsense"})
    files = onnx_file.write_onnx(made.model)
    with pytest.raises(ValueError, match="holds graph 'head'"):
        onnx_file.read_onnx({"block.onnx": files["head.onnx"]})


@pytest.mark.slow
def test_the_command_exports_and_verify_agrees(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "e"
    arguments = [
        "--model",
        "sudoku-trm-mlp-mini",
        "--scheme",
        "int4_calibrated",
        "--steps",
        "1",
        "--batch-size",
        "8",
    ]
    assert command.main([*arguments, "--out", str(folder)]) == 0
    assert "confirmed by onnx" in capsys.readouterr().out
    assert set(open_artifact(folder).manifest.files) == {
        "block.onnx",
        "head.onnx",
        "host.safetensors",
    }
    assert verify.main([str(folder), "--limit", "8"]) == 0
    assert verify.main([str(folder), "--runtime", "litert"]) == 2
    assert tflite.main([*arguments[:2], "--scheme", "int5", "--out", str(folder)]) == 2


def test_another_version_or_meaning_of_a_file_is_refused(made: Export) -> None:
    """Files are written again from what was read: what the reader drops would be lost unseen."""
    files = onnx_file.write_onnx(made.model)

    def changed(change: Callable[[Any], object]) -> dict[str, bytes]:
        proto = onnx.ModelProto.FromString(files["block.onnx"])
        change(proto)
        return {**files, "block.onnx": proto.SerializeToString()}

    cases: dict[str, Callable[[Any], object]] = {
        "has the opsets": lambda p: p.opset_import[0].MergeFromString(b"\x10\x16"),  # version 22
        "and ir_version 7": lambda p: setattr(p, "ir_version", 7),
        "other metadata than block": lambda p: p.metadata_props.add(key="a", value="b"),
        "metadata entry twice|duplicate keys": lambda p: p.metadata_props.append(
            p.metadata_props[0]
        ),
    }
    for words, change in cases.items():
        with pytest.raises(ValueError, match=words):
            onnx_file.read_onnx(changed(change))
    damaged = {
        **files,
        "block.onnx": files["block.onnx"].replace(b"trm.config", b"trm\xff\xfeonfig"),
    }
    with pytest.raises(ValueError, match="not UTF-8"):
        onnx_file.read_onnx(damaged)
