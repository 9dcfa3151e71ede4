"""Everything that a model takes on a Cortex-M55, in bytes: not the weights alone.

    flash    weights   filters, packed as stored
             tables    scales, zero points, decoding tables, biases, shapes
             records   what else a .tflite holds: tensors, operators, names, padding
             rows      initial states, embeddings, puzzle rows (row_file.py)
             vectors   puzzles of the self-test (test_vectors.py)
             code      the firmware, and what of TFLM is linked (build.py)
    SRAM     arena     head (tensors of the running graph) and tail (what TFLM keeps), measured
                       by TFLM (arena.py), with the margin that the firmware reserves
             carry     z_H and z_L
             buffers   one embedding row, puzzle, answer, a line of the console; the state that
                       graphs of a cut block hand to each other
             statics   variables of the firmware, and of what of TFLM is linked
             stack     as reserved by the linker script

`BOARDS` are memories of named devices, by public data: what a model takes has to fit region by
region, for flash and SRAM of a device are no common budget.

Paper, section 4.1 and Table 2 count the weights; a device has to hold all of it.

Not here: an estimate from shapes alone (export/footprint).
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from export.cortex_m.arena import MARGIN, Arena
from export.cortex_m.build import Linked
from export.cortex_m.flash_contents import buffer_bytes, carry_bytes
from export.cortex_m.row_file import RowFile
from export.graph.ir import Graph, GraphModel, Tensor
from export.graph.tflite_schema import encode

FILTERED = {"FULLY_CONNECTED": 1, "CONV_2D": 1, "TFLM_DECODE": 0}
"""Operator -> which of its inputs holds a filter, if that is a constant."""


@dataclass(frozen=True, kw_only=True)
class Flash:
    """Bytes that are only read."""

    weights: int
    tables: int
    records: int
    rows: int
    vectors: int
    code: int

    @property
    def total(self) -> int:
        return sum(dataclasses.astuple(self))


@dataclass(frozen=True, kw_only=True)
class BoardSram:
    """Bytes that are written."""

    arena_head: int
    arena_tail: int
    arena_margin: int
    carry: int
    buffers: int
    statics: int
    stack: int

    @property
    def arena(self) -> int:
        return self.arena_head + self.arena_tail + self.arena_margin

    @property
    def total(self) -> int:
        return sum(dataclasses.astuple(self))


def flash_of(
    graphs: Mapping[str, bytes], model: GraphModel, rows: int, vectors: int, linked: Linked
) -> Flash:
    """Count flash.

    Args:
      graphs: files by graph of `model`, as they are burnt: each a .tflite of its own.
      rows, vectors: bytes of both files.
    """
    weights = sum(_weights(graph) for graph in model.graphs)
    constants = sum(_constants(graph) for graph in model.graphs)
    return Flash(
        weights=weights,
        tables=constants - weights,
        records=sum(map(len, graphs.values())) - constants,
        rows=rows,
        vectors=vectors,
        code=linked.code,
    )


def sram_of(arena: Arena, rows: RowFile, linked: Linked, work: int = 0) -> BoardSram:
    """Count SRAM.

    Args:
      work: bytes between the graphs of a block that is cut.
    """
    return BoardSram(
        arena_head=arena.head,
        arena_tail=arena.tail,
        arena_margin=MARGIN,
        carry=carry_bytes(rows),
        buffers=buffer_bytes(rows) + work,
        statics=linked.statics,
        stack=linked.stack,
    )


def _weights(graph: Graph) -> int:
    names = {op.inputs[FILTERED[op.code]] for op in graph.ops if op.code in FILTERED}
    return sum(_stored(graph.tensor(name) for name in names if name is not None).values())


def _constants(graph: Graph) -> int:
    """Count constants with their grids; the writer stores equal vectors once."""
    stored = _stored(graph.tensors)
    for tensor in graph.tensors:
        if tensor.quant is not None:
            for vector in (tensor.quant.scale, tensor.quant.zero_point):
                stored[vector.tobytes()] = vector.nbytes
    return sum(stored.values())


def _stored(tensors: Iterable[Tensor]) -> dict[bytes, int]:
    """Size every constant, equal ones once."""
    contents = (encode(t.data, t.dtype) for t in tensors if t.data is not None)
    return {content: len(content) for content in contents}


def _graphs(flash: Flash, sram: BoardSram) -> int:
    return flash.weights + flash.tables + flash.records


def _files(flash: Flash, sram: BoardSram) -> int:
    return flash.rows + flash.vectors


def _code(flash: Flash, sram: BoardSram) -> int:
    return flash.code


def _variables(flash: Flash, sram: BoardSram) -> int:
    return sram.statics + sram.stack


def _work(flash: Flash, sram: BoardSram) -> int:
    return sram.arena + sram.carry + sram.buffers


class MemoryRegion(NamedTuple):
    """A memory of a device, and what of a model lies in it.

    Attributes:
      contents: each counts bytes of one part (firmware/boards/cortex_m55/sections.ld).
    """

    name: str
    bytes: int
    contents: tuple[Callable[[Flash, BoardSram], int], ...]

    def missing(self, flash: Flash, sram: BoardSram) -> int:
        """Count the bytes that do not fit."""
        return max(0, sum(count(flash, sram) for count in self.contents) - self.bytes)


class BoardMemory(NamedTuple):
    """The memories of a named device."""

    name: str
    regions: tuple[MemoryRegion, ...]

    @property
    def graph_bytes(self) -> int | None:
        """Bytes of the memory that graphs are read from; None: it is none of the device's."""
        return next((r.bytes for r in self.regions if _graphs in r.contents), None)

    @property
    def work_bytes(self) -> int:
        """Bytes of the memory that arena and states lie in."""
        return next(r.bytes for r in self.regions if _work in r.contents)

    def missing(self, flash: Flash, sram: BoardSram) -> dict[str, int]:
        """Count what does not fit: region -> bytes; empty where all fits."""
        counts = {region.name: region.missing(flash, sram) for region in self.regions}
        return {name: count for name, count in counts.items() if count}


MIB, KIB = 1 << 20, 1 << 10
BOARDS = (
    BoardMemory(
        "MPS3 AN547",
        (
            MemoryRegion("ITCM", 512 * KIB, (_code,)),
            MemoryRegion("QSPI flash", 8 * MIB, (_graphs, _files)),
            MemoryRegion("DTCM", 512 * KIB, (_variables,)),
            MemoryRegion("SRAM", 4 * MIB, (_work,)),
        ),
    ),
    BoardMemory(
        "Alif Ensemble E7",
        (
            MemoryRegion("MRAM", 5632 * KIB - 64 * KIB, (_code, _graphs, _files)),
            MemoryRegion("DTCM", 1 * MIB, (_variables,)),
            MemoryRegion("SRAM0", 4 * MIB, (_work,)),
        ),
    ),
    BoardMemory(  # no flash of its own: what is read lies in the board's external one
        "STM32N6",
        (MemoryRegion("RAM", 0x420000, (_variables, _work)),),
    ),
)
"""AN547: the FPGA image that QEMU emulates. Ensemble E7: the M55-HP core; the last 64 KiB of its
MRAM stay with its boot table. STM32N6: its contiguous RAM from 0x34000000."""
