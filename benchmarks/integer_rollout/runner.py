"""Rollouts in integers on both sides: compared bit for bit, then timed."""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from benchmarks import subject as subjects
from benchmarks.subject import Subject
from benchmarks.timing import cpu_with_children, seconds, spread
from export.artifact.open import Export, open_artifact
from export.artifact.solver import Solver
from export.lowering.storage import plan_for
from export.pipeline import write_artifact
from export.runtimes.contract import Runtime
from export.runtimes.registry import open_runtime
from export.targets import Target
from quant.scheme import parse
from quant.simulation import Simulation, simulate
from trm_jax.command_line import usable_processors
from trm_jax.evaluators import trajectory
from trm_jax.loading import LoadedModel
from trm_jax.types import Batch

CLOCKS = {"s": "puzzles_per_s", "CPU s": "puzzles_per_cpu_s"}
"""Units of the rates, and the fields of a row that hold them."""


class Contest(NamedTuple):
    """Both sides, ready; `device` are the puzzles that the interpreter solves."""

    subject: Subject
    simulation: Simulation
    solver: Solver
    device: Batch
    steps: int


def exported(subject: Subject, scheme: str, steps: int, folder: Path) -> tuple[Simulation, Export]:
    """Calibrate, export and open.

    Raises:
      ValueError: not a scheme of a device's integers, or a model without them.
    """
    plan = plan_for(parse(scheme), Target.TFLM)
    if not plan.precision.is_integer:
        raise ValueError(f"{scheme} is not a device's arithmetic; use tflm_int4_int16 for example")
    source = LoadedModel(
        name=subject.name, origin="", task=None, config=subject.config, weights=subject.weights
    )
    simulation = simulate(source, plan.precision, [subject.batch], steps=steps)
    tried = Batch(*(x[:1] for x in subject.batch))
    write_artifact(folder, source, plan, simulation, tried, batch=1, steps=1)
    return simulation, open_artifact(folder)


def compare(contest: Contest) -> None:
    """Check that both gave the same tokens and the same last states.

    Raises:
      ValueError: a bit differs.
    """
    simulation, device, states = contest.simulation, contest.device, {}
    solution = contest.solver.solve(
        np.asarray(device.inputs),
        np.asarray(device.puzzle_identifiers),
        steps=contest.steps,
        observe=lambda rows, _, z_H: states.update({rows.start: z_H}),
    )
    last = simulation.trajectory(contest.subject.batch, steps=contest.steps)[-1]
    count = len(device.inputs)
    same = np.array_equal(np.concatenate([states[i] for i in range(count)]), last[:count])
    if not same or not np.array_equal(solution.tokens, simulation.tokens(last)[:count]):
        raise ValueError("the interpreter and the simulation differ; see `python -m export.verify`")


def contestants(contest: Contest) -> dict[str, tuple[int, Callable[[], object]]]:
    """Name what is timed: puzzles, and a function that solves them."""
    subject, steps, device = contest.subject, contest.steps, contest.device
    inputs, ids = np.asarray(device.inputs), np.asarray(device.puzzle_identifiers)
    return {
        "integers in JAX": (
            subject.num_puzzles,
            lambda: contest.simulation.trajectory(subject.batch, steps=steps)[-1],
        ),
        "float32 in JAX": (
            subject.num_puzzles,
            lambda: trajectory(subject.reasoner, subject.weights, subject.batch, steps=steps)[-1],
        ),
        "TFLM interpreter": (len(inputs), lambda: contest.solver.solve(inputs, ids, steps=steps)),
    }


def measure(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    """Export, compare, time.

    Raises:
      ValueError, OSError, ModuleNotFoundError, RuntimeError: bad input, or no TFLM.
    """
    subject = subjects.load(args)
    if min(args.repeats, args.device_puzzles) < 1:
        raise ValueError("--repeats and --device-puzzles must be at least 1")
    steps = args.steps or subject.config.halt_max_steps
    device = Batch(*(x[: args.device_puzzles] for x in subject.batch))
    columns = (TextColumn("{task.description}"), BarColumn())
    with (
        tempfile.TemporaryDirectory() as folder,
        Progress(*columns, console=console, transient=True) as bar,
    ):
        task = bar.add_task("exporting", total=args.repeats + 2)
        simulation, artifact = exported(subject, args.scheme, steps, Path(folder) / "export")
        runtime: Runtime = open_runtime(Target.TFLM, artifact.model)
        try:
            contest = Contest(subject, simulation, Solver(artifact, runtime), device, steps)
            bar.update(task, description="comparing", advance=1)
            compare(contest)
            sides = contestants(contest)
            jax.block_until_ready(sides["float32 in JAX"][1]())  # compiled
            times: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
            bar.update(task, description="timing", advance=1)
            for _ in range(args.repeats):
                for name, (_, solve) in sides.items():
                    start = cpu_with_children()
                    times[name].append((seconds(solve), cpu_with_children() - start))
                bar.advance(task)
        finally:
            runtime.close()
    return [row(args, contest, name, sides[name][0], times[name]) for name in sides]


def row(
    args: argparse.Namespace,
    contest: Contest,
    name: str,
    puzzles: int,
    times: Sequence[tuple[float, float]],
) -> dict[str, Any]:
    """Make a row: puzzles per second on the clock and of CPU time, median and ends of repeats."""
    rates = spread([puzzles / wall for wall, _ in times])
    cpu_rates = spread([puzzles / cpu for _, cpu in times])
    return {
        "what": name,
        "model": contest.subject.name,
        "scheme": parse(args.scheme).name,
        "steps": contest.steps,
        "puzzles": puzzles,
        "puzzles_per_s": rates.median,
        "puzzles_per_s_min": rates.min,
        "puzzles_per_s_max": rates.max,
        "puzzles_per_cpu_s": cpu_rates.median,
        "puzzles_per_cpu_s_min": cpu_rates.min,
        "puzzles_per_cpu_s_max": cpu_rates.max,
        "threads": usable_processors(),
        "repeats": len(times),
    }


def show(rows: Sequence[dict[str, Any]], console: Console) -> None:
    """Print the table."""
    first, device = rows[0], rows[-1]
    table = Table(title=f"{first['model']}, {first['scheme']}, {first['steps']} steps")
    table.add_column("what")
    table.add_column("puzzles at a time")
    for clock in CLOCKS:
        table.add_column(f"puzzles/{clock}")
        table.add_column("times the interpreter")
    for r in rows:
        cells = [r["what"], "1" if r is device else str(r["puzzles"])]
        for key in CLOCKS.values():
            cells.append(f"{r[key]:.3g} ({r[f'{key}_min']:.3g} to {r[f'{key}_max']:.3g})")
            cells.append(f"{r[key] / device[key]:.1f}")
        table.add_row(*cells)
    console.print(table)
