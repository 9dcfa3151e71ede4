"""Peak memory of one puzzle on a device, from the shapes: Table 15, and what it does not count.

What must be in memory at a time:

    weights      all of them (FULL), one block (STREAMING), or none: executed from flash
                 (IN_PLACE); the puzzle table never, only its row
    states       z_H and z_L in the carry's format, and the injected embedding
    working set  the largest of a block's operators: input, output, and what waits beside them

WHOLE runs every operator over all positions, all attention heads at once. CHUNKED runs matrix
products CHUNK rows at a time; of attention only k and v are whole, a chunk of queries goes
through one head after the other and its result takes the place of the residual's rows.
Elementwise operators work in place. Static inputs leave what is between products in floats; a
device's integers (tflm) do not. `paper_sram` is Table 15's own formula.

Not here: an interpreter's arena, which is larger by copies and alignment (cortex_m/arena.py).
"""

import enum
from typing import NamedTuple

from quant.packing import SCALE_BYTES
from quant.scheme import Activations, CarryPrecision, FloatDtype, Scheme
from trm_jax.config import Config, Mixer

CHUNK = 128  # rows of a matrix product at a time, as the exported graphs have them


class Residency(enum.Enum):
    """Which weights are in memory."""

    FULL = "full load"
    STREAMING = "streaming"
    IN_PLACE = "from flash"


class Schedule(enum.Enum):
    """How much of a tensor an operator takes at a time."""

    WHOLE = "whole"
    CHUNKED = "chunked"


class Sram(NamedTuple):
    """Bytes in memory at the peak."""

    weights: int
    states: int
    working: int

    @property
    def total(self) -> int:
        return sum(self)


ACTIVATION_BYTES = {Activations.STATIC_INT8: 1, Activations.STATIC_INT16: 2}
CARRY_BYTES = {
    CarryPrecision.BF16: 2,
    CarryPrecision.FP16: 2,
    CarryPrecision.INT16: 2,
    CarryPrecision.INT8: 1,
}
SCALED = (CarryPrecision.INT16, CarryPrecision.INT8)  # one float32 scale per token


def float_bytes(scheme: Scheme) -> int:
    """Count the bytes of what is not quantised."""
    return 4 if scheme.float_dtype is FloatDtype.FP32 else 2


def activation_bytes(scheme: Scheme) -> int:
    """Count the bytes of a product's result: dynamic inputs are int8 one row at a time."""
    return ACTIVATION_BYTES.get(scheme.activations, float_bytes(scheme))


def between_bytes(scheme: Scheme) -> int:
    """Count the bytes of what stands between products: residual, injected embedding."""
    return activation_bytes(scheme) if scheme.is_integer else float_bytes(scheme)


def state_bytes(config: Config, scheme: Scheme) -> int:
    """Count z_H, z_L and the injected embedding."""
    elements = config.num_positions * config.hidden_size
    each = CARRY_BYTES.get(scheme.carry, between_bytes(scheme))
    scales = SCALE_BYTES * config.num_positions if scheme.carry in SCALED else 0
    return 2 * (elements * each + scales) + elements * between_bytes(scheme)


class LiveElements(NamedTuple):
    """Elements in memory while an operator runs.

    Attributes:
      between: residual and its copies; products: results of products and of attention.
    """

    between: int
    products: int


def working_bytes(config: Config, scheme: Scheme, schedule: Schedule) -> int:
    """Count the bytes of activations at a block's peak, states aside.

    An int8 network with some states of 16 bits counts as one of 16: they and the copies that their
    operators read are what the peak holds, whichever they are.
    """
    sizes = (2, 2) if scheme.wide else (between_bytes(scheme), activation_bytes(scheme))
    return max(
        live.between * sizes[0] + live.products * sizes[1]
        for live in list_live_elements(config, schedule)
    )


def list_live_elements(config: Config, schedule: Schedule) -> list[LiveElements]:
    """List what is in memory while those operators of a block run that may be its peak.

    Raises:
      ValueError: linear attention, which no device graph has.
    """
    if config.mixer is Mixer.LINEAR_ATTENTION:
        raise ValueError("no device graph has linear attention; use mixer=attention")
    pos, width = config.num_positions, config.hidden_size
    channels = _swiglu(pos, width, config.swiglu_size(width), schedule)
    if config.mixer is Mixer.ATTENTION:
        return [_attention(config, schedule), channels]
    positions = _swiglu(width, pos, config.swiglu_size(pos), schedule)
    return [LiveElements(2 * pos * width, 0), positions, channels]  # transposing needs both copies


def _attention(config: Config, schedule: Schedule) -> LiveElements:
    """q, k, v, scores, mixed values; chunked: k, v, and of a chunk q, one head's scores, mixed."""
    pos, width = config.num_positions, config.hidden_size
    if schedule is Schedule.CHUNKED:
        return LiveElements(pos * width, 2 * pos * width + min(CHUNK, pos) * (2 * width + pos))
    return LiveElements(pos * width, 4 * pos * width + config.num_heads * pos * pos)


def _swiglu(rows: int, width: int, inner: int, schedule: Schedule) -> LiveElements:
    """gate_up; then the gate's place holds the product while the result comes."""
    chunk = min(CHUNK, rows) if schedule is Schedule.CHUNKED else rows
    return LiveElements(rows * width, chunk * max(2 * inner, inner + width))


def paper_sram(config: Config, weight_bytes: int, residency: Residency, scheme: Scheme) -> int:
    """Compute Table 15 as the paper did (decoded from its figures, which it gives exactly).

    Args:
      weight_bytes: of all blocks, without scales.
      scheme: only the bytes of the carry and of activations are read.

    Returns:
      Bytes; the table prints MiB.
    """
    layers = config.L_layers
    weights = {Residency.FULL: weight_bytes, Residency.STREAMING: weight_bytes // layers}[residency]
    state = config.num_positions * config.hidden_size
    carry = CARRY_BYTES.get(scheme.carry, float_bytes(scheme))
    gate_up = 2 * config.num_positions * config.swiglu_size(config.hidden_size)
    return weights + 2 * state * carry + gate_up * activation_bytes(scheme)
