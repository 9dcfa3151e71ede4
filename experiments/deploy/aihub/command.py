"""Deployment on phones through Qualcomm AI Hub: the paper's Table 11.

    python -m experiments.deploy --target aihub --task sudoku --dry-run
    python -m experiments.deploy --target aihub --task sudoku --device "Samsung Galaxy S24"

Every scheme becomes a file of one supervision step (variants.py says how it gets onto the
device), runs on every --device on the states of the first --limit puzzles, and is profiled. The
table has Table 11's columns beside the paper's numbers: latency of a step and of a puzzle (steps
x step + the host's part, measured here), peak memory, size, answers; then which unit ran every
layer, and how faithful the outputs are to the simulation's. "Here" is the same file on this
computer's CPU, a stand-in and not a phone.

--loop forced starts every step from the simulation's state: one job per scheme and device.
--loop closed feeds the device's own states back: as many jobs as steps, and the answers are the
device's alone.

Into OUT go jobs.jsonl (ids, before anything is waited for), rows.jsonl, results/ (downloads),
exports/, summary.csv, summary.md, layers.csv (the unit of every layer) and perf.yaml. The same
command goes on after a kill, a time-out or a lost connection; finished rows are not asked for
again.

What a command line asks of AI Hub (experiments/deploy/aihub/command.py), loaded and checked.
"""

import argparse
import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from experiments.deploy.aihub import rows as aihub_rows
from experiments.deploy.aihub import runner
from experiments.deploy.aihub.measure import host_ms, row_of
from experiments.deploy.aihub.runner import DeviceRun
from experiments.deploy.aihub.step_inputs import Loop, States, calibration_inputs, simulated_states
from experiments.deploy.aihub.variants import AiHubVariant, Prepared, Route, prepare, variant_named
from experiments.measurement import row_files
from experiments.measurement.row_files import digest_of
from experiments.models import hash_model
from experiments.puzzles import hash_dataset
from experiments.render import tables
from experiments.render.console import progress
from export.aihub import devices
from export.aihub.client import Hub, Waiting
from export.aihub.ledger import Ledger
from export.sources import Source, batch_of, load_model, load_puzzles
from export.targets import Target
from trm_jax import zoo
from trm_jax.data.batches import CALIBRATION_PUZZLES
from trm_jax.data.format import PuzzleDataset
from trm_jax.loading import gather_calibration
from trm_jax.tasks.task import Task, side_of, task_named

