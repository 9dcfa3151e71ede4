"""Orders of operators, by graphs whose memory is counted by hand."""

import numpy as np

from export.graph.builder import GraphBuilder, binary, joined, unary
from export.graph.ir import Graph
from export.graph.schedule import late, peak_bytes, scheduled
from export.lowering.integer_block import DEFAULT_CHUNKS
from export.lowering.model import integer_block_graph
from tests.support.export import integers

EACH = 64  # bytes of a tensor of 16 floats


def swiglu(*, up_first: bool) -> Graph:
    """Widen x twice, as gate and up; in two orders."""
    g = GraphBuilder("block")
    x = g.input("x", (16,))
    gate = joined(g, (x, x), "gate")
    up = joined(g, (x, x), "up") if up_first else ""
    silu = binary(g, "MUL", gate, unary(g, "LOGISTIC", gate, "sigmoid"), "silu")
    up = up or joined(g, (x, x), "up")
    return g.finish({"x": x}, {"y": binary(g, "MUL", silu, up, "product")})


def names(graph: Graph) -> list[str]:
    return [name for op in graph.ops for name in op.outputs]


def test_results_are_made_when_they_are_wanted() -> None:
    graph = swiglu(up_first=True)
    assert names(late(graph)) == ["gate", "sigmoid", "silu", "up", "product"]
    assert late(graph).tensors == graph.tensors
    # gate, up, sigmoid and silu; then gate, sigmoid and silu, with x still waiting for up
    assert (peak_bytes(graph), peak_bytes(late(graph))) == (8 * EACH, 7 * EACH)
    assert names(scheduled(graph)) == names(late(graph))


def test_the_written_order_stays_where_late_saves_nothing() -> None:
    graph = swiglu(up_first=False)
    assert scheduled(graph) is graph


def test_inputs_lie_there_from_the_start_and_outputs_to_the_end() -> None:
    g = GraphBuilder("block")
    a, b = g.input("a", (16,)), g.input("b", (16,))
    first = unary(g, "RELU", a, "first")
    second = unary(g, "RELU", b, "second")
    graph = g.finish({"a": a, "b": b}, {"first": first, "second": second})
    assert peak_bytes(graph) == 3 * EACH
    assert names(late(graph)) == ["first", "second"]


def test_what_no_output_needs_is_left_out() -> None:
    g = GraphBuilder("block")
    a = g.input("a", (16,))
    unary(g, "EXP", a, "unused")
    graph = g.finish({"a": a}, {"y": unary(g, "RELU", a, "y")})
    assert names(late(graph)) == ["y"]


def test_integer_blocks_are_scheduled() -> None:
    """Every operator stands behind what it reads, and a gate's sigmoid before its `up`."""
    scheme = "w4c-asym_a16s_tflm"
    graph = integer_block_graph(integers.tiny(scheme), integers.plan_of(scheme), 1, DEFAULT_CHUNKS)
    made = {*graph.inputs.values(), *(t.name for t in graph.tensors if t.data is not None)}
    for op in graph.ops:
        assert made.issuperset(name for name in op.inputs if name is not None)
        made.update(op.outputs)
    order = names(graph)
    sigmoid, up = (
        np.flatnonzero([f"/{part}" in name for name in order])[0] for part in ("sigmoid", "up")
    )
    assert sigmoid < up
