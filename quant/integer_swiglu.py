"""What lies between the two products of a SwiGLU, for every network described in integer_ops.py."""

from typing import Any

from quant.integer_ops import Ops


def gated(h: Any, site: str, ops: Ops) -> Any:
    """Compute silu(gate) * up, some inner channels at a time."""
    gate_up = f"{site}/gate_up_proj"
    return ops.joined([_part(h, site, part, ops) for part in ops.parts(gate_up)])


def _part(h: Any, site: str, part: slice, ops: Ops) -> Any:
    gate, up = ops.gate_up(f"{site}/gate_up_proj", h, part)
    silu = ops.multiply(f"{site}/silu", gate, ops.logistic(f"{site}/sigmoid", gate))
    return ops.multiply(f"{site}/product", silu, up)
