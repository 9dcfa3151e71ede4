"""Look for the sequence length from which int8 is faster than float (the paper's App. G.1).

    python -m benchmarks.sequence_length
    python -m benchmarks.sequence_length --mixer mlp --lengths 16,64,256 --figure crossover

The paper sees static int8 lose on Sudoku (about 100 positions) and win on mazes (900) on phones,
and places the crossover in between. Here: one block application at the published width, random
weights, one puzzle, on this computer's CPU. Int8 against float32 of the same runtime:

    LiteRT static     QUANTIZE, int8 x int8, DEQUANTIZE around every weight matrix (_a8s)
    LiteRT dynamic    rows quantised inside the kernel (_a8da)
    ORT static        QDQ, in ONNX Runtime (_a8s)

Every repeat times everybody once, and the ratio int8 : float is taken within the repeat. Int8
counts as faster where at least 90 % of the ratios lie below 1, as slower where 90 % lie above;
else the machine's noise decides nothing. On a busy machine `--clock cpu` takes the CPU time of
the one thread instead of wall time: what others take is not counted. A CPU stands in for no NPU:
it has no driver to wait for, which is what the paper blames. Needs [export] and [onnx].
"""

import argparse
import sys
from collections.abc import Sequence

from benchmarks.options import BenchmarkFunctions, positive_ints, run_benchmark
from trm_jax.command_line import make_parser, positive_int, user_path
from trm_jax.config import Mixer

LENGTHS = (16, 32, 64, 128, 256, 512, 1024)
REPEATS = 15


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = make_parser("benchmarks.sequence_length", __doc__)
    p.add_argument(
        "--lengths",
        type=positive_ints,
        default=LENGTHS,
        metavar="N,...",
        help=f"positions ({','.join(map(str, LENGTHS))})",
    )
    mixers = [Mixer.ATTENTION.value, Mixer.MLP.value]
    p.add_argument("--mixer", default=mixers[0], choices=mixers, help="of the block (%(default)s)")
    p.add_argument(
        "--threads", type=positive_int, default=1, metavar="N", help="of the runtimes (%(default)s)"
    )
    p.add_argument(
        "--repeats",
        type=positive_int,
        default=REPEATS,
        metavar="N",
        help="of every measurement (%(default)s)",
    )
    p.add_argument(
        "--figure", type=user_path, metavar="PATH", help="draw into PATH.png and PATH.svg"
    )
    p.add_argument(
        "--clock", default="wall", choices=("wall", "cpu"), help="what is counted (%(default)s)"
    )
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)

    def load() -> BenchmarkFunctions:
        from benchmarks.sequence_length.runner import run, show  # imports jax: after parsing

        return run, show

    return run_benchmark(args, load)


if __name__ == "__main__":
    sys.exit(main())
