"""One block as operators, for every mixer (trm_jax/models/blocks.py, line by line).

    h <- rms(h + mixer(h));  h <- rms(h + mlp(h))

Everything here is float32; matrix products go through float_matmul.py. Rotary tables are made
by COS and SIN inside the graph, from 3 KB of angles per model instead of 234 KB for a 30x30 maze;
the sign of the rotated half is in its frequency (sin(-x) = -sin(x)), so there is no NEG.

Not here: integers (integer_block.py), graphs and their signatures (model.py).
"""

from collections.abc import Callable, Mapping

import numpy as np

from export.graph.builder import (
    GraphBuilder,
    batch_matmul,
    binary,
    joined,
    reduced,
    reshaped,
    scalar,
    split,
    transposed,
    unary,
)
from export.lowering.float_matmul import linear
from export.lowering.matrices import Dense
from trm_jax.config import Mixer, Positions, ReasonerConfig

Sites = Mapping[str, Dense]
"""Every Dense of a model by its site."""


def level(
    g: GraphBuilder,
    z: str,
    injection: str,
    network: str,
    config: ReasonerConfig,
    sites: Sites,
    layers: int,
    path: str,
) -> str:
    """Apply a stack of blocks to state + injection.

    Args:
      network: L_level or H_level: where its sites begin.
      path: where in the graph; `""` for a graph of one application.
    """
    h = binary(g, "ADD", z, injection, f"{path}injected")
    for i in range(layers):
        h = block(g, h, f"{network}/layers_{i}", config, sites, f"{path}layers_{i}")
    return h


def block(
    g: GraphBuilder, h: str, site: str, config: ReasonerConfig, sites: Sites, path: str
) -> str:
    """Mix positions, then channels."""
    if config.mixer is Mixer.MLP:
        u = transposed(g, h, (0, 2, 1), f"{path}/mlp_t/columns")
        u = swiglu_residual(g, u, f"{site}/mlp_t", config, sites, f"{path}/mlp_t")
        h = transposed(g, u, (0, 2, 1), f"{path}/mlp_t/rows")
    else:
        mixed = attention(g, h, f"{site}/self_attn", config, sites, f"{path}/self_attn")
        h = rms_norm(
            g,
            binary(g, "ADD", h, mixed, f"{path}/self_attn/residual"),
            config.rms_norm_eps,
            f"{path}/self_attn/norm",
        )
    return swiglu_residual(g, h, f"{site}/mlp", config, sites, f"{path}/mlp")


def swiglu_residual(
    g: GraphBuilder, h: str, site: str, config: ReasonerConfig, sites: Sites, path: str
) -> str:
    """Add a SwiGLU of h to h and normalise."""
    gate_up = linear(g, h, sites[f"{site}/gate_up_proj"], f"{path}/gate_up_proj")
    gate, up = split(g, gate_up, 2, f"{path}/gate_up")
    inner = gated(g, gate, up, path)
    down = linear(g, inner, sites[f"{site}/down_proj"], f"{path}/down_proj")
    total = binary(g, "ADD", h, down, f"{path}/residual")
    return rms_norm(g, total, config.rms_norm_eps, f"{path}/norm")


def gated(g: GraphBuilder, gate: str, up: str, path: str) -> str:
    """Multiply silu(gate) by up."""
    silu = binary(g, "MUL", gate, unary(g, "LOGISTIC", gate, f"{path}/logistic"), f"{path}/silu")
    return binary(g, "MUL", silu, up, f"{path}/inner")


def mean_of_rows(g: GraphBuilder, x: str, name: str) -> str:
    """Average the last axis."""
    return reduced(g, "MEAN", x, -1, name)


def rms_norm(
    g: GraphBuilder,
    x: str,
    eps: float,
    path: str,
    mean_of: Callable[[GraphBuilder, str, str], str] = mean_of_rows,
) -> str:
    """Normalise the last axis to unit mean square.

    Args:
      mean_of: adds what averages the last axis: graph, tensor, name of the result.
    """
    square = binary(g, "MUL", x, x, f"{path}/square")
    mean = mean_of(g, square, f"{path}/mean")
    shifted = binary(g, "ADD", mean, scalar(g, eps), f"{path}/eps")
    return binary(g, "MUL", x, unary(g, "RSQRT", shifted, f"{path}/rsqrt"), path)


