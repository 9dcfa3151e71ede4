"""The one report: every table and figure of the paper, ours beside the paper's; or one sweep's.

    python -m experiments.report --all --out runs/report
    python -m experiments.report runs/sweep-sudoku runs/ablate-sudoku --out runs/report.html
    python -m experiments.report runs/host0 runs/host1 --out runs/joined

--all measures everything on the bundled models (--quick: a little of everything, in minutes) and
writes DIR/report.html: one page without outside resources, the same in Markdown and its figures
beside it. Killed, the same command goes on. --model TASK=NAME and --data TASK=DIR put other
models and puzzles in the place of a task's bundled ones; both take what experiments.sweep takes.

With an --out that ends in .html the folders may be of any program (experiments.sweep, ablate,
deploy, arc, footprint; each is recognised by its files); what was not measured is named with the
command that measures it.

Otherwise the folders must be of one sweep (same model, puzzles, depths, batch size and
arithmetic; schemes and numbers of puzzles may differ): its tables are printed, and grid.csv,
grid.md, summary.csv, summary.md, accuracy.png/.svg and fidelity.png/.svg go into --out (the first
folder if not given). Nothing is computed again.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from experiments.render.console import make_console
from experiments.sweep import rows as sweep_rows
from experiments.sweep.tables import write_report
from trm_jax.command_line import REPEATED, exit_code


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = argparse.ArgumentParser(
        prog="python -m experiments.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("folders", nargs="*", type=Path, metavar="DIR", help="folders of results")
    p.add_argument("--out", type=Path, metavar="DIR|PAGE.html", help="where to write")
    p.add_argument("--all", action="store_true", help="measure everything first")
    p.add_argument("--quick", action="store_true", help="with --all: a little of everything")
    p.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="TASK=NAME",
        help="with --all: measure this model instead",
    )
    p.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="TASK=DIR",
        help="with --all: on these puzzles",
    )
    return p


def measure_all(args: argparse.Namespace, console: Console) -> int:
    """Measure everything and write the page; 1 if a part failed.

    Raises:
      ValueError, OSError: bad input.
    """
    # late: sweeps import this module, and a page needs much more than they do
    from experiments.jobs import runner as report_run
    from experiments.report import jobs as report_jobs
    from experiments.report import page as report_page

    if args.folders:
        raise ValueError("--all measures into --out; give no folders, or leave --all out")
    out = args.out or Path("runs/report")
    if out.suffix == ".html":
        raise ValueError("--all writes a folder; let --out name one, such as runs/report")
    chosen = report_jobs.subjects(pairs_of(args.model), pairs_of(args.data))
    jobs = report_jobs.jobs(chosen, quick=args.quick)
    failures = report_run.run_all(jobs, out)
    failed = {failure.job.name for failure in failures}
    folders = [out / job.name for job in jobs if job.name not in failed]
    written = report_page.write_page(folders, out / "report.html")
    for job, words in failures:
        console.print(f"failed: python -m {' '.join(job.command(out))}\n  {words}", markup=False)
    spent = report_run.spent(out)
    text = f"{spent.seconds / 60:.1f} minutes, {spent.cpu_seconds / 60:.1f} of processors"
    console.print(f"measured in {text}: {written[0]}, {written[1]}", soft_wrap=True)
    return 1 if failures else 0


def pairs_of(texts: Sequence[str]) -> dict[str, str]:
    """Read TASK=VALUE options.

    Raises:
      ValueError: there is no `=`, or a task twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        task, equals, value = text.partition("=")
        if not equals or not value:
            raise ValueError(f"--model and --data take TASK=VALUE, got {text!r}")
        if task in found:
            raise ValueError(f"{task} is given twice: {found[task]} and {value}")
        found[task] = value
    return found


def write(args: argparse.Namespace, console: Console) -> int:
    """Do what the command line asks for.

    Raises:
      ValueError, OSError: bad input.
    """
    if args.all:
        return measure_all(args, console)
    if args.quick or args.model or args.data:
        raise ValueError("--quick, --model and --data belong to --all; add it")
    if args.out is not None and args.out.suffix == ".html":
        from experiments.report import page as report_page  # late, as above

        written = report_page.write_page(args.folders, args.out)
        console.print(f"report: {', '.join(map(str, written))}", soft_wrap=True)
        return 0
    if not args.folders:
        raise ValueError("name folders of results, or --all to measure everything")
    spec, rows = sweep_rows.merge(args.folders)
    write_report(spec, rows, args.out or args.folders[0], console)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)
    return exit_code(lambda: write(args, make_console()), (OSError, ValueError), REPEATED)


if __name__ == "__main__":
    sys.exit(main())
