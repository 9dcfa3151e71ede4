"""Train a full-size model in the minutes that there are, evaluate it, leave it in a few files.

    python -m experiments.full_size --minutes 9 --data data/sudoku-hard --out runs/full-size
    python -m experiments.full_size --minutes 9 --data a.csv b.csv --out runs/full-size
    python -m experiments.full_size --minutes 5 --data data/sudoku-hard --out runs/more \\
        --carried runs/full-size/luggage/state
    python -m experiments.full_size --rehearse --out runs/rehearsal

In this order, all within --minutes:

    data        CSV files become a data set; held-out puzzles are images of no training puzzle
    speed       40 updates are timed; below --floor samples/s the program stops
    training    as many updates as fit; the learning rate falls to its least as the time ends; the
                averaged weights are saved every minute
    evaluation  the model under fp32, int8, int4 and int3 (naive and calibrated) and GPTQ, at every
                depth; what is not finished in time is left out
    luggage     OUT/luggage: at most 8 files of at most 15 MiB: weights, a compact state to go on
                with (--carried), and results.zip with everything else

OUT also gets training/ (rows, curve), model/ (what every other program takes as --model), sweep/
(what experiments.report takes) and README.md, the model's card. A step that fails leaves what the
others made, and the program says what failed and exits with 2. jax, flax, optax, orbax-checkpoint
and numpy are all it needs, by PYTHONPATH from a checkout. --rehearse does all of it with a tiny
model and puzzles of its own, in under a minute on two cores.
"""

import argparse
import sys
from collections.abc import Sequence

from experiments.full_size.job import DEFAULTS, HOLD_OUT, REHEARSAL, FullSizeJob
from experiments.measurement.folders import FULL_SIZE
from trm_jax.command_line import (
    exit_code,
    make_parser,
    natural_float,
    positive_float,
    positive_int,
    seed_int,
    user_path,
)
from trm_jax.config import PRESET_TASKS, PRESETS
from trm_jax.output.folder import check_named
from trm_jax.training.recipe import Optimizer

SUDOKU_PRESETS = sorted(name for name in PRESETS if PRESET_TASKS[name] == "sudoku")


def parser() -> argparse.ArgumentParser:
    """Declare the command line; what is not given follows from --rehearse."""
    p = make_parser("experiments.full_size", __doc__)
    p.add_argument("--out", required=True, type=user_path, metavar="DIR", help="folder of the run")
    p.add_argument("--minutes", type=positive_float, metavar="M", help="that all of it may take")
    p.add_argument(
        "--data",
        nargs="+",
        metavar="PATH",
        help="a data set with train/ and test/, or Sudoku CSV files (hf:owner/name/file too)",
    )
    p.add_argument("--rehearse", action="store_true", help="all of it, tiny, on puzzles of its own")
    p.add_argument(
        "--preset",
        choices=SUDOKU_PRESETS,
        metavar="NAME",
        help=f"model configuration ({DEFAULTS.preset})",
    )
    p.add_argument(
        "--carried", type=user_path, metavar="DIR", help="compact state of an earlier run, to go on"
    )
    add_training(p)
    add_evaluation(p)
    return p


def add_training(p: argparse.ArgumentParser) -> None:
    """Declare what is trained and how."""
    of = DEFAULTS
    p.add_argument(
        "--batch-size",
        type=positive_int,
        metavar="N",
        help=f"puzzles of an update ({of.batch_size})",
    )
    p.add_argument("--lr", type=natural_float, metavar="X", help=f"learning rate ({of.lr:g})")
    p.add_argument(
        "--weight-decay",
        type=natural_float,
        metavar="X",
        help=f"of all weights ({of.weight_decay:g})",
    )
    p.add_argument(
        "--optimizer", type=Optimizer, choices=list(Optimizer), help=f"({of.optimizer.value})"
    )
    p.add_argument(
        "--dtype", choices=("float32", "bfloat16"), help="of the network (bfloat16 on accelerators)"
    )
    p.add_argument(
        "--floor",
        type=natural_float,
        metavar="R",
        help="samples/s below which the program stops (what 1,000 updates in the time need)",
    )
    p.add_argument("--seed", type=seed_int, default=0, metavar="N", help="of every draw (0)")


def add_evaluation(p: argparse.ArgumentParser) -> None:
    """Declare what is evaluated."""
    of = DEFAULTS
    p.add_argument(
        "--hold-out",
        type=positive_int,
        metavar="N",
        help=f"puzzles of CSV files that are not trained on ({HOLD_OUT})",
    )
    p.add_argument(
        "--limit", type=positive_int, metavar="N", help=f"puzzles to evaluate ({of.limit})"
    )
    p.add_argument(
        "--evaluation-share",
        type=positive_float,
        metavar="X",
        help=f"of the time, kept for evaluation ({of.evaluation_share:g})",
    )


def read_job(args: argparse.Namespace) -> FullSizeJob:
    """Read what is asked for off a command line.

    Raises:
      ValueError: data or minutes are missing, or an option does not go with --rehearse.
    """
    return (REHEARSAL if args.rehearse else DEFAULTS).given(vars(args))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; 0 when every step did its work, 2 on bad input or a failed step."""
    args = parser().parse_args(argv)

    def action() -> None:
        job = read_job(args)
        check_named(args.out, FULL_SIZE, resume=False)
        # after parsing, for it imports jax; annotations without jaxtyping come first
        import experiments.train.minimal_install  # noqa: F401
        from experiments.full_size.runner import full_size

        full_size(job)

    return exit_code(action, (ValueError, OSError, RuntimeError, MemoryError))


if __name__ == "__main__":
    sys.exit(main())
