"""Types of ONNX filters: signed where no CPU saturates, else uint8 of the same values."""

import dataclasses

import numpy as np
import pytest

from export.graph.ir import DType, Graph, GraphModel, Tensor
from export.graph.onnx_translate import SAFE, UNSIGNED, is_safe, translate_model
from export.legality.check import find_violations
from export.targets import Target
from tests.support.export.lowered import lowered

BIG, SMALL = "w8c-sym_a8s", "w7c-sym_a8s"  # integers up to 127, up to 63


def kernels(model: GraphModel) -> dict[str, Tensor]:
    return {t.name: t for g in model.graphs for t in g.tensors if t.name.endswith("/kernel")}


def constant(graph: Graph, name: str) -> np.ndarray:
    data = graph.tensor(name).data
    assert data is not None
    return data


@pytest.mark.parametrize(
    ("scheme", "dtype"),
    [
        (BIG, DType.UINT8),
        (SMALL, DType.INT8),
        ("w4c-sym_a8s", DType.INT4),
        ("w8c-sym_a16s", DType.INT8),  # its products are float
        ("int8", DType.INT8),
    ],
)
def test_filters_are_unsigned_only_beside_uint8(scheme: str, dtype: DType) -> None:
    assert {t.dtype for t in kernels(translate_model(lowered("mlp", scheme))).values()} == {dtype}


def test_unsigned_filters_have_the_values_of_the_signed_ones() -> None:
    before, model = kernels(lowered("mlp", BIG)), translate_model(lowered("mlp", BIG))
    seen = 0
    for graph in model.graphs:
        for op in graph.ops:
            if op.code != "DequantizeLinear" or not str(op.inputs[0]).endswith("/kernel"):
                continue
            q, scale, zero = (constant(graph, str(name)) for name in op.inputs)
            source = before[str(op.inputs[0])]
            assert source.data is not None
            assert source.quant is not None
            assert zero.dtype == np.uint8
            np.testing.assert_array_equal(scale, source.quant.scale)
            np.testing.assert_array_equal(q.astype(int) - zero, source.data.T.astype(int))
            seen += 1
    assert seen >= len(before)


def test_safe_integers_never_saturate_and_the_next_one_does() -> None:
    """What vpmaddubsw does: two products of uint8 and int8, added in an int16 that saturates."""
    int16 = np.iinfo(np.int16)
    for q in (SAFE, -SAFE):
        assert is_safe(np.asarray([q, 0], np.int8))
        assert int16.min <= 2 * 255 * q <= int16.max
    assert not is_safe(np.asarray([SAFE + 1], np.int8))
    assert not is_safe(np.asarray([-128], np.int8))
    assert int16.max < 2 * 255 * (SAFE + 1)


def with_signed_filters(model: GraphModel) -> GraphModel:
    """Store filters as they were before they became unsigned."""
    shift = UNSIGNED[DType.INT8][1]

    def signed(tensor: Tensor) -> Tensor:
        is_filter = tensor.name.endswith(("/kernel", "/kernel/zero_point"))
        if not is_filter or tensor.data is None or tensor.dtype is not DType.UINT8:
            return tensor
        data = (tensor.data.astype(np.int16) - shift).astype(np.int8)
        return dataclasses.replace(tensor, dtype=DType.INT8, data=data)

    graphs = (dataclasses.replace(g, tensors=tuple(map(signed, g.tensors))) for g in model.graphs)
    return GraphModel(graphs=tuple(graphs))


def test_files_that_some_cpus_compute_wrong_are_refused() -> None:
    model = translate_model(lowered("mlp", BIG))
    assert find_violations(model, Target.ONNX) == []
    found = [str(v) for v in find_violations(with_signed_filters(model), Target.ONNX)]
    assert len(found) >= len(kernels(model))
    assert all("saturate on x86 without VNNI" in text and "export again" in text for text in found)
    assert (
        find_violations(with_signed_filters(translate_model(lowered("mlp", SMALL))), Target.ONNX)
        == []
    )
