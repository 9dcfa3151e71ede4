"""A network cut into graphs that share one arena, for devices that cannot hold a block at once.

    inject                 z, injection -> h          some tokens
    layers_I/heads_A-B     h -> mixed/A, ...          heads A to B, all tokens
    layers_I/tail          h, mixed -> h              some tokens: o_proj, norms, SwiGLU

The host (or firmware) owns h and mixed and runs, block by block, the heads and then the tail over
all tokens; h replaces z and mixed the injection, so beside the states it keeps one more. The same
bits as a block in one graph: rows of products and norms do not depend on each other. One arena
must take the largest graph's tensors, and every graph's records.

First `PartitionSpec` and the graphs (`stage_graphs`), then how graphs are called (`stages_of`),
then the loop that calls them (`run_stages`). Not here: operators (integer_attention.py).
"""

import enum
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Integer

from export.graph.builder import GraphBuilder
from export.graph.ir import Graph, GraphModel
from export.graph.schedule import scheduled
from export.lowering.integer_attention import AttentionGraph
from export.lowering.integer_block import Chunks, NamedTensor
from export.lowering.storage import StoragePlan
from quant.integer.model import IntegerModel
from quant.integer.network import (
    SUM,
    attend,
    finish_block,
    last_norm,
    layer_sites,
    mixed_name,
)
from quant.integer.tensor_names import INJECTION, STATE, TensorName
from trm_jax.config import Mixer, ReasonerConfig

