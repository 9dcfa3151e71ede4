"""What the puzzle commands share: exit codes, progress, options, and the order of work."""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from trm_jax.data import csv_puzzles, hub, splits
from trm_jax.program import exit_code


def run(action: Callable[[], None]) -> int:
    """Run a command; bad input becomes one line on standard error and exit code 2."""
    return exit_code(action, (ValueError, OSError))


@contextlib.contextmanager
def progress_bar(title: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal while the block runs; yields the function that moves it."""
    console = Console(stderr=True)
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    hidden = not console.is_terminal  # a log file would get a blank line
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done: progress.update(task, completed=done)


def puzzle_parser(
    prog: str, doc: str | None
) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser, argparse.ArgumentParser]:
    """Make a parser with the commands `generate` and `build` and the options all puzzles share.

    Returns:
      The parser and its two commands, to which a task adds options of its own.
    """
    parser = argparse.ArgumentParser(
        prog=prog, description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("out", type=Path, metavar="OUT", help="folder of the data set")
    shared.add_argument("--seed", type=int, default=0, help="of every draw (%(default)s)")
    commands = parser.add_subparsers(dest="command", required=True)
    made = commands.add_parser("generate", parents=[shared], help="make puzzles")
    made.add_argument("--num-train", type=int, default=1000, help="puzzles (%(default)s)")
    made.add_argument("--num-test", type=int, default=100, help="puzzles (%(default)s)")
    made.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    read = commands.add_parser("build", parents=[shared], help="read CSV files")
    read.add_argument("--train", help="CSV file, or hf:owner/name/file[@revision]")
    read.add_argument("--test", help="the same for the test set")
    read.add_argument("--subsample", type=int, help="training puzzles to keep (all)")
    read.add_argument("--min-difficulty", type=int, help="leave out lower ratings")
    return parser, made, read


def read_splits(
    args: argparse.Namespace, decode: csv_puzzles.Decoder
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield name, inputs and labels of the splits named on the command line.

    Raises:
      ValueError: no split is named, or a file is bad.
      OSError: a file is missing.
    """
    sources = {split: getattr(args, split) for split in ("train", "test") if getattr(args, split)}
    if not sources:
        raise ValueError("name a CSV file with --train, --test or both")
    for split, source in sources.items():
        path = hub.resolve(source, repo_type="dataset")
        with progress_bar(f"{split} rows") as progress:
            inputs, labels = csv_puzzles.read_examples(
                path, decode, min_difficulty=args.min_difficulty, progress=progress
            )
        yield split, inputs, labels


def generate_splits(
    args: argparse.Namespace, generate: splits.Generate, new_classes: splits.NewClasses
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield name, puzzles and answers of a training and a disjoint test set.

    Raises:
      ValueError: see `splits.train_test`.
    """
    with progress_bar("puzzles", args.num_train + args.num_test) as progress:
        train, test = splits.train_test(
            generate,
            args.num_train,
            args.num_test,
            new_classes,
            workers=args.workers,
            progress=progress,
        )
    yield "train", *train
    yield "test", *test


def save_facts(args: argparse.Namespace, spec: dict[str, object]) -> None:
    """Write generator.json, what a generated data set was made from, and say so."""
    facts = spec | {name: getattr(args, name) for name in ("seed", "num_train", "num_test")}
    (args.out / "generator.json").write_text(json.dumps(facts))
    sys.stdout.write(f"{args.out}: {args.num_train} training, {args.num_test} test puzzles\n")
