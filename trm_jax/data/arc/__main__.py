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
import dataclasses
import functools
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from trm_jax.data import generate as data_generate
from trm_jax.data.arc import dataset
from trm_jax.data.arc.dataset import check_canvas, write_index, write_split
from trm_jax.data.arc.generator import FAMILIES, ArcSpec, generate_tasks
from trm_jax.data.arc.task_files import MAX_SIDE, TEST, TRAIN, ArcTask, read_subset, write_kaggle

TRAINING, EVALUATION = "training", "evaluation"


def save(args: argparse.Namespace, subsets: Mapping[str, Sequence[ArcTask]], seed: int) -> None:
    """Augment tasks and write the data set, with identifiers.json and test_puzzles.json.

    Raises:
      ValueError: see `arc_plan.plan` and `arc_build.write_split`.
    """
    rng = np.random.RandomState(seed)
    with data_generate.progress_bar("tasks planned", sum(map(len, subsets.values()))) as progress:
        groups = dataset.plan(
            subsets,
            test_set_name=args.test_set_name,
            num_aug=args.num_aug,
            rng=rng,
            progress=progress,
        )
    check_canvas(groups, args.canvas)
    write_index(groups, args.out)
    for split in dict.fromkeys(s for s in (TRAIN, TEST) if s in args.splits):
        with data_generate.progress_bar(f"{split} tasks", len(groups)) as progress:
            meta = write_split(
                groups, split, args.out, side=args.canvas, rng=rng, progress=progress
            )
        sys.stdout.write(
            f"{args.out / split}: {meta.total_groups} tasks, {meta.total_puzzles} augmented,"
            f" {meta.num_puzzle_identifiers} identifiers\n"
        )


def build(args: argparse.Namespace) -> None:
    """Run `build`: task files to a data set."""
    subsets = {subset: read_subset(args.source, subset) for subset in args.subsets}
    save(args, subsets, args.seed)


def generate(args: argparse.Namespace) -> None:
    """Run `generate`: a data set of the project's own tasks, with generator.json beside it."""
    spec = ArcSpec(
        num_training=args.num_train,
        num_evaluation=args.num_test,
        demonstrations=args.demonstrations,
        questions=args.questions,
        canvas=args.canvas,
        families=tuple(args.families),
    )
    training, evaluation = generate_tasks(spec, seed=args.seed)
    subsets = {TRAINING: training, EVALUATION: evaluation}
    subsets = {name: tasks for name, tasks in subsets.items() if tasks}
    save(args, subsets, args.seed)
    for name, tasks in subsets.items():
        write_kaggle(args.out / "tasks", name, tasks)
    facts = {"generator": "arc", **dataclasses.asdict(spec)}
    facts |= {"num_aug": args.num_aug, "seed": args.seed}
    (args.out / "generator.json").write_text(json.dumps(facts))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trm_jax.data.arc",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("out", type=Path, metavar="OUT", help="folder of the data set")
    shared.add_argument(
        "--splits", nargs="+", choices=(TRAIN, TEST), default=(TRAIN, TEST), help="both"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    _generate_options(commands.add_parser("generate", parents=[shared], help="make tasks"))
    _build_options(commands.add_parser("build", parents=[shared], help="read task files"))
    return parser


def _generate_options(made: argparse.ArgumentParser) -> None:
    spec = ArcSpec()
    made.set_defaults(test_set_name=EVALUATION)
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
        made.add_argument(option, type=int, default=default, help=f"{text} (%(default)s)")
    made.add_argument(
        "--families", nargs="+", default=spec.families, help=f"of rules: {' '.join(FAMILIES)}"
    )


def _build_options(read: argparse.ArgumentParser) -> None:
    read.add_argument("--source", type=Path, required=True, help="start of file names, or folder")
    read.add_argument("--subsets", nargs="+", required=True, help="in this order")
    read.add_argument(
        "--test-set-name", default=EVALUATION, help="subset with held-out questions (%(default)s)"
    )
    read.add_argument("--num-aug", type=int, default=1000, help="per task (%(default)s)")
    read.add_argument("--canvas", type=int, default=MAX_SIDE, help="cells in a row (%(default)s)")
    read.add_argument("--seed", type=int, default=dataset.SEED, help="of every draw (%(default)s)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 when done, 2 on bad input."""
    args = _parser().parse_args(argv)
    action = {"generate": generate, "build": build}[args.command]
    return data_generate.run(functools.partial(action, args))


if __name__ == "__main__":
    sys.exit(main())
