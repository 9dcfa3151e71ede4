"""Measure what a report needs, where it is asked to, and write the report.

Not here: which commands measure it (jobs.py) and what the page shows (page.py, sections/).
"""

import argparse
import shlex
from collections.abc import Sequence
from html import escape
from pathlib import Path

from rich.console import Console

from experiments.jobs import runner as job_runner
from experiments.jobs.engine import opened_engine, read_engine
from experiments.jobs.remote_work import Engine, RemoteEngine
from experiments.measurement.folders import JOINED_SWEEP, REPORT
from experiments.render.console import make_console
from experiments.report.jobs import computed_at, count_puzzles, subjects, tell_limits
from experiments.report.jobs import jobs as list_jobs
from experiments.report.page import TITLE, write_page
from experiments.sweep.rows import merge_sweeps
from experiments.sweep.tables import write_report
from trm_jax.output.folder import writing
from trm_jax.output.lock import locked_beside
from trm_jax.output.ownership import check_file_place

HEAD_BYTES = 4096  # of a page; its title stands there


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
    with opened_engine(args) as engine, writing(out, REPORT):
        return measure_held(args, out, engine, console)


def measure_held(
    args: argparse.Namespace, out: Path, engine: RemoteEngine | None, console: Console
) -> int:
    """Measure everything into a folder that this process holds; returns and raises likewise."""
    chosen = subjects(pairs_of(args.model), pairs_of(args.data))
    counts = count_puzzles(chosen, quick=args.quick)
    listed = list_jobs(chosen, quick=args.quick, limit=args.limit, counts=counts)
    jobs = computed_at(listed, engine.words if engine else ())
    for line in tell_limits(counts, quick=args.quick, limit=args.limit):
        console.print(line, soft_wrap=True)
    failures = job_runner.run_all(jobs, out)
    failed = {failure.job.name for failure in failures}
    folders = [out / job.name for job in jobs if job.name not in failed]
    written = write_page(folders, out / "report.html")
    for job, words in failures:
        console.print(f"failed: python -m {shlex.join(job.command(out))}\n  {words}")
    spent = job_runner.sum_spent(out)
    text = f"{spent.seconds / 60:.1f} minutes, {spent.cpu_seconds / 60:.1f} of processors"
    console.print(f"measured in {text}: {written[0]}, {written[1]}", soft_wrap=True)
    return 1 if failures else 0


def check_page(page: Path) -> None:
    """Refuse a page that cannot be written, or that is not one of ours.

    Raises:
      OSError: the message says what is there.
    """
    check_file_place(page)
    if page.exists() and not is_report(page):
        raise FileExistsError(
            f"{page} is there and is no page of experiments.report; name another file"
        )
    text, pictures = page.with_suffix(".md"), page.with_name(f"{page.stem}-figures")
    if not page.exists() and (taken := [str(p) for p in (text, pictures) if p.exists()]):
        raise FileExistsError(f"{taken[0]} is there, but no {page} with it; name another file")


def is_report(page: Path) -> bool:
    """Return whether a file is a page of this program, by its title."""
    with page.open("rb") as file:
        return f"<title>{escape(TITLE)}</title>".encode() in file.read(HEAD_BYTES)


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
    elsewhere = read_engine(args).engine is not Engine.LOCAL
    if args.quick or args.model or args.data or args.limit or elsewhere:
        raise ValueError("--quick, --limit, --model, --data, --engine belong to --all; add it")
    if args.out is not None and args.out.suffix == ".html":
        check_page(args.out)
        with locked_beside(args.out, REPORT.program):
            written = write_page(args.folders, args.out)
        console.print(f"report: {', '.join(map(str, written))}", soft_wrap=True)
        return 0
    if not args.folders:
        raise ValueError("name folders of results, or --all to measure everything")
    try:
        spec, rows = merge_sweeps(args.folders)
    except FileNotFoundError as error:
        page = "folders of other programs are shown on a page, --out PAGE.html"
        raise FileNotFoundError(f"{error}; {page}") from error
    out = args.out or args.folders[0]
    with writing(out, JOINED_SWEEP):
        write_report(spec, rows, out, console)
    return 0
