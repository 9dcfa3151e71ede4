"""Memory of a board against bytes counted by hand."""

import dataclasses

import numpy as np
import pytest

from export.cortex_m import package
from export.cortex_m.arena import MARGIN, Arena
from export.cortex_m.build import Counted, Linked
from export.cortex_m.memory import BoardSram, flash_of, sram_of
from export.graph.ir import DType, Graph, GraphModel, Op, Tensor
from export.graph.tflite_writer import write_tflite
from tests.support.export.board import matrix_graph, small_row_file

LINKED = Linked(code=1000, statics=20, stack=512, counted=Counted.FIRMWARE)


@pytest.mark.parametrize(
    ("dtype", "weights", "tables"),
    # int4: 24 weights in 12 bytes, 4 scales of 4 bytes, 4 zero points of 8
    [(DType.FLOAT32, 96, 0), (DType.INT8, 24, 48), (DType.INT4, 12, 48)],
)
def test_flash_is_the_files_taken_apart(dtype: DType, weights: int, tables: int) -> None:
    model = GraphModel(graphs=(matrix_graph(dtype),))
    file = write_tflite(model)
    found = flash_of({"block": file}, model, 192, 96, LINKED)
    assert (found.weights, found.tables) == (weights, tables)
    assert found.weights + found.tables + found.records == len(file)
    assert found.total == len(file) + 192 + 96 + 1000


def test_decoded_filters_count_as_their_codes() -> None:
    codes = Tensor(name="codes", shape=(12,), dtype=DType.UINT8, data=np.arange(12, dtype=np.uint8))
    table = Tensor(name="table", shape=(32,), dtype=DType.UINT8, data=np.ones(32, np.uint8))
    out = Tensor(name="kernel", shape=(4, 6), dtype=DType.INT8)
    op = Op(code="TFLM_DECODE", inputs=("codes", "table"), outputs=("kernel",), custom_options=b"")
    graph = Graph(
        name="block",
        tensors=(codes, table, out),
        ops=(op,),
        inputs={},
        outputs={"kernel": "kernel"},
    )
    model = GraphModel(graphs=(graph,))
    found = flash_of({"block": write_tflite(model)}, model, 0, 0, LINKED)
    assert (found.weights, found.tables) == (12, 32)


def test_sram_is_arena_states_and_what_is_linked() -> None:
    rows = small_row_file()  # int16, 2 positions of 2 elements: states of 8 bytes, in 16 each
    found = sram_of(Arena(head=100, tail=30), rows, LINKED)
    # a row of 4 bytes, and 1 cell of puzzle, answer and halting, in 16 each; a line of 257 in 272
    assert found == BoardSram(
        arena_head=100,
        arena_tail=30,
        arena_margin=MARGIN,
        carry=32,
        buffers=16 + 16 + 16 + 16 + 272,
        statics=20,
        stack=512,
    )
    assert found.total == sum(dataclasses.asdict(found).values())
    cut = sram_of(Arena(head=100, tail=30), rows, LINKED, 48)
    assert cut == dataclasses.replace(found, buffers=found.buffers + 48)
    assert found.arena == 130 + MARGIN
    assert package.reserved_arena_bytes(Arena(head=100, tail=30)) >= found.arena
