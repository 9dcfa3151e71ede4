"""What the graphs of an attention network take on a microcontroller: rows as TFLM measures them.

Weights are random: memory depends on neither values nor scales. Not here: the options (arena.py).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments.deploy.cortex_m.command import has_integer_attention
from experiments.measurement.row_files import append_row, drop_torn_line, read_lines
from experiments.render.console import progress
from export.cortex_m.arena import measure_arena
from export.graph.ir import Graph, GraphModel
from export.graph.tflite_writer import write_tflite
from export.lowering.integer_block import Chunks
from export.lowering.model import integer_block_graph
from export.lowering.stages import PartitionSpec, stage_graphs
from export.lowering.storage import plan_for
from export.targets import Target
from quant.affine import Grid, QTensor
from quant.integer.model import IntegerModel, uncalibrated_model
from quant.integer.tensor_names import int8_widths
from quant.ptq.weights import QuantisedParams, is_kernel
from quant.scheme import parse
from trm_jax.config import TRMConfig, preset
from trm_jax.models.build import build
from trm_jax.types import Buffers, Weights

ROWS_FILE = "rows.jsonl"
SCHEME = parse("tflm_int8_int8")
REACH = (-4.0, 4.0)  # of every tensor; any would do


@dataclass(frozen=True, kw_only=True)
class ArenaRow:
    """What one kind of graph takes, in bytes.

    Attributes:
      key: what was cut how; graph: the first of its kind; count: graphs of this kind.
      weights: constants of one such graph; head: what it needs while it runs; tail: what stays.
    """

    key: str
    graph: str
    count: int
    operators: int
    weights: int
    head: int
    tail: int


def config_of(name: str) -> TRMConfig:
    """Look a preset up; the command line lets supported ones through alone."""
    config = preset(name)
    assert has_integer_attention(config)
    return config


def random_model(config: TRMConfig) -> IntegerModel:
    """Draw a network of int8 weights; embeddings and states are zero, puzzles there are none."""
    params, width = random_params(config), config.hidden_size
    start = Buffers(jnp.zeros(width), jnp.zeros(width))
    weights = Weights(params, start, jnp.zeros((0, width)))
    return uncalibrated_model(config, weights, params, SCHEME, REACH)


def random_params(config: TRMConfig) -> QuantisedParams:
    """Draw int8 kernels of a network; all its other parameters are zero."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(build(config).init, jax.random.key(0)).params

    def draw(path: tuple, leaf: jax.ShapeDtypeStruct) -> QTensor | jax.Array:
        if not is_kernel(path):
            return jnp.zeros(leaf.shape, leaf.dtype)
        scales = (1, leaf.shape[1])
        return QTensor(
            qvalue=jnp.asarray(rng.integers(-127, 128, leaf.shape), jnp.int8),
            scale=jnp.full(scales, 1e-3, jnp.float32),
            zero_point=jnp.zeros(scales, jnp.int32),
            grid=Grid(bits=8, channel_axes=(-1,)),
        )

    return jax.tree_util.tree_map_with_path(draw, shapes)


def graphs_of(config: TRMConfig, cut: PartitionSpec, *, whole: bool) -> tuple[Graph, ...]:
    """Make the graphs of a network with random weights: cut, or a block in one."""
    model, plan = random_model(config), plan_for(SCHEME, Target.TFLM)
    if whole:
        chunks = Chunks(queries=cut.queries, rows=cut.tokens)
        return (integer_block_graph(model, plan, 1, chunks),)
    return stage_graphs(model, plan, cut)


def kinds_of(graphs: Sequence[Graph]) -> list[list[Graph]]:
    """Group graphs that differ in constants and names alone."""
    kinds: dict[tuple, list[Graph]] = {}
    for graph in graphs:
        shapes = tuple((t.shape, t.dtype, t.data is None) for t in graph.tensors)
        kinds.setdefault((shapes, tuple(op.code for op in graph.ops)), []).append(graph)
    return list(kinds.values())


