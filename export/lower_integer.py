"""Models to graphs of integers for TFLite Micro: stock operators, one puzzle or more per call.

    block    z, injection -> z        one application of the network
    head     z_H -> logits, q         integers; the host compares them, or reads their scales

The descriptions are quant/integer/network.py's and quant/integer/network.py's, so that graphs and
simulation cannot part; operators are integer_graph_ops.py's and lower_attention.py's. States are
(batch, positions, emb), inside there are four axes: a 1x1 CONV_2D wants them.

The host owns the rest (quant/carry.py): embedding, injection, recursion, halting, argmax.
"""

from export.builder import GraphBuilder, reshaped
from export.graph import Graph
from export.integer_graph_ops import DEFAULT_CHUNKS, Chunks, GraphOps, state_shape
from export.lower_attention import AttentionGraph
from export.plan import Plan
from export.schedule import scheduled
from quant.integer.model import IntegerModel
from quant.integer.network import mlp_level, read_out
from trm_jax.config import Mixer


def integer_graphs(
    model: IntegerModel, plan: Plan, *, batch: int, chunks: Chunks = DEFAULT_CHUNKS
) -> tuple[Graph, ...]:
    """Lower block and head.

    Raises:
      ValueError: a configuration without integers (integer_block.level).
    """
    return (block_graph(model, plan, batch, chunks), head_graph(model, plan, batch, chunks))


def block_graph(model: IntegerModel, plan: Plan, batch: int, chunks: Chunks) -> Graph:
    """Lower one application of the network."""
    ops = graph_ops(GraphBuilder("block"), model, plan, chunks)
    z, injection = ops.state("z", batch), ops.state("injection", batch)
    out = mlp_level(z, injection, model.config, ops).value
    made = reshaped(ops.g, out, state_shape(model, batch), "z/next")
    return scheduled(ops.g.finish({"z": "z", "injection": "injection"}, {"z": made}))


def head_graph(model: IntegerModel, plan: Plan, batch: int, chunks: Chunks) -> Graph:
    """Lower the read-out."""
    ops = graph_ops(GraphBuilder("head"), model, plan, chunks)
    z_H = ops.fed("z_H", batch, "z")
    logits, q = (tagged.value for tagged in read_out(z_H, model.config, ops))
    c, g = model.config, ops.g
    outputs = {
        "logits": reshaped(g, logits, (batch, c.seq_len, c.vocab_size), "logits"),
        "q": reshaped(g, q, (batch, 2), "q"),
    }
    return scheduled(g.finish({"z_H": "z_H"}, outputs))


def graph_ops(g: GraphBuilder, model: IntegerModel, plan: Plan, chunks: Chunks) -> GraphOps:
    """Choose the operators of a network."""
    kind = AttentionGraph if model.config.mixer is Mixer.ATTENTION else GraphOps
    return kind(g, model, plan, chunks)
