"""Memory of a board against bytes counted by hand."""

import dataclasses
import re

import numpy as np
import pytest

from export.cortex_m import package
from export.cortex_m.arena import MARGIN, Arena
from export.cortex_m.build import FIRMWARE, Counted, Linked
from export.cortex_m.memory import BOARDS, BoardMemory, BoardSram, Flash, flash_of, sram_of
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


SCRIPTS = {
    # device: its script, and the regions of the script that each of its memories is made of
    "MPS3 AN547": (
        "mps3_an547",
        {"ITCM": ["ITCM"], "QSPI flash": ["MODEL", "DATA"], "DTCM": ["DTCM"], "SRAM": ["SRAM"]},
    ),
    "Alif Ensemble E7": (
        "ensemble_e7",
        {"MRAM": ["CODE", "MODEL", "DATA"], "DTCM": ["DTCM"], "SRAM0": ["SRAM0"]},
    ),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_memories_are_those_of_the_linker_s_script(name: str) -> None:
    folder, parts = SCRIPTS[name]
    text = (FIRMWARE / "boards" / folder / "memory.ld").read_text()
    units = {"K": 1 << 10, "M": 1 << 20}
    found = re.findall(
        r"^  (\w+) \(\w+\) *: ORIGIN = \w+, LENGTH = (\d+)([KM])$", text, re.MULTILINE
    )
    lengths = {region: int(number) * units[unit] for region, number, unit in found}
    (board,) = (board for board in BOARDS if board.name == name)
    sums = {memory: sum(lengths[region] for region in regions) for memory, regions in parts.items()}
    assert {region.name: region.bytes for region in board.regions} == sums


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_everything_lies_in_one_memory(board: BoardMemory) -> None:
    """Each part is counted once; of a device without flash only what is written."""
    flash = Flash(weights=1, tables=2, records=4, rows=8, vectors=16, code=32)
    sram = BoardSram(
        arena_head=64,
        arena_tail=128,
        arena_margin=256,
        carry=512,
        buffers=1024,
        statics=2048,
        stack=4096,
    )
    counted = sum(count(flash, sram) for region in board.regions for count in region.contents)
    assert counted == sram.total + (0 if board.name == "STM32N6" else flash.total)
    assert not board.missing(flash, sram)
    huge = dataclasses.replace(sram, arena_head=8 << 20)
    (missing,) = board.missing(flash, huge).values()
    assert 3 << 20 < missing < 5 << 20
