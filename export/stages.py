"""A network cut into graphs that share one arena, for devices that cannot hold a block at once.

    inject                 z, injection -> h          some tokens
    layers_I/heads_A-B     h -> mixed/A, ...          heads A to B, all tokens
    layers_I/tail          h, mixed -> h              some tokens: o_proj, norms, SwiGLU

The host (or firmware) owns h and mixed and runs, block by block, the heads and then the tail over
all tokens; h replaces z, so beside the states it holds one more, mixed. The same bits as a block
in one graph: rows of products and norms do not see each other. What one arena must hold is the
largest graph's tensors, and every graph's records.
Left out: firmware that does so; packages for boards take blocks in one graph (micro.py).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Integer

from export.builder import GraphBuilder
from export.graph import Graph
from export.integer_graph_ops import Chunks
from export.lower_attention import AttentionGraph
from export.plan import Plan
from quant.integer_attention import attend, layer_sites, tail
from quant.integer_model import IntegerModel
from trm_jax.config import ReasonerConfig

State = Integer[np.ndarray, "pos emb"]
Call = Callable[[str, Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]
"""Runs a graph by its name."""


@dataclass(frozen=True, kw_only=True)
class Cut:
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


def stage_graphs(model: IntegerModel, plan: Plan, cut: Cut) -> tuple[Graph, ...]:
    """Make the graphs of a network in the order of their first call."""
    chunks = Chunks(queries=cut.queries, rows=cut.tokens)
    config = model.config

    def ops(name: str) -> AttentionGraph:
        return AttentionGraph(GraphBuilder(name), model, plan, chunks)

    made = [_inject_graph(ops("inject"), cut.tokens)]
    source = "L_level/h"
    for i, site in enumerate(layer_sites(config)):
        for start, stop in head_groups(config, cut.heads):
            name = f"layers_{i}/heads_{start}-{stop}"
            made.append(_heads_graph(site, source, ops(name), range(start, stop)))
        made.append(_tail_graph(site, source, ops(f"layers_{i}/tail"), cut.tokens))
        source = f"{site}/mlp/norm"
    return tuple(made)


def head_groups(config: ReasonerConfig, size: int) -> list[tuple[int, int]]:
    """Group heads: first and end of every group."""
    ends = range(0, config.num_heads, size)
    return [(start, min(start + size, config.num_heads)) for start in ends]


def _inject_graph(ops: AttentionGraph, tokens: int) -> Graph:
    z, injection = (ops.rows_of(end, end, tokens) for end in ("z", "injection"))
    h = ops.add("L_level/h", z, injection)
    return ops.g.finish({"z": "z", "injection": "injection"}, {"h": h.value})


def _heads_graph(site: str, source: str, ops: AttentionGraph, heads: range) -> Graph:
    c = ops.model.config
    h = ops.rows_of("h", source, c.num_positions)
    mixed = {f"mixed/{i}": attend(h, site, str(i), c, ops).value for i in heads}
    return ops.g.finish({"h": "h"}, mixed)


def _tail_graph(site: str, source: str, ops: AttentionGraph, tokens: int) -> Graph:
    h = ops.rows_of("h", source, tokens)
    mixed = ops.rows_of("mixed", f"{site}/self_attn/mixed/0", tokens)
    return ops.g.finish({"h": "h", "mixed": "mixed"}, {"h": tail(h, (mixed,), site, ops).value})


def run_stages(call: Call, z: State, injection: State, config: ReasonerConfig, cut: Cut) -> State:
    """Apply a network by its stages to one puzzle, as firmware would: h lies where z lay."""
    h = z.copy()
    _by_rows(call, "inject", {"z": h, "injection": injection}, h, cut.tokens)
    mixed: np.ndarray | None = None
    for i in range(config.L_layers):
        for start, stop in head_groups(config, cut.heads):
            found = call(f"layers_{i}/heads_{start}-{stop}", {"h": h[None, None]})
            columns = np.concatenate([found[f"mixed/{n}"][0, 0] for n in range(start, stop)], -1)
            if mixed is None:
                mixed = np.empty(h.shape, columns.dtype)
            width = columns.shape[-1] // (stop - start)
            mixed[:, start * width : stop * width] = columns
        assert mixed is not None
        _by_rows(call, f"layers_{i}/tail", {"h": h, "mixed": mixed}, h, cut.tokens)
    return h


def _by_rows(
    call: Call, name: str, inputs: Mapping[str, np.ndarray], out: np.ndarray, rows: int
) -> None:
    """Run a graph over all rows, the last call padded; results go to `out`, in place."""
    for start in range(0, len(out), rows):
        stop = min(start + rows, len(out))
        fed = {key: _padded(x[start:stop], rows)[None, None] for key, x in inputs.items()}
        out[start:stop] = call(name, fed)["h"][0, 0, : stop - start]


def _padded(x: np.ndarray, rows: int) -> np.ndarray:
    return np.concatenate([x, np.zeros((rows - len(x), *x.shape[1:]), x.dtype)])
