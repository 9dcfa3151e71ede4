"""What is asked for: a preset, data, minutes, a recipe. No jax here, for the command line.

Defaults are those of fast public reproductions (65,000 updates of 768 in an hour of an H100: AdamW,
1e-4, decay 1, learning rate down to 1 %).
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from trm_jax.config import Config, preset
from trm_jax.training.recipe import Optimizer, Recipe

LEAST_UPDATES = 1000
"""Updates that the time must allow where no --floor is given: fewer train no model."""
HOLD_OUT = 2256
"""Puzzles of CSV files that are not trained on, where no --hold-out is given."""
SCHEMES = (
    "fp32",
    "int8",
    "int4_naive",
    "int4_calibrated",
    "int3_naive",
    "int3_calibrated",
    "w4t-auto-gptq-norm",
    "w3t-auto-gptq-norm",
)


@dataclass(frozen=True, kw_only=True)
class FullSizeJob:
    """A run.

    Attributes:
      data: a data set's folder, or CSV files; none: puzzles of the program's own.
      box: of the CSV files' Sudoku.
      hold_out: puzzles of the CSV files that are not trained on; None: HOLD_OUT.
      floor: samples/s; None: what `least_updates` in the time of training need.
      most_updates: after which training ends, however much time is left; None: with the time.
      chunk: updates that run as one program.
      evaluation_share: of the time, kept for evaluation and for writing.
      supervision_steps: of the preset, where another number is trained and evaluated.
      save_seconds: from one save of the averaged weights to the next.
    """

    out: Path = Path()
    minutes: float = 0.0
    data: tuple[str, ...] = ()
    box: str = "3x3"
    preset: str = "sudoku-trm-mlp"
    carried: Path | None = None
    batch_size: int = 768
    lr: float = 1e-4
    weight_decay: float = 1.0
    optimizer: Optimizer = Optimizer.ADAMW
    dtype: str | None = None
    floor: float | None = None
    least_updates: int = LEAST_UPDATES
    most_updates: int | None = None
    seed: int = 0
    chunk: int = 20
    hold_out: int | None = None
    valid: int = 256
    limit: int = 2000
    evaluation_share: float = 0.25
    schemes: tuple[str, ...] = SCHEMES
    supervision_steps: int | None = None
    save_seconds: float = 60.0
    rehearse: bool = False

    def given(self, options: Mapping[str, Any]) -> Self:
        """Replace what options say; None leaves a value as it is.

        Raises:
          ValueError: minutes or data are missing, or do not go with a rehearsal.
        """
        named = {f.name for f in dataclasses.fields(self)}
        said = {k: v for k, v in options.items() if k in named and v is not None}
        if "data" in said:
            said["data"] = tuple(said["data"])
        job = dataclasses.replace(self, **said)
        job.check()
        return job

    def check(self) -> None:
        """Check what was asked for.

        Raises:
          ValueError: names the option.
        """
        if self.rehearse and self.data:
            raise ValueError("--rehearse makes puzzles of its own; leave --data out")
        if not self.rehearse and not self.data:
            raise ValueError("--data is missing: a data set, or CSV files (or --rehearse)")
        if not self.minutes:
            raise ValueError("--minutes is missing: how long all of it may take")
        if self.evaluation_share >= 1:
            raise ValueError(
                f"--evaluation-share must be less than 1, got {self.evaluation_share:g}: the rest"
                " is the time of training"
            )

    @property
    def config(self) -> Config:
        """The preset with its number of supervision steps; its dtype is chosen by the machine."""
        named = preset(self.preset)
        steps = self.supervision_steps or named.halt_max_steps
        return dataclasses.replace(named, halt_max_steps=steps)

    @property
    def recipe(self) -> Recipe:
        """The recipe without its length, which follows from the speed (schedule.py)."""
        return Recipe(
            total_steps=self.least_updates,
            batch_size=self.batch_size,
            lr=self.lr,
            puzzle_emb_lr=self.lr,
            weight_decay=self.weight_decay,
            puzzle_emb_weight_decay=self.weight_decay,
            lr_min_ratio=0.01,
            seed=self.seed,
            stagger=True,
            optimizer=self.optimizer,
        )


DEFAULTS = FullSizeJob()
REHEARSAL = FullSizeJob(
    minutes=10,
    preset="sudoku-trm-mlp-mini",
    box="2x3",
    batch_size=16,
    lr=1e-3,
    weight_decay=0.1,
    chunk=5,
    least_updates=5,
    most_updates=30,
    hold_out=160,
    valid=16,
    limit=32,
    evaluation_share=0.5,
    supervision_steps=4,
    save_seconds=2.0,
    rehearse=True,
)
"""A rehearsal: every step, small enough for two cores; its work is counted, not timed."""
