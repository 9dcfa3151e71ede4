"""An integer network, described once: its operators in the order of the deployed graph.

    apply_level(z, injection, config, ops) -> z      L_level of a TRM, both its mixers
    read_out(z_H, config, ops) -> (logits, q)        the heads that decode an answer

These are the operators of trm_jax/models/blocks.py. What a tensor is and what an operator does is
the business of `ops` (operators.py, attention_operators.py), of which there are five readings:

    RangeOps              float32: computes, and notes the range of every tensor (calibration.py)
    MixedPrecisionOps     TFLM's arithmetic, jitted and batched, on int8 and int16
                          (attention_operators.py; what has one width is IntegerOps, operators.py)
    CountingOps           the same, and counts what saturates (saturation.py)
    DataFlowOps           computes nothing, and tells what every product multiplies (data_flow.py)
    GraphOps              tensors and operators of a TFLM graph (export/lowering/integer_block.py;
                          AttentionGraph of integer_attention.py beside it for attention)

Every tensor has a name (tensor_names.py), by which readings find weights and encodings.

    MLP mixer    the norm is computed in float32 between integers (kernels/norm.py): rows of trained
                 models differ in mean square by five decimal places (the puzzle prefix holds
                 massive activations), while int16 has four and a half. A scheme with `norms` keeps
                 in float32 the mean of a row alone
    attention    a head is some operators of its own: each has scales of its own, and a device holds
                 the scores of one head at a time. Behind the heads everything is token by token,
                 so a graph may apply `finish_block` to a few tokens at a time. The residual sum
                 and its norm are float32 too: the sum is never rounded

Not here: linear attention and HRM (its two networks would need two sets of states), which have no
integers; the recursion around a level, which the host runs (carry.py).
"""

from collections.abc import Sequence

from quant.integer.attention_operators import AttentionOps, head_name
from quant.integer.operators import Ops, Value
from quant.integer.tensor_names import Head, TensorName
from trm_jax.config import HRMConfig, Mixer, Positions, ReasonerConfig

SUM = TensorName("L_level/h")
"""The state and what was injected into it."""


def has_integers(config: ReasonerConfig) -> bool:
    """Return whether a network can be described in integers."""
    return not isinstance(config, HRMConfig) and config.mixer is not Mixer.LINEAR_ATTENTION


def layer_sites(config: ReasonerConfig) -> tuple[str, ...]:
    """Name the blocks of L_level."""
    return tuple(f"L_level/layers_{i}" for i in range(config.L_layers))


def apply_level(z: Value, injection: Value, config: ReasonerConfig, ops: Ops[Value]) -> Value:
    """Apply L_level to `z` and `injection`.

    Raises:
      ValueError: HRM, or linear attention, which have no integers.
    """
    if not has_integers(config):
        raise ValueError(
            f"integers are for TRM with {Mixer.MLP} or {Mixer.ATTENTION}, got"
            f" {type(config).__name__} with {config.mixer}; use a float scheme"
        )
    h = ops.add(SUM, z, injection)
    for site in layer_sites(config):
        if config.mixer is Mixer.ATTENTION:
            assert isinstance(ops, AttentionOps)
            h = apply_attention_block(h, site, config, ops)
        else:
            h = apply_mlp_block(h, site, ops)
    return h


def read_out(z_H: Value, config: ReasonerConfig, ops: Ops[Value]) -> tuple[Value, Value]:
    """Decode `z_H`: logits of the cells behind the prefix, halting logits of position 0."""
    cells = slice(config.prefix_len, config.prefix_len + config.seq_len)
    logits = ops.by_rows(z_H, lambda rows: ops.linear(TensorName("lm_head"), rows), cells)
    q = ops.by_rows(z_H, lambda row: ops.linear(TensorName("q_head"), row), slice(0, 1))
    return logits, q


def apply_swiglu(h: Value, site: str, ops: Ops[Value]) -> Value:
    """Compute silu(gate) * up, some inner channels at a time; the second product comes after it."""
    gate_up = TensorName(f"{site}/gate_up_proj")
    return ops.joined([_inner_channels(h, gate_up, part, ops) for part in ops.parts(gate_up)])


def _inner_channels(h: Value, gate_up: TensorName, part: slice, ops: Ops[Value]) -> Value:
    gate, up = ops.gate_up(gate_up, h, part)
    silu = ops.silu(gate_up.beside("silu"), gate, gate_up.beside("sigmoid"))
    return ops.multiply(gate_up.beside("product"), silu, up)


def apply_mlp_block(h: Value, site: str, ops: Ops[Value]) -> Value:
    """Apply a block of the MLP mixer: a SwiGLU across positions, then one across channels."""
    h = add_swiglu(ops.transpose(h), f"{site}/mlp_t", ops)
    return add_swiglu(ops.transpose(h), f"{site}/mlp", ops)


def add_swiglu(h: Value, site: str, ops: Ops[Value]) -> Value:
    """Compute rms_norm(h + swiglu(h)) over the last axis, some rows at a time."""
    return ops.by_rows(h, lambda rows: _add_swiglu(rows, site, ops))


def _add_swiglu(h: Value, site: str, ops: Ops[Value]) -> Value:
    product = ops.linear(TensorName(f"{site}/down_proj"), apply_swiglu(h, site, ops))
    total = ops.add(TensorName(f"{site}/sum"), h, product)
    return ops.norm(TensorName(f"{site}/norm"), total)


def apply_attention_block(
    h: Value, site: str, config: ReasonerConfig, ops: AttentionOps[Value]
) -> Value:
    """Apply a block with attention: its heads over all positions, the rest token by token."""
    heads = ops.each_head(lambda head: attend(h, site, head, config, ops), config.num_heads)
    return ops.by_tokens(lambda rows, *parts: finish_block(rows, parts, site, ops), h, *heads)


def attend(
    h: Value, site: str, head: Head, config: ReasonerConfig, ops: AttentionOps[Value]
) -> Value:
    """Let one head look at all positions: softmax(q k^T / sqrt(head_dim)) v."""
    path = f"{site}/self_attn"
    names = [head_name(path, part, head) for part in "qkv"]
    q, k, v = (ops.linear(name, h) for name in names)
    if config.positions is Positions.ROPE:
        q = ops.rotate(names[0].then("rotated"), q, config)
        k = ops.rotate(names[1].then("rotated"), k, config)
    columns = ops.transpose(v)

    def mix(queries: Value) -> Value:
        scores = ops.matmul(TensorName(f"{path}/scores", head), queries, k)
        share = ops.softmax(TensorName(f"{path}/share", head), scores, config.head_dim**-0.5)
        return ops.matmul(mixed_name(site, head), share, columns)

    return ops.by_queries(mix, q)


def mixed_name(site: str, head: Head) -> TensorName:
    """Name what a head of a block gives: its values, mixed by shares."""
    return TensorName(f"{site}/self_attn/mixed", head)


def finish_block(h: Value, heads: Sequence[Value], site: str, ops: AttentionOps[Value]) -> Value:
    """Do the rest of a block: rms_norm(h + o_proj(heads)), then a SwiGLU likewise."""
    mixed = ops.linear(TensorName(f"{site}/self_attn/o_proj"), ops.joined(heads))
    h = ops.residual(TensorName(f"{site}/self_attn/norm"), h, mixed)
    product = ops.linear(TensorName(f"{site}/mlp/down_proj"), apply_swiglu(h, f"{site}/mlp", ops))
    return ops.residual(last_norm(site), h, product)


def last_norm(site: str) -> TensorName:
    """Name what a block gives."""
    return TensorName(f"{site}/mlp/norm")
