"""Time one supervision step of the published architectures: JAX against PyTorch, on a CPU.

    python -m benchmarks.puzzle_step
    python -m benchmarks.puzzle_step --presets maze-trm-att --batch-sizes 1 --repeats 7 > rows.jsonl

Both run the same function on the same weights in float32, drawn at random: embed the puzzles, all
H-cycles of one supervision step, decode the answers. The rival is the released architecture
written anew in PyTorch (benchmarks/torch_reasoner.py: eager, fused attention), which needs
[torch]. Before anything is timed the logits of both are compared; a rival that differs by more
than rounding ends the program.

Each repeat times both, in turn, the first of them by turns too. The ratio is JAX : PyTorch of the
CPU time within a repeat, so that other work on the machine changes little; below 1 JAX takes less.
Median, least and greatest are shown: of n repeats the range from least to greatest covers the true
median with a probability of 1 - 2^(1-n). Compilation is not counted. With more than one thread CPU
time includes waiting: read the ratio of wall times in the rows. The table goes to stderr, JSON rows
go to stdout.
"""

import argparse
import sys
from collections.abc import Sequence

from benchmarks.options import BenchmarkFunctions, limit_threads, positive_ints, run_benchmark
from trm_jax.command_line import make_parser, positive_int

PUBLISHED = "sudoku-trm-mlp,sudoku-trm-att,maze-trm-att,sudoku-hrm"
BATCH_SIZES = "1,4"


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = make_parser("benchmarks.puzzle_step", __doc__)
    p.add_argument("--presets", default=PUBLISHED, help="sizes (default: %(default)s)")
    p.add_argument(
        "--batch-sizes",
        type=positive_ints,
        default=BATCH_SIZES,
        metavar="N,...",
        help="puzzles computed together, each measured (%(default)s)",
    )
    p.add_argument(
        "--repeats",
        type=positive_int,
        default=5,
        metavar="N",
        help="of every measurement (%(default)s)",
    )
    p.add_argument(
        "--threads", type=positive_int, default=1, metavar="N", help="for both (%(default)s)"
    )
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)

    def load() -> BenchmarkFunctions:
        limit_threads(args.threads)
        from benchmarks.puzzle_step.runner import measure, show  # imports jax: after parsing

        return measure, show

    return run_benchmark(args, load)


if __name__ == "__main__":
    sys.exit(main())
