"""What several ONNX graphs have lies once beside them, and ONNX Runtime alone finds it there."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from export.decoder.graphs import DECODE, PREFILL
from export.graph.files import read_files, write_files
from export.graph.ir import GraphModel
from export.graph.onnx_weights import SHARED_LEAST, WEIGHTS_FILE
from export.pipeline import count_weight_bytes
from export.runtimes.contract import Arrays
from export.targets import FileFormat, Target
from tests.support.decoders import LLAMA
from tests.support.export.decoders import POSITIONS, PROMPT, lowered_decoder

onnx = pytest.importorskip("onnx", reason="the extra [onnx] is not installed")
ort = pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")


@pytest.fixture(scope="module")
def model() -> GraphModel:
    return lowered_decoder(LLAMA, "fp32", Target.ONNX).model


@pytest.fixture(scope="module")
def files(model: GraphModel) -> dict[str, bytes]:
    return write_files(model, Target.ONNX)


def inputs_of(model: GraphModel, name: str, tokens: int) -> Arrays:
    """Draw what a graph reads, at the begin of an empty cache."""
    graph, rng = model.graph(name), np.random.default_rng(0)
    x = rng.normal(size=(1, tokens, LLAMA.hidden_size)).astype(np.float32)
    shapes = {key: graph.tensor(tensor).shape for key, tensor in graph.inputs.items()}
    cache = {key: np.zeros(shape, np.float32) for key, shape in shapes.items()}
    return {**cache, "x": x, "position": np.zeros(1, np.int32)}


def test_what_both_graphs_have_is_stored_once(model: GraphModel, files: dict[str, bytes]) -> None:
    kernels = [
        {t.name: t.data.nbytes for t in graph.tensors if t.data is not None}
        for graph in model.graphs
    ]
    both = kernels[0].keys() & kernels[1].keys()
    large = sum(kernels[0][name] for name in both if kernels[0][name] >= SHARED_LEAST)
    assert large > 0
    assert large <= len(files[WEIGHTS_FILE]) < 1.1 * large  # and zeros between
    alone = sum(
        len(t.raw_data)
        for name, content in files.items()
        if name != WEIGHTS_FILE
        for t in onnx.load_model_from_string(content).graph.initializer
    )
    assert count_weight_bytes(model, FileFormat.ONNX) == alone + large


@pytest.mark.parametrize(("name", "tokens"), [(PREFILL, PROMPT), (DECODE, 1)])
def test_onnx_runtime_reads_the_folder(
    name: str, tokens: int, model: GraphModel, files: dict[str, bytes], tmp_path: Path
) -> None:
    from export.runtimes.onnx_runtime import OnnxRuntime

    for file, content in files.items():
        (tmp_path / file).write_bytes(content)
    given = inputs_of(model, name, tokens)
    session = ort.InferenceSession(tmp_path / f"{name}.onnx", providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]
    got = dict(zip(outputs, session.run(outputs, given), strict=True))
    expected = OnnxRuntime(model, threads=1).run(name, given)
    assert len(got) == len(expected)
    for key, tensor in model.graph(name).outputs.items():
        np.testing.assert_array_equal(got[tensor], expected[key])
    assert got["k_0_out"].shape[2] == POSITIONS


def test_files_are_read_as_they_were_written(files: dict[str, bytes]) -> None:
    assert write_files(read_files(files, Target.ONNX), Target.ONNX) == files


def cut(files: dict[str, bytes]) -> dict[str, bytes]:
    return files | {WEIGHTS_FILE: files[WEIGHTS_FILE][:-1]}


def lost(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if name != WEIGHTS_FILE}


def elsewhere(files: dict[str, bytes]) -> dict[str, bytes]:
    proto = onnx.load_model_from_string(files["decode.onnx"])
    moved = next(t for t in proto.graph.initializer if t.external_data)
    next(e for e in moved.external_data if e.key == "location").value = "/etc/passwd"
    return files | {"decode.onnx": proto.SerializeToString()}


@pytest.mark.parametrize("damage", [cut, lost, elsewhere])
def test_damage_is_told(
    damage: Callable[[dict[str, bytes]], dict[str, bytes]], files: dict[str, bytes]
) -> None:
    with pytest.raises(ValueError, match=rf"lies at .* and {WEIGHTS_FILE} has"):
        read_files(damage(files), Target.ONNX)
