"""Deployment on phones through Qualcomm AI Hub: the paper's Table 11.

    python -m experiments.deploy --target aihub --task sudoku --dry-run
    python -m experiments.deploy --target aihub --task sudoku --device "Samsung Galaxy S24"

Every scheme becomes a file of one supervision step (aihub_variants.py says how it gets onto the
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
"""

import argparse
import math

import numpy as np
from rich.console import Console

from experiments import aihub_lanes, aihub_rows, deploy_rows, tables
from experiments.aihub_lanes import Lane
from experiments.aihub_measure import host_ms, row_of
from experiments.aihub_request import Request, request
from experiments.aihub_states import Loop, States, calibration_inputs, simulate
from experiments.aihub_variants import Prepared, Route, prepare
from experiments.progress import progress
from export.aihub import devices
from export.aihub.client import Hub
from export.aihub.ledger import Ledger
from export.sources import batch_of, calibration
from export.targets import Target

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
    rows = deploy_rows.read(file, asked.digest, aihub_rows.row_from_dict)
    done = {(row.variant, row.device) for row in rows}
    wanted = [(v.name, device) for v in asked.variants for device in asked.devices]
    failed: list[Lane] = []
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
            aihub_lanes.run(hub, lanes, asked.loop, asked.out / "results", asked.retry, show)
        failed = [lane for lane in lanes if lane.failed]
        for lane in lanes:
            if not lane.failed:
                row = row_of(lane, hub, asked.task, asked.loop, asked.dataset, asked.digest)
                deploy_rows.append(file, row)
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
    return simulate(prepared.twin, batch, prepared.host, asked.steps)


def _lanes(asked: Request, done: set[tuple[str, str]], console: Console) -> list[Lane]:
    """Make the lanes that have no row yet, and say what their devices will not do."""
    lanes = []
    for prepared in _prepared(asked):
        variant = prepared.variant
        left = [d for d in asked.devices if (variant.name, d) not in done]
        states = _states(asked, prepared) if left else None
        samples = _calibration(asked, prepared) if left and variant.route is Route.HUB else None
        for device in left:
            assert states is not None
            if text := devices.warning(device, variant.precision):
                console.print(f"{variant.name}: {text}", soft_wrap=True, markup=False)
            lanes.append(Lane(prepared=prepared, device=device, states=states, calibration=samples))
    return lanes


def _calibration(asked: Request, prepared: Prepared) -> dict[str, list[np.ndarray]]:
    """Take states of the calibration puzzles, for AI Hub's quantiser."""
    first = calibration(asked.dataset)[0]
    states = simulate(prepared.twin, first, prepared.host, asked.steps)
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
        if text := devices.warning(device, variant.precision):
            lines.append(f"    {text}")
    console.print("\n".join(lines), soft_wrap=True, markup=False)


def _report(asked: Request, rows: list, failed: list[Lane], console: Console) -> None:
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
