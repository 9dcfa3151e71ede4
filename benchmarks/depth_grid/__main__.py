"""Time the full depth x precision grid: one rollout per precision against every cell on its own.

    python -m benchmarks.depth_grid
    python -m benchmarks.depth_grid --preset sudoku-trm-mlp --limit 1 --repeats 1 \\
        --schemes fp32,int8 --depths 1,3x1,2 > rows.jsonl

Rivals, on the same CPU, in float32, with the same threads and weights, in the same run: the
same JAX code with one rollout per cell, and, where torch is installed, a plain PyTorch forward
(torch_reasoner.py). A cell (T, n) is n supervision steps of T H-cycles. A grid is timed for
every n, for the n of the paper's tables, and for its deepest cell alone, which compares the
engines without the sharing. Logits are compared before anything is timed.
Compilation is reported apart: every other time is of a warm program.

Each repeat times everybody once; a ratio is taken within its repeat, and median, least and
greatest are shown. The table goes to stderr, JSON rows go to stdout. `taskset -c 0` in front
makes it a single-thread comparison.
"""

import argparse
import sys
from collections.abc import Sequence

from benchmarks.options import BenchmarkFunctions, add_subject_options, run_benchmark
from trm_jax.command_line import make_parser, positive_int

SCHEMES = "fp32,int8,int4_naive,int4_calibrated,int3_naive,int3_calibrated"
LIMIT = 8  # puzzles: under three minutes on two cores for a bundled model


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = make_parser("benchmarks.depth_grid", __doc__)
    add_subject_options(p, LIMIT)
    p.add_argument(
        "--schemes", default=SCHEMES, metavar="NAME,...", help="weights only (default: %(default)s)"
    )
    p.add_argument("--depths", metavar="T,..xn,..", help="one grid instead, as experiments.sweep")
    p.add_argument(
        "--repeats",
        type=positive_int,
        default=3,
        metavar="N",
        help="of every measurement (%(default)s)",
    )
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)

    def load() -> BenchmarkFunctions:
        from benchmarks.depth_grid.runner import measure, show  # imports jax: after parsing

        return measure, show

    return run_benchmark(args, load)


if __name__ == "__main__":
    sys.exit(main())
