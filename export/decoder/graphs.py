"""Decoders to operator graphs: keys and values go in and come out, as the carry of TRM does.

    prefill   x, position, cache -> cache            reads `prompt` tokens at once
    decode    x, position, cache -> logits, cache    reads one token and says what comes next

Both are the function of trm_jax/decoder/transformer.py for one stream, with as many rows of cache
as the export has positions. x is embedded tokens; they lie at position, position + 1, ... Prefill
has no head: the last token of a prompt is read by decode, whose logits are the first that count.
Per layer the cache is

    k_N   (1, kv_heads, positions, head_dim)      v_N   (1, kv_heads, head_dim, positions)

values by columns, because BATCH_MATMUL always multiplies by a transpose (graph/builder.py), so that
nothing is moved on the way. New rows are written by DYNAMIC_UPDATE_SLICE. Several heads of queries
share one of keys: they are the rows of one product.

Under a scheme with `_carry8` k_N and v_N are int8 and have their scales beside them, one a token
and head (quant/carry.py): k_N_scale (1, kv_heads, positions, 1), v_N_scale with the last two axes
exchanged.
New rows are rounded before they are written, and all rows are read back for attention:

    s = max |x| / 127;  q = QUANTIZE(x * (1 / s)) on the grid of step 1;  x' = DEQUANTIZE(q) * s

Not here: embedding and the loop (host.py), matrix products by scheme (lowering/float_matmul.py).
"""

import json
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from export.graph.builder import (
    GraphBuilder,
    as_float,
    batch_matmul,
    binary,
    overwritten,
    reduced,
    reshaped,
    scalar,
    transposed,
    unary,
)
from export.graph.ir import DType, Graph, GraphModel, Quant, drop_unused
from export.lowering.float_block import Sites, gated, rms_norm, rotated
from export.lowering.float_matmul import linear
from export.lowering.model import METADATA, Ranges, dense_sites, parameters_sha256
from export.lowering.storage import StoragePlan
from quant.ptq.weights import QuantisedParams
from quant.scheme import CarryPrecision
from trm_jax.decoder.config import DecoderConfig, decoder_to_dict

PREFILL, DECODE = "prefill", "decode"
CACHES = (CarryPrecision.ARITHMETIC, CarryPrecision.INT8)
"""How graphs keep keys and values; graphs of integers from end to end take the first alone."""
WIDTH_AXES = {"k": 3, "v": 2}
"""Axis of head_dim in keys and values."""
SCALE = "_scale"
UNIT_GRID = Quant(scale=np.ones(1, np.float32), zero_point=np.zeros(1, np.int64))
"""Integers that mean themselves: the scales of a cache are known at run time alone."""
INT8_TOP = 127.0
LEAST_SCALE = float(np.finfo(np.float32).tiny)
"""Below it data is zero for all purposes (quant/affine.py), here too: q is 0."""
FAR = -1e30
"""Added to scores of rows behind a query, times how far behind; exp of it is 0 in float32."""


class CacheTensor(NamedTuple):
    """Shape and type of one tensor of a cache."""

    shape: tuple[int, ...]
    dtype: DType


def lower_decoder(
    config: DecoderConfig,
    quantised: QuantisedParams,
    plan: StoragePlan,
    *,
    prompt: int,
    positions: int,
    ranges: Ranges | None = None,
) -> GraphModel:
    """Lower a decoder to its two graphs.

    Args:
      quantised: parameters of the plan's scheme (`quant.decoder.simulate_decoder`).
      prompt: tokens that prefill reads at once.
      positions: rows of the cache: tokens of prompt and answer together.
      ranges: needed by static numerics.

    Raises:
      ValueError: sizes that do not fit, a cache of integers, or parameters of another scheme.
    """
    check_sizes(config, prompt=prompt, positions=positions)
    check_cache(plan)
    lowering = DecoderLowering(config, quantised, plan, ranges or {}, positions)
    return GraphModel(
        graphs=(lowering.graph(PREFILL, prompt), lowering.graph(DECODE, 1)),
        description=f"autoregressive decoder, {plan.precision.name} as {plan.name}",
        metadata=_metadata(config, quantised, plan),
    )