DEFAULT_SCHEMES = "fp32,w8c-sym_a8s,w4c-sym_a16s"
DEFAULT_DEVICE = "Samsung Galaxy S24"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a command line asks for, loaded.

    Attributes:
      retry: ask again for jobs that failed.
    """

    task: Task
    source: Source
    dataset: PuzzleDataset
    variants: tuple[AiHubVariant, ...]
    devices: tuple[str, ...]
    steps: int
    limit: int
    loop: Loop
    waiting: Waiting
    retry: bool
    out: Path

    @property
    def digest(self) -> str:
        """Hash what decides the numbers of a row."""
        parts = (
            hash_model(self.source.config, self.source.weights),
            hash_dataset(self.dataset),
            self.steps,
            self.limit,
            self.loop.value,
        )
        return digest_of(parts)


def add_options(group: argparse._ArgumentGroup) -> None:
    """Declare the options of this target."""
    add = group.add_argument
    known = ", ".join(f'"{name}"' for name in devices.DEVICES)
    add(
        "--device",
        action="append",
        metavar="NAME",
        help=f"may be repeated; Table 11's: {known} (default: {DEFAULT_DEVICE})",
    )
    add(
        "--schemes",
        default=DEFAULT_SCHEMES,
        help="also hub:w8a8, hub:w8a16, hub:w4a16: quantised by AI Hub (%(default)s)",
    )
    add("--data", type=Path, metavar="DIR", help="default: bundled puzzles")
    add("--limit", type=int, default=4, metavar="N", help="puzzles (%(default)s)")
    add("--steps", type=int, metavar="N", help="supervision steps (the model's)")
    add("--h-cycles", type=int, metavar="T", help="H-cycles of a step (the model's)")
    add(
        "--loop",
        default=Loop.FORCED.value,
        choices=[loop.value for loop in Loop],
        help="%(default)s",
    )
    add("--dry-run", action="store_true", help="print the jobs with sizes and shapes")
    add("--retry-failed", action="store_true", help="ask again for jobs that failed")
    add("--timeout", type=float, default=3600.0, metavar="S", help="per job (%(default)s)")
    add("--poll", type=float, default=5.0, metavar="S", help="between two looks (%(default)s)")


def request(args: argparse.Namespace) -> Request:
    """Load and check what a command line names.

    Raises:
      ValueError: unknown names, or numbers out of range.
      OSError: missing files.
    """
    task = task_named(args.task)
    source = load_model(args.model or zoo.default(task.value))
    if args.h_cycles is not None:
        changed = dataclasses.replace(source.config, H_cycles=args.h_cycles)
        source = dataclasses.replace(source, config=changed)
    dataset = load_puzzles(args.data, source.config)
    side_of(task, dataset, "the data")
    variants = tuple(variant_named(name.strip()) for name in args.schemes.split(","))
    calibrated = any(v.plan.precision.needs_ranges or v.route is Route.HUB for v in variants)
    most = len(dataset) - CALIBRATION_PUZZLES * calibrated
    steps = source.config.halt_max_steps if args.steps is None else args.steps
    if not 1 <= args.limit <= most:
        raise ValueError(f"--limit must be 1 to {most}, got {args.limit}")
    if steps < 1 or args.timeout <= 0 or args.poll < 0:
        raise ValueError(
            f"--steps, --timeout and --poll must be positive, got {steps},"
            f" {args.timeout}, {args.poll}"
        )
    return Request(
        task=task,
        source=source,
        dataset=dataset,
        variants=variants,
        devices=tuple(dict.fromkeys(args.device or [DEFAULT_DEVICE])),
        steps=steps,
        limit=args.limit,
        loop=Loop(args.loop),
        retry=args.retry_failed,
        waiting=Waiting(timeout_s=args.timeout, poll_s=args.poll),
        out=args.out or Path("runs") / f"deploy-{task.value}-{source.name}-aihub",
    )


TARGETS = (Target.AI_HUB.value,)
TITLE = "aihub (phones of Qualcomm AI Hub)"
CALIBRATION_SAMPLES = 128


def run(args: argparse.Namespace, console: Console) -> None:
    """Deploy as a command line says.

    Raises:
      ValueError, OSError, RuntimeError, ModuleNotFoundError: bad input, rows of another
        deployment, or AI Hub cannot be used; the message says what to do.
    """
    asked = request(args)
    if args.dry_run:
        for prepared in _prepared(asked):
            _describe(asked, prepared, console)
        console.print("nothing was sent; leave --dry-run out to spend these jobs")
        return
    deploy(asked, console)


def deploy(asked: Request, console: Console) -> None:
    """Run what is not finished, and report.

    Raises:
      ValueError, OSError, RuntimeError: as `run`.
    """
    asked.out.mkdir(parents=True, exist_ok=True)
    file = asked.out / "rows.jsonl"
    rows = row_files.read_rows(file, asked.digest, aihub_rows.row_from_dict)
    done = {(row.variant, row.device) for row in rows}
    wanted = [(v.name, device) for v in asked.variants for device in asked.devices]
    failed: list[DeviceRun] = []
    if set(wanted) - done:
        hub = Hub(
            Ledger(asked.out / "jobs.jsonl"),
            asked.waiting,
            lambda text: console.print(text, soft_wrap=True, markup=False),
        )
        for device in asked.devices:
            hub.demand_device(device)
        lanes = _lanes(asked, done, console)
        stages = asked.steps if asked.loop is Loop.CLOSED else 1
        with progress("jobs", len(lanes) * stages, 0) as show:
            runner.run(hub, lanes, asked.loop, asked.out / "results", asked.retry, show)
        failed = [lane for lane in lanes if lane.failed]
        for lane in lanes:
            if not lane.failed:
                row = row_of(lane, hub, asked.task, asked.loop, asked.dataset, asked.digest)
                row_files.append_row(file, row)
                rows.append(row)
    order = {pair: i for i, pair in enumerate(wanted)}
    shown = sorted(
        (r for r in rows if (r.variant, r.device) in order),
        key=lambda r: order[r.variant, r.device],
    )
    _report(asked, shown, failed, console)


def _prepared(asked: Request) -> list[Prepared]:
    return [
        prepare(variant, asked.source, asked.dataset, asked.steps, asked.out)
        for variant in asked.variants
    ]


def _states(asked: Request, prepared: Prepared) -> States:
    batch = batch_of(asked.dataset, np.arange(asked.limit))
    return simulated_states(prepared.twin, batch, prepared.host, asked.steps)


def _lanes(asked: Request, done: set[tuple[str, str]], console: Console) -> list[DeviceRun]:
    """Make the lanes that have no row yet, and say what their devices will not do."""
    lanes = []
    for prepared in _prepared(asked):
        variant = prepared.variant
        left = [d for d in asked.devices if (variant.name, d) not in done]
        states = _states(asked, prepared) if left else None
        samples = _calibration(asked, prepared) if left and variant.route is Route.HUB else None
        for device in left:
            assert states is not None
            if text := devices.npu_warning(device, variant.precision):
                console.print(f"{variant.name}: {text}", soft_wrap=True, markup=False)
            lanes.append(
                DeviceRun(prepared=prepared, device=device, states=states, calibration=samples)
            )
    return lanes


def _calibration(asked: Request, prepared: Prepared) -> dict[str, list[np.ndarray]]:
    """Take states of the calibration puzzles, for AI Hub's quantiser."""
    first = next(gather_calibration(asked.dataset))
    states = simulated_states(prepared.twin, first, prepared.host, asked.steps)
    return calibration_inputs(states, CALIBRATION_SAMPLES)


