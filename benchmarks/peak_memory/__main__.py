"""Measure the most memory that programs hold at a time, each as its documentation starts it.

    python -m benchmarks.peak_memory
    python -m benchmarks.peak_memory --programs jax,sweep-maze > rows.jsonl

Every program runs in a process and a folder of its own, with bundled models and puzzles. The peak
is that of resident memory (ru_maxrss) of its largest process, as the operating system tells when
it has ended: libraries and mapped files count with the pages that were touched. `jax` is JAX alone,
which every program takes; what is above that is the program's own, and what XLA keeps to itself.

Sweeps and ablations choose how many puzzles they compute together by the free memory (--batch-size
auto); their number stands in the table. The table goes to stderr, JSON rows go to stdout. Not for
Windows, which has no such number.
"""

import argparse
import sys
from collections.abc import Sequence

from benchmarks.options import BenchmarkFunctions, run_benchmark
from trm_jax.command_line import make_parser

DEFAULT = "jax,sweep-sudoku,sweep-maze,arc,footprint,export,solve"


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = make_parser("benchmarks.peak_memory", __doc__)
    p.add_argument(
        "--programs",
        default=DEFAULT,
        metavar="NAME,...",
        help="also watch, recipe, ablate and decode, which take minutes; ablate-short and"
        " decode-short: with 50 puzzles (%(default)s)",
    )
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)

    def load() -> BenchmarkFunctions:
        from benchmarks.peak_memory.runner import measure, show

        return measure, show

    return run_benchmark(args, load)


if __name__ == "__main__":
    sys.exit(main())
