"""The bytes of constants that a manifest tells, against the vectors of the files themselves."""

from typing import Any

import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema

from export.graph.files import convert_graphs, write_files
from export.pipeline import count_weight_bytes
from export.targets import Target
from tests.support.export.lowered import lowered
from tests.support.slow import slow_except

SCALE, ZERO_POINT = 8, 10  # vtable offsets of QuantizationParameters: its third and fourth field
SCHEMES = ("w4c-asym", "w8c-sym_a8s", "w4t-sym[head=w8t-sym;channel=w4c-asym]", "fp16")


def tflite_constant_bytes(content: bytes) -> int:
    """Add up the distinct vectors that constants of a .tflite file point to."""
    model: Any = schema.Model.GetRootAs(content, 0)  # its members are optional to a type checker
    vectors: dict[int, int] = {}  # place in the file: bytes
    for graph in (model.Subgraphs(i) for i in range(model.SubgraphsLength())):
        for tensor in (graph.Tensors(i) for i in range(graph.TensorsLength())):
            buffer = model.Buffers(tensor.Buffer())
            if not buffer.DataLength():
                continue
            vectors[buffer._tab.Vector(buffer._tab.Offset(4))] = buffer.DataLength()
            grid = tensor.Quantization()
            if grid is None:
                continue
            for field, count, size in (
                (SCALE, grid.ScaleLength(), 4),
                (ZERO_POINT, grid.ZeroPointLength(), 8),
            ):
                if count:
                    vectors[grid._tab.Vector(grid._tab.Offset(field))] = size * count
    return sum(vectors.values())


def onnx_constant_bytes(content: bytes) -> int:
    """Add up the initialisers of a file."""
    graph = onnx.load_model_from_string(content).graph
    return sum(len(tensor.raw_data) for tensor in graph.initializer)


READERS = {Target.LITERT: tflite_constant_bytes, Target.ONNX: onnx_constant_bytes}


@pytest.mark.parametrize("target", READERS, ids=lambda target: target.value)
@pytest.mark.parametrize("scheme", slow_except(SCHEMES, SCHEMES[0]))
def test_constants_take_what_is_told(scheme: str, target: Target) -> None:
    model = convert_graphs(lowered("mlp", scheme, target), target)
    stored = sum(map(READERS[target], write_files(model, target).values()))
    assert count_weight_bytes(model, target.facts.file_format) == stored
