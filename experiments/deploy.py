"""Export a model under every scheme, hold each file against its simulation, and compare costs.

    python -m experiments.deploy --task sudoku
    python -m experiments.deploy --task maze --schemes fp32,int8,w4c-asym_a8da --limit 500 \\
        --out runs/deploy-maze

Every scheme becomes a .tflite (export/tflite.py) that solves the first --limit puzzles in the
runtime; the simulation solves them too. One table: size on disk, latency of a supervision step
(median and spread, warm, a full batch), memory, exact match with its interval, exact match of
the simulation and the paired test between both, fidelity to full precision, agreement with the
simulation. Into --out go rows.jsonl and probes.jsonl (as soon as they are measured; the same
command goes on after a kill), the exports, summary.csv, summary.md and pareto.png/.svg.

A scheme that the target does not compute right is listed with the reason and left out.
"""

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from experiments import deploy_report, deploy_rows
from experiments.deploy_rows import Probe, Row
from experiments.models import hash_model
from experiments.puzzles import hash_dataset
from experiments.report import make_console
from experiments.results import to_hex
from experiments.rollouts import moments
from experiments.tasks import Task, second_score, side_of, task_named
from export.backends import open_runtime
from export.integrity import open_export
from export.manifest import MANIFEST_FILE
from export.manifest import load as load_manifest
from export.numerics import Target
from export.package import TRIED, Simulation, Source, export, run, simulation_of
from export.plan import plan_for
from export.runtime import Solver, groups
from export.sources import batch_of, calibration, load_model, load_puzzles
from export.verify_rollouts import compare_group
from quant.scheme import parse
from trm_jax import zoo
from trm_jax.data.calibration import CALIBRATION_PUZZLES
from trm_jax.data.format import PuzzleDataset
from trm_jax.metrics import token_cosine

DEFAULT_SCHEMES = "fp32,fp16,int8,w8c-sym_a8da,w8c-sym_a8s,int4_calibrated,w4c-asym_a8da,int4_naive"
DEFAULT_LIMIT = 64  # two minutes on two free cores
FULL = "fp32"


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a command line asks for, loaded.

    Attributes:
      steps: supervision steps; limit: the first so many puzzles.
    """

    task: Task
    source: Source
    dataset: PuzzleDataset
    target: Target
    schemes: tuple[str, ...]
    limit: int
    batch: int
    steps: int
    threads: int
    out: Path

    @property
    def digest(self) -> str:
        """Hash what decides the numbers of a row."""
        parts = (hash_model(self.source.config, self.source.weights), hash_dataset(self.dataset),
                 self.target.value, self.batch, self.steps)  # fmt: skip
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = argparse.ArgumentParser(
        prog="python -m experiments.deploy", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    p.add_argument("--task", required=True, help="sudoku or maze")
    p.add_argument("--model", metavar="NAME|PATH", help="default: the task's bundled model")
    p.add_argument("--data", type=Path, metavar="DIR", help="default: bundled puzzles")
    p.add_argument("--schemes", default=DEFAULT_SCHEMES, help="default: %(default)s")
    p.add_argument("--target", default="litert", choices=[t.value for t in Target],
                   help="%(default)s")  # fmt: skip
    p.add_argument("--limit", type=int, default=DEFAULT_LIMIT, metavar="N", help="%(default)s")
    p.add_argument(
        "--batch", type=int, default=16, metavar="N", help="puzzles per call (%(default)s)"
    )
    p.add_argument("--steps", type=int, metavar="N", help="supervision steps (the model's)")
    p.add_argument("--threads", type=int, default=1, metavar="N", help="%(default)s")
    p.add_argument("--out", type=Path, metavar="DIR", help="default: runs/deploy-TASK-MODEL-TARGET")
    return p


def prepare(args: argparse.Namespace) -> Job:
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
    return Job(
        task=task, source=source, dataset=dataset, target=Target(args.target), schemes=schemes,
        limit=args.limit, batch=args.batch, steps=args.steps or source.config.halt_max_steps,
        threads=args.threads, out=out,
    )  # fmt: skip


def folder_of(job: Job, scheme: str) -> Path:
    """Name the folder of an export."""
    return job.out / "exports" / scheme


def twin_of(job: Job, scheme: str) -> Simulation:
    """Build a scheme's simulation, and its export if it is not there yet.

    Raises:
      ValueError: the target does not compute the scheme right.
      RuntimeError: the runtime refuses it.
    """
    plan = plan_for(parse(scheme), job.target)
    batches = calibration(job.dataset) if plan.needs_ranges else []
    twin = simulation_of(job.source, plan, batches, job.steps)
    folder = folder_of(job, scheme)
    if not (folder / MANIFEST_FILE).exists():
        tried = batch_of(job.dataset, np.arange(min(TRIED, len(job.dataset))))
        export(folder, job.source, plan, twin, tried, batch=job.batch, steps=job.steps)
    return twin


class References:
    """Full-precision last states, each group computed once."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.twin = simulation_of(job.source, plan_for(parse(FULL), job.target), [], job.steps)
        self.states: dict[int, np.ndarray] = {}

    def at(self, rows: slice) -> np.ndarray:
        if rows.start not in self.states:
            full = np.resize(np.arange(rows.start, rows.stop), self.job.batch)
            last = run(self.twin, batch_of(self.job.dataset, full), self.job.steps)[-1]
            self.states[rows.start] = np.asarray(last)[: rows.stop - rows.start]
        return self.states[rows.start]


