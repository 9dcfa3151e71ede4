"""The writer against LiteRT, against literal bytes, and against itself through the reader."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from export.graph.ir import DType, Graph, GraphModel, Op, Quant, Tensor
from export.graph.tflite_reader import read_tflite
from export.graph.tflite_writer import write_tflite


def vector(*values: float) -> np.ndarray:
    return np.asarray(values, np.float32)


def small_model(rng: np.random.Generator) -> GraphModel:
    """Two graphs that share a weight; one float product, one of int4 weights."""
    weight = rng.normal(size=(3, 4)).astype(np.float32)
    kernel = Tensor(name="site/kernel", shape=(3, 4), data=weight)
    ends = (Tensor(name="x", shape=(2, 4)), Tensor(name="y", shape=(2, 3)))
    product = Op(code="FULLY_CONNECTED", inputs=("x", "site/kernel", None), outputs=("y",))
    graphs = [
        Graph(
            name=name,
            tensors=(*ends, kernel),
            ops=(product,),
            inputs={"a": "x"},
            outputs={"b": "y"},
        )
        for name in ("first", "second")
    ]
    return GraphModel(graphs=tuple(graphs), description="a test", metadata={"scheme": b"fp32"})


def test_a_written_model_runs_by_signature() -> None:
    rng = np.random.default_rng(0)
    model = small_model(rng)
    interpreter = Interpreter(model_content=write_tflite(model))
    assert interpreter.get_signature_list() == {
        name: {"inputs": ["a"], "outputs": ["b"]} for name in ("first", "second")
    }
    x = rng.normal(size=(2, 4)).astype(np.float32)
    weight = model.graphs[0].tensor("site/kernel").data
    assert weight is not None
    # sums of 4 products in any order: 4 roundings of the sum of magnitudes
    bound = 4 * 2.0**-24 * (np.abs(x) @ np.abs(weight.T))
    for name in ("first", "second"):
        y = interpreter.get_signature_runner(name)(a=x)["b"]
        assert np.all(np.abs(y - x.astype(np.float64) @ weight.T.astype(np.float64)) <= bound)


def test_what_was_written_is_read_back() -> None:
    model = rich_model()
    again = read_tflite(write_tflite(model))
    assert (again.description, again.metadata) == (model.description, dict(model.metadata))
    for old, new in zip(model.graphs, again.graphs, strict=True):
        assert (old.name, old.ops, old.inputs, old.outputs) == (
            new.name,
            new.ops,
            new.inputs,
            new.outputs,
        )
        for a, b in zip(old.tensors, new.tensors, strict=True):
            assert_same_tensor(a, b)
    assert write_tflite(again) == write_tflite(model)


def rich_model() -> GraphModel:
    """Every kind of field: int4 of odd length, scales per channel, left-out inputs, options."""
    quant = Quant(scale=vector(0.5, 2.0), zero_point=np.asarray([0, 3]), axis=0)
    tensors = (
        Tensor(name="x", shape=(2, 3)),
        Tensor(name="w", shape=(3, 1), dtype=DType.INT4, data=np.asarray([[1], [-2], [7]], "i1")),
        Tensor(
            name="v", shape=(2, 3), dtype=DType.INT8, data=np.full((2, 3), -5, "i1"), quant=quant
        ),
        Tensor(name="axis", shape=(1,), dtype=DType.INT32, data=np.asarray([1], "<i4")),
        Tensor(name="half", shape=(2,), dtype=DType.FLOAT16, data=np.asarray([1, 2], "<f2")),
        Tensor(name="s", shape=(2, 1)),
        Tensor(name="y", shape=(2, 2)),
    )
    ops = (
        Op(code="SUM", version=2, inputs=("x", "axis"), outputs=("s",), options={"keepDims": True}),
        Op(code="RESHAPE", inputs=("s", None), outputs=("y",), options={"newShape": (2, 2)}),
        Op(code="TFLM_DECODE", inputs=("w", "v"), outputs=("y",), custom_options=b"\x01\x02"),
    )
    graph = Graph(name="g", tensors=tensors, ops=ops, inputs={"in": "x"}, outputs={"out": "y"})
    return GraphModel(
        graphs=(graph,), description="Ω", metadata={"a": b"\x00\xff", "b": b"\x00\xff"}
    )


def assert_same_tensor(a: Tensor, b: Tensor) -> None:
    assert (a.name, a.shape, a.dtype) == (b.name, b.shape, b.dtype)
    assert (a.data is None, a.quant is None) == (b.data is None, b.quant is None)
    if a.data is not None:
        np.testing.assert_array_equal(a.data, b.data)
    if a.quant is not None and b.quant is not None:
        assert a.quant.axis == b.quant.axis
        np.testing.assert_array_equal(a.quant.scale, b.quant.scale)
        np.testing.assert_array_equal(a.quant.zero_point, b.quant.zero_point)


def test_bytes_of_constants() -> None:
    data = write_tflite(rich_model())
    assert data[4:8] == b"TFL3"
    assert data.count(b"\x02\x00\x00\x00\xe1\x07") == 1  # length 2; 1, -2, 7: packing.py's example
    assert data.count(b"\x02\x00\x00\x00\x00\xff") == 1  # equal bytes are stored once


def test_equal_weights_are_stored_once_and_aligned() -> None:
    model = small_model(np.random.default_rng(1))
    weight = model.graphs[0].tensor("site/kernel").data
    assert weight is not None
    data = write_tflite(model)
    assert data.count(weight.tobytes()) == 1
    assert data.index(weight.tobytes()) % 16 == 0


def test_damage_is_a_value_error_or_a_model_that_can_be_written() -> None:
    rng = np.random.default_rng(2)
    for model in (rich_model(), small_model(rng)):
        data = write_tflite(model)
        for _ in range(500):
            mutant = bytearray(data)
            for _ in range(rng.integers(1, 4)):
                mutant[rng.integers(8, len(data))] = rng.integers(256)
            try:
                damaged = read_tflite(bytes(mutant[: rng.integers(8, len(data) + 1)]))
            except ValueError:
                continue
            assert read_tflite(write_tflite(damaged)).graphs[0].name == damaged.graphs[0].name


@pytest.mark.parametrize("data", [b"", b"TFL3", bytes(100), b"\x20\0\0\0TFL3", b"PK" * 50])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="TFLite file"):
        read_tflite(data)


def test_unknown_operators_and_options_are_named() -> None:
    def model(op: Op) -> GraphModel:
        x = Tensor(name="x", shape=(1,))
        graph = Graph(name="g", tensors=(x,), ops=(op,), inputs={"x": "x"}, outputs={"x": "x"})
        return GraphModel(graphs=(graph,))

    with pytest.raises(ValueError, match="unknown operator 'LSTM'"):
        write_tflite(model(Op(code="LSTM", inputs=("x",), outputs=("x",))))
    with pytest.raises(ValueError, match=r"MUL has no options \['axis'\]"):
        write_tflite(model(Op(code="MUL", inputs=("x", "x"), outputs=("x",), options={"axis": 1})))


def test_graphs_refuse_dangling_names() -> None:
    with pytest.raises(ValueError, match="unknown tensors: y"):
        Graph(name="g", tensors=(), ops=(), inputs={}, outputs={"y": "y"})
