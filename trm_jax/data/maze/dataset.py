"""From CSV files or generated mazes to a data set in the released layout.

Not here: the options (__main__.py), how mazes are drawn (generator.py).
"""

import argparse
import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from trm_jax.data import csv_puzzles
from trm_jax.data import generate as data_generate
from trm_jax.data.csv_puzzles import CsvExamples
from trm_jax.data.facts import ONE_BLANK, PuzzleFacts
from trm_jax.data.format import PuzzleDataset, from_examples, save_dataset
from trm_jax.data.maze.generator import MazeSpec, generate_mazes
from trm_jax.data.maze.solver import FREE, GOAL, PATH, START, WALL, shortest_path
from trm_jax.data.maze.symmetry import (
    SYMBOLS,
    VOCAB_SIZE,
    Shape,
    TokenRows,
    least_images,
    new_classes,
    symmetries,
    transform_rows,
)


def _path_fault(maze: np.ndarray, answer: np.ndarray) -> str | None:
    """Say what is wrong with a marked path, if anything: it must be a shortest one."""
    try:
        moves = len(shortest_path(maze)) - 1
        marked = len(shortest_path(np.where(answer == FREE, WALL, answer))) - 1
    except ValueError as error:
        return str(error)
    cells = int((answer == PATH).sum()) + 1
    if not moves == marked == cells:
        return f"answer marks {cells} moves, the shortest path has {moves}"
    return None


def decode_rows(
    questions: Sequence[str], answers: Sequence[str], *, shape: Shape, check: bool
) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """Turn rows of a CSV file into tokens (a `csv_puzzles.Decoder`).

    Args:
      questions: mazes.
      answers: mazes with a path.
      shape: height and width.
      check: refuse answers that do not mark a shortest path.
    """
    wrong: dict[int, str] = {}
    open_symbols = {symbol: token for symbol, token in SYMBOLS.items() if token != PATH}
    cells = shape[0] * shape[1]
    inputs = csv_puzzles.decode_text(questions, cells, open_symbols, "question", wrong)
    labels = csv_puzzles.decode_text(answers, cells, SYMBOLS, "answer", wrong)
    for token, name in ((START, "start"), (GOAL, "goal")):
        for i in np.flatnonzero((inputs == token).sum(1) != 1):
            wrong.setdefault(int(i), f"question must have exactly one {name}")
    for i in np.flatnonzero((np.where(labels == PATH, FREE, labels) != inputs).any(axis=1)):
        wrong.setdefault(int(i), "answer contradicts question")
    if check:
        for i in sorted(set(range(len(inputs))) - set(wrong)):
            if fault := _path_fault(inputs[i].reshape(shape), labels[i].reshape(shape)):
                wrong[i] = fault
    return inputs, labels, wrong


def enlarge(
    inputs: TokenRows, labels: TokenRows, shape: Shape, transforms: Sequence[int]
) -> PuzzleDataset:
    """Make a data set in which the images of a maze are a group, in the order of `transforms`."""
    images = [
        [transform_rows(rows.astype(np.uint8), shape, t) for t in transforms]
        for rows in (inputs, labels)
    ]
    inputs_out, labels_out = (
        np.stack(rows, axis=1).reshape(-1, inputs.shape[1]) for rows in images
    )
    return from_examples(
        inputs_out,
        labels_out,
        vocab_size=VOCAB_SIZE,
        group_size=len(transforms),
        puzzles=PuzzleFacts(task="maze", grid=shape, box=None, identifiers_sha256=ONE_BLANK),
    )


def build(args: argparse.Namespace) -> None:
    """Run `build`: CSV files to a data set."""
    shape = parse_shape(args.shape)
    read = functools.partial(decode_rows, shape=shape, check=args.check)
    # a space is a free cell
    splits = {s.name: s.examples for s in data_generate.read_splits(args, read, spaces_count=True)}
    data_generate.refuse_overlap(args, splits, functools.partial(find_overlap, shape=shape))
    data_generate.drop_splits(args.out, splits)
    for name, (inputs, labels, _) in splits.items():
        transforms = symmetries(shape) if name == "train" and args.aug else (0,)
        data_generate.save_split(enlarge(inputs, labels, shape, transforms), args.out / name)


def find_overlap(train: CsvExamples, test: CsvExamples, shape: Shape) -> tuple[int, int] | None:
    """Find a test maze that is a training maze, turned or mirrored.

    Returns:
      Its row and the number of such test mazes; None: there is none.
    """
    known = set(least_images(train.inputs, shape))
    rows = [row for row, image in enumerate(least_images(test.inputs, shape)) if image in known]
    return (rows[0], len(rows)) if rows else None


def generate(args: argparse.Namespace) -> None:
    """Run `generate`: a data set of the project's own mazes, with generator.json beside it."""
    height, width = shape = parse_shape(args.shape)
    spec = dataclasses.asdict(
        MazeSpec(
            height=height,
            width=width,
            min_path=args.min_path,
            wall_prob=parse_walls(args.walls),
            one_path=args.one_path,
        )
    )
    make = functools.partial(generate_mazes, **spec, seed=args.seed)
    fresh = functools.partial(new_classes, shape=shape)
    for split, mazes, answers in data_generate.generate_splits(args, make, fresh):
        save_dataset(enlarge(mazes, answers, shape, (0,)), args.out / split)
    data_generate.save_facts(args, {"generator": "maze", **spec})


def parse_shape(text: str) -> Shape:
    """Read a shape such as 30x30 (height x width).

    Raises:
      ValueError: another form.
    """
    try:
        height, width = (int(part) for part in text.split("x"))
    except ValueError:
        raise ValueError(f"a shape reads HEIGHTxWIDTH, e.g. 30x30, got {text!r}") from None
    if height < 1 or width < 1:
        raise ValueError(f"height and width must be at least 1, got {text!r}")
    return height, width


def parse_walls(text: str) -> float | tuple[float, float]:
    """Read a share of walls (0.37) or a range (0.3-0.5).

    Raises:
      ValueError: another form.
    """
    try:
        shares = [float(part) for part in text.split("-")]
    except ValueError:
        shares = []
    if len(shares) not in (1, 2):
        raise ValueError(f"walls read 0.37 or 0.3-0.5, got {text!r}")
    return (shares[0], shares[1]) if len(shares) == 2 else shares[0]
