"""All steps in order; one that fails leaves what the others made.

full_size.json says what was asked for, what the machine did and what failed; it is written after
every step. Not here: the steps themselves.
"""

import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import jax

from experiments.full_size import evaluation, luggage
from experiments.full_size.card import write_card
from experiments.full_size.data import find_data_set, prepare_data
from experiments.full_size.job import FullSizeJob
from experiments.full_size.schedule import RunLength
from experiments.full_size.speed import check_floor
from experiments.full_size.training import (
    TimedTraining,
    TrainingParts,
    measure_speed,
    on_device,
)
from experiments.measurement.choices import environment
from experiments.measurement.folders import FULL_SIZE
from experiments.sweep.outcomes import Sweep
from experiments.train.curves import draw_curve
from experiments.train.data import (
    augmentation,
    data_sizes,
    default_augmentation,
    fingerprint,
    load_training_puzzles,
    split,
    training_facts,
)
from experiments.train.loop import compile_timed
from experiments.train.metric_rows import parse_rows, read_rows
from experiments.train.minimal_install import has
from experiments.train.runner import default_dtype
from trm_jax.checkpoints import compact_state, model_files
from trm_jax.config import Config
from trm_jax.models.build import build
from trm_jax.output.folder import writing
from trm_jax.output.staging import replace_text
from trm_jax.sharding import check_divides, device_mesh, replicate
from trm_jax.tasks.table import task_named
from trm_jax.training.step import (
    Schedule,
    TrainState,
    averaged,
    init_state,
    make_train_steps,
    place,
)

Result = TypeVar("Result")


class FullSizeRun:
    """One run, step by step.

    Attributes:
      facts: what full_size.json says.
      failures: a line for every step that failed.
    """

    def __init__(self, job: FullSizeJob) -> None:
        self.job, self.out = job, job.out
        self.began = time.monotonic()
        self.failures: list[str] = []
        self.facts: dict[str, Any] = {
            "asked": asked(job),
            "xla_flags": os.environ.get("XLA_FLAGS", ""),
            **environment(),
        }

    def deadline(self, share: float) -> float:
        """Give the moment when a share of the time is used up."""
        return self.began + 60 * self.job.minutes * share

    def say(self, text: str) -> None:
        """Tell something, with the seconds since the start."""
        sys.stderr.write(f"[{time.monotonic() - self.began:6.1f} s] {text}\n")
        sys.stderr.flush()

    def note(self, **facts: Any) -> None:
        """Add to full_size.json."""
        self.facts |= facts
        replace_text(self.out / "full_size.json", json.dumps(self.facts, indent=1) + "\n")

    def attempt(self, step: str, action: Callable[[], Result]) -> Result | None:
        """Do a step whose failure must not take the others' results along."""
        try:
            return action()
        except Exception as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            self.failures.append(f"{step}: {lines[0]}")
            self.say(f"failed: {self.failures[-1]}")
            self.note(failures=self.failures)
            return None

    def prepare(self, data: Path) -> tuple[Config, TrainingParts, TrainState]:
        """Load the puzzles, build the network, compile a chunk of updates.

        Raises:
          ValueError, OSError: the data or the compact state do not fit.
        """
        job, mesh = self.job, device_mesh()
        check_divides(job.batch_size, mesh, "batch_size")
        config = dataclasses.replace(
            job.config,
            forward_dtype=job.dtype or default_dtype(),
            **dataclasses.asdict(data_sizes(data)),
        )
        everything = load_training_puzzles(data, config)
        puzzles, valid = split(everything, job.valid)
        facts = training_facts(data, task_named("sudoku"), None)
        symmetry = augmentation(default_augmentation(facts), facts)
        reasoner = build(config)
        puzzles = replicate(puzzles, mesh)
        state = place(init_state(reasoner, job.recipe, puzzles), mesh)
        steps = make_train_steps(reasoner, job.recipe, symmetry, job.chunk, mesh)
        any_schedule = on_device(Schedule(0, 1, 1, 0.5))  # the program takes every other too
        program, seconds = compile_timed(steps, state, puzzles, any_schedule)
        self.note(
            compile_seconds=seconds,
            data_sha256=fingerprint(everything),
            training_puzzles=int(puzzles.inputs.shape[0]),
            dtype=config.forward_dtype,
        )
        self.say(f"{job.preset}: {job.chunk} updates compiled as one program in {seconds:.1f} s")
        return config, TrainingParts(reasoner, program, puzzles, valid, facts, mesh), state

    def fresh(self, parts: TrainingParts) -> TrainState:
        """Make the state to begin with: drawn, or carried from an earlier run.

        Raises:
          ValueError, OSError: the compact state is damaged or of another run.
        """
        state = init_state(parts.reasoner, self.job.recipe, parts.puzzles)
        if self.job.carried is None:
            return place(state, parts.mesh)
        check_carried(self.job.carried, self.state_facts())
        carried, log = compact_state.load_compact(self.job.carried, state)
        parse_rows(log, str(self.job.carried))
        replace_text(self.out / "training" / "rows.jsonl", log)
        return place(carried, parts.mesh)

    def state_facts(self) -> dict[str, Any]:
        """Say what a compact state belongs to."""
        return {**recipe_facts(self.job), "data_sha256": self.facts["data_sha256"]}

    def train(self, config: Config, parts: TrainingParts, state: TrainState) -> RunLength | None:
        """Measure the speed, train, keep the averaged weights and the compact state.

        Raises:
          ValueError: the machine is too slow, or the carried state does not fit.
          FloatingPointError: a tensor is not finite.
        """
        job, device = self.job, parts.mesh.devices.flat[0]
        until = self.deadline(1 - job.evaluation_share)
        speed = measure_speed(parts, state, job.chunk)
        self.say(speed.describe(config, device.device_kind, parts.mesh.size))
        check_floor(speed, job.floor, job.least_updates, until - time.monotonic())
        self.note(samples_per_second=speed.samples_per_second)
        storage = luggage.choose_storage(sum(x.size for x in jax.tree.leaves(state.ema)))

        def save(now: TrainState) -> None:
            facts = {"full_size": self.facts["asked"], "step": int(now.step)}
            model_files.save_model(
                self.out / "model", config, averaged(now), facts, storage, puzzles=parts.facts
            )
            self.say(f"step {int(now.step)}: averaged weights saved")

        rows = self.out / "training" / "rows.jsonl"
        rows.parent.mkdir(exist_ok=True)
        training = TimedTraining(job, parts, until, save, rows)
        state, length = training.run(self.fresh(parts), speed)
        self.note(
            begin=length.begin, updates=int(state.step) - length.begin, planned=length.updates
        )
        self.attempt("compact state", lambda: self.leave_state(state, rows))
        if has("matplotlib"):
            draw_curve({job.preset: read_rows(rows)}, rows.parent / "curve.png")
        return length

    def leave_state(self, state: TrainState, rows: Path) -> None:
        """Write the compact state into the luggage."""
        folder = self.out / luggage.FOLDER
        folder.mkdir(exist_ok=True)
        compact_state.save_compact(
            folder / luggage.STATE,
            state,
            self.state_facts(),
            log=rows.read_text(),
            limit=luggage.STATE_BYTES,
        )

    def evaluate(self, data: Path) -> Sweep:
        """Measure the saved model under every scheme.

        Raises:
          ValueError, OSError: there is no model, or no time was left for a single shard.
        """
        out = self.out / "sweep"
        planned = evaluation.plan(self.job, self.out / "model", data, out)
        sweep = evaluation.evaluate(planned, out, self.deadline(1.0))
        for line in evaluation.describe(sweep):
            sys.stdout.write(line + "\n")
        sys.stdout.flush()
        return sweep


