"""Time a device's integers in JAX against TFLM's interpreter: puzzles per second, same answers.

    python -m benchmarks.integer_rollout
    python -m benchmarks.integer_rollout --preset sudoku-trm-mlp --limit 4 --steps 1 \\
        --scheme tflm_int4_int16 --device-puzzles 1 --repeats 1 > rows.jsonl

Both solve puzzles from start to end in the same run on the same CPU: the simulation a batch of
--limit puzzles, jitted, warm; the interpreter (the tflite-micro wheel, reference kernels, one
thread, in a process of its own, behind the host loop of export/artifact/solver.py) one after the
other, the first --device-puzzles of them. Before anything is timed, tokens and last states of
these are compared, bit for bit; a difference is an error. Float32 rollouts of the batch are timed
too. The table goes to stderr, JSON rows to stdout. Random presets calibrate on the puzzles they are
timed on.
"""

import argparse
import sys
from collections.abc import Sequence

from benchmarks.options import BenchmarkFunctions, add_subject_options, run_benchmark
from trm_jax.command_line import make_parser, positive_int

LIMIT = 32  # about a minute on two free cores for the bundled model


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = make_parser("benchmarks.integer_rollout", __doc__)
    add_subject_options(p, LIMIT)
    p.add_argument(
        "--scheme", default="tflm_int4_int16", metavar="NAME", help="of TFLM (%(default)s)"
    )
    p.add_argument(
        "--steps", type=positive_int, metavar="N", help="supervision steps (the model's)"
    )
    p.add_argument(
        "--device-puzzles",
        type=positive_int,
        default=2,
        metavar="N",
        help="that the interpreter solves (%(default)s)",
    )
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
        from benchmarks.integer_rollout.runner import measure, show  # imports jax: after parsing

        return measure, show

    return run_benchmark(args, load)


if __name__ == "__main__":
    sys.exit(main())
