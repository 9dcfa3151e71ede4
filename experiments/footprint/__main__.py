"""Print what a model needs on a device under every scheme: memory, work, energy, budgets.

    python -m experiments.footprint
    python -m experiments.footprint --models arc-trm-att,sudoku-trm-mlp-mini \\
        --schemes fp32,w4c-asym_a8s_carry8 --out runs/footprint
    python -m experiments.footprint --models maze-ar-mini,qwen2.5-7b --out runs/kv

Models are presets (all published configurations if not named), model directories or decoders:
bundled ones, folders, smollm2-135m, qwen2.5-0.5b, qwen2.5-7b. Nothing is
run, everything follows from shapes, so no checkpoint is needed. Four tables: GFLOPs per H-cycle,
step and puzzle with linear layers and attention apart; stored bytes and peak memory (full load,
one block streamed, weights executed from flash) against 4 and 8 MiB; energy by the paper's
figure and by a model with stated assumptions (export/footprint/energy.py); and each figure of the
paper beside ours with the difference explained (Tables 1-6 and 15, App. G and H). A fifth has
decoders: keys and values against the tokens in context, and how many tokens each memory holds.

--scale prints instead what the whole paper takes on released checkpoints (15 schemes, all depths,
422,786 Sudoku puzzles, 1,000 mazes, 400 tasks of ARC in 1,000 augmentations): operations, bytes,
hours, cost, and what limits them, on a CPU and on 1, 8 and 64 accelerators. What is counted, what
is measured and what is assumed are tables of their own (docs/scale.md); --rates and --prices put
your own numbers in the place of those assumed. It writes nothing.

Into --out go footprint.jsonl (one row per recursive model and scheme), footprint.csv,
decoders.csv and footprint.md.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.footprint.job import COUNTED_DECODERS, PUBLISHED, SCHEMES
from experiments.measurement.folders import FOOTPRINT
from experiments.measurement.options import add_schemes
from trm_jax.command_line import exit_code, given_options, make_parser, user_path
from trm_jax.output.folder import check_named


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = make_parser("experiments.footprint", __doc__)
    p.add_argument(
        "--models",
        default=",".join([*PUBLISHED, *COUNTED_DECODERS]),
        metavar="NAME,..",
        help="presets, decoders, or directories of either (%(default)s)",
    )
    add_schemes(p, SCHEMES)
    p.add_argument(
        "--out",
        type=user_path,
        metavar="DIR",
        default=Path("runs") / "footprint",
        help="folder of the results (%(default)s)",
    )
    p.add_argument("--scale", action="store_true", help="of the whole paper, on many machines")
    p.add_argument(
        "--rates",
        metavar="NAME=X,..",
        help="with --scale: GFLOP/s of a device, cpu or h200, as measured",
    )
    p.add_argument(
        "--prices", metavar="NAME=X,..", help="with --scale: dollars an hour of a device"
    )
    return p


def check_scale(args: argparse.Namespace, p: argparse.ArgumentParser) -> None:
    """Refuse options that --scale would pass over in silence.

    Args:
      p: what parsed the command line.

    Raises:
      ValueError: names them.
    """
    if given := given_options(p, args, ("models", "schemes", "out")):
        options = ", ".join(f"--{name}" for name in given)
        raise ValueError(
            "--scale is of the paper's own models and 15 schemes and writes nothing;"
            f" leave {options} out"
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    p = parser()
    args = p.parse_args(argv)

    def action() -> None:
        if args.scale:
            check_scale(args, p)
            from experiments.footprint.runner import run_scale  # imports jax: after parsing

            return run_scale(args.rates, args.prices)
        if args.rates or args.prices:
            raise ValueError("--rates and --prices belong to --scale; add it")
        check_named(args.out, FOOTPRINT)
        from experiments.footprint.runner import run_footprint  # imports jax: after parsing

        return run_footprint(args.models, args.schemes, args.out)

    return exit_code(action, (OSError, ValueError))


if __name__ == "__main__":
    sys.exit(main())
