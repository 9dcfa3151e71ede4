"""Frozen model configurations and their presets (REFERENCE 1.1: the released YAML files).

No jax here: a configuration is static data that validates itself: ranges when it is made, types
when it is read from a file (`from_dict`), where every field must be stated.
"""

import dataclasses
import enum
import math
from dataclasses import dataclass
from typing import Any

from trm_jax.names import unknown_name
from trm_jax.typed_json import read_complete

STORAGE = ("float32", "bfloat16", "float16")
"""Dtypes in which a model directory may hold its weights."""

MAX_POSITIONS = 2**20  # of a puzzle and of its prefix; the largest published ones have 916 in all
MAX_COUNT = 10_000  # of cycles, layers and steps; the published ones have at most 16
MAX_WIDTH = 2**20  # of a state, a vocabulary
MAX_ROWS = 2**31 - 1  # of the puzzle table: identifiers are int32
"""Above these a file asks for what no machine holds or finishes: it is damaged, and is refused
before anything of that size is made."""

SIZES = {
    "vocab_size": (1, MAX_WIDTH),
    "seq_len": (1, MAX_POSITIONS),
    "num_puzzle_identifiers": (1, MAX_ROWS),
    "hidden_size": (1, MAX_WIDTH),
    "num_heads": (1, MAX_WIDTH),
    "H_cycles": (1, MAX_COUNT),
    "L_cycles": (1, MAX_COUNT),
    "L_layers": (1, MAX_COUNT),
    "H_layers": (1, MAX_COUNT),
    "puzzle_emb_ndim": (0, MAX_ROWS),
    "puzzle_emb_len": (0, MAX_POSITIONS),
    "halt_max_steps": (1, MAX_COUNT),
}
"""Least and greatest value of every integer of a configuration."""


class Mixer(enum.Enum):
    """How a block moves information between positions."""

    ATTENTION = "attention"
    LINEAR_ATTENTION = "linear_attention"  # elu+1 feature map, App. J
    MLP = "mlp"  # mlp_t in the released code


class AttentionKernel(enum.StrEnum):
    """What computes softmax attention (`implementation` of `jax.nn.dot_product_attention`).

    No part of a configuration: kernels differ in roundings alone (trm_jax/models/attention.py).
    """

    XLA = "xla"
    CUDNN = "cudnn"


class Positions(enum.Enum):
    """Positional encoding (pos_encodings in the released code)."""

    ROPE = "rope"
    LEARNED = "learned"
    NONE = "none"


def _check_size(name: str, value: int, least: int, greatest: int) -> None:
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {name}={value}")
    if value > greatest:
        raise ValueError(f"{name} must be at most {greatest}, got {name}={value}")


def _check_real(name: str, value: int | float, greatest: float) -> None:
    if not (math.isfinite(value) and 0 < value <= greatest):
        raise ValueError(f"{name} must be positive and at most {greatest:g}, got {name}={value}")


