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

from experiments.measurement.folders import PREDICTOR
from trm_jax.command_line import exit_code, make_parser, seed_int, user_path
from trm_jax.output.folder import check_named


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = make_parser("experiments.predictor", __doc__)
    p.add_argument("folders", nargs="+", type=user_path, metavar="DIR", help="folder of a sweep")
    p.add_argument(
        "--seed", type=seed_int, default=0, metavar="N", help="of the bootstrap (%(default)s)"
    )
    p.add_argument(
        "--out",
        type=user_path,
        metavar="DIR",
        default=Path("runs/predictor"),
        help="folder of the results (%(default)s)",
    )
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)

    def action() -> None:
        check_named(args.out, PREDICTOR)
        from experiments.predictor.runner import run_predictor  # imports scipy: after parsing

        run_predictor(args.folders, args.seed, args.out)

    return exit_code(action, (OSError, ValueError))


if __name__ == "__main__":
    sys.exit(main())
