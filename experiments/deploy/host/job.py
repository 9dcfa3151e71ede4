"""A deployment on a runtime of this computer: what a command line asks for, loaded, then run.

Not here: the options (command.py), the exports and rows (runner.py), the table (tables.py).
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from experiments.deploy.host import tables
from experiments.deploy.host.rows import FULL, LAYOUT
from experiments.deploy.host.runner import HostJob, References, open_files, run_scheme
from experiments.measurement.choices import (
    check_calibration,
    check_limit,
    environment,
    parse_schemes,
)
from experiments.measurement.halting import choose_halting
from experiments.render.console import make_console
from export.targets import Target
from quant.scheme import parse
from trm_jax.data.calibration import read_calibration
from trm_jax.loading import load_model, load_puzzles
from trm_jax.output.folder import writing
from trm_jax.tasks.calibration import choose_calibration


def run_job(args: argparse.Namespace) -> None:
    """Load, measure and report.

    Raises:
      ValueError, OSError, RuntimeError, ModuleNotFoundError: bad input, or rows of another
        deployment.
    """
    console, job = make_console(), prepare(args)
    with writing(job.out, LAYOUT.output):
        deploy(job, console)


def prepare(args: argparse.Namespace) -> HostJob:
    """Load and check what a command line names.

    Raises:
      ValueError: unknown names, or too few puzzles for calibration.
      OSError: missing files.
    """
    options = read_calibration(args)
    source = load_model(args.model, task=args.task)
    puzzles = load_puzzles(source, args.data)
    schemes = parse_schemes(args.schemes)
    check_limit(args.limit, puzzles)
    aside = choose_calibration(source, puzzles, options)
    check_calibration([parse(name) for name in schemes], args.limit, aside)
    out = args.out or Path("runs") / f"deploy-{puzzles.task.name}-{source.name}-{args.target}"
    return HostJob(
        source=source,
        puzzles=puzzles,
        target=Target(args.target),
        schemes=schemes,
        limit=args.limit,
        batch=args.batch_size,
        steps=args.steps or source.config.halt_max_steps,
        threads=args.threads,
        halting=choose_halting(args.halt, puzzles.task),
        out=out,
        aside=aside,
    )


def deploy(job: HostJob, console: Console) -> None:
    """Export, measure what is not measured yet, and report.

    Raises:
      ValueError, OSError, RuntimeError: bad input, or rows of another deployment.
    """
    files, references = open_files(job, environment()), References(job)
    refused: dict[str, str] = {}
    errors = Console(stderr=True)
    said = TextColumn("{task.description}", markup=False)
    columns = (said, BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        parts = -(-job.limit // job.batch)
        task = bar.add_task("exporting", total=len(job.schemes) * parts)
        for i, scheme in enumerate(job.schemes):
            bar.update(task, description=scheme, completed=i * parts)
            try:
                run_scheme(job, scheme, files, references, lambda n: bar.update(task, advance=n))
            except (ValueError, RuntimeError) as error:
                refused[scheme] = str(error)
    if FULL in refused:
        raise RuntimeError(f"full precision was not exported: {refused[FULL]}")
    tables.report(job.out, console)
    for scheme, reason in refused.items():
        console.print(f"left out: {scheme}: {reason}", soft_wrap=True)
