"""Exported integers on a CPU with AVX2 alone: the same as on this one, whatever it has."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from export.artifact import check_operators
from export.graph.files import import_onnx_file
from export.graph.ir import DType, Graph, GraphModel, Tensor
from export.graph.onnx_translate import translate_model
from export.graph.tflite_writer import write_tflite
from export.targets import Target
from tests.support.emulated import AVX2, ModelRunner, needs_qemu, run_on
from tests.support.export.lowered import lowered

pytestmark = [pytest.mark.slow, needs_qemu]
needs_onnx = pytest.mark.skipif(
    importlib.util.find_spec("onnxruntime") is None, reason="the extra [onnx] is not installed"
)
LITERT_SCHEMES = ("w8c-sym_a8da", "w4c-asym_a8da", "w8c-sym_a8s", "w4c-sym_a8s", "w8c-sym_a16s")


def extreme_rows(tensor: Tensor, seed: int) -> np.ndarray:
    """Draw inputs at the ends of their range, most of them the upper one: pairs saturate."""
    rng = np.random.default_rng(seed)
    if tensor.dtype is DType.FLOAT32:
        ends = np.asarray([-4, 4, 4], np.float32)
    else:
        low, high = check_operators.limits(tensor.dtype)
        ends = np.asarray([low, high, high], tensor.dtype.numpy)
    return rng.choice(ends, tensor.shape)


def products_of(model: GraphModel) -> list[tuple[Graph, np.ndarray]]:
    cut = check_operators.cut_products(model)
    return [(g, extreme_rows(g.tensor(g.inputs["x"]), i)) for i, g in enumerate(cut.graphs)]


def check_equal_on_avx2(
    runner: ModelRunner, models: dict[str, tuple[bytes, np.ndarray]], folder: Path
) -> None:
    here, there = (run_on(cpu, runner, models, folder) for cpu in (None, AVX2))
    for name, expected in here.items():
        np.testing.assert_array_equal(there[name], expected, err_msg=name)


@needs_onnx
@pytest.mark.parametrize("scheme", ["w8c-sym_a8s", "w7c-sym_a8s"])
def test_onnx_products_are_the_same(scheme: str, tmp_path: Path) -> None:
    write = import_onnx_file().write_onnx_graph
    products = products_of(translate_model(lowered("mlp", scheme)))
    models = {graph.name: (write(graph, {}), x) for graph, x in products}
    check_equal_on_avx2(ModelRunner.ONNX, models, tmp_path)


@needs_onnx
def test_a_signed_filter_saturates(tmp_path: Path) -> None:
    """What the emulation is for: the fault that the files above avoid."""
    from export.runtimes.onnx_kernels import product_graph

    x, q = np.full((1, 4), 255, np.uint8), np.full((4, 1), 127, np.int8)
    graph = product_graph(x, q, DType.UINT8, DType.INT8)
    models = {"signed": (import_onnx_file().write_onnx_graph(graph, {}), x)}
    assert run_on(AVX2, ModelRunner.ONNX, models, tmp_path)["signed"].item() == 65_534


@pytest.mark.parametrize("scheme", LITERT_SCHEMES)
def test_litert_products_are_the_same(scheme: str, tmp_path: Path) -> None:
    """Rows are rounded and dequantised by the same float32 operations, so these are equal too."""
    products = products_of(lowered("mlp", scheme, Target.LITERT))
    models = {graph.name: (write_tflite(GraphModel(graphs=(graph,))), x) for graph, x in products}
    check_equal_on_avx2(ModelRunner.LITERT, models, tmp_path)
