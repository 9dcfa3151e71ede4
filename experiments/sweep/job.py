"""From a command line to a frozen spec with its model and puzzles, everything checked."""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

from experiments.measurement.choices import (
    check_calibration,
    choose_batch_size,
    choose_dtype,
    choose_limit,
    kept_batch_size,
    parse_schemes,
)
from experiments.measurement.depths import parse_depths
from experiments.measurement.halting import choose_halting
from experiments.measurement.options import CommonOptions, read_common
from experiments.sweep.rows import SweepSpec, sweep_folder
from quant.ptq import weights
from quant.scheme import parse
from trm_jax.config import flops_per_step
from trm_jax.convert.hints import Hints
from trm_jax.data.calibration import describe_calibration, read_calibration
from trm_jax.halting import NEVER
from trm_jax.loading import LoadedModel, Puzzles, load_model, load_puzzles
from trm_jax.tasks.calibration import CalibrationPuzzles, choose_calibration
from trm_jax.tasks.table import task_named
from trm_jax.tasks.task import Task


class SweepJob(NamedTuple):
    """A spec and what it speaks of, loaded."""

    spec: SweepSpec
    model: LoadedModel
    puzzles: Puzzles
    calibration: CalibrationPuzzles

    def header(self, facts: dict[str, Any]) -> str:
        """Say in a line or two what is about to be measured, and where."""
        spec, config = self.spec, self.model.config
        aside = f"; calibrated on {describe_calibration(spec.calibration)}"
        return (
            f"{spec.model} ({self.model.where}): {self.model.architecture},"
            f" {spec.num_parameters:,} weights, H_cycles {config.H_cycles},"
            f" L_cycles {config.L_cycles}, {spec.gflops_per_cycle:.3g} GFLOPs per H-cycle\n"
            f"{spec.data}: first {spec.num_puzzles} of {len(self.puzzles.dataset)} puzzles in"
            f" {spec.shards_text}; {spec.dtype} on {facts['devices']};"
            f" jax {facts['jax']}, Python {facts['python']}"
            f"{aside if spec.is_calibrated else ''}"
        )


def parse_rules(text: str, puzzles: Puzzles) -> tuple[str, ...]:
    """Read --halt: names of rules, each once, with `never` in front to compare with.

    Raises:
      ValueError: no rule has a name, or puzzles without rules are to be checked by them.
    """
    words = text.split(",") if text else []
    rules = [NEVER, *(choose_halting(word, puzzles.task) for word in words)] if words else []
    return tuple(dict.fromkeys(rule.name for rule in rules))


def output_of(common: CommonOptions, task: Task, model: LoadedModel) -> Path:
    """Name the folder of a sweep."""
    return common.out or Path("runs") / f"sweep-{task.name}-{model.name}"


def prepare(args: argparse.Namespace) -> SweepJob:
    """Load and check everything that a command line names.

    Raises:
      ValueError: unknown names, impossible depths, or parts that do not fit.
      OSError: missing files.
    """
    common, options = read_common(args), read_calibration(args)
    task = task_named(common.task)
    schemes = parse_schemes(args.schemes)
    model = load_model(common.model, Hints(preset=common.preset), task=task)
    data = load_puzzles(model, common.data)
    grid = parse_depths(args.depths, model.config)
    num_puzzles = choose_limit(common.limit or 0, len(data.dataset))
    calibration = choose_calibration(model, data, options)
    check_calibration([parse(name) for name in schemes], num_puzzles, calibration)
    folder = sweep_folder(output_of(common, task, model))
    kept = kept_batch_size(folder, resume=common.resume)
    batch = choose_batch_size(common.batch_size, model.config, grid.steps, kept)
    spec = SweepSpec(
        task=task.name,
        model=model.name,
        model_sha256=model.sha256,
        num_parameters=model.num_parameters,
        architecture=model.architecture,
        gflops_per_cycle=flops_per_step(model.config) / model.config.H_cycles / 1e9,
        data=data.name,
        data_sha256=data.sha256,
        num_puzzles=num_puzzles,
        batch_size=batch.number,
        batch_reason=batch.reason,
        schemes=schemes,
        bytes=tuple(weights.footprint(model.weights, parse(name)).total for name in schemes),
        grid=grid,
        halting=parse_rules(args.halt, data),
        dtype=choose_dtype(common.dtype),
        seed=common.seed,
        calibration=calibration.facts,
    )
    return SweepJob(spec, model, data, calibration)
