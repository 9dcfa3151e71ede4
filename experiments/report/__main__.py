"""The one report: every table and figure of the paper, ours beside the paper's; or one sweep's.

    python -m experiments.report --all --out runs/report
    python -m experiments.report --all --quick --limit 200 --out runs/report-200
    python -m experiments.report runs/sweep-sudoku runs/ablate-sudoku --out runs/report.html
    python -m experiments.report runs/host0 runs/host1 --out runs/joined

--all measures everything on the bundled models (--quick: a little of everything, in minutes) and
writes DIR/report.html: one page without outside resources, the same in Markdown and its figures
beside it. --limit gives every sweep more puzzles, or fewer. Killed, the same command goes on.
--model TASK=NAME and --data TASK=DIR put other models and puzzles in the place of a task's bundled
ones; both take what experiments.sweep takes.

With an --out that ends in .html the folders may be of any program (experiments.sweep, ablate,
deploy, arc, footprint, decode, recipe, watch; each is recognised by its files); what was not
measured is named with the command that measures it.

Otherwise the folders must be of one sweep (same model, puzzles, depths, batch size and
arithmetic; schemes and numbers of puzzles may differ): its tables are printed, and grid.csv,
grid.md, summary.csv, summary.md, accuracy.png/.svg and fidelity.png/.svg go into --out (the first
folder if not given). Nothing is computed again.
"""

import argparse
import sys
from collections.abc import Sequence

from experiments.jobs.engine import add_engine
from experiments.measurement.folders import JOINED_SWEEP, REPORT
from trm_jax.command_line import REPEATED, exit_code, make_parser, positive_int, user_path
from trm_jax.output.folder import check_named
from trm_jax.output.ownership import check_file_place


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = make_parser("experiments.report", __doc__)
    p.add_argument("folders", nargs="*", type=user_path, metavar="DIR", help="folders of results")
    p.add_argument("--out", type=user_path, metavar="DIR|PAGE.html", help="where to write")
    p.add_argument("--all", action="store_true", help="measure everything first")
    p.add_argument("--quick", action="store_true", help="with --all: a little of everything")
    p.add_argument(
        "--limit",
        type=positive_int,
        metavar="N",
        help="with --all: puzzles of each sweep (200, of large models 150; with --quick 16 and 4)",
    )
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
    add_engine(p)
    return p


def check_named_output(args: argparse.Namespace) -> None:
    """Check what --out names, before anything is loaded.

    Raises:
      OSError: it cannot be written, or is somebody else's.
    """
    if args.out is None:
        return
    if args.out.suffix == ".html":
        check_file_place(args.out)
    else:
        check_named(args.out, REPORT if args.all else JOINED_SWEEP)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)

    def action() -> int:
        check_named_output(args)
        from experiments.report.runner import write_reports  # imports jax: after parsing

        return write_reports(args)

    return exit_code(action, (OSError, ValueError), REPEATED)


if __name__ == "__main__":
    sys.exit(main())