def _describe(asked: Request, prepared: Prepared, console: Console) -> None:
    """Print what would be sent."""
    variant, graph = prepared.variant, prepared.graph
    shapes = ", ".join(f"{n} {graph.tensor(t).shape}" for n, t in graph.inputs.items())
    outputs = ", ".join(f"{n} {graph.tensor(t).shape}" for n, t in graph.outputs.items())
    count = asked.limit * (asked.steps if asked.loop is Loop.FORCED else 1)
    sent = 4 * count * sum(math.prod(graph.tensor(t).shape) for t in graph.inputs.values())
    kinds = {
        Route.TFLITE: "upload",
        Route.ONNX: "upload, compile",
        Route.HUB: "upload, quantise, compile",
    }[variant.route]
    runs = 1 if asked.loop is Loop.FORCED else asked.steps
    lines = [
        f"{variant.name} ({variant.precision.value}, {variant.plan.name})",
        f"  {prepared.file}: {tables.size_text(prepared.file.stat().st_size)}, {len(graph.ops)}"
        " operators",
        f"  takes {shapes}; gives {outputs}",
        f"  {count} samples, {tables.size_text(sent)} per inference job",
        f"  host part {host_ms(prepared, asked.dataset):.2f} ms a puzzle (this computer)",
    ]
    for device in asked.devices:
        lines.append(f"  {device}: {kinds}, {runs} inference job{'s' * (runs > 1)} with profile")
        if text := devices.npu_warning(device, variant.precision):
            lines.append(f"    {text}")
    console.print("\n".join(lines), soft_wrap=True, markup=False)


def _report(asked: Request, rows: list, failed: list[DeviceRun], console: Console) -> None:
    """Print the table and the units, and write all files.

    Raises:
      RuntimeError: no lane came to its end.
    """
    for lane in failed:
        console.print(
            f"left out: {lane.prepared.variant.name} on {lane.device}: {lane.failed}",
            soft_wrap=True,
            markup=False,
        )
    if not rows:
        raise RuntimeError("no job gave a result; --retry-failed asks for them again")
    title = (
        f"{asked.source.name} through Qualcomm AI Hub, {asked.limit} {asked.task.value} puzzles,"
        f" {asked.steps} steps, loop {asked.loop.value}; the paper's models are larger"
    )
    made = aihub_rows.table(title, rows)
    console.print(f"[bold]{title}[/bold]")
    console.print(tables.to_rich(made))
    for row in rows:
        console.print(aihub_rows.unit_text(row), soft_wrap=True, markup=False)
        console.print(f"  {', '.join(row.urls.values())}", soft_wrap=True, markup=False)
    (asked.out / "summary.md").write_text(tables.to_markdown(made), encoding="utf-8")
    (asked.out / "summary.csv").write_text(aihub_rows.csv_text(rows), encoding="utf-8")
    (asked.out / "perf.yaml").write_text(aihub_rows.perf_yaml(rows), encoding="utf-8")
    (asked.out / "layers.csv").write_text(aihub_rows.layers_text(rows), encoding="utf-8")
    console.print(f"rows, jobs, table and perf.yaml: {asked.out}", soft_wrap=True, markup=False)
