"""Print the tables of finished sweeps and write their files; join the rows of several folders.

    python -m experiments.report runs/sweep-sudoku
    python -m experiments.report runs/host0 runs/host1 --out runs/joined

Folders must be of the same sweep (same model, puzzles, depths, batch size and arithmetic);
schemes and numbers of puzzles may differ. Nothing is computed again. Written into --out (the
first folder if not given): grid.csv, grid.md, summary.csv, summary.md, accuracy.png/.svg,
fidelity.png/.svg.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from experiments import figures, results, tables
from experiments.analysis import outcomes
from experiments.results import Row
from experiments.spec import Spec

PIPE_WIDTH = 140  # columns where there is no terminal to ask


def make_console() -> Console:
    """Make the console of standard output."""
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False)


def report(spec: Spec, rows: Sequence[Row], out: Path, console: Console) -> None:
    """Print both tables and write all files of a report.

    Raises:
      ValueError: no shard is finished for every scheme.
    """
    measured = outcomes(spec, rows)
    grid, summary = tables.grid_table(spec, measured), tables.summary_table(spec, measured)
    for table in (grid, summary):
        console.print(f"[bold]{table.title}[/bold]")
        console.print(tables.to_rich(table))
    if measured[0].num_puzzles < spec.num_puzzles:
        left = spec.num_puzzles - measured[0].num_puzzles
        console.print(
            f"{left} of {spec.num_puzzles} puzzles are not finished here: --resume goes on;"
            " rows of other folders join with experiments.report"
        )
    out.mkdir(parents=True, exist_ok=True)
    files = {
        "grid.md": tables.to_markdown(grid),
        "summary.md": tables.to_markdown(summary),
        "grid.csv": tables.to_csv(tables.grid_records(spec, measured)),
        "summary.csv": tables.to_csv(tables.summary_records(spec, measured)),
    }
    for name, text in files.items():
        (out / name).write_text(text, encoding="utf-8")
    figures.save(figures.accuracy_figure(spec, measured), out / "accuracy")
    figures.save(figures.fidelity_figure(spec, measured), out / "fidelity")
    console.print(f"rows, tables and figures: {out}", soft_wrap=True)


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = argparse.ArgumentParser(
        prog="python -m experiments.report", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    p.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="folder of a sweep")
    p.add_argument("--out", type=Path, metavar="DIR", help="where to write (the first folder)")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)
    try:
        spec, rows = results.merge(args.folders)
        report(spec, rows, args.out or args.folders[0], make_console())
    except (OSError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
