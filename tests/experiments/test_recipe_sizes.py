"""Bytes that a search counts, against the constants of files that are written and read back."""

import pytest

from experiments.recipe.job import matrix_bytes
from export.graph.files import convert_graphs, read_files, write_files
from export.graph.ir import GraphModel, Tensor
from export.graph.tflite_schema import encode
from export.lowering.integer_matmul import HEADER
from export.targets import Target
from quant.ptq.weights import footprint
from quant.scheme import Scheme, parse
from tests.support.export import integers
from tests.support.export.lowered import lowered
from tests.support.export.models import CONFIGS
from tests.support.samples import random_weights
from trm_jax.config import Config

MIX = "w4t-sym[head=w8t-sym;channel=w4c-asym;L_level/layers_0/mlp/down_proj=w8c-sym]"
INT64 = 8


def shapes_of(config: Config) -> dict[str, tuple[int, ...]]:
    """List the matrices of a model."""
    stored = footprint(random_weights(config), Scheme()).backbone
    kernels = [tensor for tensor in stored if tensor.name.endswith("/kernel")]
    return {tensor.name.removesuffix("/kernel"): tensor.shape for tensor in kernels}


def tensors_of(model: GraphModel, site: str, target: Target) -> list[Tensor]:
    """List the tensors of a matrix in the file that a target reads."""
    file = read_files(write_files(convert_graphs(model, target), target), target)
    tensors = [tensor for graph in file.graphs for tensor in graph.tensors]
    return [tensor for tensor in tensors if tensor.name.startswith(f"{site}/kernel")]


def tflite_bytes(tensor: Tensor) -> int:
    """Count elements, float32 scales and int64 zero points, without the header of a table."""
    elements = 0 if tensor.data is None else len(encode(tensor.data, tensor.dtype))
    headers = len(HEADER) if tensor.name.endswith("/tables") else 0
    scales = 0 if tensor.quant is None else (4 + INT64) * tensor.quant.scale.size
    return elements - headers + scales


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mlp", "attention", "hrm"])
def test_litert_files_hold_what_is_counted(kind: str) -> None:
    scheme, model = parse(MIX), lowered(kind, MIX, Target.LITERT)
    for site, shape in shapes_of(CONFIGS[kind]).items():
        weights = scheme.of(site).weights
        assert weights is not None
        stored = sum(map(tflite_bytes, tensors_of(model, site, Target.LITERT)))
        assert matrix_bytes(shape, weights, Target.LITERT) == stored, site


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mlp", "attention", "hrm"])
def test_onnx_files_hold_what_is_counted(kind: str) -> None:
    """Scales and zero points are constants beside the integers."""
    scheme, model = parse(MIX), lowered(kind, MIX, Target.ONNX)
    for site, shape in shapes_of(CONFIGS[kind]).items():
        weights = scheme.of(site).weights
        assert weights is not None
        tensors = tensors_of(model, site, Target.ONNX)
        stored = sum(len(encode(t.data, t.dtype)) for t in tensors if t.data is not None)
        assert matrix_bytes(shape, weights, Target.ONNX) == stored, site


@pytest.mark.slow
def test_tflm_files_hold_what_is_counted() -> None:
    """Of every output a scale, a bias with its own, and a table where 4 bits are decoded."""
    name = f"{MIX}_a16s_tflm"
    scheme, model = parse(name), integers.graphs(integers.tiny(name), name)
    for site, shape in shapes_of(integers.TINY).items():
        weights = scheme.of(site).weights
        assert weights is not None
        stored = sum(map(tflite_bytes, tensors_of(model, site, Target.TFLM)))
        assert matrix_bytes(shape, weights, Target.TFLM) == stored, site