def check_sizes(config: DecoderConfig, *, prompt: int, positions: int) -> None:
    """Check the lengths of an export.

    Raises:
      ValueError: more positions than the model has, or a prompt that leaves no room.
    """
    if not 2 <= positions <= config.max_positions:
        raise ValueError(
            f"positions must lie between 2 and the model's {config.max_positions}, got"
            f" positions={positions}"
        )
    if not 1 <= prompt < positions:
        raise ValueError(
            f"prompt must lie between 1 and {positions - 1}, below positions={positions}, got"
            f" prompt={prompt}"
        )


def check_cache(plan: StoragePlan) -> None:
    """Check that the cache is in float32, or in int8 on a target whose graphs may hold both.

    Raises:
      ValueError: the scheme keeps it in another format.
    """
    carry, target = plan.precision.carry, plan.target
    known = CACHES[:1] if target.facts.integer_graphs else CACHES
    if carry not in known:
        raise ValueError(
            f"{plan.precision.name}: graphs for {target.value} keep keys and values in float32"
            f"{'' if len(known) == 1 else ' or int8 (_carry8)'}; leave _{carry.value} out of the"
            " scheme"
        )


def cache_tensors(
    config: DecoderConfig, positions: int, carry: CarryPrecision
) -> dict[str, CacheTensor]:
    """List the tensors of the cache by their names in the signatures."""
    heads, width = config.num_kv_heads, config.head_dim
    dtype = DType.INT8 if carry is CarryPrecision.INT8 else DType.FLOAT32
    tensors: dict[str, CacheTensor] = {}
    for layer in range(config.num_layers):
        tensors[f"k_{layer}"] = CacheTensor((1, heads, positions, width), dtype)
        tensors[f"v_{layer}"] = CacheTensor((1, heads, width, positions), dtype)
    if dtype is DType.INT8:
        for name, (shape, _) in list(tensors.items()):
            axis = WIDTH_AXES[name[0]]
            lead = tuple(1 if i == axis else n for i, n in enumerate(shape))
            tensors[name + SCALE] = CacheTensor(lead, DType.FLOAT32)
    return tensors


def rounded_heads(g: GraphBuilder, x: str, axis: int, path: str) -> tuple[str, str]:
    """Put heads onto a symmetric int8 grid, one scale a token and head.

    Args:
      axis: of head_dim.

    Returns:
      The integers, and the scales.
    """
    size = binary(
        g, "MAXIMUM", x, binary(g, "MUL", x, scalar(g, -1.0), f"{path}/minus"), f"{path}/size"
    )
    top = reduced(g, "REDUCE_MAX", size, axis, f"{path}/top")
    step = binary(g, "DIV", top, scalar(g, INT8_TOP), f"{path}/step")
    scales = binary(g, "MAXIMUM", step, scalar(g, LEAST_SCALE), f"{path}/scales")
    inverse = binary(g, "DIV", scalar(g, 1.0), scales, f"{path}/inverse")
    steps = binary(g, "MUL", x, inverse, f"{path}/steps")
    shapes = (g.shape(x),)
    integers = g.op("QUANTIZE", (steps,), f"{path}/q", shapes, dtype=DType.INT8, quant=UNIT_GRID)
    return integers[0], scales


