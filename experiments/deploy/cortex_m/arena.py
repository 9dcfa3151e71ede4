"""Measure the memory that an attention network takes on a microcontroller, at any size.

    python -m experiments.deploy.cortex_m.arena --preset maze-trm-att
    python -m experiments.deploy.cortex_m.arena --preset maze-trm-att --heads 2 --queries 50 --whole

The network of a preset is cut into graphs that share one arena (export/lowering/stages.py), with
random int8 weights and int8 activations: memory depends on neither values nor scales. TFLM's host
interpreter places every kind of graph once and says what it took; its pointers have 64 bits, so
the tails are an upper bound for a Cortex-M, and its kernels have none of CMSIS-NN's scratch
(export/cortex_m/arena.py). --whole measures a block in one graph too.

Rows go to --out as they are measured (rows.jsonl); a second run measures only what is missing.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.deploy.cortex_m.command import has_integer_attention
from experiments.measurement.folders import ARENAS
from trm_jax.command_line import REPEATED, exit_code, make_parser, positive_int, user_path
from trm_jax.config import PRESETS, preset
from trm_jax.output.folder import check_named, writing


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = make_parser("experiments.deploy.cortex_m.arena", __doc__)
    attention = sorted(name for name in PRESETS if has_integer_attention(preset(name)))
    p.add_argument(
        "--preset", default="maze-trm-att", choices=attention, help="the size (%(default)s)"
    )
    p.add_argument(
        "--heads", type=positive_int, default=1, metavar="N", help="in one graph (%(default)s)"
    )
    p.add_argument(
        "--tokens",
        type=positive_int,
        default=100,
        metavar="N",
        help="of a tail's call (%(default)s)",
    )
    p.add_argument(
        "--queries",
        type=positive_int,
        default=100,
        metavar="N",
        help="of scores at a time (%(default)s)",
    )
    p.add_argument("--whole", action="store_true", help="measure a block in one graph too")
    p.add_argument(
        "--out",
        type=user_path,
        metavar="DIR",
        default=Path("runs/attention-arena"),
        help="folder of the results (%(default)s)",
    )
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)

    def action() -> None:
        check_named(args.out, ARENAS)
        # imports jax: after parsing
        from experiments.deploy.cortex_m.graph_memory import measure_preset
        from export.lowering.stages import PartitionSpec

        cut = PartitionSpec(heads=args.heads, tokens=args.tokens, queries=args.queries)
        with writing(args.out, ARENAS):
            for text in measure_preset(args.preset, cut, args.out, whole=args.whole):
                sys.stdout.write(text + "\n")

    return exit_code(action, (OSError, ValueError, RuntimeError), REPEATED)


if __name__ == "__main__":
    sys.exit(main())
