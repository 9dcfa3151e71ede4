"""Networks in the integers of a device, described once: the level and the heads of a TRM-MLP.

    level(h, injection, config, ops)     the operators of trm_jax/models/blocks.py in the order of
    the read_out(z_H, config, ops)           deployed graph, given what an operator is
    (operators.py)

Four readings of one description:

    RangeOps      float32: computes, and notes the range of every tensor (calibration.py)
    IntegerOps    TFLM's arithmetic, jitted and batched (operators.py)
    CountingOps   the same, and counts what saturates (saturation.py)
    GraphOps      makes tensors and operators of the same names (export/lowering/model.py)

Every tensor is named by its site, `L_level/layers_0/mlp/down_proj`; encodings are keyed by it.
The norm is an island of float32 (kernels/norm.py): rows of trained models differ in mean square
by five decimal places (the puzzle prefix holds massive activations), int16 has four and a half.
Attention has a description of its own (network.py). Left out: the recursion around a
level (the host owns it: carry.py).

An attention level in the integers of a device: one description, three readings.

    level(z, injection, config, ops)    the operators of trm_jax/models/blocks.py in the order of
    the
                                        deployed graph, given what an operator is:
    RangeOps        float32, for calibration        (calibration.py, calibration.py)
    MixedOps        8 and 16 bits: TFLM's arithmetic                 (attention_operators.py)
    AttentionGraph  tensors and operators of the same names
    (export/lowering/integer_attention.py)

Heads are operators of their own: each has scales of its own, and on a device only one head's
scores exist at a time. Behind the heads everything is by token, so a graph may do `tail` for a
few tokens at once. The residual sum and its norm are one island of float32 (kernels/norm.py):
the sum is never rounded. Widths of the integers are a choice by role (`Widths`), and an operator
has the width of its result; where an operand has another one, a QUANTIZE comes before it.
Left out: linear attention, HRM (its two networks need two sets of states), the MLP mixer
(network.py), the recursion around a level.

What lies between the two products of a SwiGLU, for every network described in operators.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, runtime_checkable

from quant.integer.encoding import BITS
from quant.integer.operators import Ops
from trm_jax.config import HRMConfig, Mixer, Positions, ReasonerConfig


def gated(h: Any, site: str, ops: Ops) -> Any:
    """Compute silu(gate) * up, some inner channels at a time."""
    gate_up = f"{site}/gate_up_proj"
    return ops.joined([_part(h, site, part, ops) for part in ops.parts(gate_up)])


def _part(h: Any, site: str, part: slice, ops: Ops) -> Any:
    gate, up = ops.gate_up(f"{site}/gate_up_proj", h, part)
    silu = ops.multiply(f"{site}/silu", gate, ops.logistic(f"{site}/sigmoid", gate))
    return ops.multiply(f"{site}/product", silu, up)


@dataclass(frozen=True, kw_only=True)
class BitWidths:
    """Bits of activations by role, 8 or 16.

    Attributes:
      state: z, injection, their sum, and what norms give.
      product: into and out of the products with weights.
      gate: SwiGLU between its two products.
      scores: rotary positions, and queries times keys.
      share: the softmax, and shares times values.

    Raises:
      ValueError: another width.
    """

    state: int
    product: int
    gate: int
    scores: int
    share: int

    def __post_init__(self) -> None:
        for field in fields(self):
            if (bits := getattr(self, field.name)) not in BITS:
                raise ValueError(
                    f"{field.name} must be one of {list(BITS)} bits, got {field.name}={bits}"
                )


INT8 = BitWidths(state=8, product=8, gate=8, scores=8, share=8)
INT16 = BitWidths(state=16, product=16, gate=16, scores=16, share=16)
MIXED = BitWidths(state=16, product=8, gate=16, scores=16, share=16)
"""int8 only where weights are multiplied, which is nearly all of the work."""

MOST_FLAT = 511
"""Positions that int8 SOFTMAX takes whatever they hold (kernels/softmax.py)."""


def int8_widths(config: ReasonerConfig) -> BitWidths:
    """Choose int8 everywhere, but for the softmax of long rows: its int8 kernel may abort.

    Where more than 511 scores are alike, the sum of exponentials does not fit that kernel; and
    its results, in steps of 1/256, would all be 0.
    """
    return INT8 if config.num_positions <= MOST_FLAT else replace(INT8, share=16)


ROLES = {
    "state": ("z", "injection", "h", "norm", "lm_head", "q_head"),
    "product": ("q", "k", "v", "o_proj", "gate_up_proj", "down_proj"),
    "gate": ("silu", "sigmoid", "product"),
    "scores": ("rotary", "rotated", "cos", "sin", "scores"),
    "share": ("share", "mixed"),
}
"""Role of a tensor by the last word of its name that is no number."""


def bits_of(name: str, widths: BitWidths) -> int:
    """Look up the width of a tensor.

    Raises:
      KeyError: a name that no operator here gives.
    """
    last = next(word for word in reversed(name.split("/")) if not word.isdigit())
    roles = [role for role, words in ROLES.items() if last in words]
    if not roles:
        raise KeyError(name)
    return getattr(widths, roles[0])


@runtime_checkable
class AttentionOps(Ops, Protocol):
    """What an operator is, beside those of every network (integer_ops.Ops)."""

    def rotate(self, name: str, x: Any, config: ReasonerConfig) -> Any:
        """Apply rotary positions to one head."""
        ...

    def matmul(self, name: str, a: Any, b: Any) -> Any:
        """Multiply a by the transpose of b."""
        ...

    def softmax(self, name: str, x: Any, beta: float) -> Any: ...
    def residual(self, name: str, h: Any, y: Any) -> Any:
        """Compute rms_norm(h + y)."""
        ...

    def each_head(self, part: Callable[[str], Any], count: int) -> Sequence[Any]:
        """Apply `part` to every head, named 0, 1, ...; or once to all of them, named *."""
        ...

    def by_queries(self, part: Callable[[Any], Any], x: Any) -> Any:
        """Apply `part` to some rows of x at a time; the rows do not see each other."""
        ...

    def by_tokens(self, part: Callable[..., Any], *xs: Any) -> Any:
        """Apply `part` to some tokens of all xs at a time."""
        ...


def attention_level(z: Any, injection: Any, config: ReasonerConfig, ops: AttentionOps) -> Any:
    """Apply L_level to `z` and `injection`."""
    h = ops.add("L_level/h", z, injection)
    for site in layer_sites(config):
        heads = heads_of(h, site, config, ops)
        h = ops.by_tokens(lambda rows, *parts, at=site: tail(rows, parts, at, ops), h, *heads)
    return h


def layer_sites(config: ReasonerConfig) -> tuple[str, ...]:
    """Name the blocks of L_level."""
    return tuple(f"L_level/layers_{i}" for i in range(config.L_layers))


def heads_of(h: Any, site: str, config: ReasonerConfig, ops: AttentionOps) -> Sequence[Any]:
    """Let every head look at all positions."""
    return ops.each_head(lambda head: attend(h, site, head, config, ops), config.num_heads)


def attend(h: Any, site: str, head: str, config: ReasonerConfig, ops: AttentionOps) -> Any:
    """Let one head look at all positions."""
    path = f"{site}/self_attn"
    q, k, v = (ops.linear(head_site(path, part, head), h) for part in "qkv")
    if config.positions is Positions.ROPE:
        q, k = (
            ops.rotate(f"{head_site(path, part, head)}/rotated", x, config)
            for part, x in (("q", q), ("k", k))
        )
    columns = ops.transpose(v)

    def part(queries: Any) -> Any:
        scores = ops.matmul(f"{path}/scores/{head}", queries, k)
        share = ops.softmax(f"{path}/share/{head}", scores, config.head_dim**-0.5)
        return ops.matmul(f"{path}/mixed/{head}", share, columns)

    return ops.by_queries(part, q)


def tail(h: Any, heads: Sequence[Any], site: str, ops: AttentionOps) -> Any:
    """Do the rest of a block, token by token: rms(h + o_proj(heads)), then its SwiGLU."""
    mixed = ops.linear(f"{site}/self_attn/o_proj", ops.joined(heads))
    h = ops.residual(f"{site}/self_attn/norm", h, mixed)
    product = gated(h, f"{site}/mlp", ops)
    return ops.residual(f"{site}/mlp/norm", h, ops.linear(f"{site}/mlp/down_proj", product))


def head_site(path: str, part: str, head: str) -> str:
    """Name one head's share of the fused product: `.../qkv_proj/q/0`."""
    return f"{path}/qkv_proj/{part}/{head}"


