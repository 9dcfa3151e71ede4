"""The hyper-parameters of a training run (REFERENCE 1.1, 1.5).

No arrays and no jax here: a recipe is static data that validates itself, and the defaults of a
command line. Not here: what the numbers do (optim.py, step.py).
"""

import enum
from dataclasses import dataclass


class Optimizer(enum.StrEnum):
    """How the gradients of the parameters become a direction; decay is decoupled in both."""

    ADAM_ATAN2 = "adam_atan2"  # as released
    ADAMW = "adamw"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Hyper-parameters. Defaults are the released Sudoku and Maze ones.

    Attributes:
      stagger: fill the slots over the first halt_max_steps steps instead of all at once. As
        released, all slots take new puzzles together until halting is learned: of a small
        batch, 16 updates in a row then see the same few puzzles.
      accumulate: turns in which the slots of one update go through the network. More turns
        take less memory and change nothing but the order of sums.
      adam_eps: see `optim.scale_by`; for AdamW only.
    """

    total_steps: int
    batch_size: int = 768
    lr: float = 1e-4
    puzzle_emb_lr: float = 1e-4
    weight_decay: float = 1.0
    puzzle_emb_weight_decay: float = 1.0
    warmup_steps: int = 2000
    lr_min_ratio: float = 1.0
    b1: float = 0.9
    b2: float = 0.95
    ema: float = 0.999
    seed: int = 0
    stagger: bool = False
    accumulate: int = 1
    optimizer: Optimizer = Optimizer.ADAM_ATAN2
    adam_eps: float = 1e-8

    def __post_init__(self) -> None:
        for name in ("total_steps", "batch_size", "accumulate"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {name}={getattr(self, name)}")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must lie in [0, 1), got ema={self.ema}")
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"batch_size must be a multiple of accumulate, got batch_size={self.batch_size}"
                f" accumulate={self.accumulate}"
            )
        if not self.adam_eps >= 0:
            raise ValueError(f"adam_eps must be 0 or more, got adam_eps={self.adam_eps}")
