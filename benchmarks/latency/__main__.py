"""Time one supervision step of exported models in LiteRT against ONNX Runtime.

    python -m benchmarks.latency
    python -m benchmarks.latency --presets sudoku-trm-mlp-mini --repeats 3 > rows.jsonl

Models have the published size and random weights; one puzzle. Everybody runs the same host loop
(all H-cycles of a step, L_cycles + 1 calls of the block graph each, then the heads) on the same
number of threads. LiteRT takes float32 and the schemes below; ONNX Runtime takes float32 and
what its own dynamic quantiser makes of that (int8 per channel). Before anything is timed the
float graphs are held against each other, and every contestant says how near its state after the
step is to float's (mean cosine over positions; random weights, so no accuracy).

Each repeat times everybody once, in turn; ratios are taken within a repeat, and median, least
and greatest are shown. On a crowded machine take `--threads 1` and read the ratio of CPU times:
with more threads they include waiting. `file` is the size of the graphs, `over packed` what it
has more than the packed integers, scales and zero points. The table goes to stderr, JSON rows go
to stdout.
"""

import argparse
import sys
from collections.abc import Sequence

from benchmarks.options import BenchmarkFunctions, run_benchmark
from trm_jax.command_line import make_parser, positive_int, usable_processors

PUBLISHED = "sudoku-trm-mlp,maze-trm-att"
SCHEMES = "w8c-sym_a8da,w8c-sym_a8s,w4c-sym_a8da,w4c-asym_a8da"


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = make_parser("benchmarks.latency", __doc__)
    p.add_argument("--presets", default=PUBLISHED, help="sizes (default: %(default)s)")
    p.add_argument(
        "--schemes",
        default=SCHEMES,
        metavar="NAME,...",
        help="of LiteRT, beside fp32 (default: %(default)s)",
    )
    p.add_argument(
        "--repeats",
        type=positive_int,
        default=5,
        metavar="N",
        help="of every measurement (%(default)s)",
    )
    p.add_argument(
        "--threads",
        type=positive_int,
        default=usable_processors(),
        metavar="N",
        help="for all (%(default)s)",
    )
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)

    def load() -> BenchmarkFunctions:
        from benchmarks.latency.runner import run, show  # imports jax: after parsing

        return run, show

    return run_benchmark(args, load)


if __name__ == "__main__":
    sys.exit(main())
