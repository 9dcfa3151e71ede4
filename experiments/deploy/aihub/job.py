"""A deployment through AI Hub: what a command line asks for, loaded, then run and reported.

Not here: the options (command.py), the jobs of a device (runner.py), what a row means (rows.py).
"""

import argparse
import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from rich.console import Console

from experiments.deploy.aihub import runner
from experiments.deploy.aihub import tables as aihub_tables
from experiments.deploy.aihub.command import DEFAULT_DEVICE, Loop
from experiments.deploy.aihub.measure import host_ms, row_of
from experiments.deploy.aihub.rows import (
    LAYOUT,
    AiHubKey,
    AiHubRow,
    AiHubSpec,
    aihub_folder,
    is_calibrated,
)
from experiments.deploy.aihub.runner import DeviceRun
from experiments.deploy.aihub.step_inputs import States, calibration_inputs, simulated_states
from experiments.deploy.aihub.variants import AiHubVariant, Prepared, Route, prepare, variant_named
from experiments.measurement.choices import check_limit, check_named_for, environment
from experiments.measurement.halting import choose_halting
from experiments.measurement.options import DEVICE_RULES
from experiments.measurement.spec import pending
from experiments.render import tables
from experiments.render.console import make_console, progress
from export.aihub import devices
from export.aihub.client import Hub, Waiting
from export.aihub.ledger import Ledger
from export.targets import Target
from quant.simulation import calibrate_on
from trm_jax.data.calibration import read_calibration
from trm_jax.data.format import PuzzleDataset
from trm_jax.halting import NEVER, Halting, HaltRule
from trm_jax.loading import (
    LoadedModel,
    Puzzles,
    gather_batch,
    hash_dataset,
    load_model,
    load_puzzles,
)
from trm_jax.output.folder import writing
from trm_jax.tasks.calibration import CalibrationPuzzles, choose_calibration
from trm_jax.tasks.task import Task

CALIBRATION_SAMPLES = 128


@dataclass(frozen=True, kw_only=True)
class AiHubJob:
    """What a command line asks for, loaded.

    Attributes:
      puzzles: those to answer; aside: those that variants are calibrated on.
      halting: where puzzles end, beside full depth.
      retry: ask again for jobs that failed.
    """

    source: LoadedModel
    puzzles: Puzzles
    aside: CalibrationPuzzles
    variants: tuple[AiHubVariant, ...]
    devices: tuple[str, ...]
    steps: int
    limit: int
    halting: Halting
    loop: Loop
    waiting: Waiting
    retry: bool
    out: Path

    @property
    def task(self) -> Task:
        """What the puzzles are."""
        return self.puzzles.task

    @property
    def dataset(self) -> PuzzleDataset:
        """The puzzles in their order."""
        return self.puzzles.ordered

    @cached_property
    def spec(self) -> AiHubSpec:
        """What the rows of this job belong to."""
        return AiHubSpec(
            task=self.task.name,
            model=self.source.name,
            model_sha256=self.source.sha256,
            data_sha256=hash_dataset(self.dataset),
            target=Target.AI_HUB.value,
            variants=tuple(variant.name for variant in self.variants),
            devices=self.devices,
            steps=self.steps,
            num_puzzles=self.limit,
            loop=self.loop.value,
            halting="" if self.halting == NEVER else self.halting.name,
            calibration=self.aside.facts,
        )


