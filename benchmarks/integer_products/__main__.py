"""Compare the forms that an ONNX file can give an 8-bit product: right on this CPU, and how fast.

    python -m benchmarks.integer_products
    python -m benchmarks.integer_products --shapes 97x512x64 --repeats 3 > rows.jsonl

Every form is one QDQ product with a scale per output, as export.onnx writes it: uint8 inputs and
outputs, 8-bit integers of random weights. It runs on one thread, under ONNX Runtime's default
options where the form names none. The rival is the float32 product in the same run. `wrong` is
the share of outputs that differ from NumPy's integers by more than one step (rounding explains
one): more than 0 means sums that saturate. On x86 without VNNI that is the fate of uint8 x int8,
and of int8 x int8, which ONNX Runtime makes uint8 x int8 of.

Each repeat times every form once, and takes the ratio to float32 within the repeat; times are CPU
times of the one thread. The table goes to stderr, JSON rows go to stdout.

A CPU without VNNI is emulated by qemu-user, right but slow (its times mean nothing):

    qemu-x86_64 -cpu Haswell $(realpath $(which python)) -m benchmarks.integer_products

which needs `PYTHONPATH` to name the packages of a virtual environment.
"""

import argparse
import sys
from collections.abc import Sequence

from benchmarks.options import BenchmarkFunctions, run_benchmark
from trm_jax.command_line import make_parser, positive_int

SHAPES = "97x512x3072,97x1536x512,900x512x1536"


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = make_parser("benchmarks.integer_products", __doc__)
    p.add_argument(
        "--shapes",
        default=SHAPES,
        metavar="PxIxO,...",
        help="of products (%(default)s)",
    )
    p.add_argument(
        "--repeats", type=positive_int, default=15, metavar="N", help="of each time (%(default)s)"
    )
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)

    def load() -> BenchmarkFunctions:
        from benchmarks.integer_products.runner import run, show  # imports jax: after parsing

        return run, show

    return run_benchmark(args, load)


if __name__ == "__main__":
    sys.exit(main())
