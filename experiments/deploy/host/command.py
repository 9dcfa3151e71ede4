"""Deployment on the runtimes of this computer: litert, litert-builtin, tflite-runtime, tflm, onnx.

Every scheme becomes an export (export/tflite.py, export/onnx.py) that solves the first --limit
puzzles in the runtime; the simulation solves them too. One table: size on disk, latency of a
supervision step (median and spread, warm, a full batch), memory, exact match with its interval,
exact match of the simulation and the paired test between both, fidelity to full precision,
agreement with the simulation. Into OUT go rows.jsonl and probes.jsonl (as soon as they are
measured; the same command goes on after a kill), the exports, summary.csv, summary.md and
pareto.png/.svg.

A scheme that the target does not compute right is listed with the reason and left out.
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from experiments.deploy.host import tables
from experiments.deploy.host.runner import (
    FULL,
    HostJob,
    References,
    folder_of,
    open_files,
    run_scheme,
)
from export.artifact.manifest import read_manifest
from export.sources import load_model, load_puzzles
from export.targets import Target
from quant.scheme import parse
from trm_jax import zoo
from trm_jax.data.batches import CALIBRATION_PUZZLES
from trm_jax.tasks.task import side_of, task_named

TARGETS = tuple(target.value for target in Target if target is not Target.AI_HUB)
TITLE = ", ".join(TARGETS)
DEFAULT_SCHEMES = "fp32,fp16,int8,w8c-sym_a8da,w8c-sym_a8s,int4_calibrated,w4c-asym_a8da,int4_naive"
DEFAULT_LIMIT = 64  # two minutes on two free cores


def add_options(group: argparse._ArgumentGroup) -> None:
    """Declare the options of these targets."""
    add = group.add_argument
    add("--data", type=Path, metavar="DIR", help="default: bundled puzzles")
    add("--schemes", default=DEFAULT_SCHEMES, help="default: %(default)s")
    add("--limit", type=int, default=DEFAULT_LIMIT, metavar="N", help="puzzles (%(default)s)")
    add("--batch", type=int, default=16, metavar="N", help="puzzles per call (%(default)s)")
    add("--steps", type=int, metavar="N", help="supervision steps (the model's)")
    add("--threads", type=int, default=1, metavar="N", help="%(default)s")


def run(args: argparse.Namespace, console: Console) -> None:
    """Deploy as a command line says.

    Raises:
      ValueError, OSError, RuntimeError, ModuleNotFoundError: bad input, or rows of another
        deployment.
    """
    _deploy(prepare(args), console)


def prepare(args: argparse.Namespace) -> HostJob:
    """Load and check what a command line names.

    Raises:
      ValueError: unknown names, or too few puzzles for calibration.
      OSError: missing files.
    """
    task = task_named(args.task)
    source = load_model(args.model or zoo.default(task.value))
    dataset = load_puzzles(args.data, source.config)
    side_of(task, dataset, "the data")
    schemes = tuple(
        dict.fromkeys([FULL, *(parse(s.strip()).name for s in args.schemes.split(","))])
    )
    most = len(dataset)
    if any(parse(name).activations.is_static for name in schemes):
        most -= CALIBRATION_PUZZLES
    if not 1 <= args.limit <= most:
        raise ValueError(
            f"--limit must be 1 to {most} (calibration takes its own), got {args.limit}"
        )
    out = args.out or Path("runs") / f"deploy-{task.value}-{source.name}-{args.target}"
    return HostJob(
        task=task,
        source=source,
        dataset=dataset,
        target=Target(args.target),
        schemes=schemes,
        limit=args.limit,
        batch=args.batch,
        steps=args.steps or source.config.halt_max_steps,
        threads=args.threads,
        out=out,
    )


def _deploy(job: HostJob, console: Console) -> None:
    """Export, measure what is not measured yet, and report.

    Raises:
      ValueError, OSError, RuntimeError: bad input, or rows of another deployment.
    """
    files, references = open_files(job), References(job)
    refused: dict[str, str] = {}
    errors = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        parts = -(-job.limit // job.batch)
        task = bar.add_task("exporting", total=len(job.schemes) * parts)
        for i, scheme in enumerate(job.schemes):
            bar.update(task, description=scheme, completed=i * parts)
            try:
                run_scheme(job, scheme, files, references, lambda n: bar.update(task, advance=n))
            except (ValueError, RuntimeError) as error:
                refused[scheme] = str(error)
    manifests = {
        scheme: read_manifest(folder_of(job, scheme))
        for scheme in job.schemes
        if scheme not in refused
    }
    if FULL not in manifests:
        raise RuntimeError(f"full precision was not exported: {refused[FULL]}")
    title = (
        f"{job.source.name} on {job.target.value}, first {job.limit} of {len(job.dataset)}"
        f" {job.task.value} puzzles, {job.steps} steps, batch {job.batch}, threads {job.threads}"
    )
    tables.report(title, job.out, manifests, files.rows, files.probes, job.limit, console)
    for scheme, reason in refused.items():
        console.print(f"left out: {scheme}: {reason}", soft_wrap=True, markup=False)
