"""Frozen model configurations and their presets (REFERENCE 1.1: the released YAML files).

No jax here: a configuration is static data that validates itself.
"""

import dataclasses
import enum
from dataclasses import dataclass

STORAGE = ("float32", "bfloat16", "float16")
"""Dtypes in which a model directory may hold its weights."""


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


@dataclass(frozen=True, kw_only=True)
class ReasonerConfig:
    """What TRM and HRM share. Sizes are counts of weights, tokens or cycles.

    Raises:
      ValueError: a size is not positive, heads do not divide the hidden size, or the puzzle
        embedding does not fit into its prefix.
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
        positive = (
            "vocab_size",
            "seq_len",
            "num_puzzle_identifiers",
            "hidden_size",
            "num_heads",
            "H_cycles",
            "L_cycles",
            "L_layers",
            "halt_max_steps",
        )
        for name in positive:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {name}={getattr(self, name)}")
        if self.hidden_size % self.num_heads:
            raise ValueError(
                f"hidden_size must be a multiple of num_heads, got hidden_size={self.hidden_size}"
                f" num_heads={self.num_heads}"
            )
        if self.positions is Positions.ROPE and self.head_dim % 2:
            raise ValueError(f"rotary positions need an even head size, got {self.head_dim}")
        if self.forward_dtype not in ("float32", "bfloat16", "float16"):
            raise ValueError(
                "forward_dtype must be float32, bfloat16 or float16,"
                f" got forward_dtype={self.forward_dtype!r}"
            )
        if self.puzzle_emb_ndim > self.prefix_len * self.hidden_size:
            raise ValueError(
                f"puzzle_emb_ndim={self.puzzle_emb_ndim} does not fit into {self.prefix_len}"
                f" prefix positions of {self.hidden_size}"
            )

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
        if self.H_layers < 1:
            raise ValueError(f"H_layers must be at least 1, got H_layers={self.H_layers}")
        if self.mixer is Mixer.MLP:
            raise ValueError("HRM has no MLP mixer; use Mixer.ATTENTION or LINEAR_ATTENTION")


Config = TRMConfig | HRMConfig

SUDOKU_TRM_MLP = TRMConfig(vocab_size=11, seq_len=81, mixer=Mixer.MLP, positions=Positions.NONE)
SUDOKU_TRM_ATT = TRMConfig(vocab_size=11, seq_len=81)
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
MINI_MAZE_TRM_ATT = dataclasses.replace(MINI_SUDOKU_TRM_ATT, vocab_size=6, seq_len=64)
MINI_ARC_TRM_ATT = dataclasses.replace(  # a canvas of 6 x 6; 40 tasks in 16 augmentations, blank
    MINI_SUDOKU_TRM_ATT, vocab_size=12, seq_len=36, num_puzzle_identifiers=641, halt_max_steps=4
)

PRESETS: dict[str, Config] = {
    "sudoku-trm-mlp": SUDOKU_TRM_MLP,
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
    "maze-trm-att-mini": MINI_MAZE_TRM_ATT,
    "arc-trm-att-mini": MINI_ARC_TRM_ATT,
}
"""The published configurations (REFERENCE 1.1) and the bundled small ones."""

PRESET_TASKS: dict[str, str] = {
    "sudoku-trm-mlp": "sudoku",
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
        raise ValueError(f"unknown preset {name!r}; known: {', '.join(sorted(PRESETS))}")
    return PRESETS[name]


def to_dict(config: Config) -> dict[str, object]:
    """Make a JSON-ready dict; `architecture` says which class it came from."""
    fields = {
        f.name: (v.value if isinstance(v := getattr(config, f.name), enum.Enum) else v)
        for f in dataclasses.fields(config)
    }
    return {"architecture": "hrm" if isinstance(config, HRMConfig) else "trm", **fields}


def from_dict(values: dict[str, object]) -> Config:
    """Rebuild a configuration from `to_dict`.

    Raises:
      ValueError: unknown architecture, or unknown, missing or invalid fields.
    """
    values = dict(values)
    architecture = values.pop("architecture", None)
    classes: dict[object, type[Config]] = {"trm": TRMConfig, "hrm": HRMConfig}
    if architecture not in classes:
        raise ValueError(f"architecture must be 'trm' or 'hrm', got {architecture!r}")
    fields = {f.name for f in dataclasses.fields(classes[architecture])}
    if unknown := sorted(set(values) - fields):
        raise ValueError(f"unknown configuration fields {unknown}; known: {sorted(fields)}")
    values["mixer"] = Mixer(values.get("mixer", "attention"))
    values["positions"] = Positions(values.get("positions", "rope"))
    try:
        return classes[architecture](**values)  # type: ignore[arg-type]
    except TypeError as error:
        raise ValueError(f"configuration incomplete or of a wrong type: {error}") from error


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