def attention(
    g: GraphBuilder, h: str, site: str, config: ReasonerConfig, sites: Sites, path: str
) -> str:
    """Attend over all positions, heads leading in every product."""
    batch, pos, emb = g.shape(h)
    qkv = linear(g, h, sites[f"{site}/qkv_proj"], f"{path}/qkv_proj")
    heads = []
    for part, name in zip(split(g, qkv, 3, f"{path}/qkv"), "qkv", strict=True):
        shape = (batch, pos, config.num_heads, config.head_dim)
        heads.append(reshaped(g, part, shape, f"{path}/{name}/heads"))
    q, k = (transposed(g, x, (0, 2, 1, 3), f"{path}/lead") for x in heads[:2])
    if config.positions is Positions.ROPE:
        tables = rotary_tables(g, config)
        q, k = rotated(g, q, tables, f"{path}/q"), rotated(g, k, tables, f"{path}/k")
    mixed = ATTENTION[config.mixer](g, q, k, heads[2], path)
    back = transposed(g, mixed, (0, 2, 1, 3), f"{path}/positions")
    merged = reshaped(g, back, (batch, pos, emb), f"{path}/merged")
    return linear(g, merged, sites[f"{site}/o_proj"], f"{path}/o_proj")


def softmax_attention(g: GraphBuilder, q: str, k: str, v: str, path: str) -> str:
    """Attend with a softmax; q carries the scale, it is smaller than the scores.

    Args:
      q, k: batch heads pos head_dim.
      v: batch pos heads head_dim.
    """
    scale = scalar(g, g.shape(q)[-1] ** -0.5)
    scores = batch_matmul(g, binary(g, "MUL", q, scale, f"{path}/q/scaled"), k, f"{path}/scores")
    share = g.op("SOFTMAX", (scores,), f"{path}/share", (g.shape(scores),), options={"beta": 1.0})
    columns = transposed(g, v, (0, 2, 3, 1), f"{path}/v/columns")
    return batch_matmul(g, share[0], columns, f"{path}/mixed")


def linear_attention(g: GraphBuilder, q: str, k: str, v: str, path: str) -> str:
    """Attend in O(pos) with the elu+1 feature map (arguments as `softmax_attention`).

    A product with the summed keys is a sum over head_dim.
    """
    q, k = (elu_plus_one(g, x, f"{path}/features") for x in (q, k))
    v_columns = transposed(g, v, (0, 2, 3, 1), f"{path}/v/columns")
    k_columns = transposed(g, k, (0, 1, 3, 2), f"{path}/k/columns")
    memory = batch_matmul(g, v_columns, k_columns, f"{path}/memory")  # head_dim of v, of k
    keys = reduced(g, "SUM", k, 2, f"{path}/k/sum")
    norm = reduced(g, "SUM", binary(g, "MUL", q, keys, f"{path}/qk"), -1, f"{path}/norm")
    return binary(g, "DIV", batch_matmul(g, q, memory, f"{path}/sum"), norm, f"{path}/mixed")


Attend = Callable[[GraphBuilder, str, str, str, str], str]
ATTENTION: dict[Mixer, Attend] = {
    Mixer.ATTENTION: softmax_attention,
    Mixer.LINEAR_ATTENTION: linear_attention,
}


def elu_plus_one(g: GraphBuilder, x: str, path: str) -> str:
    """Map to relu(x) + exp(min(x, 0)), exp bounded by exp(-40) as in the model."""
    below = binary(g, "MINIMUM", x, scalar(g, 0.0), f"{path}/below")
    bounded = binary(g, "MAXIMUM", below, scalar(g, -40.0), f"{path}/held")
    exponential = unary(g, "EXP", bounded, f"{path}/exp")
    return binary(g, "ADD", unary(g, "RELU", x, f"{path}/above"), exponential, path)


def rotated(g: GraphBuilder, x: str, tables: tuple[str, str], path: str) -> str:
    """Apply rotary positions: x * cos + swap(x) * sin, the halves of a head swapped.

    Args:
      tables: cosines and signed sines, whose last axes are positions and head_dim.
    """
    cos, sin = tables
    first, second = split(g, x, 2, f"{path}/halves")
    swapped = joined(g, (second, first), f"{path}/swapped")
    along = binary(g, "MUL", x, cos, f"{path}/cos")
    across = binary(g, "MUL", swapped, sin, f"{path}/sin")
    return binary(g, "ADD", along, across, f"{path}/rotated")


def rotary_tables(g: GraphBuilder, config: ReasonerConfig) -> tuple[str, str]:
    """Compute cosines and signed sines, (pos, head_dim), once per graph."""
    if "rotary/cos" not in g.tensors:
        pos, half = config.num_positions, config.head_dim // 2
        steps = -np.arange(half, dtype=np.float32) * np.float32(2 / config.head_dim)
        frequency = np.float32(config.rope_theta) ** steps
        frequencies = g.constant(
            "rotary/frequencies", np.concatenate([-frequency, frequency])[None]
        )
        positions = g.constant("rotary/positions", np.arange(pos)[:, None])
        angle = binary(g, "MUL", positions, frequencies, "rotary/angle")
        unary(g, "COS", angle, "rotary/cos")
        unary(g, "SIN", angle, "rotary/sin")
    return "rotary/cos", "rotary/sin"
