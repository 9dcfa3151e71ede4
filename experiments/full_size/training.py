"""Updates until the time is up, many of them as one program.

The host reads metrics of a chunk while the device computes the next one. The length of the run is
corrected at every save by the speed since the one before, so that the learning rate has fallen when
the time ends.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.full_size.job import FullSizeJob
from experiments.full_size.schedule import RunLength, length_of
from experiments.full_size.speed import MeasuredSpeed
from experiments.measurement.row_files import append_row
from experiments.train.loop import stop_signals, validate
from trm_jax.data.facts import PuzzleFacts
from trm_jax.models.reasoner import Reasoner
from trm_jax.sharding import Mesh
from trm_jax.training.running_metrics import Window
from trm_jax.training.step import Schedule, TrainState, averaged, watched_names
from trm_jax.types import Batch

TIMED_CHUNKS = 2  # 40 updates, after one chunk that warms up


class TrainingParts(NamedTuple):
    """What a run is made of.

    Attributes:
      steps: the compiled program of a chunk.
    """

    reasoner: Reasoner
    steps: Callable[[TrainState, Batch, Schedule], tuple[TrainState, dict[str, jax.Array]]]
    puzzles: Batch
    valid: Batch
    facts: PuzzleFacts
    mesh: Mesh


def on_device(schedule: Schedule) -> Schedule:
    """Make scalars of a schedule: a program takes any, compiled once."""
    begin, warmup, total, ema = schedule
    return Schedule(jnp.int32(begin), jnp.int32(warmup), jnp.int32(total), jnp.float32(ema))


def measure_speed(parts: TrainingParts, state: TrainState, chunk: int) -> MeasuredSpeed:
    """Time updates of a state, which is used up."""
    schedule = on_device(RunLength(0, chunk).schedule)
    state, metrics = parts.steps(state, parts.puzzles, schedule)
    jax.block_until_ready((state, metrics))
    began = time.monotonic()
    for _ in range(TIMED_CHUNKS):
        state, metrics = parts.steps(state, parts.puzzles, schedule)
    jax.block_until_ready((state, metrics))
    slots = state.carry.halted.shape[0]
    return MeasuredSpeed(TIMED_CHUNKS * chunk, time.monotonic() - began, slots)


class TimedTraining:
    """A run with a deadline.

    Args:
      deadline: on the clock of `time.monotonic`.
      save: takes the averaged weights away; called every `job.save_seconds` and at the end.
      rows: file of metrics, one row every save.
    """

    def __init__(
        self,
        job: FullSizeJob,
        parts: TrainingParts,
        deadline: float,
        save: Callable[[TrainState], None],
        rows: Path,
    ) -> None:
        self.job, self.parts, self.deadline = job, parts, deadline
        self.save, self.rows = save, rows

    def run(self, state: TrainState, speed: MeasuredSpeed) -> tuple[TrainState, RunLength]:
        """Train until the length chosen is done, the deadline or a signal.

        Raises:
          FloatingPointError: a tensor is not finite; what was saved is from before.
        """
        begin = step = int(state.step)
        window = Window(watched_names(state.weights, state.optimiser))
        rate, chunk = speed.updates_per_second, self.job.chunk
        length = self._length(begin, 0, rate)
        self.began = saved_at = time.monotonic()
        saved_step, pending = step, None
        with stop_signals() as stop:
            while step < length.end and not stop.is_set() and time.monotonic() < self.deadline:
                state, metrics = self.parts.steps(
                    state, self.parts.puzzles, on_device(length.schedule)
                )
                self._note(window, pending)
                pending, step = (step, metrics), step + chunk
                if time.monotonic() - saved_at >= self.job.save_seconds and step < length.end:
                    self._note(window, pending)
                    now = time.monotonic()
                    rate, pending = (step - saved_step) / (now - saved_at), None
                    self._report(state, window, step, rate)
                    length = self._length(begin, step - begin, rate)
                    saved_at, saved_step = time.monotonic(), step
        self._note(window, pending)
        if step > saved_step:
            rate = (step - saved_step) / (time.monotonic() - saved_at)
            self._report(state, window, step, rate)
        return state, length

    def _length(self, begin: int, done: int, rate: float) -> RunLength:
        left, job = self.deadline - time.monotonic(), self.job
        return length_of(begin, done, left, rate, job.chunk, job.most_updates)

    def _note(self, window: Window, pending: tuple[int, Any] | None) -> None:
        """Add the metrics of a chunk, waiting for it."""
        if pending is None:
            return
        step, metrics = pending
        values = jax.device_get(metrics)
        for i in range(self.job.chunk):
            window.add(step + i + 1, {name: x[i] for name, x in values.items()})
        window.settle()

    def _report(self, state: TrainState, window: Window, step: int, rate: float) -> None:
        """Validate, write a row and save."""
        row = {"step": step, "seconds": time.monotonic() - self.began, **window.row()}
        window.clear()
        row["samples_per_second"] = rate * self.job.batch_size
        parts = self.parts
        row |= validate(parts.reasoner, averaged(state), parts.valid, parts.mesh)
        append_row(self.rows, row)
        self.save(state)