def measured(key: str, kinds: Sequence[Sequence[Graph]]) -> Iterator[ArenaRow]:
    """Let TFLM place one graph of every kind.

    Raises:
      RuntimeError: TFLM is not installed, or refuses a graph.
    """
    for kind in kinds:
        graph = kind[0]
        arena = measure_arena(write_tflite(GraphModel(graphs=(graph,))))
        weights = sum(t.data.nbytes for t in graph.tensors if t.data is not None)
        yield ArenaRow(
            key=key,
            graph=graph.name,
            count=len(kind),
            operators=len(graph.ops),
            weights=weights,
            head=arena.head,
            tail=arena.tail,
        )


def key_of(name: str, cut: PartitionSpec, *, whole: bool) -> str:
    """Name what was cut how."""
    parts = "block" if whole else f"heads={cut.heads}"
    return f"{name} {parts} tokens={cut.tokens} queries={cut.queries}"


def rows_of(name: str, cut: PartitionSpec, folder: Path, *, whole: bool) -> list[ArenaRow]:
    """Measure what no row in the folder says yet.

    Raises:
      ValueError: a row that cannot be read.
      RuntimeError: as `measured`.
    """
    key = key_of(name, cut, whole=whole)
    kinds = kinds_of(graphs_of(config_of(name), cut, whole=whole))
    by_graph = {row.graph: row for row in read_rows(folder) if row.key == key}
    missing = [kind for kind in kinds if kind[0].name not in by_graph]
    folder.mkdir(parents=True, exist_ok=True)
    drop_torn_line(folder / ROWS_FILE)
    with progress("measuring", len(kinds), len(by_graph)) as show:
        for row in measured(key, missing):
            append_row(folder / ROWS_FILE, row)
            by_graph[row.graph] = row
            show(len(by_graph), row.graph)
    return [by_graph[kind[0].name] for kind in kinds]


def read_rows(folder: Path) -> list[ArenaRow]:
    """Read the rows of a folder.

    Raises:
      ValueError: not rows of this program; the message names the file.
    """
    lines = read_lines(folder / ROWS_FILE, ArenaRow, "move it away")
    return [row for _, row in lines]


def totals(rows: Sequence[ArenaRow], config: TRMConfig) -> Mapping[str, int]:
    """Add up one shared arena, what lies beside it, and flash, in bytes."""
    state = config.num_positions * config.hidden_size
    arena = max(row.head for row in rows) + sum(row.count * row.tail for row in rows)
    mixed = int8_widths(config).share // 8  # bytes an element; where it lies the injection was
    beside = (2 + mixed) * state if len(rows) > 1 else 2 * state
    weights = sum(row.count * row.weights for row in rows)
    return {"arena": arena, "states": beside, "SRAM": arena + beside, "flash": weights}


def report(name: str, rows: Sequence[ArenaRow]) -> str:
    """Say what was measured."""
    config, sizes = config_of(name), totals(rows, config_of(name))
    widths = int8_widths(config)
    mixed = f", mixed in int{widths.share}" if len(rows) > 1 else ""
    table = [
        f"  {r.graph:<22}{r.count:>4}{r.operators:>8}{r.weights:>12,}{r.head:>12,}{r.tail:>10,}"
        for r in rows
    ]
    return "\n".join(
        [
            f"{rows[0].key}: {config.num_positions} positions of {config.hidden_size},"
            f" {config.num_heads} heads, {config.L_layers} layers; random int8 weights, int8"
            f" activations, softmax int{widths.share}",
            f"  {'graph':<22}{'n':>4}{'ops':>8}{'constants':>12}{'head':>12}{'tail':>10}",
            *table,
            f"  shared arena   {sizes['arena']:>12,} bytes (largest head, sum of tails; measured)",
            f"  states         {sizes['states']:>12,} bytes (z_H and z_L in int8{mixed}; counted)",
            f"  SRAM in all    {sizes['SRAM']:>12,} bytes (without stack and firmware)",
            f"  flash          {sizes['flash']:>12,} bytes (constants of the network)",
        ]
    )


def measure_preset(name: str, cut: PartitionSpec, folder: Path, *, whole: bool) -> Iterator[str]:
    """Measure the network of a preset cut, and with `whole` a block in one graph too.

    Yields:
      What was measured, as text.

    Raises:
      ValueError: a row that cannot be read, or a cut that the network does not take.
      RuntimeError: as `measured`.
    """
    for in_one in (False, True) if whole else (False,):
        yield report(name, rows_of(name, cut, folder, whole=in_one))