def has_integers(config: ReasonerConfig) -> bool:
    """Say whether a network can be described in integers."""
    return not isinstance(config, HRMConfig) and config.mixer is not Mixer.LINEAR_ATTENTION


def mlp_level(h: Any, injection: Any, config: ReasonerConfig, ops: Ops) -> Any:
    """Apply L_level to `z` and `injection`.

    Raises:
      ValueError: HRM, or linear attention, which have no integers.
    """
    if not has_integers(config):
        raise ValueError(
            f"integers are for TRM with {Mixer.MLP} or {Mixer.ATTENTION}, got"
            f" {type(config).__name__} with {config.mixer}; use a float scheme"
        )
    if config.mixer is Mixer.ATTENTION:
        assert isinstance(ops, AttentionOps)
        return attention_level(h, injection, config, ops)
    h = ops.add("L_level/h", h, injection)
    for i in range(config.L_layers):
        site = f"L_level/layers_{i}"
        h = residual(ops.transpose(h), f"{site}/mlp_t", ops)
        h = residual(ops.transpose(h), f"{site}/mlp", ops)
    return h


def residual(h: Any, site: str, ops: Ops) -> Any:
    """Compute rms_norm(h + swiglu(h)) over the last axis, some rows at a time."""
    return ops.by_rows(h, lambda rows: _residual(rows, site, ops))


def _residual(h: Any, site: str, ops: Ops) -> Any:
    product = gated(h, site, ops)
    total = ops.add(f"{site}/sum", h, ops.linear(f"{site}/down_proj", product))
    return ops.norm(f"{site}/norm", total)


def read_out(z_H: Any, config: ReasonerConfig, ops: Ops) -> tuple[Any, Any]:
    """Decode `z`: logits of the cells behind the prefix, halting logits of position 0."""
    cells = slice(config.prefix_len, config.prefix_len + config.seq_len)
    logits = ops.by_rows(z_H, lambda rows: ops.linear("lm_head", rows), cells)
    return logits, ops.by_rows(z_H, lambda row: ops.linear("q_head", row), slice(0, 1))
