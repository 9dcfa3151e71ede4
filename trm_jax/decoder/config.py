"""Configurations of autoregressive decoders: Llama and Qwen2.5 by the names of their config.json.

A decoder is the other kind of depth: where TRM repeats a network over a whole puzzle, a decoder
writes its reasoning down, one token after the other. Both architectures are one here; Qwen2.5 has
biases on queries, keys and values, and Llama has none.

No jax here. Not here: configurations of TRM and HRM (trm_jax/config.py).
"""

import dataclasses
import enum
import math
from dataclasses import dataclass
from typing import Any

from trm_jax.config import MAX_COUNT, MAX_POSITIONS, MAX_WIDTH, STORAGE
from trm_jax.names import unknown_name
from trm_jax.typed_json import read_complete

SIZES = {
    "vocab_size": (1, MAX_WIDTH),
    "hidden_size": (1, MAX_WIDTH),
    "num_layers": (1, MAX_COUNT),
    "num_heads": (1, MAX_WIDTH),
    "num_kv_heads": (1, MAX_WIDTH),
    "head_dim": (2, MAX_WIDTH),
    "intermediate_size": (1, MAX_WIDTH),
    "max_positions": (1, MAX_POSITIONS),
}
"""Least and greatest value of every integer of a configuration."""


class TraceOrder(enum.StrEnum):
    """In which order a decoder of puzzles gives the answer, and whether it says how."""

    READING = "reading"  # cells row by row
    SOLVER = "solver"  # as a solver finds them, first in scan order, without its work
    SCAN = "scan"  # as a solver finds them, with its work written out


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """Sizes of a decoder: counts of weights, tokens or layers.

    Attributes:
      num_layers: `num_hidden_layers` in config.json of a release.
      num_kv_heads: heads of keys and values; each serves num_heads / num_kv_heads queries.
      head_dim: even; num_heads * head_dim need not be hidden_size.
      intermediate_size: inner width of SwiGLU.
      max_positions: tokens that prompt and answer may have together.
      tie_word_embeddings: the head multiplies by the table of embeddings, transposed.
      qkv_bias: biases on queries, keys and values (Qwen2.5).

    Raises:
      ValueError: a value is out of its range (`SIZES`), heads do not divide, or the head size is
        odd, which rotary positions cannot turn.
    """

    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate_size: int
    max_positions: int
    rope_theta: float = 10_000.0
    rms_norm_eps: float = 1e-6
    tie_word_embeddings: bool = True
    qkv_bias: bool = False
    forward_dtype: str = "float32"

    def __post_init__(self) -> None:
        for name, (least, greatest) in SIZES.items():
            value = getattr(self, name)
            if not least <= value <= greatest:
                raise ValueError(
                    f"{name} must lie between {least} and {greatest}, got {name}={value}"
                )
        for name, greatest in (("rope_theta", 1e30), ("rms_norm_eps", 1.0)):
            value = getattr(self, name)
            if not (math.isfinite(value) and 0 < value <= greatest):
                raise ValueError(
                    f"{name} must be positive and at most {greatest:g}, got {name}={value}"
                )
        if self.num_heads % self.num_kv_heads:
            raise ValueError(
                "num_heads must be a multiple of num_kv_heads, got"
                f" num_heads={self.num_heads} num_kv_heads={self.num_kv_heads}"
            )
        if self.head_dim % 2:
            raise ValueError(f"head_dim must be even, got head_dim={self.head_dim}")
        if self.forward_dtype not in STORAGE:
            raise ValueError(
                f"forward_dtype must be one of {', '.join(STORAGE)}, got"
                f" forward_dtype={self.forward_dtype!r}"
            )

    @property
    def queries_per_kv_head(self) -> int:
        """Heads of queries that one head of keys and values serves."""
        return self.num_heads // self.num_kv_heads

    @classmethod
    def from_json(cls, values: Any) -> "DecoderConfig":
        """Read a configuration: how records that hold one read it."""
        return decoder_from_dict(values)


MICRO = DecoderConfig(
    vocab_size=228,  # of 5x5 mazes
    hidden_size=64,
    num_layers=3,
    num_heads=2,
    num_kv_heads=2,
    head_dim=32,
    intermediate_size=128,
    max_positions=96,
    rope_theta=1e6,
)
"""Learns its mazes in minutes on one core."""


def widened(config: DecoderConfig, times: float) -> DecoderConfig:
    """Multiply a decoder's widths; its heads keep their size, so there are more of them.

    Raises:
      ValueError: a number of heads, or a width, that is not whole and positive.
    """
    names = ("hidden_size", "num_heads", "num_kv_heads", "intermediate_size")
    widths = {name: times * getattr(config, name) for name in names}
    if unwhole := [name for name, width in widths.items() if width < 1 or width != int(width)]:
        raise ValueError(
            f"{unwhole[0]} must be a whole number, got {times} times {getattr(config, unwhole[0])}"
        )
    return dataclasses.replace(config, **{name: int(width) for name, width in widths.items()})


DECODER_PRESETS = {
    "sudoku-ar-mini": DecoderConfig(
        vocab_size=368,  # of 6x6 puzzles (trm_jax/tasks/tokens)
        hidden_size=128,
        num_layers=4,
        num_heads=4,
        num_kv_heads=4,
        head_dim=32,
        intermediate_size=256,
        max_positions=512,
        rope_theta=1e6,
    ),
    "maze-ar-mini": DecoderConfig(
        vocab_size=579,  # of 8x8 mazes
        hidden_size=128,
        num_layers=4,
        num_heads=4,
        num_kv_heads=4,
        head_dim=32,
        intermediate_size=256,
        max_positions=192,
        rope_theta=1e6,
    ),
    "maze-ar-micro": MICRO,
    "maze-ar-micro-half": widened(MICRO, 0.5),
    "maze-ar-micro-double": widened(MICRO, 2.0),
}
"""Small decoders; tokens look far back for what they need, hence the large theta.

The two of the form `-mini` are bundled. What width buys is measured on half and twice that of
`maze-ar-micro` (docs/tokens.md, "What decoders learn").
"""

DECODER_TASKS = {name: name.split("-")[0] for name in DECODER_PRESETS}
"""What the decoders of the presets solve, by names of trm_jax.tasks."""


def decoder_preset(name: str) -> DecoderConfig:
    """Look up a preset.

    Raises:
      ValueError: the name is unknown; the message lists the known ones.
    """
    if name not in DECODER_PRESETS:
        raise ValueError(unknown_name("preset", name, sorted(DECODER_PRESETS)))
    return DECODER_PRESETS[name]


def decoder_to_dict(config: DecoderConfig) -> dict[str, object]:
    """Make a JSON-ready dict; `architecture` tells it from those of TRM and HRM."""
    return {"architecture": "decoder", **dataclasses.asdict(config)}


def decoder_from_dict(values: Any) -> DecoderConfig:
    """Rebuild a configuration from `decoder_to_dict`; every field must be stated.

    Raises:
      ValueError: another architecture, or an unknown, missing or invalid field; it is named.
    """
    if not isinstance(values, dict):
        raise ValueError(f"a configuration must be an object, got {type(values).__name__}")
    fields = dict(values)
    if (architecture := fields.pop("architecture", None)) != "decoder":
        raise ValueError(f"architecture must be 'decoder', got {architecture!r}")
    for name in ("rope_theta", "rms_norm_eps"):
        if type(fields.get(name)) is int:
            fields[name] = float(fields[name])
    return read_complete(DecoderConfig, fields)
