"""Judge carry-trajectory fidelity as a predictor of damage, beside signals without a reference.

    python -m experiments.predictor runs/sweep-sudoku-sudoku-trm-mlp-mini
    python -m experiments.predictor runs/sweep-* --out runs/predictor

Reads finished sweeps (experiments.sweep), the more models, schemes and depths the better, and
computes nothing on puzzles. Four answers, printed and written into --out (default:
runs/predictor): how each signal ranks the exact match lost (Spearman, Kendall, with bootstrap
intervals over schemes); where fidelity fails (pairs of schemes it orders wrongly although both
it and McNemar's test are sure); and how often "deploy if one-step fidelity reaches a threshold"
errs on models, and on puzzles, that the threshold was not chosen on. points.csv has every
(model, scheme, depth), predictor.svg the picture.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.predictor import signals
from experiments.predictor import tables as predictor_tables
from experiments.predictor.tables import study, study_tables
from experiments.render import tables
from experiments.render.console import make_console
from experiments.sweep.outcomes import read_sweeps
from trm_jax.command_line import exit_code


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = argparse.ArgumentParser(
        prog="python -m experiments.predictor",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="folder of a sweep")
    p.add_argument("--seed", type=int, default=0, help="of the bootstrap (%(default)s)")
    p.add_argument("--out", type=Path, metavar="DIR", default=Path("runs/predictor"))
    return p


def run(folders: Sequence[Path], seed: int, out: Path) -> None:
    """Judge the signals of finished sweeps, print the tables and write all files.

    Raises:
      ValueError, OSError: a folder holds no finished sweep, or nothing can be written.
    """
    found = study(read_sweeps(folders), seed)
    made = study_tables(found)
    out.mkdir(parents=True, exist_ok=True)
    text = "\n".join(map(tables.to_markdown, made))
    (out / "predictor.md").write_text(text, encoding="utf-8")
    points = tables.to_csv(signals.records(found.points))
    (out / "points.csv").write_text(points, encoding="utf-8")
    picture = predictor_tables.figure(found.points)
    (out / "predictor.svg").write_text(picture, encoding="utf-8")
    console = make_console()
    tables.print_tables(made, console)
    console.print(f"tables, points and figure: {out}", soft_wrap=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)
    return exit_code(lambda: run(args.folders, args.seed, args.out), (OSError, ValueError))


if __name__ == "__main__":
    sys.exit(main())
