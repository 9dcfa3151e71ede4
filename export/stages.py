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
from export.lower_attention import AttentionGraph, Chunks
from quant.integer_attention import attend, injected, layer_sites, tail
from quant.integer_attention_spans import Encodings, Kernels
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


def stage_graphs(
    network: str, config: ReasonerConfig, kernels: Kernels, encodings: Encodings, cut: Cut
) -> tuple[Graph, ...]:
    """Make the graphs of a network, L_level or H_level, in the order of their first call."""
    chunks = Chunks(queries=cut.queries, tokens=cut.tokens)

    def ops(name: str) -> AttentionGraph:
        return AttentionGraph(GraphBuilder(name), kernels, encodings, config, chunks)

    made = [_inject_graph(network, config, ops("inject"), cut.tokens)]
    for i, site in enumerate(layer_sites(network, config)):
        source = f"{network}/h" if i == 0 else f"{network}/layers_{i - 1}/mlp/norm"
        for start, stop in head_groups(config, cut.heads):
            name = f"layers_{i}/heads_{start}-{stop}"
            made.append(_heads_graph(site, source, config, ops(name), range(start, stop)))
        made.append(_tail_graph(site, source, config, ops(f"layers_{i}/tail"), cut.tokens))
    return tuple(made)


def head_groups(config: ReasonerConfig, size: int) -> list[tuple[int, int]]:
    """Group heads: first and end of every group."""
    ends = range(0, config.num_heads, size)
    return [(start, min(start + size, config.num_heads)) for start in ends]


def _inject_graph(network: str, config: ReasonerConfig, ops: AttentionGraph, tokens: int) -> Graph:
    shape = (1, 1, tokens, config.hidden_size)
    z, injection = (ops.input(end, f"{network}/{end}", shape) for end in ("z", "injection"))
    h = injected(z, injection, network, ops)
    return ops.g.finish({"z": "z", "injection": "injection"}, {"h": h.tensor})


def _heads_graph(
    site: str, source: str, config: ReasonerConfig, ops: AttentionGraph, heads: range
) -> Graph:
    h = ops.input("h", source, (1, 1, config.num_positions, config.hidden_size))
    mixed = {f"mixed/{i}": attend(h, site, str(i), config, ops).tensor for i in heads}
    return ops.g.finish({"h": "h"}, mixed)


def _tail_graph(
    site: str, source: str, config: ReasonerConfig, ops: AttentionGraph, tokens: int
) -> Graph:
    shape = (1, 1, tokens, config.hidden_size)
    h = ops.input("h", source, shape)
    mixed = ops.input("mixed", f"{site}/self_attn/mixed/0", shape)
    return ops.g.finish({"h": "h", "mixed": "mixed"}, {"h": tail(h, (mixed,), site, ops).tensor})


def run_stages(
    call: Call, z: State, injection: State, layers: int, config: ReasonerConfig, cut: Cut
) -> State:
    """Apply a network by its stages to one puzzle, as firmware would: h lies where z lay.

    Args:
      layers: blocks of the network.
    """
    h = z.copy()
    _by_rows(call, "inject", {"z": h, "injection": injection}, h, cut.tokens)
    mixed: np.ndarray | None = None
    for i in range(layers):
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