State = Integer[np.ndarray, "pos emb"]
Call = Callable[[str, Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]
"""Runs a graph by its name."""
CUT_PART = re.compile("(?P<name>[a-z]+)=(?P<value>[0-9]{1,9})")
HEADS = re.compile(r"layers_\d+/heads_(?P<start>\d+)-\d+")
STAGE = re.compile(rf"inject|layers_\d+/tail|{HEADS.pattern}")


@dataclass(frozen=True, kw_only=True)
class PartitionSpec:
    """Where a network is cut.

    Attributes:
      heads: in one graph, at most.
      tokens: per call of `inject` and `tail`.
      queries: of a head's scores at a time, inside a graph.

    Raises:
      ValueError: one is below 1.
    """

    heads: int
    tokens: int
    queries: int

    def __post_init__(self) -> None:
        if min(self.heads, self.tokens, self.queries) < 1:
            raise ValueError(f"every part of a cut must be at least 1, got {self}")


def parse_cut(text: str) -> PartitionSpec:
    """Read a cut: `heads=1,tokens=100,queries=100`.

    Raises:
      ValueError: other names, one of them twice, no numbers, or below 1.
    """
    parts = [CUT_PART.fullmatch(part) for part in text.split(",")]
    names = [field.name for field in fields(PartitionSpec)]
    values = {part["name"]: int(part["value"]) for part in parts if part}
    if len(parts) != len(names) or set(values) != set(names):
        raise ValueError(
            f"a cut names {', '.join(f'{n}=N' for n in names)}, got {text[:80]!r}; each once"
        )
    return PartitionSpec(**values)


def stage_graphs(model: IntegerModel, plan: StoragePlan, cut: PartitionSpec) -> tuple[Graph, ...]:
    """Lower a network to the graphs of its stages, in the order of their first call.

    Raises:
      ValueError: the network has no attention.
    """
    if model.config.mixer is not Mixer.ATTENTION:
        raise ValueError(
            f"only networks with attention are cut into stages, got {model.config.mixer.value};"
            " leave the cut out"
        )
    chunks = Chunks(queries=cut.queries, rows=cut.tokens)
    config = model.config

    def ops(name: str) -> AttentionGraph:
        return AttentionGraph(GraphBuilder(name), model, plan, chunks)

    graphs = [_inject_graph(ops("inject"), cut.tokens)]
    source = SUM
    for i, site in enumerate(layer_sites(config)):
        for start, stop in head_groups(config, cut.heads):
            name = f"layers_{i}/heads_{start}-{stop}"
            graphs.append(_heads_graph(site, source, ops(name), range(start, stop)))
        graphs.append(_tail_graph(site, source, ops(f"layers_{i}/tail"), cut.tokens))
        source = last_norm(site)
    return tuple(map(scheduled, graphs))


def head_groups(config: ReasonerConfig, size: int) -> list[tuple[int, int]]:
    """Group heads: first and end of every group."""
    starts = range(0, config.num_heads, size)
    return [(start, min(start + size, config.num_heads)) for start in starts]


def _inject_graph(ops: AttentionGraph, tokens: int) -> Graph:
    z, injection = (_rows(ops, str(name), name, tokens) for name in (STATE, INJECTION))
    h = ops.add(SUM, z, injection)
    return ops.g.finish({"z": "z", "injection": "injection"}, {"h": h.value})


def _heads_graph(site: str, source: TensorName, ops: AttentionGraph, heads: range) -> Graph:
    c = ops.model.config
    h = _rows(ops, "h", source, c.num_positions)
    mixed = {f"mixed/{i}": attend(h, site, i, c, ops).value for i in heads}
    return ops.g.finish({"h": "h"}, mixed)


def _tail_graph(site: str, source: TensorName, ops: AttentionGraph, tokens: int) -> Graph:
    h = _rows(ops, "h", source, tokens)
    mixed = _rows(ops, "mixed", mixed_name(site, 0), tokens)
    result = finish_block(h, (mixed,), site, ops).value
    return ops.g.finish({"h": "h", "mixed": "mixed"}, {"h": result})


def _rows(ops: AttentionGraph, tensor: str, name: TensorName, rows: int) -> NamedTensor:
    """Declare an input of some rows of one puzzle, in the encoding of `name`."""
    return ops.input_tensor(tensor, name, (1, 1, rows, ops.model.config.hidden_size))


class Buffer(enum.Enum):
    """A state that stages read and write, by its name in firmware/stages.h."""

    Z = "TRM_Z"  # the state that is updated
    WORK = "TRM_WORK"  # one more: the injection, then mixed


BUFFERS = {"z": Buffer.Z, "h": Buffer.Z, "injection": Buffer.WORK, "mixed": Buffer.WORK}
"""Buffer of a graph's input or output, by its name up to a slash."""


@dataclass(frozen=True, kw_only=True)
class Partition:
    """Calls of one graph, `rows` positions at a time.

    Attributes:
      graph: its name.
      inputs: name -> buffer, in the graph's order.
      outputs: names; concatenated they are columns of a state, from `column` on.
      to: buffer of the outputs.
    """

    graph: str
    inputs: Mapping[str, Buffer]
    outputs: tuple[str, ...]
    to: Buffer
    column: int
    rows: int


def stages_of(graphs: Iterable[Graph]) -> tuple[Partition, ...]:
    """Derive from the graphs of a network, in the order of their first call, how they are called.

    A block in one graph is one stage.
    """
    return tuple(_stage(graph) for graph in graphs)


def network_graphs(model: GraphModel, block: str) -> tuple[Graph, ...]:
    """Choose what a board runs for a block: the stages that a model has for it, or the block."""
    return cut_graphs(model) or (model.graph(block),)


def cut_graphs(model: GraphModel) -> tuple[Graph, ...]:
    """List the graphs that a block was cut into; none if it was not."""
    return tuple(graph for graph in model.graphs if STAGE.fullmatch(graph.name))


def work_bytes(graphs: Sequence[Graph], positions: int) -> int:
    """Count the bytes that graphs of a network hand to each other; one graph has its arena."""
    stages = stages_of(graphs)
    if len(stages) == 1:
        return 0
    rows = [
        graph.tensor(graph.inputs[name])
        for graph, stage in zip(graphs, stages, strict=True)
        for name, buffer in stage.inputs.items()
        if buffer is Buffer.WORK
    ]
    return positions * max(x.shape[-1] * x.dtype.bits // 8 for x in rows)


def _stage(graph: Graph) -> Partition:
    first = graph.tensor(next(iter(graph.outputs.values())))
    match = HEADS.fullmatch(graph.name)
    return Partition(
        graph=graph.name,
        inputs={name: _buffer_of(name) for name in graph.inputs},
        outputs=tuple(graph.outputs),
        to=_buffer_of(next(iter(graph.outputs))),
        column=int(match["start"]) * first.shape[-1] if match else 0,
        rows=first.shape[-2],
    )


def _buffer_of(name: str) -> Buffer:
    return BUFFERS[name.split("/")[0]]


def run_stages(call: Call, z: State, injection: State, stages: Sequence[Partition]) -> State:
    """Apply a network by its stages to one puzzle, as firmware/stages.c does."""
    buffers = {Buffer.Z: z.copy(), Buffer.WORK: injection.copy()}
    for stage in stages:
        for start in range(0, len(z), stage.rows):
            _run_rows(call, stage, slice(start, min(start + stage.rows, len(z))), buffers)
    return buffers[Buffer.Z]


def _run_rows(call: Call, stage: Partition, rows: slice, buffers: dict[Buffer, np.ndarray]) -> None:
    """Run a graph on some rows, the last call padded; results replace those of their buffer."""
    inputs = {
        name: _padded(buffers[buffer][rows], stage.rows)[None, None]
        for name, buffer in stage.inputs.items()
    }
    outputs = call(stage.graph, inputs)
    result = np.concatenate([outputs[name][0, 0] for name in stage.outputs], -1)
    buffer = buffers[stage.to]
    if buffer.dtype != result.dtype:  # mixed may be of another width than the injection
        buffer = buffers[stage.to] = np.empty(buffer.shape, result.dtype)
    columns = slice(stage.column, stage.column + result.shape[-1])
    buffer[rows, columns] = result[: rows.stop - rows.start]


def _padded(x: np.ndarray, rows: int) -> np.ndarray:
    return np.concatenate([x, np.zeros((rows - len(x), *x.shape[1:]), x.dtype)])
