"""Make ARC data sets: from public task files as released, or from the project's own generator.

    python -m trm_jax.data.arc generate --out data/arc-mini --canvas 10 --num-aug 8
    python -m trm_jax.data.arc build --out data/arc-seed --source kaggle/combined/arc-agi \\
        --subsets evaluation --num-aug 128
    python -m trm_jax.data.arc build --out data/arc-1 --source kaggle/combined/arc-agi \\
        --subsets training evaluation concept --num-aug 1000 --splits test

SOURCE is the start of Kaggle's file names (SOURCE_evaluation_challenges.json and _solutions.json)
or a folder with one folder of task files per subset (ARC-AGI/data). The second and third command
give the 50,911 and 876,406 identifiers of published models; `--splits test` leaves out the
training arrays (6.5 GB), which evaluation does not need. `generate` keeps its tasks beside the
data set, in OUT/tasks_*.json, for `--source OUT/tasks`. Tokens: pad 0, end of grid 1, colours 2
to 11.
"""

import argparse
import functools
import sys
from collections.abc import Sequence

from trm_jax.command_line import (
    add_out,
    make_parent,
    make_parser,
    natural_int,
    positive_int,
    seed_int,
    user_path,
)
from trm_jax.data import generate as data_generate
from trm_jax.data.arc.dataset import EVALUATION, SEED, build, generate
from trm_jax.data.arc.generator import FAMILIES, ArcSpec
from trm_jax.data.arc.task_files import MAX_SIDE, TEST, TRAIN


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("trm_jax.data.arc", __doc__)
    shared = make_parent()
    add_out(shared, "folder of the data set")
    shared.add_argument(
        "--splits",
        nargs="+",
        choices=(TRAIN, TEST),
        default=(TRAIN, TEST),
        help="what to write (both)",
    )
    commands = parser.add_subparsers(dest="command", required=True, help="where tasks come from")
    _generate_options(commands.add_parser("generate", parents=[shared], help="make tasks"))
    _build_options(commands.add_parser("build", parents=[shared], help="read task files"))
    return parser


def _generate_options(p: argparse.ArgumentParser) -> None:
    spec = ArcSpec()
    p.set_defaults(test_set_name=EVALUATION)
    numbers = {
        "--num-train": (natural_int, spec.num_training, "tasks all of which is trained on"),
        "--num-test": (positive_int, spec.num_evaluation, "tasks whose questions are held out"),
        "--demonstrations": (positive_int, spec.demonstrations, "of each task"),
        "--questions": (positive_int, spec.questions, "of each task"),
        "--canvas": (positive_int, spec.canvas, "cells in a row"),
        "--num-aug": (natural_int, 8, "augmentations per task"),
        "--seed": (seed_int, 0, "of every draw"),
    }
    for option, (kind, default, text) in numbers.items():
        p.add_argument(
            option, type=kind, default=default, metavar="N", help=f"{text} (%(default)s)"
        )
    p.add_argument(
        "--families",
        nargs="+",
        metavar="NAME",
        default=spec.families,
        help=f"of rules: {' '.join(FAMILIES)}",
    )


def _build_options(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--source",
        type=user_path,
        required=True,
        metavar="PATH",
        help="start of file names, or folder",
    )
    p.add_argument(
        "--subsets", nargs="+", required=True, metavar="NAME", help="of the source, in this order"
    )
    p.add_argument(
        "--test-set-name",
        default=EVALUATION,
        metavar="NAME",
        help="subset with held-out questions (%(default)s)",
    )
    p.add_argument(
        "--num-aug",
        type=natural_int,
        default=1000,
        metavar="N",
        help="augmentations per task (%(default)s)",
    )
    p.add_argument(
        "--canvas",
        type=positive_int,
        default=MAX_SIDE,
        metavar="N",
        help="cells in a row (%(default)s)",
    )
    p.add_argument(
        "--seed", type=seed_int, default=SEED, metavar="N", help="of every draw (%(default)s)"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 when done, 2 on bad input."""
    args = data_generate.parse_words(_parser(), argv)
    action = {"generate": generate, "build": build}[args.command]
    return data_generate.run(functools.partial(action, args), args.out)


if __name__ == "__main__":
    sys.exit(main())
