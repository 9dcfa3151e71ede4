"""An export for an Ethos-U: Vela gets the verified integers, and what it leaves is named."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest

from export.artifact.open import Export, open_artifact
from export.ethos_u import compiled as compiled_module
from export.ethos_u.accelerators import Accelerator
from export.ethos_u.compiled import compile_export, make_record, read_record, save_compiled
from export.ethos_u.vela import compile_graph, read_reasons
from export.graph.ir import DType, Graph, Op
from export.graph.tflite_writer import write_graph
from export.legality.check import FILTERED
from export.lowering.storage import plan_for
from export.pipeline import lower_model, write_artifact
from export.runtimes.child_process import WORKERS
from export.targets import Kernels, Target
from quant.scheme import parse
from tests.support.export.runtimes import skip_without
from tests.support.slow import slow_except
from tests.support.tiny import export as tiny

pytest.importorskip("ethosu.vela", reason="Vela (the extra ethos-u) is not installed")

MLP = tiny.configs()["mlp"]
U55 = Accelerator.U55_256


def write(folder: Path, scheme: str) -> Export:
    """Export a tiny model for one puzzle per call."""
    skip_without(Target.TFLM)
    write_artifact(
        folder,
        tiny.source(MLP),
        plan_for(parse(scheme), Target.ETHOS_U),
        tiny.simulated(MLP, scheme, Target.ETHOS_U),
        tiny.puzzles(MLP, 2),
        batch=1,
        steps=tiny.STEPS,
    )
    return open_artifact(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export with its compiled graphs."""
    path = tmp_path_factory.mktemp("ethos-u") / "export"
    export = write(path, "tflm_int4_int8")
    compiled = compile_export(export, U55)
    save_compiled(path, make_record(export, U55, compiled), compiled)
    return path


def has_floats(graph: Graph, op: Op) -> bool:
    names = (*op.inputs, *op.outputs)
    return any(graph.tensor(name).dtype is DType.FLOAT32 for name in names if name)


@pytest.mark.parametrize("accelerator", slow_except(Accelerator, U55))
def test_floats_alone_stay_on_the_cpu_and_are_named(folder: Path, accelerator: Accelerator) -> None:
    for graph in open_artifact(folder).model.graphs:
        compiled = compile_graph(graph, accelerator)
        floats = {op.outputs[0]: op.code for op in graph.ops if has_floats(graph, op)}
        assert {op.output: op.code for op in compiled.cpu} == floats
        for op in compiled.cpu:
            unknown = op.code in ("DEQUANTIZE", "DIV") and "Unsupported opType" in op.reason
            assert unknown or "DataType Float32" in op.reason  # only U85 knows DIV, of integers


@pytest.mark.slow
def test_of_norms_in_products_the_means_alone_stay_on_the_cpu(tmp_path: Path) -> None:
    """The products of int16 go to the NPU: nothing of an element is multiplied on the CPU."""
    export = write(tmp_path / "e", "w8c-sym_a8s-cells-fold_tflm+norms")
    graph = export.model.graph("block")
    left = compile_graph(graph, U55).cpu
    means = {"DEQUANTIZE", "FULLY_CONNECTED", "DIV", "ADD", "RSQRT", "QUANTIZE"}
    assert {op.code for op in left} <= means
    rows = [op for op in left if op.code == "QUANTIZE"]
    assert rows
    assert {graph.tensor(op.output).shape[-1] for op in rows} == {1}


def test_vela_reads_the_file_that_tflm_ran(folder: Path) -> None:
    """TFLM's worker is given these bytes, and the record has their hash."""
    export = open_artifact(folder)
    given = WORKERS[Kernels.TFLM].load_message(export.model, 1)
    record = read_record(folder, U55, export)
    assert record.confirmed_by == "tflm"
    for name, graph in record.graphs.items():
        ran = given[f"file:{name}"].tobytes()
        assert ran == write_graph(export.model.graph(name))
        assert graph.source_sha256 == hashlib.sha256(ran).hexdigest()


def test_a_record_is_read_back(folder: Path) -> None:
    export = open_artifact(folder)
    compiled = compile_export(export, U55)
    assert read_record(folder, U55, export) == make_record(export, U55, compiled)


def test_records_of_other_files_are_refused(folder: Path, tmp_path: Path) -> None:
    export = open_artifact(folder)
    with pytest.raises(FileNotFoundError, match="--accelerator ethos-u85-256"):
        read_record(folder, Accelerator.U85_256, export)
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "block.ethos-u55-256.tflite").write_bytes(b"other")
    with pytest.raises(ValueError, match="is missing or not the file"):
        read_record(tmp_path, U55, export)
    other = dataclasses.replace(export.manifest.files["model.tflite"], sha256="0" * 64)
    files = {**export.manifest.files, "model.tflite": other}
    manifest = dataclasses.replace(export.manifest, files=files)
    with pytest.raises(ValueError, match="compiled from another model"):
        read_record(folder, U55, dataclasses.replace(export, manifest=manifest))


def test_int4_weights_are_the_same_integers_in_int8(folder: Path) -> None:
    """One simulation for both targets, and an export is refused unless TFLM has its states."""
    board, on_npu = (plan_for(parse("tflm_int4_int8"), t) for t in (Target.TFLM, Target.ETHOS_U))
    assert on_npu.precision == board.precision
    npu = open_artifact(folder)
    assert npu.manifest.expected.states
    graph = npu.model.graph("block")
    products = [op for op in graph.ops if op.code in FILTERED and not has_floats(graph, op)]
    filters = [graph.tensor(str(op.inputs[1])) for op in products]
    assert filters
    for each in filters:
        assert each.dtype is DType.INT8
        assert each.data is not None
        # 16 values of an output channel
        assert np.ptp(each.data.reshape(len(each.data), -1), axis=1).max() <= 15


def test_what_vela_refuses_is_one_line() -> None:
    """A filter that TFLM_DECODE makes while it runs, which the target never lowers to."""
    plan = plan_for(parse("tflm_int4_int16"), Target.TFLM)
    simulation = tiny.simulated(MLP, "tflm_int4_int16", Target.TFLM)
    model, _ = lower_model(tiny.source(MLP), plan, simulation, batch=1)
    with pytest.raises(RuntimeError, match="refuses graph head for ethos-u55-256") as caught:
        compile_graph(model.graph("head"), U55)
    assert "\n" not in str(caught.value)


def test_floats_are_refused() -> None:
    for scheme in ("fp32", "fp16"):
        with pytest.raises(ValueError, match="multiplies integers only"):
            plan_for(parse(scheme), Target.ETHOS_U)


def test_reasons_are_read_off_what_vela_prints() -> None:
    printed = (
        "\nWarning (supported operators) operator: MEAN, ofm: 'a/mean'\n"
        "Reason: Operation has tensor with unsupported DataType Float32 (a/square)\n"
        'Feature-map dataTypes must be one of {"INT16", "INT8"}\n'
        "\nWarning (supported operators) operator: DEQUANTIZE, ofm: 'a/real'\n"
        "Reason: Unsupported opType\n"
    )
    reasons = read_reasons(printed)
    assert reasons == {
        "a/mean": "Operation has tensor with unsupported DataType Float32 (a/square)",
        "a/real": "Unsupported opType",
    }
    cpu = tuple(
        compiled_module.CpuOperator(code="MEAN", output=name, reason=text)
        for name, text in reasons.items()
    )
    assert compiled_module.group_reasons(cpu) == [
        "1 MEAN: Operation has tensor with unsupported DataType Float32",
        "1 MEAN: Unsupported opType",
    ]
