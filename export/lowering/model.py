"""Models to operator graphs: what a device runs, from the integers that were evaluated.

    block    z, injection -> z      one application of the network: all its layers. HRM has two
                                    networks, so two graphs: block_L and block_H
    head     z_H -> logits, q       token logits after the prefix; q = (halt, continue)
    step     x, z_H, z_L -> z_H, z_L, logits, q
                                    a supervision step, its cycles unrolled over shared weights;
                                    x is the injection (the embedded puzzle); floats only

`lower_floats` gives float32 graphs with the plan's matrix products in them. `lower_integers` gives
graphs of integers for TFLite Micro: block and head, as quant/integer/network.py describes them
for the simulation too, with the operators of integer_block.py and integer_attention.py. States
are (batch, positions, emb); inside those graphs there are four axes, which a 1x1 CONV_2D needs.
Shapes are static. Metadata: scheme, plan, target and a hash of the parameters, by METADATA's
names.

Not here: what the host does between two calls, which is embedding, recursion, halting and argmax
(artifact/solver.py).
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from export.graph.builder import GraphBuilder, binary, reshaped, sliced
from export.graph.ir import Graph, GraphModel
from export.graph.schedule import scheduled
from export.lowering.float_block import Sites, level
from export.lowering.float_matmul import linear
from export.lowering.integer_attention import AttentionGraph
from export.lowering.integer_block import DEFAULT_CHUNKS, Chunks, GraphOps, state_shape
from export.lowering.matrices import Dense
from export.lowering.stages import PartitionSpec, stage_graphs
from export.lowering.storage import StoragePlan
from quant.affine import QTensor
from quant.integer.model import IntegerModel
from quant.integer.network import apply_level, read_out
from quant.integer.tensor_names import INJECTION, STATE
from quant.ptq.calibrate import ProductRange
from quant.ptq.weights import QuantisedParams, leaf_name
from trm_jax.config import Config, HRMConfig, Mixer, to_dict

Ranges = Mapping[str, ProductRange]
"""Calibrated ends of input and output of every site (quant/simulation.py)."""
METADATA = {
    "scheme": "trm.scheme",
    "plan": "trm.plan",
    "config": "trm.config",
    "parameters": "trm.parameters.sha256",
}
"""Names of a model's metadata entries, each UTF-8 text."""


def lower_floats(
    config: Config,
    quantised: QuantisedParams,
    plan: StoragePlan,
    *,
    batch: int,
    graphs: tuple[str, ...] = ("block", "head"),
    ranges: Ranges | None = None,
) -> GraphModel:
    """Lower a model to float32 graphs with a plan's matrix products.

    Args:
      quantised: parameters of the plan's scheme (`quant.simulation.quantise_for`).
      batch: puzzles per call.
      graphs: any of block, head, step.
      ranges: needed by static numerics.

    Raises:
      ValueError: unknown graph, bad batch, missing ranges, or parameters of another scheme.
    """
    if batch < 1:
        raise ValueError(f"batch must be at least 1, got batch={batch}")
    if unknown := sorted(set(graphs) - {"block", "head", "step"}) or not graphs:
        raise ValueError(f"graphs must be some of block, head, step, got {unknown or 'none'}")
    sites = dense_sites(quantised, plan, ranges or {})
    lowered: list[Graph] = []
    if "block" in graphs:
        names = sorted(set(blocks_of(config)))
        lowered += [block_graph(config, sites, name, batch) for name in names]
    if "head" in graphs:
        lowered.append(head_graph(config, sites, batch))
    if "step" in graphs:
        lowered.append(step_graph(config, sites, batch))
    return GraphModel(
        graphs=tuple(lowered),
        description=f"recursive reasoner, {plan.precision.name} as {plan.name}",
        metadata=_metadata(config, quantised, plan),
    )


def lower_integers(
    config: Config,
    quantised: QuantisedParams,
    integers: IntegerModel,
    plan: StoragePlan,
    *,
    batch: int,
    cut: PartitionSpec | None = None,
) -> GraphModel:
    """Lower a model to graphs of integers.

    Args:
      quantised: parameters of `integers`; their hash goes into the metadata.
      batch: puzzles per call.
      cut: adds the same block as graphs that share one arena (stages.py).

    Raises:
      ValueError: bad batch, or a configuration without integers; a cut of what cannot be cut.
    """
    if batch < 1:
        raise ValueError(f"batch must be at least 1, got batch={batch}")
    if cut is not None and batch > 1:
        raise ValueError(f"stages run one puzzle at a time, got batch={batch}")
    stages = () if cut is None else stage_graphs(integers, plan, cut)
    return GraphModel(
        graphs=(*integer_graphs(integers, plan, batch=batch), *stages),
        description=f"recursive reasoner, {plan.precision.name} as {plan.name}",
        metadata=_metadata(config, quantised, plan),
    )


def blocks_of(config: Config) -> tuple[str, str]:
    """Name the graphs that update z_L and z_H; TRM has one for both."""
    return ("block_L", "block_H") if isinstance(config, HRMConfig) else ("block", "block")


def dense_sites(quantised: QuantisedParams, plan: StoragePlan, ranges: Ranges) -> Sites:
    """Collect every Dense of a parameter tree."""
    leaves = jax.tree_util.tree_leaves_with_path(
        quantised, is_leaf=lambda leaf: isinstance(leaf, QTensor)
    )
    values: dict[str, Any] = {leaf_name(path): leaf for path, leaf in leaves}
    sites = [name.removesuffix("/kernel") for name in values if name.endswith("/kernel")]
    biases = {site: values.get(f"{site}/bias") for site in sites}
    return {
        site: Dense(
            site=site,
            kernel=values[f"{site}/kernel"],
            bias=None if biases[site] is None else np.asarray(biases[site], np.float32),
            plan=plan.of(site),
            span=ranges.get(site),
        )
        for site in sites
    }