def recipe_facts(job: FullSizeJob) -> dict[str, Any]:
    """Say what of a compact state is known before the data."""
    return {"preset": job.preset, "optimizer": job.optimizer.value}


def check_carried(state: Path, own: dict[str, Any]) -> None:
    """Check that a compact state is of a run like this one.

    Args:
      own: what is known of this one.

    Raises:
      ValueError, OSError: it is of another, damaged or missing.
    """
    said = compact_state.read_facts(state)
    if differs := [
        f"{k}: {said.get(k)!r} there, {v!r} now" for k, v in own.items() if said.get(k) != v
    ]:
        raise ValueError(f"{state} is of another run: {'; '.join(differs)}")


def asked(job: FullSizeJob) -> dict[str, Any]:
    """Say what was asked for, as JSON has it."""
    return json.loads(json.dumps(dataclasses.asdict(job), default=str))


def full_size(job: FullSizeJob) -> None:
    """Do all of it.

    Raises:
      ValueError, OSError: bad input; nothing was trained.
      RuntimeError: a step failed; what the others made is there.
    """
    find_data_set(job)  # before a folder is made that the next try could not use
    if job.carried is not None:
        check_carried(job.carried, recipe_facts(job))
    with writing(job.out, FULL_SIZE, resume=False):
        run = FullSizeRun(job)
        run.note()
        data = prepare_data(job)
        run.say(f"data: {data}")
        config, parts, state = run.prepare(data)
        run.attempt("training", lambda: run.train(config, parts, state))
        sweep = run.attempt("evaluation", lambda: run.evaluate(data))
        if sweep is not None:
            run.attempt("figures", lambda: evaluation.draw(sweep, job.out / "sweep"))
        run.note(seconds=time.monotonic() - run.began)
        run.attempt("card", lambda: write_card(job, run.facts, sweep))
        files = run.attempt("luggage", lambda: luggage.pack(job.out)) or []
        run.say(f"{len(files)} files in {job.out / luggage.FOLDER}")
    if run.failures:
        raise RuntimeError(
            f"{len(run.failures)} of the steps failed ({'; '.join(run.failures)}); what the others"
            f" made is in {job.out}"
        )