def prepare_job(args: argparse.Namespace) -> AiHubJob:
    """Load and check what a command line names.

    Raises:
      ValueError: unknown names, or numbers out of range.
      OSError: missing files.
    """
    options = read_calibration(args)
    source = load_model(args.model, task=args.task)
    if args.h_cycles is not None:
        changed = dataclasses.replace(source.config, H_cycles=args.h_cycles)
        source = dataclasses.replace(source, config=changed)
    puzzles = load_puzzles(source, args.data)
    named = (variant_named(name.strip()) for name in args.schemes.split(","))
    variants = tuple({each.name: each for each in named}.values())  # one scheme has many names
    aside = choose_calibration(source, puzzles, options)
    steps = source.config.halt_max_steps if args.steps is None else args.steps
    check_limit(args.limit, puzzles)
    check_named_for([v.name for v in variants if is_calibrated(v.name)], args.limit, aside)
    if steps < 1 or args.timeout <= 0 or args.poll < 0:
        raise ValueError(
            f"--steps, --timeout and --poll must be positive, got {steps},"
            f" {args.timeout}, {args.poll}"
        )
    return AiHubJob(
        source=source,
        puzzles=puzzles,
        aside=aside,
        variants=variants,
        devices=tuple(dict.fromkeys(args.device or [DEFAULT_DEVICE])),
        steps=steps,
        limit=args.limit,
        halting=choose_device_halting(args.halt, puzzles.task),
        loop=Loop(args.loop),
        retry=args.retry_failed,
        waiting=Waiting(timeout_s=args.timeout, poll_s=args.poll),
        out=args.out or Path("runs") / f"deploy-{puzzles.task.name}-{source.name}-aihub",
    )


def choose_device_halting(text: str | None, task: Task) -> Halting:
    """Read --halt of a device whose file holds a whole step.

    Raises:
      ValueError: as `choose_halting`, or the rule looks at what lies inside the file.
    """
    halting = choose_halting(text, task)
    if halting.rule is HaltRule.RESIDUAL:
        raise ValueError(
            f"--halt {halting.name}: the states of a step's H-cycles lie inside the file;"
            f" use {DEVICE_RULES}"
        )
    return halting


def run_job(args: argparse.Namespace) -> None:
    """Deploy as a command line says.

    Raises:
      ValueError, OSError, RuntimeError, ModuleNotFoundError: bad input, rows of another
        deployment, or AI Hub cannot be used; the message says what to do.
    """
    console = make_console()
    job = prepare_job(args)
    with writing(job.out, LAYOUT.output):
        _run_or_describe(job, console, dry=args.dry_run)


def _run_or_describe(job: AiHubJob, console: Console, *, dry: bool) -> None:
    if dry:
        folder = aihub_folder(job.out)
        folder.check(job.spec, resume=True)
        folder.open(job.spec, environment())  # its exports stay for the run itself
        for prepared in _prepared(job):
            _describe(job, prepared, console)
        console.print("nothing was sent; leave --dry-run out to spend these jobs")
        return
    deploy(job, console)


def deploy(job: AiHubJob, console: Console) -> None:
    """Run what is not finished, and report.

    Raises:
      ValueError, OSError, RuntimeError: as `run`.
    """
    spec, folder = job.spec, aihub_folder(job.out)
    folder.check(spec, resume=True)
    rows = folder.read_rows(spec)
    folder.open(spec, environment())
    left = set(pending(spec.work_keys(), rows))
    failed: list[DeviceRun] = []
    if left:
        hub = Hub(
            Ledger(job.out / "jobs.jsonl"),
            job.waiting,
            lambda text: console.print(text, soft_wrap=True),
        )
        for device in job.devices:
            hub.check_device(device)
        device_runs = _device_runs(job, left, console)
        stages = job.steps if job.loop is Loop.CLOSED else 1
        with progress("jobs", len(device_runs) * stages, 0) as show:
            runner.run(hub, device_runs, job.loop, job.out / "results", job.retry, show)
        failed = [device_run for device_run in device_runs if device_run.failed]
        for device_run in device_runs:
            if not device_run.failed:
                digest = spec.digest_of_variant(device_run.prepared.variant.name)
                row = row_of(device_run, hub, job.puzzles, job.loop, job.halting, digest)
                folder.append(row)
                rows.append(row)
    finished = {row.key: row for row in rows}
    shown = [finished[key] for key in spec.work_keys() if key in finished]
    _report(job, shown, failed, console)


def _prepared(job: AiHubJob) -> list[Prepared]:
    calibration = calibrate_on(job.source, job.aside.batches(), job.steps)
    return [
        prepare(variant, job.source, job.dataset, job.aside, calibration, job.steps, job.out)
        for variant in job.variants
    ]


def _states(job: AiHubJob, prepared: Prepared) -> States:
    batch = gather_batch(job.dataset, np.arange(job.limit))
    return simulated_states(prepared.simulation, batch, prepared.host, job.steps)


