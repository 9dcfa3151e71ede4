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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

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
from trm_jax.command_line.interrupts import children_deaf, ended_at_once
from trm_jax.data import csv_puzzles, hub
from trm_jax.data.format import PuzzleDataset, load_dataset, save_dataset
from trm_jax.output.folder import writing
from trm_jax.output.kinds import DATASET

Generate = Callable[..., tuple[np.ndarray, np.ndarray]]
"""`generate(num, start=..., progress=...)`, as `generate_sudoku` with its options bound."""
Pair = tuple[np.ndarray, np.ndarray]
NewClasses = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""`new_classes(candidates, known)` marks the candidates of classes not seen before."""

CANDIDATES = 20  # candidates per test puzzle before a space of puzzles counts as exhausted
CHUNK = 16  # puzzles a worker makes before it reports
GENERATED, SPLIT = "generator.json", "split.json"
"""Files beside the splits that say what a data set was made from."""


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
    with ProcessPoolExecutor(workers, mp_context=context) as pool, ended_at_once(pool):
        with children_deaf():
            made = pool.map(functools.partial(_chunk, generate), sizes, firsts)
        for part in made:
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


def run(action: Callable[[], None], out: Path) -> int:
    """Run a command in the folder of its data set, which it holds alone.

    Returns:
      The exit code; bad input becomes one line on standard error and exit code 2.
    """

    def held() -> None:
        with writing(out, DATASET):
            action()

    return exit_code(held, (ValueError, OSError))


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
    add_workers(generate)
    build = commands.add_parser("build", parents=[shared], help="read CSV files")
    build.add_argument("--train", help="CSV file, or hf:owner/name/file[@revision]")
    build.add_argument("--test", help="the same for the test set")
    build.add_argument(
        "--subsample", type=positive_int, metavar="N", help="training puzzles to keep (all)"
    )
    build.add_argument(
        "--min-difficulty", type=natural_int, metavar="N", help="leave out lower ratings"
    )
    build.add_argument(
        "--allow-overlap",
        action="store_true",
        help="take test puzzles that are training puzzles, or images of them",
    )
    add_workers(build)
    return parser, generate, build


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Declare the number of processes."""
    parser.add_argument(
        "--workers",
        type=positive_int,
        default=os.cpu_count() or 1,
        metavar="N",
        help="processes (%(default)s)",
    )


def add_check(parser: argparse.ArgumentParser, text: str) -> None:
    """Declare the thorough check of puzzles, which is done unless --no-check says not to."""
    parser.add_argument(
        "--check",
        action=argparse.BooleanOptionalAction,
        default=True,
        help=f"{text} (done by default; --no-check saves the time)",
    )


def note(text: str) -> None:
    """Say something on standard error that is no error."""
    sys.stderr.write(f"note: {text}\n")


class CsvSplit(NamedTuple):
    """A split as its file holds it."""

    name: str
    path: Path
    examples: csv_puzzles.CsvExamples


def read_splits(
    args: argparse.Namespace, decode: csv_puzzles.Decoder, *, spaces_count: bool = False
) -> Iterator[CsvSplit]:
    """Yield the splits named on the command line; of training puzzles as many as are asked for.

    Args:
      spaces_count: a space is a symbol of the task.

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
            examples = csv_puzzles.read_examples(
                path,
                decode,
                min_difficulty=args.min_difficulty,
                spaces_count=spaces_count,
                progress=progress,
                say=note,
            )
        if split == "train":
            examples = csv_puzzles.subset(examples, args.subsample, args.seed)
        yield CsvSplit(split, path, examples)


def refuse_overlap(
    args: argparse.Namespace,
    splits: Mapping[str, csv_puzzles.CsvExamples],
    find: Callable[[csv_puzzles.CsvExamples, csv_puzzles.CsvExamples], tuple[int, int] | None],
) -> None:
    """Refuse test puzzles that are trained on, as they are or under a symmetry.

    Where one split is named, the other is the one that the folder holds already.

    Args:
      splits: by name.
      find: (train, test) -> row of such a test puzzle and how many there are.

    Raises:
      ValueError: there are some, and --allow-overlap is not given; or the folder holds puzzles of
        another size.
    """
    kept = _kept_splits(args.out, splits)
    both = {**kept, **splits}
    if args.allow_overlap or len(both) < 2:
        return
    if (found := find(both["train"], both["test"])) is not None:
        row, count = found
        total = len(both["test"].inputs)
        train, test = (args.out / s if s in kept else getattr(args, s) for s in ("train", "test"))
        place = f"{'puzzle' if 'test' in kept else 'line'} {both['test'].lines[row]}"
        raise ValueError(
            f"{count} of {total} test puzzles of {test} are training puzzles of {train}"
            f" up to symmetry, e.g. {place}: scores would count what was"
            " learnt by heart; leave them out, or add --allow-overlap"
        )


def _kept_splits(
    out: Path, splits: Mapping[str, csv_puzzles.CsvExamples]
) -> dict[str, csv_puzzles.CsvExamples]:
    """Read the split of a folder that is not made anew: the first puzzle of every group.

    Raises:
      ValueError: it has puzzles of another size, or is damaged.
    """
    cells = next(iter(splits.values())).inputs.shape[1]
    kept = {}
    for name in ("train", "test"):
        if name in splits or not (out / name / "dataset.json").is_file():
            continue
        dataset = load_dataset(out / name)
        if dataset.metadata.seq_len != cells:
            raise ValueError(
                f"{out / name} holds puzzles of {dataset.metadata.seq_len} cells, and these have"
                f" {cells}; choose another --out"
            )
        rows = dataset.puzzle_indices[dataset.group_indices[:-1]]
        tokens = (np.asarray(x[rows], np.uint8) for x in (dataset.inputs, dataset.labels))
        kept[name] = csv_puzzles.CsvExamples(*tokens, lines=np.asarray(rows, np.int64))
    return kept


def drop_splits(out: Path, names: Iterable[str]) -> None:
    """Delete the heads of splits that are about to be made anew, and what an origin was said to be.

    Splits do not load without. A kill between two of them leaves none of an earlier data set, whose
    test puzzles may be training puzzles of the new one.
    """
    for name in (GENERATED, SPLIT):
        (out / name).unlink(missing_ok=True)
    for name in names:
        (out / name / "dataset.json").unlink(missing_ok=True)


def save_split(dataset: PuzzleDataset, folder: Path) -> None:
    """Write a split that was built, and say how many puzzles it has."""
    save_dataset(dataset, folder)
    groups, rows = dataset.metadata.total_groups, len(dataset)
    copies = f", {rows} with their images" if rows > groups else ""
    sys.stdout.write(f"{folder}: {groups} puzzles{copies}\n")


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
    drop_splits(args.out, ("train", "test"))
    yield "train", *train
    yield "test", *test


def save_facts(args: argparse.Namespace, spec: dict[str, object]) -> None:
    """Write generator.json, what a generated data set was made from, and say so."""
    facts = spec | {name: getattr(args, name) for name in ("seed", "num_train", "num_test")}
    (args.out / GENERATED).write_text(json.dumps(facts))
    sys.stdout.write(f"{args.out}: {args.num_train} training, {args.num_test} test puzzles\n")
