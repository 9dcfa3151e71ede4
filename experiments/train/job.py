"""What a training run is asked for: what decides its result, its pace, and compact states.

No jax here, so that the command line's defaults are these records'. Not here: where a run begins
(runner.py) and its updates (loop.py).
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from trm_jax.config import Config, preset
from trm_jax.decoder.config import DecoderConfig, TraceOrder, decoder_preset
from trm_jax.training.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class DataSizes:
    """Fields of a configuration that belong to the puzzles."""

    seq_len: int
    vocab_size: int
    num_puzzle_identifiers: int


@dataclass(frozen=True, kw_only=True)
class TrainSpec:
    """A training run: what decides its result. Times and logging intervals do not belong here.

    Attributes:
      task: what the puzzles are, by its name; it is written beside the model.
      dtype: what the network computes in (`forward_dtype`); parameters stay float32.
      halt_max_steps: supervision steps after which a puzzle leaves its slot; None: the preset's.
      halt_exploration: probability that a slot must do a random number of steps first; None: the
        preset's.
      sizes: of the data, where they take the place of the preset's.
    """

    preset: str
    task: str
    data: str
    augmentation: str
    valid: int
    start: str | None
    dtype: str
    recipe: Recipe
    halt_max_steps: int | None = None
    halt_exploration: float | None = None
    sizes: DataSizes | None = None

    @property
    def config(self) -> Config:
        """The preset in this run's dtype, with its sizes and number of supervision steps."""
        named = preset(self.preset)
        if self.sizes is not None:
            named = dataclasses.replace(named, **dataclasses.asdict(self.sizes))
        if self.halt_max_steps is not None:
            named = dataclasses.replace(named, halt_max_steps=self.halt_max_steps)
        if self.halt_exploration is not None:
            named = dataclasses.replace(named, halt_exploration_prob=self.halt_exploration)
        return dataclasses.replace(named, forward_dtype=self.dtype)


@dataclass(frozen=True, kw_only=True)
class DecoderSpec:
    """A decoder's training run: what decides its result, in the words of `TrainSpec`.

    Attributes:
      order: of the traces that are learned.
    """

    preset: str
    order: TraceOrder
    task: str
    data: str
    augmentation: str
    valid: int
    start: str | None
    dtype: str
    recipe: Recipe

    @property
    def config(self) -> DecoderConfig:
        """The preset in this run's dtype."""
        return dataclasses.replace(decoder_preset(self.preset), forward_dtype=self.dtype)


@dataclass(frozen=True, kw_only=True)
class Compact:
    """Compact states (trm_jax/checkpoints/compact_state.py) to begin with and to leave behind.

    Attributes:
      limit: bytes that the one left behind may take.
    """

    take: Path | None = None
    leave: Path | None = None
    limit: int


@dataclass(frozen=True, kw_only=True)
class Pace:
    """When to write and when to stop; none of it changes the result."""

    log_every: int = 50
    valid_every: int = 200
    save_every: int = 200
    max_minutes: float = float("inf")
    max_steps: int | None = None

    def __post_init__(self) -> None:
        for name in ("log_every", "valid_every", "save_every", "max_steps"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {name}={value}")