def measure(
    job: Job, scheme: str, rows: slice, solver: Solver, twin: Simulation, references: References
) -> Row:
    """Run a group of puzzles on runtime and simulation."""
    index = np.arange(rows.start, rows.stop)
    found = compare_group(solver, twin, job.dataset, index, job.steps)
    fidelity = token_cosine(jnp.asarray(found.last), jnp.asarray(references.at(rows)))
    lenient = second_score(job.task, side_of(job.task, job.dataset, "the data"))
    answered = lenient(jnp.asarray(found.solution.tokens), batch_of(job.dataset, index))
    bits = {"exact": found.exact, "simulated_exact": found.simulated_exact,
            "lenient": np.asarray(answered)}  # fmt: skip
    return Row(
        digest=job.digest,
        scheme=scheme,
        start=rows.start,
        stop=rows.stop,
        **{name: to_hex(flags[None])[0] for name, flags in bits.items()},
        cells=int(found.cells.sum()),
        correct=int(found.correct.sum()),
        equal_cells=int(found.equal_cells.sum()),
        infidelity=moments(1 - np.asarray(fidelity, np.float64)[None])[0],
        disagreement=moments(1 - found.fidelity.astype(np.float64)[None])[0],
    )


def probe(job: Job, scheme: str) -> Probe:
    """Time and weigh an export in a fresh process.

    Raises:
      RuntimeError: it failed there.
    """
    command = [sys.executable, "-m", "experiments.deploy_probe", str(folder_of(job, scheme)),
               "--threads", str(job.threads)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the probe of {scheme} failed: {done.stderr.strip()}")
    found = json.loads(done.stdout.splitlines()[-1])
    return Probe(digest=job.digest, scheme=scheme, step_ms=tuple(found["step_ms"]),
                 memory_bytes=found["memory_bytes"])  # fmt: skip


class Files(NamedTuple):
    """Finished rows and probes, in memory and on the disk."""

    rows: list[Row]
    probes: list[Probe]
    out: Path

    def add_row(self, row: Row) -> None:
        self.rows.append(row)
        deploy_rows.append(self.out / "rows.jsonl", row)

    def add_probe(self, probe: Probe) -> None:
        self.probes.append(probe)
        deploy_rows.append(self.out / "probes.jsonl", probe)


def open_files(job: Job) -> Files:
    """Read what is finished.

    Raises:
      ValueError: it is damaged, or of another deployment.
    """
    job.out.mkdir(parents=True, exist_ok=True)
    rows = deploy_rows.read(job.out / "rows.jsonl", job.digest, deploy_rows.row_from_dict)
    probes = deploy_rows.read(job.out / "probes.jsonl", job.digest, deploy_rows.probe_from_dict)
    return Files(rows, probes, job.out)


def run_scheme(
    job: Job, scheme: str, files: Files, references: References, advance: Callable[[int], None]
) -> None:
    """Measure what is left of a scheme.

    Raises:
      ValueError: the target does not compute it right.
      RuntimeError: the runtime refuses it.
    """
    done = {(row.start, row.stop) for row in files.rows if row.scheme == scheme}
    wanted = list(groups(job.limit, job.batch))
    left = [rows for rows in wanted if (rows.start, rows.stop) not in done]
    advance(len(wanted) - len(left))
    if left:
        twin = twin_of(job, scheme)
        made = open_export(folder_of(job, scheme))
        runtime = open_runtime(job.target, made.model, threads=job.threads)
        try:
            solver = Solver(made, runtime)
            for rows in left:
                files.add_row(measure(job, scheme, rows, solver, twin, references))
                advance(1)
        finally:
            runtime.close()
    if scheme not in {p.scheme for p in files.probes}:
        files.add_probe(probe(job, scheme))


def deploy(job: Job, console: Console) -> None:
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
        scheme: load_manifest(folder_of(job, scheme))
        for scheme in job.schemes
        if scheme not in refused
    }
    if FULL not in manifests:
        raise RuntimeError(f"full precision was not exported: {refused[FULL]}")
    title = (
        f"{job.source.name} on {job.target.value}, first {job.limit} of {len(job.dataset)}"
        f" {job.task.value} puzzles, {job.steps} steps, batch {job.batch}, threads {job.threads}"
    )
    deploy_report.report(title, job.out, manifests, files.rows, files.probes, job.limit, console)
    for scheme, reason in refused.items():
        console.print(f"left out: {scheme}: {reason}", soft_wrap=True, markup=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)
    try:
        deploy(prepare(args), make_console())
    except (OSError, ValueError, RuntimeError, ModuleNotFoundError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("stopped; finished rows are kept, the same command goes on\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