@dataclass(frozen=True, kw_only=True)
class ReasonerConfig:
    """What TRM and HRM share. Sizes are counts of weights, tokens or cycles.

    Raises:
      ValueError: a value is out of its range (`SIZES`), heads do not divide the hidden size, or
        the puzzle embedding does not fit into its prefix.
    """

    vocab_size: int
    seq_len: int
    num_puzzle_identifiers: int = 1
    hidden_size: int = 512
    num_heads: int = 8
    expansion: float = 4.0
    mixer: Mixer = Mixer.ATTENTION
    positions: Positions = Positions.ROPE
    H_cycles: int = 3  # T in the paper
    L_cycles: int = 6
    L_layers: int = 2
    puzzle_emb_ndim: int = 512
    halt_max_steps: int = 16  # N_sup in the paper
    halt_exploration_prob: float = 0.1
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10_000.0
    no_ACT_continue: bool = True  # False: learn q_continue too (costs one more forward)
    forward_dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        for name, (least, greatest) in SIZES.items():
            _check_size(name, getattr(self, name, least), least, greatest)
        for name, greatest in (("expansion", 1000.0), ("rms_norm_eps", 1.0), ("rope_theta", 1e30)):
            _check_real(name, getattr(self, name), greatest)
        if not 0 <= self.halt_exploration_prob <= 1:
            given = f"halt_exploration_prob={self.halt_exploration_prob}"
            raise ValueError(f"halt_exploration_prob must lie in [0, 1], got {given}")
        if self.hidden_size % self.num_heads:
            raise ValueError(
                f"hidden_size must be a multiple of num_heads, got hidden_size={self.hidden_size}"
                f" num_heads={self.num_heads}"
            )
        if self.positions is Positions.ROPE and self.head_dim % 2:
            raise ValueError(f"rotary positions need an even head size, got {self.head_dim}")
        if self.forward_dtype not in STORAGE:
            raise ValueError(
                "forward_dtype must be float32, bfloat16 or float16,"
                f" got forward_dtype={self.forward_dtype!r}"
            )
        self._check_prefix()

    def _check_prefix(self) -> None:
        _check_size("puzzle_emb_len", self.prefix_len, 0, MAX_POSITIONS)
        if self.puzzle_emb_ndim > self.prefix_len * self.hidden_size:
            raise ValueError(
                f"puzzle_emb_ndim={self.puzzle_emb_ndim} does not fit into {self.prefix_len}"
                f" prefix positions of {self.hidden_size}"
            )

    @classmethod
    def from_json(cls, values: Any) -> "Config":
        """Read either architecture (`from_dict`): how records of a configuration read it."""
        return from_dict(values)

    @property
    def prefix_len(self) -> int:
        """Positions taken by the puzzle embedding: as many as its width needs."""
        return -(-self.puzzle_emb_ndim // self.hidden_size)

    @property
    def num_positions(self) -> int:
        """Length of the latent state: prefix + cells."""
        return self.prefix_len + self.seq_len

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_heads

    def swiglu_size(self, width: int) -> int:
        """Inner width of a SwiGLU over `width` inputs: 2/3 of the expansion, up to a 256."""
        return -(-round(self.expansion * width * 2 / 3) // 256) * 256


@dataclass(frozen=True, kw_only=True)
class TRMConfig(ReasonerConfig):
    """TRM: one network for both states. The prefix length is free (16 as released)."""

    puzzle_emb_len: int = 16  # 0: as long as puzzle_emb_ndim needs

    @property
    def prefix_len(self) -> int:
        return self.puzzle_emb_len or super().prefix_len


@dataclass(frozen=True, kw_only=True)
class HRMConfig(ReasonerConfig):
    """HRM: separate high- and low-level networks, one prefix position per hidden_size."""

    H_cycles: int = 2
    L_cycles: int = 2
    L_layers: int = 4
    H_layers: int = 4
    no_ACT_continue: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mixer is Mixer.MLP:
            raise ValueError("HRM has no MLP mixer; use Mixer.ATTENTION or LINEAR_ATTENTION")


Config = TRMConfig | HRMConfig

SUDOKU_TRM_MLP = TRMConfig(vocab_size=11, seq_len=81, mixer=Mixer.MLP, positions=Positions.NONE)
SUDOKU_TRM_ATT = TRMConfig(vocab_size=11, seq_len=81)
# as fast public reproductions train it: no puzzle embedding, no prefix in front of the cells
SUDOKU_TRM_MLP_LEAN = dataclasses.replace(SUDOKU_TRM_MLP, puzzle_emb_ndim=0, puzzle_emb_len=0)
MAZE_TRM_ATT = TRMConfig(vocab_size=6, seq_len=900, L_cycles=4)
ARC_TRM_ATT = TRMConfig(vocab_size=12, seq_len=900, L_cycles=4, num_puzzle_identifiers=50_911)
ARC_TRM_ATT_PUBLIC = dataclasses.replace(ARC_TRM_ATT, num_puzzle_identifiers=876_406)
SUDOKU_HRM = HRMConfig(vocab_size=11, seq_len=81)
MAZE_HRM = HRMConfig(vocab_size=6, seq_len=900)

# Small models of the same design, trained by this project and bundled (trm_jax/zoo). All widths
# keep SwiGLU at 256, the smallest the released rule allows; one prefix position is enough for
# an embedding as wide as the state.
MINI_SUDOKU_TRM_MLP = TRMConfig(
    vocab_size=8,
    seq_len=36,
    hidden_size=128,
    num_heads=4,
    expansion=3.0,
    puzzle_emb_ndim=128,
    puzzle_emb_len=1,
    H_cycles=2,
    L_cycles=2,
    forward_dtype="float32",
    mixer=Mixer.MLP,
    positions=Positions.NONE,
)
MINI_SUDOKU_TRM_ATT = dataclasses.replace(
    MINI_SUDOKU_TRM_MLP, mixer=Mixer.ATTENTION, positions=Positions.ROPE
)
MINI_SUDOKU_HRM = HRMConfig(
    vocab_size=8,
    seq_len=36,
    hidden_size=128,
    num_heads=4,
    expansion=3.0,
    puzzle_emb_ndim=128,
    H_cycles=2,
    L_cycles=2,
    H_layers=2,
    L_layers=2,
    no_ACT_continue=True,
    forward_dtype="float32",
)
MIDI_SUDOKU_TRM_MLP = TRMConfig(  # 9x9, between the small models and the published size
    vocab_size=11,
    seq_len=81,
    hidden_size=192,
    num_heads=6,
    expansion=2.0,
    puzzle_emb_ndim=192,
    puzzle_emb_len=1,
    H_cycles=2,
    L_cycles=2,
    forward_dtype="float32",
    mixer=Mixer.MLP,
    positions=Positions.NONE,
)
MIDI_SUDOKU_TRM_ATT = dataclasses.replace(  # narrower, so as to have about as many weights
    MIDI_SUDOKU_TRM_MLP,
    hidden_size=160,
    num_heads=5,
    puzzle_emb_ndim=160,
    mixer=Mixer.ATTENTION,
    positions=Positions.ROPE,
)
MINI_MAZE_TRM_ATT = dataclasses.replace(MINI_SUDOKU_TRM_ATT, vocab_size=6, seq_len=64)
MINI_ARC_TRM_ATT = dataclasses.replace(  # a canvas of 6 x 6; 40 tasks in 16 augmentations, blank
    MINI_SUDOKU_TRM_ATT, vocab_size=12, seq_len=36, num_puzzle_identifiers=641, halt_max_steps=4
)

PRESETS: dict[str, Config] = {
    "sudoku-trm-mlp": SUDOKU_TRM_MLP,
    "sudoku-trm-mlp-lean": SUDOKU_TRM_MLP_LEAN,
    "sudoku-trm-att": SUDOKU_TRM_ATT,
    "maze-trm-att": MAZE_TRM_ATT,
    "arc-trm-att": ARC_TRM_ATT,
    "arc-trm-att-public": ARC_TRM_ATT_PUBLIC,
    "sudoku-hrm": SUDOKU_HRM,
    "maze-hrm": MAZE_HRM,
    "sudoku-trm-mlp-mini": MINI_SUDOKU_TRM_MLP,
    "sudoku-trm-att-mini": MINI_SUDOKU_TRM_ATT,
    "sudoku-hrm-mini": MINI_SUDOKU_HRM,
    "sudoku-trm-mlp-midi": MIDI_SUDOKU_TRM_MLP,
    "sudoku-trm-att-midi": MIDI_SUDOKU_TRM_ATT,
    "maze-trm-att-mini": MINI_MAZE_TRM_ATT,
    "arc-trm-att-mini": MINI_ARC_TRM_ATT,
}
"""The published configurations (REFERENCE 1.1) and the bundled small ones."""

PRESET_TASKS: dict[str, str] = {
    "sudoku-trm-mlp": "sudoku",
    "sudoku-trm-mlp-lean": "sudoku",
    "sudoku-trm-att": "sudoku",
    "maze-trm-att": "maze",
    "arc-trm-att": "arc",
    "arc-trm-att-public": "arc",
    "sudoku-hrm": "sudoku",
    "maze-hrm": "maze",
    "sudoku-trm-mlp-mini": "sudoku",
    "sudoku-trm-att-mini": "sudoku",
    "sudoku-hrm-mini": "sudoku",
    "sudoku-trm-mlp-midi": "sudoku",
    "sudoku-trm-att-midi": "sudoku",
    "maze-trm-att-mini": "maze",
    "arc-trm-att-mini": "arc",
}
"""The task of every preset, by its name in trm_jax.tasks."""


def preset(name: str) -> Config:
    """Look up a preset.

    Raises:
      ValueError: the name is unknown; the message lists the known ones.
    """
    if name not in PRESETS:
        raise ValueError(unknown_name("preset", name, sorted(PRESETS)))
    return PRESETS[name]


def to_dict(config: Config) -> dict[str, object]:
    """Make a JSON-ready dict; `architecture` says which class it came from."""
    fields = {
        f.name: (v.value if isinstance(v := getattr(config, f.name), enum.Enum) else v)
        for f in dataclasses.fields(config)
    }
    return {"architecture": "hrm" if isinstance(config, HRMConfig) else "trm", **fields}


def from_dict(values: Any) -> Config:
    """Rebuild a configuration from `to_dict`; every field must be stated.

    Raises:
      ValueError: unknown architecture, or an unknown, missing or invalid field; it is named.
    """
    if not isinstance(values, dict):
        raise ValueError(f"a configuration must be an object, got {type(values).__name__}")
    fields = dict(values)
    architecture = fields.pop("architecture", None)
    if architecture not in ("trm", "hrm"):
        raise ValueError(f"architecture must be 'trm' or 'hrm', got {architecture!r}")
    kind: type[Config] = TRMConfig if architecture == "trm" else HRMConfig
    for field in dataclasses.fields(kind):  # 4 and 4.0 are one configuration, and one hash
        value = fields.get(field.name)
        if field.type is float and type(value) is int and abs(value) < 2**53:
            fields[field.name] = float(value)
    return read_complete(kind, fields)


def attention_macs(config: ReasonerConfig) -> int:
    """Multiply-accumulates of the two attention products of one block, per puzzle."""
    if config.mixer is not Mixer.ATTENTION:
        return 0
    return 2 * config.num_positions**2 * config.hidden_size


def linear_macs(config: ReasonerConfig) -> int:
    """Multiply-accumulates of the linear layers of one block, per puzzle."""
    s, d = config.num_positions, config.hidden_size
    channel = 3 * s * d * config.swiglu_size(d)
    if config.mixer is Mixer.MLP:
        return channel + 3 * d * s * config.swiglu_size(s)
    return channel + 4 * s * d * d


def blocks_per_step(config: Config) -> int:
    """Block applications in one supervision step: H(L+1) networks of their layers each."""
    h_layers = config.H_layers if isinstance(config, HRMConfig) else config.L_layers
    return config.H_cycles * (config.L_cycles * config.L_layers + h_layers)


def flops_per_step(config: Config) -> float:
    """Floating point operations (2 per multiply-accumulate) of one supervision step, per puzzle."""
    return 2.0 * blocks_per_step(config) * (linear_macs(config) + attention_macs(config))


def blocks_with_gradient(config: Config) -> int:
    """Block applications of a supervision step that training differentiates.

    TRM: the last H-cycle; HRM: the last call of either network (one-step gradient).
    """
    if isinstance(config, HRMConfig):
        return config.L_layers + config.H_layers
    return (config.L_cycles + 1) * config.L_layers


def flops_per_update(config: Config) -> float:
    """Floating point operations of one puzzle in one update of training.

    A supervision step runs forward; what is differentiated costs its forward pass twice more (with
    respect to inputs and to weights). The forward pass that learns q_continue is not counted.
    """
    return flops_per_step(config) * (1 + 2 * blocks_with_gradient(config) / blocks_per_step(config))
