"""Compare a program on a Ray cluster with the same in one process: rows, and processor time.

    python -m benchmarks.cluster
    python -m benchmarks.cluster --limit 400 --batch-size 50 --nodes 3 --no-kill
    python -m benchmarks.cluster --program arc --schemes fp32 --limit 96 --no-kill
    python -m benchmarks.cluster --program recipe --limit 32 --batch-size 32

The cluster consists of nodes on this computer (ray.cluster_utils), each of one processor; the first
only gives out work where --nodes is more than 1. After the first rows a node is killed, unless
--no-kill. Rows must then be those of the one process, byte for byte, each once; else this fails.
Seconds in rows are left out. Of a recipe the rows are those of its tables, and which puzzles every
scheme solves; it writes nothing before its end, so that a node is killed after the first matrix.

What is compared is processor time: of the one process on one thread, and of everything that the
cluster started (nodes, their processes, the program), so that other work on the machine changes
little. Nothing that was compiled before is used. Linux alone: /proc says what each process took.
"""

import argparse
import sys
from collections.abc import Sequence

from benchmarks.options import BenchmarkFunctions, run_benchmark
from trm_jax.command_line import make_parser, positive_int

PROGRAMS = ("sweep", "ablate", "arc", "recipe")


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = make_parser("benchmarks.cluster", __doc__)
    p.add_argument(
        "--program", default="sweep", choices=PROGRAMS, help="of experiments (default: %(default)s)"
    )
    p.add_argument(
        "--task", default="sudoku", metavar="NAME", help="of sweep, ablate and recipe (%(default)s)"
    )
    p.add_argument(
        "--schemes",
        default="fp32,int8,int4_naive",
        metavar="NAME,...",
        help="of sweep, arc (%(default)s)",
    )
    p.add_argument(
        "--limit", type=positive_int, default=64, metavar="N", help="puzzles or tasks (64)"
    )
    p.add_argument(
        "--batch-size", type=positive_int, default=8, metavar="N", help="computed together (8)"
    )
    p.add_argument("--nodes", type=positive_int, default=3, metavar="N", help="of the cluster (3)")
    p.add_argument("--no-kill", action="store_true", help="lose no node")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)

    def load() -> BenchmarkFunctions:
        from benchmarks.cluster.runner import measure, show

        return measure, show

    return run_benchmark(args, load)


if __name__ == "__main__":
    sys.exit(main())