class DecoderLowering:
    """What both graphs of a decoder are made from."""

    def __init__(
        self,
        config: DecoderConfig,
        quantised: QuantisedParams,
        plan: StoragePlan,
        ranges: Ranges,
        positions: int,
    ) -> None:
        self.config, self.positions = config, positions
        self.carry = plan.precision.carry
        self.sites: Sites = dense_sites(quantised, plan, ranges)
        self.params = quantised

    def graph(self, name: str, tokens: int) -> Graph:
        """Lower the reading of some tokens; decode has the head.

        What prefill's last layer computes behind its keys and values is needed by nobody.
        """
        g, c = GraphBuilder(name), self.config
        x = g.input("x", (1, tokens, c.hidden_size))
        position = g.input("position", (1,), DType.INT32)
        before = {
            name: g.input(name, shape, dtype, UNIT_GRID if dtype is DType.INT8 else None)
            for name, (shape, dtype) in cache_tensors(c, self.positions, self.carry).items()
        }
        after = dict(before)
        self.add_tables(g, position, tokens)
        h = x
        for layer in range(c.num_layers):
            h = self.layer(g, h, layer, position, after)
        outputs = dict(after)
        if name == DECODE:
            normed = self.norm(g, h, "norm")
            outputs = {"logits": linear(g, normed, self.sites["lm_head"], "lm_head"), **after}
        return drop_unused(g.finish({"x": x, "position": position, **before}, outputs))

    def add_tables(self, g: GraphBuilder, position: str, tokens: int) -> None:
        """Compute what all layers share: rotary tables, and which rows each token sees."""
        c = self.config
        rows = g.constant("rows", np.arange(tokens)[:, None])
        at = binary(g, "ADD", as_float(g, position, "position/real"), rows, "positions")
        frequency = rotary_frequencies(c)
        signed = g.constant("rotary/frequencies", np.concatenate([-frequency, frequency])[None])
        angle = binary(g, "MUL", at, signed, "rotary/angle")
        unary(g, "COS", angle, "rotary/cos")
        unary(g, "SIN", angle, "rotary/sin")
        seen = g.constant("seen", -np.arange(self.positions)[None])
        behind = binary(g, "MINIMUM", binary(g, "ADD", at, seen, "ahead"), scalar(g, 0.0), "behind")
        binary(g, "MUL", behind, scalar(g, -FAR), "mask")

    def layer(
        self, g: GraphBuilder, h: str, layer: int, position: str, cache: dict[str, str]
    ) -> str:
        """Apply a layer and write its keys and values into the cache."""
        site = f"layers_{layer}"
        mixed = self.attention(
            g, self.norm(g, h, f"{site}/input_layernorm"), layer, position, cache
        )
        h = binary(g, "ADD", h, mixed, f"{site}/self_attn/residual")
        normed, path = self.norm(g, h, f"{site}/post_attention_layernorm"), f"{site}/mlp"
        gate, up = (
            linear(g, normed, self.sites[f"{path}/{part}"], f"{path}/{part}")
            for part in ("gate_proj", "up_proj")
        )
        inner = gated(g, gate, up, path)
        down = linear(g, inner, self.sites[f"{path}/down_proj"], f"{path}/down_proj")
        return binary(g, "ADD", h, down, f"{path}/residual")

    def norm(self, g: GraphBuilder, x: str, site: str) -> str:
        """Normalise, times the learned gain."""
        leaf = self.params
        for key in (*site.split("/"), "gain"):
            leaf = leaf[key]
        gain = g.constant(f"{site}/gain", np.asarray(leaf, np.float32))
        unit = rms_norm(g, x, self.config.rms_norm_eps, f"{site}/unit")
        return binary(g, "MUL", unit, gain, site)

    def attention(
        self, g: GraphBuilder, x: str, layer: int, position: str, cache: dict[str, str]
    ) -> str:
        """Write this layer's keys and values, and attend over all rows of its cache."""
        c, path = self.config, f"layers_{layer}/self_attn"
        keys, values = f"k_{layer}", f"v_{layer}"
        q, k, v = (
            linear(g, x, self.sites[f"{path}/{part}"], f"{path}/{part}")
            for part in ("q_proj", "k_proj", "v_proj")
        )
        tokens, tables = g.shape(x)[1], ("rotary/cos", "rotary/sin")
        shape = (1, tokens, c.num_kv_heads, c.head_dim)
        k = transposed(g, reshaped(g, k, shape, f"{path}/k/heads"), (0, 2, 1, 3), f"{path}/k/lead")
        v = transposed(g, reshaped(g, v, shape, f"{path}/v/heads"), (0, 2, 3, 1), f"{path}/v/lead")
        k = rotated(g, k, tables, f"{path}/k")
        written = (
            self.remembered(g, cache, keys, k, position, f"{path}/k"),
            self.remembered(g, cache, values, v, position, f"{path}/v"),
        )
        mixed = self.mixed_heads(g, q, *written, path)
        return linear(g, mixed, self.sites[f"{path}/o_proj"], f"{path}/o_proj")

    def remembered(
        self, g: GraphBuilder, cache: dict[str, str], name: str, x: str, position: str, path: str
    ) -> str:
        """Write new rows into the cache; returns all rows as attention reads them."""
        width = WIDTH_AXES[name[0]]
        token_axis = 5 - width  # the other one of the last two
        if self.carry is not CarryPrecision.INT8:
            cache[name] = overwritten(g, cache[name], x, token_axis, position, f"{path}/cache")
            return cache[name]
        parts = zip((name, name + SCALE), rounded_heads(g, x, width, path), strict=True)
        for tensor, part in parts:
            at = f"{path}/cache{tensor.removeprefix(name)}"
            cache[tensor] = overwritten(g, cache[tensor], part, token_axis, position, at)
        shape = (g.shape(cache[name]),)
        steps = g.op("DEQUANTIZE", (cache[name],), f"{path}/cache/steps", shape, version=2)[0]
        return binary(g, "MUL", steps, cache[name + SCALE], f"{path}/cache/real")

    def mixed_heads(self, g: GraphBuilder, q: str, keys: str, values: str, path: str) -> str:
        """Attend with grouped queries, scale 1/sqrt(head_dim).

        Four axes of queries are heads of keys, queries that share one, tokens, head_dim.
        """
        c, tokens = self.config, g.shape(q)[1]
        kv, rep, width = c.num_kv_heads, c.queries_per_kv_head, c.head_dim
        q = reshaped(g, q, (tokens, kv, rep, width), f"{path}/q/heads")
        q = transposed(g, q, (1, 2, 0, 3), f"{path}/q/lead")
        q = rotated(g, q, ("rotary/cos", "rotary/sin"), f"{path}/q")
        q = binary(g, "MUL", q, scalar(g, width**-0.5), f"{path}/q/scaled")
        q = reshaped(g, q, (1, kv, rep * tokens, width), f"{path}/q/rows")
        scores = batch_matmul(g, q, keys, f"{path}/scores")
        apart = (kv, rep, tokens, self.positions)
        scores = reshaped(g, scores, apart, f"{path}/scores/tokens")
        scores = binary(g, "ADD", scores, "mask", f"{path}/scores/masked")
        share = g.op("SOFTMAX", (scores,), f"{path}/share", (apart,), options={"beta": 1.0})[0]
        share = reshaped(g, share, (1, kv, rep * tokens, self.positions), f"{path}/share/rows")
        mixed = batch_matmul(g, share, values, f"{path}/mixed")
        mixed = reshaped(g, mixed, (kv, rep, tokens, width), f"{path}/mixed/tokens")
        mixed = transposed(g, mixed, (2, 0, 1, 3), f"{path}/mixed/lead")
        return reshaped(g, mixed, (1, tokens, kv * rep * width), f"{path}/mixed/merged")


def rotary_frequencies(config: DecoderConfig) -> np.ndarray:
    """Compute the frequencies of the rotary angles, by the operations of the model."""
    half = jnp.arange(0, config.head_dim, 2, dtype=jnp.float32) / config.head_dim
    return np.asarray(config.rope_theta**-half, np.float32)


def _metadata(
    config: DecoderConfig, quantised: QuantisedParams, plan: StoragePlan
) -> dict[str, bytes]:
    texts = {
        "scheme": plan.precision.name,
        "plan": f"{plan.name} for {plan.target.value}",
        "config": json.dumps(decoder_to_dict(config), sort_keys=True),
        "parameters": parameters_sha256(quantised),
    }
    return {METADATA[key]: text.encode() for key, text in texts.items()}
