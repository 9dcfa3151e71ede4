"""The operator model: products by hand, and whole blocks against counts measured elsewhere."""

import dataclasses

import pytest

from experiments.deploy.cortex_m.exports import random_export, random_source, random_weights
from export.cortex_m.instructions import COSTS, count_instructions, count_products
from export.graph.ir import DType, Graph, Op, Tensor
from tests.support.export.board import matrix_graph
from tests.support.slow import slow_except
from trm_jax.config import MAZE_TRM_ATT
from trm_jax.loading import LoadedModel
from trm_jax.tasks.maze import MAZE


def test_products_are_counted() -> None:
    graph = matrix_graph(DType.FLOAT32)
    (op,) = graph.ops
    assert count_products(graph, op) == 24
    cost = COSTS["FULLY_CONNECTED", DType.FLOAT32]
    wanted = round(24 * cost.per_product + 4 * cost.per_element)
    assert count_instructions(graph) == {"FULLY_CONNECTED": wanted}


def test_products_of_two_inputs_are_counted() -> None:
    shapes = {"a": (2, 5, 3), "b": (2, 7, 3), "y": (2, 5, 7)}
    tensors = tuple(Tensor(name=name, shape=shape) for name, shape in shapes.items())
    op = Op(code="BATCH_MATMUL", inputs=("a", "b"), outputs=("y",), options={"adjY": True})
    graph = Graph(name="g", tensors=tensors, ops=(op,), inputs={}, outputs={"y": "y"})
    assert count_products(graph, op) == 2 * 5 * 7 * 3


def test_an_operator_without_a_measured_cost_is_refused() -> None:
    z = Tensor(name="z", shape=(1,))
    op = Op(code="LSTM", inputs=("z",), outputs=("z",))
    graph = Graph(name="g", tensors=(z,), ops=(op,), inputs={}, outputs={"z": "z"})
    with pytest.raises(ValueError, match="no measured cost for LSTM of FLOAT32; measured: ADD"):
        count_instructions(graph)


@pytest.mark.parametrize(
    ("scheme", "measured"),
    slow_except([("tflm_int8_int8", 141.63e6), ("tflm_int4_int16", 220.17e6)]),
)
def test_a_full_size_block_is_as_counted_on_the_emulated_board(
    scheme: str, measured: float
) -> None:
    """Within 2 %: fits of single operators leave half of it, the update around the graph 0.2 %."""
    model = random_export(random_source("sudoku-trm-mlp"), scheme).model
    found = sum(count_instructions(model.graph("block")).values())
    assert found == pytest.approx(measured, rel=0.02)


def test_a_full_size_block_of_floats_is_as_measured() -> None:
    """Those graphs were others with the same products, and had norms in integers.

    Norms are 5 * 13 instructions here for each of 4 * 97 * 512 elements, and had MEAN with 150.
    """
    model = random_export(random_source("sudoku-trm-mlp"), "fp32").model
    found = sum(count_instructions(model.graph("block")).values())
    assert 0.9 * 2628e6 <= found <= 1.1 * 2628e6 + 43e6


def one(code: str, shapes: tuple[tuple[int, ...], ...], outputs: int, **options: int) -> Graph:
    """A graph of one int8 operator; its last `outputs` tensors are results."""
    tensors = tuple(Tensor(name=f"t{i}", shape=s, dtype=DType.INT8) for i, s in enumerate(shapes))
    names = tuple(t.name for t in tensors)
    cut = len(names) - outputs
    op = Op(code=code, inputs=names[:cut], outputs=names[cut:], options=options)
    return Graph(name="g", tensors=tensors, ops=(op,), inputs={}, outputs={"y": names[-1]})


def test_pieces_are_counted() -> None:
    """Two inputs of 5 rows are 10 copies; two halves of 5 rows too; a SOFTMAX has 5 rows."""
    costs = {code: COSTS[code, DType.INT8] for code in ("CONCATENATION", "SPLIT", "SOFTMAX")}
    graphs = {
        "CONCATENATION": one("CONCATENATION", ((1, 5, 3), (1, 5, 4), (1, 5, 7)), 1, axis=-1),
        "SPLIT": one("SPLIT", ((), (1, 5, 6), (1, 5, 3), (1, 5, 3)), 2),
        "SOFTMAX": one("SOFTMAX", ((1, 5, 4), (1, 5, 4)), 1),
    }
    counts = {"CONCATENATION": (35, 10), "SPLIT": (30, 10), "SOFTMAX": (20, 5)}
    for code, (elements, pieces) in counts.items():
        wanted = round(elements * costs[code].per_element + pieces * costs[code].per_piece)
        assert count_instructions(graphs[code]) == {code: wanted}
    rows = one("CONCATENATION", ((1, 5, 3), (1, 4, 3), (1, 9, 3)), 1, axis=1)
    cost = costs["CONCATENATION"]
    wanted = round(27 * cost.per_element + 2 * cost.per_piece)
    assert count_instructions(rows) == {"CONCATENATION": wanted}


def test_channels_of_a_filter_are_counted() -> None:
    """Each begins anew: 5 channels of 3 codes."""
    names = ("codes", "tables", "filter")
    kinds = (DType.UINT8, DType.UINT8, DType.INT8)
    shapes = ((8,), (96,), (5, 1, 1, 3))
    tensors = tuple(
        Tensor(name=n, shape=s, dtype=d) for n, s, d in zip(names, shapes, kinds, strict=True)
    )
    op = Op(code="TFLM_DECODE", inputs=names[:2], outputs=names[2:], options={}, custom_options=b"")
    graph = Graph(name="g", tensors=tensors, ops=(op,), inputs={}, outputs={"y": "filter"})
    cost = COSTS["TFLM_DECODE", DType.UINT8]
    wanted = round(15 * cost.per_element + 5 * cost.per_piece)
    assert count_instructions(graph) == {"TFLM_DECODE": wanted}


ONE_HEAD = dataclasses.replace(
    MAZE_TRM_ATT,
    hidden_size=64,
    num_heads=1,
    puzzle_emb_ndim=64,
    L_layers=1,
    forward_dtype="float32",
)
COUNTED = {
    "int8": (None, "w8c-sym_a8s_tflm", 25.096e6),
    "int16": (None, "tflm_int4_int16", 36.429e6),
    "int8, softmax int16": (ONE_HEAD, "w8c-sym_a8s_tflm", 446.43e6),
}
"""Model (None: the bundled maze's), scheme, instructions of `once`: an update of either state and a
read-out."""


@pytest.mark.slow
@pytest.mark.parametrize("name", COUNTED)
def test_attention_is_as_counted_on_the_emulated_board(name: str) -> None:
    """Within 3 %: fits of single operators to several sizes leave less, the loop takes the rest."""
    config, scheme, counted = COUNTED[name]
    source = random_source("maze-trm-att-mini")
    if config is not None:
        source = LoadedModel(
            name="one head",
            origin="one head",
            task=MAZE,
            config=config,
            weights=random_weights(config),
        )
    model = random_export(source, scheme).model
    block, head = (sum(count_instructions(model.graph(n)).values()) for n in ("block", "head"))
    assert 2 * block + head == pytest.approx(counted, rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["fp32", "tflm_int8_int16", "tflm_int4_int8"])
def test_every_operator_of_attention_has_a_cost(scheme: str) -> None:
    for graph in random_export(random_source("maze-trm-att-mini"), scheme).model.graphs:
        assert min(count_instructions(graph).values()) > 0
