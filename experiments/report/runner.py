"""Measure what a report needs, where it is asked to, and write the report.

Not here: which commands measure it (jobs.py) and what the page shows (page.py, sections/).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from experiments.jobs import runner as job_runner
from experiments.render.console import make_console
from experiments.report.jobs import jobs as list_jobs
from experiments.report.jobs import subjects
from experiments.report.page import write_page
from experiments.sweep.rows import merge_sweeps
from experiments.sweep.tables import write_report


def measure_all(args: argparse.Namespace, console: Console) -> int:
    """Measure everything and write the page; 1 if a part failed.

    Raises:
      ValueError, OSError: bad input.
    """
    if args.folders:
        raise ValueError("--all measures into --out; give no folders, or leave --all out")
    out = args.out or Path("runs/report")
    if out.suffix == ".html":
        raise ValueError("--all writes a folder; let --out name one, such as runs/report")
    chosen = subjects(pairs_of(args.model), pairs_of(args.data))
    jobs = list_jobs(chosen, quick=args.quick)
    failures = job_runner.run_all(jobs, out)
    failed = {failure.job.name for failure in failures}
    folders = [out / job.name for job in jobs if job.name not in failed]
    written = write_page(folders, out / "report.html")
    for job, words in failures:
        console.print(f"failed: python -m {' '.join(job.command(out))}\n  {words}", markup=False)
    spent = job_runner.sum_spent(out)
    text = f"{spent.seconds / 60:.1f} minutes, {spent.cpu_seconds / 60:.1f} of processors"
    console.print(f"measured in {text}: {written[0]}, {written[1]}", soft_wrap=True)
    return 1 if failures else 0


def pairs_of(texts: Sequence[str]) -> dict[str, str]:
    """Read TASK=VALUE options.

    Raises:
      ValueError: there is no `=`, or a task twice.
    """
    values: dict[str, str] = {}
    for text in texts:
        task, equals, value = text.partition("=")
        if not equals or not value:
            raise ValueError(f"--model and --data take TASK=VALUE, got {text!r}")
        if task in values:
            raise ValueError(f"{task} is given twice: {values[task]} and {value}")
        values[task] = value
    return values


def write_reports(args: argparse.Namespace) -> int:
    """Do what the command line asks for; returns the exit code.

    Raises:
      ValueError, OSError: bad input.
    """
    console = make_console()
    if args.all:
        return measure_all(args, console)
    if args.quick or args.model or args.data:
        raise ValueError("--quick, --model and --data belong to --all; add it")
    if args.out is not None and args.out.suffix == ".html":
        written = write_page(args.folders, args.out)
        console.print(f"report: {', '.join(map(str, written))}", soft_wrap=True)
        return 0
    if not args.folders:
        raise ValueError("name folders of results, or --all to measure everything")
    spec, rows = merge_sweeps(args.folders)
    write_report(spec, rows, args.out or args.folders[0], console)
    return 0
