"""What the data commands share: options, progress, exit codes, the order of work, and generation.

Puzzles are generated in several processes. Puzzles 0 to num_train of a seed are for training;
later ones become the test set unless they are symmetric to one of those or to each other.
Training puzzles may repeat: they are many.
"""

import argparse
import functools
import json
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from trm_jax.command_line import (
    add_out,
    exit_code,
    make_parent,
    make_parser,
    natural_int,
    positive_int,
    progress_bar,
    seed_int,
    take_out,
)
from trm_jax.data import csv_puzzles, hub

Generate = Callable[..., tuple[np.ndarray, np.ndarray]]
"""`generate(num, start=..., progress=...)`, as `generate_sudoku` with its options bound."""
Pair = tuple[np.ndarray, np.ndarray]
NewClasses = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""`new_classes(candidates, known)` marks the candidates of classes not seen before."""

CANDIDATES = 20  # candidates per test puzzle before a space of puzzles counts as exhausted
CHUNK = 16  # puzzles a worker makes before it reports


def generate_parallel(
    generate: Generate,
    num: int,
    *,
    start: int = 0,
    workers: int = 1,
    progress: Callable[[int], object] = lambda done: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Generate puzzles `start` to `start + num` in several processes.

    The result does not depend on `workers`: each puzzle depends on seed and index alone.

    Args:
      generate: generator with its options bound; must be picklable when workers > 1.
      num: number of puzzles.
      start: index of the first.
      workers: processes; 1 stays in this one.
      progress: called with the number of puzzles made so far.

    Raises:
      ValueError: fewer than one worker, or what the generator raises.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    if workers == 1 or num <= CHUNK:
        return generate(num, start=start, progress=progress)
    firsts = range(start, start + num, CHUNK)
    sizes = [min(CHUNK, start + num - first) for first in firsts]
    # spawn: a fork of a process that runs threads (JAX) can deadlock
    context = multiprocessing.get_context("spawn")
    parts, done = [], 0
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        for part in pool.map(functools.partial(_chunk, generate), sizes, firsts):
            parts.append(part)
            done += len(part[0])
            progress(done)
    puzzles, answers = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return puzzles, answers


def _chunk(generate: Generate, num: int, start: int) -> tuple[np.ndarray, np.ndarray]:
    return generate(num, start=start)


def train_test(
    generate: Generate,
    num_train: int,
    num_test: int,
    new_classes: NewClasses,
    *,
    workers: int = 1,
    progress: Callable[[int], object] = lambda done: None,
) -> tuple[Pair, Pair]:
    """Generate both sets.

    Args:
      generate: generator with its options bound.
      num_train: training puzzles.
      num_test: held-out puzzles.
      new_classes: what counts as different.
      workers: processes; the result does not depend on them.
      progress: called with the number of puzzles kept so far.

    Returns:
      Training and test puzzles, each with their answers.

    Raises:
      ValueError: a set without puzzles, too few different puzzles, or what the generator raises.
    """
    if min(num_train, num_test) < 1:
        raise ValueError(f"both sets need puzzles, got num_train={num_train} num_test={num_test}")
    train = generate_parallel(generate, num_train, workers=workers, progress=progress)
    test = tuple(part[:0] for part in train)
    num_drawn, limit = num_train, num_train + CANDIDATES * num_test
    while (missing := num_test - len(test[0])) > 0:
        if num_drawn >= limit:
            raise ValueError(
                f"only {num_test - missing} of {num_test} test puzzles differ from the training"
                f" set and each other among {CANDIDATES * num_test} tried; ask for fewer puzzles"
                " or a larger kind"
            )
        num_kept = num_train + len(test[0])
        more = generate_parallel(
            generate,
            missing,
            start=num_drawn,
            workers=workers,
            progress=lambda n, num_kept=num_kept: progress(num_kept + n),
        )
        num_drawn += missing
        new = new_classes(more[0], np.concatenate([train[0], test[0]]))
        test = tuple(np.concatenate([old, part[new]]) for old, part in zip(test, more, strict=True))
    return train, (test[0], test[1])


def run(action: Callable[[], None]) -> int:
    """Run a command; bad input becomes one line on standard error and exit code 2."""
    return exit_code(action, (ValueError, OSError))


def parse_words(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line of a data command; its folder is `out`."""
    args = parser.parse_args(argv)
    take_out(parser, args)
    return args


def puzzle_parser(
    prog: str, doc: str | None
) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser, argparse.ArgumentParser]:
    """Make a parser with the commands `generate` and `build` and the options all puzzles share.

    Returns:
      The parser and its two commands, to which a task adds options of its own.
    """
    parser = make_parser(prog, doc)
    shared = make_parent()
    add_out(shared, "folder of the data set")
    shared.add_argument(
        "--seed", type=seed_int, default=0, metavar="N", help="of every draw (%(default)s)"
    )
    commands = parser.add_subparsers(dest="command", required=True, help="where puzzles come from")
    generate = commands.add_parser("generate", parents=[shared], help="make puzzles")
    generate.add_argument(
        "--num-train", type=positive_int, default=1000, metavar="N", help="puzzles (%(default)s)"
    )
    generate.add_argument(
        "--num-test", type=positive_int, default=100, metavar="N", help="puzzles (%(default)s)"
    )
    generate.add_argument(
        "--workers",
        type=positive_int,
        default=os.cpu_count() or 1,
        metavar="N",
        help="processes (%(default)s)",
    )
    build = commands.add_parser("build", parents=[shared], help="read CSV files")
    build.add_argument("--train", help="CSV file, or hf:owner/name/file[@revision]")
    build.add_argument("--test", help="the same for the test set")
    build.add_argument(
        "--subsample", type=positive_int, metavar="N", help="training puzzles to keep (all)"
    )
    build.add_argument(
        "--min-difficulty", type=natural_int, metavar="N", help="leave out lower ratings"
    )
    return parser, generate, build


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
    args: argparse.Namespace, generate: Generate, new_classes: NewClasses
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield name, puzzles and answers of a training and a disjoint test set.

    Raises:
      ValueError: see `train_test`.
    """
    with progress_bar("puzzles", args.num_train + args.num_test) as progress:
        train, test = train_test(
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