def _device_runs(job: AiHubJob, keys: set[AiHubKey], console: Console) -> list[DeviceRun]:
    """Make the device runs that have no row yet, and say what their devices will not do."""
    device_runs = []
    for prepared in _prepared(job):
        variant = prepared.variant
        left = [d for d in job.devices if (variant.name, d) in keys]
        states = _states(job, prepared) if left else None
        samples = _calibration(job, prepared) if left and variant.route is Route.HUB else None
        for device in left:
            assert states is not None
            if text := devices.npu_warning(device, variant.precision):
                console.print(f"{variant.name}: {text}", soft_wrap=True)
            device_runs.append(
                DeviceRun(prepared=prepared, device=device, states=states, calibration=samples)
            )
    return device_runs


def _calibration(job: AiHubJob, prepared: Prepared) -> dict[str, list[np.ndarray]]:
    """Take states of the calibration puzzles, for AI Hub's quantiser."""
    first = next(job.aside.batches())
    states = simulated_states(prepared.simulation, first, prepared.host, job.steps)
    return calibration_inputs(states, CALIBRATION_SAMPLES)


def _describe(job: AiHubJob, prepared: Prepared, console: Console) -> None:
    """Print what would be sent."""
    variant, graph = prepared.variant, prepared.graph
    shapes = ", ".join(f"{n} {graph.tensor(t).shape}" for n, t in graph.inputs.items())
    outputs = ", ".join(f"{n} {graph.tensor(t).shape}" for n, t in graph.outputs.items())
    count = job.limit * (job.steps if job.loop is Loop.FORCED else 1)
    sent = 4 * count * sum(math.prod(graph.tensor(t).shape) for t in graph.inputs.values())
    kinds = {
        Route.TFLITE: "upload",
        Route.ONNX: "upload, compile",
        Route.HUB: "upload, quantise, compile",
    }[variant.route]
    runs = 1 if job.loop is Loop.FORCED else job.steps
    lines = [
        f"{variant.name} ({variant.precision.value}, {variant.plan.name})",
        f"  {prepared.file}: {tables.size_text(prepared.file.stat().st_size)}, {len(graph.ops)}"
        " operators",
        f"  takes {shapes}; gives {outputs}",
        f"  {count} samples, {tables.size_text(sent)} per inference job",
        f"  host part {host_ms(prepared, job.dataset):.2f} ms a puzzle (this computer)",
    ]
    for device in job.devices:
        lines.append(f"  {device}: {kinds}, {runs} inference job{'s' * (runs > 1)} with profile")
        if text := devices.npu_warning(device, variant.precision):
            lines.append(f"    {text}")
    console.print("\n".join(lines), soft_wrap=True)


def _report(job: AiHubJob, rows: list[AiHubRow], failed: list[DeviceRun], console: Console) -> None:
    """Print the table and the units, and write all files.

    Raises:
      RuntimeError: no run came to its end.
    """
    for each in failed:
        console.print(
            f"left out: {each.prepared.variant.name} on {each.device}: {each.failed}",
            soft_wrap=True,
        )
    if not rows:
        raise RuntimeError("no job gave a result; --retry-failed asks for them again")
    drawn = aihub_tables.deployment_tables(job.spec, rows)
    tables.print_tables(drawn, console)
    for row in rows:
        console.print(aihub_tables.unit_text(row), soft_wrap=True)
        console.print(f"  {', '.join(row.urls.values())}", soft_wrap=True)
    text = "\n".join(map(tables.to_markdown, drawn))
    (job.out / "summary.md").write_text(text, encoding="utf-8")
    (job.out / "summary.csv").write_text(aihub_tables.csv_text(job.spec, rows), encoding="utf-8")
    (job.out / "perf.yaml").write_text(aihub_tables.perf_yaml(rows), encoding="utf-8")
    (job.out / "layers.csv").write_text(aihub_tables.layers_text(rows), encoding="utf-8")
    console.print(f"rows, jobs, table and perf.yaml: {job.out}", soft_wrap=True)
