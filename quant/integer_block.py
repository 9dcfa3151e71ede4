"""Networks in the integers of a device, described once: the level and the heads of a TRM-MLP.

    level(h, injection, config, ops)     the operators of trm_jax/mixing.py in the order of the
    read_out(z_H, config, ops)           deployed graph, given what an operator is (integer_ops.py)

Four readings of one description:

    RangeOps      float32: computes, and notes the range of every tensor (integer_ranges.py)
    IntegerOps    TFLM's arithmetic, jitted and batched (integer_ops.py)
    CountingOps   the same, and counts what saturates (integer_saturation.py)
    GraphOps      makes tensors and operators of the same names (export/lower_integer.py)

Every tensor is named by its site, `L_level/layers_0/mlp/down_proj`; encodings are keyed by it.
The norm is an island of float32 (integer_norm.py): rows of trained models differ in mean square
by five decimal places (the puzzle prefix holds massive activations), int16 has four and a half.
Attention has a description of its own (integer_attention.py). Left out: the recursion around a
level (the host owns it: integer_carry.py).
"""

from typing import Any

from quant import integer_attention
from quant.integer_attention import AttentionOps
from quant.integer_ops import Ops
from quant.integer_swiglu import gated
from trm_jax.config import HRMConfig, Mixer, ReasonerConfig


def has_integers(config: ReasonerConfig) -> bool:
    """Say whether a network can be described in integers."""
    return not isinstance(config, HRMConfig) and config.mixer is not Mixer.LINEAR_ATTENTION


def level(h: Any, injection: Any, config: ReasonerConfig, ops: Ops) -> Any:
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
        return integer_attention.level(h, injection, config, ops)
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
