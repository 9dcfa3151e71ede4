"""What a model answers in the integers of a device: exact match at full depth and with halting.

Of the simulation, whose bits a device's interpreter gives for the exported file
(export/pipeline.py refuses others). Halting is the default of the task: the step at which it ends
a puzzle, and whether the answer is exact then.

Not here: rules of halting compared (experiments.sweep --halt).
"""

from dataclasses import dataclass

import numpy as np

from experiments.measurement.row_checks import check_all_within, check_within
from quant.simulation import Simulation
from trm_jax import intervals
from trm_jax.data.batches import CALIBRATION_PUZZLES
from trm_jax.halting import halting_steps, parse_halting
from trm_jax.intervals import Interval
from trm_jax.loading import Puzzles, gather_batch
from trm_jax.types import IGNORE_LABEL

BATCH = 16


@dataclass(frozen=True, kw_only=True)
class DeviceAnswers:
    """Counts over puzzles; only a table divides.

    Attributes:
      exact: at full depth; halted_exact: where halting ended them.
      halting: name of the rule; halted_steps: supervision steps of all puzzles under it.
    """

    puzzles: int
    steps: int
    exact: int
    halting: str
    halted_exact: int
    halted_steps: int

    def __post_init__(self) -> None:
        """Check the counts.

        Raises:
          ValueError: names the field.
        """
        check_all_within({"puzzles": self.puzzles, "steps": self.steps}, 1)
        for name in ("exact", "halted_exact"):
            check_within(name, getattr(self, name), 0, self.puzzles)
        check_within("halted_steps", self.halted_steps, self.puzzles, self.puzzles * self.steps)
        parse_halting(self.halting)

    @property
    def rate(self) -> Interval:
        """Share of exact puzzles at full depth, with its interval."""
        return intervals.wilson(self.exact, self.puzzles)

    @property
    def halted_rate(self) -> Interval:
        """Share of exact puzzles where halting ended them, with its interval."""
        return intervals.wilson(self.halted_exact, self.puzzles)

    @property
    def mean_steps(self) -> float:
        """Supervision steps of a puzzle with halting."""
        return self.halted_steps / self.puzzles


def check_limit(limit: int, puzzles: Puzzles) -> None:
    """Check that no puzzle is answered that ranges are taken on.

    Raises:
      ValueError: too many; the message says how many there are.
    """
    most = len(puzzles) - CALIBRATION_PUZZLES
    if limit > most:
        raise ValueError(
            f"--limit {limit} reaches into the {CALIBRATION_PUZZLES} puzzles that ranges are taken"
            f" on; {puzzles.name} has {max(most, 0)} others"
        )


def measure_answers(
    simulation: Simulation, puzzles: Puzzles, limit: int, steps: int
) -> DeviceAnswers:
    """Answer the first puzzles, all steps, and find where halting would end them."""
    rules = puzzles.task.rules(puzzles.facts)
    halting = puzzles.task.default_halting
    exact = halted_exact = halted_steps = 0
    for start in range(0, limit, BATCH):
        real = min(BATCH, limit - start)
        rows = np.minimum(np.arange(start, start + BATCH), limit - 1)  # one shape, compiled once
        batch = gather_batch(puzzles.ordered, rows)
        readings = simulation.readings(batch, steps=steps)
        labels = np.asarray(batch.labels)
        right = np.stack([is_exact(reading.tokens, labels) for reading in readings])
        ends = halting_steps(halting, np.asarray(batch.inputs), readings, rules)
        exact += int(right[-1, :real].sum())
        halted_exact += int(right[ends - 1, np.arange(BATCH)][:real].sum())
        halted_steps += int(ends[:real].sum())
    return DeviceAnswers(
        puzzles=limit,
        steps=steps,
        exact=exact,
        halting=halting.name,
        halted_exact=halted_exact,
        halted_steps=halted_steps,
    )


def is_exact(tokens: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mark the answers without a wrong cell."""
    return ((tokens == labels) | (labels == IGNORE_LABEL)).all(axis=1)
