"""Make ARC data sets: from public task files as released, or from the project's own generator.

    python -m trm_jax.data.arc generate data/arc-mini --canvas 10 --num-aug 8
    python -m trm_jax.data.arc build data/arc-seed --source kaggle/combined/arc-agi \\
        --subsets evaluation --num-aug 128
    python -m trm_jax.data.arc build data/arc-1 --source kaggle/combined/arc-agi \\
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
from pathlib import Path

from trm_jax.command_line import make_parser
from trm_jax.data import generate as data_generate
from trm_jax.data.arc.dataset import EVALUATION, SEED, build, generate
from trm_jax.data.arc.generator import FAMILIES, ArcSpec
from trm_jax.data.arc.task_files import MAX_SIDE, TEST, TRAIN


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("trm_jax.data.arc", __doc__)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("out", type=Path, metavar="OUT", help="folder of the data set")
    shared.add_argument(
        "--splits", nargs="+", choices=(TRAIN, TEST), default=(TRAIN, TEST), help="both"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    _generate_options(commands.add_parser("generate", parents=[shared], help="make tasks"))
    _build_options(commands.add_parser("build", parents=[shared], help="read task files"))
    return parser


def _generate_options(p: argparse.ArgumentParser) -> None:
    spec = ArcSpec()
    p.set_defaults(test_set_name=EVALUATION)
    numbers = {
        "--num-train": (spec.num_training, "tasks all of which is trained on"),
        "--num-test": (spec.num_evaluation, "tasks whose questions are held out"),
        "--demonstrations": (spec.demonstrations, "of each task"),
        "--questions": (spec.questions, "of each task"),
        "--canvas": (spec.canvas, "cells in a row"),
        "--num-aug": (8, "augmentations per task"),
        "--seed": (0, "of every draw"),
    }
    for option, (default, text) in numbers.items():
        p.add_argument(option, type=int, default=default, help=f"{text} (%(default)s)")
    p.add_argument(
        "--families", nargs="+", default=spec.families, help=f"of rules: {' '.join(FAMILIES)}"
    )


def _build_options(p: argparse.ArgumentParser) -> None:
    p.add_argument("--source", type=Path, required=True, help="start of file names, or folder")
    p.add_argument("--subsets", nargs="+", required=True, help="in this order")
    p.add_argument(
        "--test-set-name", default=EVALUATION, help="subset with held-out questions (%(default)s)"
    )
    p.add_argument("--num-aug", type=int, default=1000, help="per task (%(default)s)")
    p.add_argument("--canvas", type=int, default=MAX_SIDE, help="cells in a row (%(default)s)")
    p.add_argument("--seed", type=int, default=SEED, help="of every draw (%(default)s)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 when done, 2 on bad input."""
    args = _parser().parse_args(argv)
    action = {"generate": generate, "build": build}[args.command]
    return data_generate.run(functools.partial(action, args))


if __name__ == "__main__":
    sys.exit(main())
