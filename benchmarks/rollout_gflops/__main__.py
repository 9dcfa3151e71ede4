"""Compare the rollout's GFLOP/s with those of its matrix products alone.

    python -m benchmarks.rollout_gflops
    python -m benchmarks.rollout_gflops --preset sudoku-trm-mlp --limit 8 --steps 1 > rows.jsonl

The rollout is what experiments.sweep runs, in float32; its operations are those of the blocks
(trm_jax.config.flops_per_step: linear layers and attention products, 2 per multiply-accumulate).
The rival, in the same run and on the same threads, is a `jnp.matmul` of every shape that a block
multiplies, timed on its own and weighted by how often the rollout runs it. The share says how
much of the machine's matrix speed norms, activations, transposes and loops leave over.

Each repeat times everybody once and takes the share within; median, least and greatest are
shown. The table goes to stderr, JSON rows go to stdout.
"""

import argparse
import sys
from collections.abc import Sequence

from benchmarks.options import BenchmarkFunctions, add_subject_options, run_benchmark
from trm_jax.command_line import make_parser, positive_int

LIMIT = 64  # puzzles: a shard of experiments.sweep on a CPU


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = make_parser("benchmarks.rollout_gflops", __doc__)
    add_subject_options(p, LIMIT)
    p.add_argument(
        "--steps", type=positive_int, metavar="N", help="supervision steps (default: the model's)"
    )
    p.add_argument(
        "--repeats",
        type=positive_int,
        default=5,
        metavar="N",
        help="of every measurement (%(default)s)",
    )
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)

    def load() -> BenchmarkFunctions:
        from benchmarks.rollout_gflops.runner import run, show  # imports jax: after parsing

        return run, show

    return run_benchmark(args, load)


if __name__ == "__main__":
    sys.exit(main())
