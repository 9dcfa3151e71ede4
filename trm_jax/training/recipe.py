"""The hyper-parameters of a training run (REFERENCE 1.1, 1.5).

No arrays and no jax here: a recipe is static data that validates itself, and the defaults of a
command line. Not here: what the numbers do (optim.py, step.py).
"""

import enum
import math
from dataclasses import dataclass


class Optimizer(enum.StrEnum):
    """How the gradients of the parameters become a direction; decay is decoupled in all."""

    ADAM_ATAN2 = "adam_atan2"  # as released
    ADAMW = "adamw"
    MUON = "muon"  # orthogonalised momentum for hidden matrices, AdamW for the rest


RELEASED_Q_WEIGHT = 0.5
"""Of the halting losses beside the tokens' loss."""

NOT_NEGATIVE = (
    "lr",
    "puzzle_emb_lr",
    "weight_decay",
    "puzzle_emb_weight_decay",
    "warmup_steps",
    "seed",
    "adam_eps",
    "q_weight",
)
"""Fields of a recipe that are 0 or positive."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Hyper-parameters. Defaults are the released Sudoku and Maze ones.

    Attributes:
      stagger: fill the slots over the first halt_max_steps steps instead of all at once. As
        released, all slots take new puzzles together until halting is learned: of a small
        batch, 16 updates in a row then see the same few puzzles.
      accumulate: turns in which the slots of one update go through the network. More turns
        take less memory and change nothing but the order of sums.
      adam_eps: see `optim.scale_by`; AdamATan2 has none.
      q_weight: of the halting losses beside the tokens' loss.
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
    q_weight: float = RELEASED_Q_WEIGHT

    def __post_init__(self) -> None:
        for name in ("total_steps", "batch_size", "accumulate"):
            _demand(name, value := getattr(self, name), value >= 1, "at least 1")
        for name in NOT_NEGATIVE:
            value = getattr(self, name)
            _demand(name, value, math.isfinite(value) and value >= 0, "0 or more")
        for name in ("b1", "b2", "ema"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {name}={value}")
        if not 0 <= self.lr_min_ratio <= 1:
            raise ValueError(f"lr_min_ratio must lie in [0, 1], got {self.lr_min_ratio}")
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"batch_size must be a multiple of accumulate, got batch_size={self.batch_size}"
                f" accumulate={self.accumulate}"
            )


def _demand(name: str, value: int | float, fits: bool, what: str) -> None:
    if not fits:
        raise ValueError(f"{name} must be {what}, got {name}={value}")