def block_graph(config: Config, sites: Sites, name: str, batch: int) -> Graph:
    """Lower one application of a network."""
    g, shape = GraphBuilder(name), (batch, config.num_positions, config.hidden_size)
    z, injection = g.input("z", shape), g.input("injection", shape)
    out = apply_network(g, z, injection, config, sites, name == "block_H", "")
    return g.finish({"z": z, "injection": injection}, {"z": out})


def apply_network(
    g: GraphBuilder, z: str, injection: str, config: Config, sites: Sites, is_H: bool, path: str
) -> str:
    """Apply the network that updates z_L, or z_H; TRM's is the same."""
    if is_H and isinstance(config, HRMConfig):
        return level(g, z, injection, "H_level", config, sites, config.H_layers, path)
    return level(g, z, injection, "L_level", config, sites, config.L_layers, path)


def head_graph(config: Config, sites: Sites, batch: int) -> Graph:
    """Lower the read-out."""
    g = GraphBuilder("head")
    z_H = g.input("z_H", (batch, config.num_positions, config.hidden_size))
    logits, q = lower_read_out(g, z_H, config, sites)
    return g.finish({"z_H": z_H}, {"logits": logits, "q": q})


def lower_read_out(g: GraphBuilder, z_H: str, config: Config, sites: Sites) -> tuple[str, str]:
    """Decode z_H: logits of the cells after the prefix, halting logits of position 0."""
    batch, _, emb = g.shape(z_H)
    size = (batch, config.seq_len, emb)
    cells = sliced(g, z_H, (0, config.prefix_len, 0), size, "lm_head/cells")
    first = sliced(g, z_H, (0, 0, 0), (batch, 1, emb), "q_head/first")
    first = reshaped(g, first, (batch, emb), "q_head/row")
    return (
        linear(g, cells, sites["lm_head"], "lm_head"),
        linear(g, first, sites["q_head"], "q_head"),
    )


def step_graph(config: Config, sites: Sites, batch: int) -> Graph:
    """Lower a supervision step, unrolled."""
    g, shape = GraphBuilder("step"), (batch, config.num_positions, config.hidden_size)
    inputs = {name: g.input(name, shape) for name in ("x", "z_H", "z_L")}
    x, z_H, z_L = inputs.values()
    for h in range(config.H_cycles):
        injection = binary(g, "ADD", z_H, x, f"H_{h}/injection")
        for i in range(config.L_cycles):
            z_L = apply_network(g, z_L, injection, config, sites, False, f"H_{h}/L_{i}/")
        z_H = apply_network(g, z_H, z_L, config, sites, True, f"H_{h}/z_H/")
    logits, q = lower_read_out(g, z_H, config, sites)
    return g.finish(inputs, {"z_H": z_H, "z_L": z_L, "logits": logits, "q": q})


def integer_graphs(
    model: IntegerModel, plan: StoragePlan, *, batch: int, chunks: Chunks = DEFAULT_CHUNKS
) -> tuple[Graph, ...]:
    """Lower block and head.

    Raises:
      ValueError: a configuration without integers (quant/integer/network.py).
    """
    return (
        integer_block_graph(model, plan, batch, chunks),
        integer_head_graph(model, plan, batch, chunks),
    )


def integer_block_graph(
    model: IntegerModel, plan: StoragePlan, batch: int, chunks: Chunks
) -> Graph:
    """Lower one application of the network."""
    ops = graph_ops(GraphBuilder("block"), model, plan, chunks)
    z, injection = (ops.input_rows(str(name), name, batch) for name in (STATE, INJECTION))
    out = apply_level(z, injection, model.config, ops).value
    next_z = reshaped(ops.g, out, state_shape(model, batch), "z/next")
    return scheduled(ops.g.finish({"z": "z", "injection": "injection"}, {"z": next_z}))


def integer_head_graph(model: IntegerModel, plan: StoragePlan, batch: int, chunks: Chunks) -> Graph:
    """Lower the read-out."""
    ops = graph_ops(GraphBuilder("head"), model, plan, chunks)
    z_H = ops.input_state("z_H", STATE, batch)
    logits, q = (output.value for output in read_out(z_H, model.config, ops))
    c, g = model.config, ops.g
    outputs = {
        "logits": reshaped(g, logits, (batch, c.seq_len, c.vocab_size), "logits"),
        "q": reshaped(g, q, (batch, 2), "q"),
    }
    return scheduled(g.finish({"z_H": "z_H"}, outputs))


def graph_ops(g: GraphBuilder, model: IntegerModel, plan: StoragePlan, chunks: Chunks) -> GraphOps:
    """Choose the operators of a network."""
    kind = AttentionGraph if model.config.mixer is Mixer.ATTENTION else GraphOps
    return kind(g, model, plan, chunks)


def parameters_sha256(quantised: QuantisedParams) -> str:
    """Hash all parameters: names and bytes of every array in the order of the tree."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(quantised):
        array = np.asarray(leaf)
        digest.update(f"{leaf_name(path)} {array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _metadata(config: Config, quantised: QuantisedParams, plan: StoragePlan) -> dict[str, bytes]:
    texts = {
        "scheme": plan.precision.name,
        "plan": f"{plan.name} for {plan.target.value}",
        "config": json.dumps(to_dict(config), sort_keys=True),
        "parameters": parameters_sha256(quantised),
    }
    return {METADATA[key]: text.encode() for key, text in texts.items()}
