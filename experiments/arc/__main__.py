"""Answer ARC tasks by votes over augmentations, at every precision, and say what a vote costs.

    python -m experiments.arc
    python -m experiments.arc --schemes fp32,int4_naive --num-aug 3 --limit 10 --out runs/arc-quick

Every question is asked under augmentations of its task (the identity first), each with its own
row of the puzzle table. Answers are cropped, turned and painted back, and ranked by (votes, mean
halting probability). Printed are pass@k over tasks and HRM's stricter score (a task counts only
whole), for each scheme and for fewer augmentations, with 95 % intervals over tasks and with cost:
rollouts, GFLOPs and seconds per task. Several --model (checkpoints of one run) vote together.

DATA is what `python -m trm_jax.data.arc` writes: its identifiers name the rows of the model's
puzzle table, and its test_puzzles.json holds the tasks; --tasks names another such folder to take
the tasks from. Augmentations the model has no row for get the mean row of the table, or with
--row-steps N a row that N sign-SGD updates train on the task's demonstrations, everything else
frozen. Rows are read from the model's file as they are asked for; the table is never in memory.

Into --out go rows.jsonl (answers, a line per scheme, model and shard of tasks as it is finished),
votes.json, scores.csv, both tables in Markdown, and submission-SCHEME.json with two attempts for
each question. A killed run goes on with --resume, which also adds schemes and tasks.
"""

import argparse
import sys
from collections.abc import Sequence

from experiments.jobs.engine import add_engine
from experiments.measurement.folders import VOTE
from experiments.measurement.options import add_schemes, measurement_parent
from trm_jax.command_line import (
    RESUMED,
    exit_code,
    make_parser,
    natural_int,
    positive_int,
    user_path,
)
from trm_jax.data.arc.dataset import SEED
from trm_jax.output.folder import check_named

DEFAULT_SCHEMES = ("fp32", "int8", "int4_naive", "int4_calibrated")
DEFAULT_AUG = 15  # as many as the bundled model has rows for


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    shared = measurement_parent(
        "runs/arc-MODEL",
        limit=0,
        limit_of="tasks",
        batch_note="64 on a CPU, 512 a device elsewhere",
        seed=SEED,
        seed_of="every draw",
    )
    p = make_parser("experiments.arc", __doc__, shared)
    p.set_defaults(task="arc", model=None)
    p.add_argument(
        "--model",
        nargs="+",
        default=[None],
        dest="models",
        metavar="NAME|PATH",
        help="default: the bundled one; several vote together",
    )
    p.add_argument("--tasks", type=user_path, metavar="DIR", help="take the tasks from here (DATA)")
    p.add_argument("--new-only", action="store_true", help="leave out tasks with trained rows")
    p.add_argument(
        "--row-steps", type=natural_int, default=0, metavar="N", help="train new rows (mean)"
    )
    add_schemes(p, DEFAULT_SCHEMES)
    p.add_argument(
        "--num-aug",
        type=natural_int,
        default=DEFAULT_AUG,
        metavar="N",
        help="augmentations per task (%(default)s)",
    )
    p.add_argument(
        "--steps", type=positive_int, metavar="N", help="supervision steps (the model's)"
    )
    add_engine(p)
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)

    def action() -> None:
        check_named(args.out, VOTE, resume=args.resume)
        from experiments.arc.runner import vote  # imports jax: after parsing

        vote(args)

    return exit_code(action, (OSError, ValueError, ModuleNotFoundError), RESUMED)


if __name__ == "__main__":
    sys.exit(main())
