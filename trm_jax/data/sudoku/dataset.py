"""From CSV files or generated puzzles to a Sudoku data set in the released layout.

Not here: the options (__main__.py), how puzzles are drawn (generator.py) or kept apart (split.py).
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
from trm_jax.data.sudoku.checks import check_unique, find_overlap
from trm_jax.data.sudoku.generator import SudokuSpec, generate_sudoku
from trm_jax.data.sudoku.solver import Box, check_box
from trm_jax.data.sudoku.symmetry import augment_sudoku, new_classes
from trm_jax.data.sudoku.tokens import decode, encode, symbols, valid_grids, vocab_size

AUGMENT_ROWS = 20_000  # rows augmented together, to bound memory


def decode_rows(
    questions: Sequence[str], answers: Sequence[str], *, box: Box
) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """Turn rows of a CSV file into tokens (a `csv_puzzles.Decoder`).

    Args:
      questions: puzzles.
      answers: solutions.
      box: rows and columns of a box.
    """
    wrong: dict[int, str] = {}
    tokens, cells = symbols(box), check_box(box) ** 2
    inputs = csv_puzzles.decode_text(questions, cells, tokens, "question", wrong)
    labels = csv_puzzles.decode_text(answers, cells, tokens, "answer", wrong)
    for i in np.flatnonzero(~valid_grids(decode(labels), box)):
        wrong.setdefault(int(i), "answer is no solved grid")
    for i in np.flatnonzero(((inputs > 1) & (inputs != labels)).any(axis=1)):
        wrong.setdefault(int(i), "answer contradicts question")
    return inputs, labels, wrong


def enlarge(
    inputs: np.ndarray, labels: np.ndarray, box: Box, *, aug: int = 0, seed: int = 0
) -> PuzzleDataset:
    """Make a data set in which each puzzle and `aug` augmented copies of it are a group.

    Raises:
      ValueError: a negative number of copies.
    """
    if aug < 0:
        raise ValueError(f"aug must be 0 or more, got {aug}")
    rng, size = np.random.default_rng([seed, 1]), aug + 1
    rows = [np.repeat(tokens, size, axis=0) for tokens in (inputs, labels)]
    copies = np.flatnonzero(np.arange(len(rows[0])) % size)
    for part in np.array_split(copies, len(copies) // AUGMENT_ROWS + 1):
        rows[0][part], rows[1][part] = augment_sudoku(rng, rows[0][part], rows[1][part], box)
    side = check_box(box)
    facts = PuzzleFacts(task="sudoku", grid=(side, side), box=box, identifiers_sha256=ONE_BLANK)
    return from_examples(
        rows[0], rows[1], vocab_size=vocab_size(box), group_size=size, puzzles=facts
    )


def build(args: argparse.Namespace) -> None:
    """Run `build`: CSV files to a data set."""
    box = parse_box(args.box)
    splits: dict[str, CsvExamples] = {}
    for split in data_generate.read_splits(args, functools.partial(decode_rows, box=box)):
        splits[split.name] = split.examples
        if args.check:
            with data_generate.progress_bar("solved", len(split.examples.inputs)) as progress:
                check_unique(
                    split.path, split.examples, box, workers=args.workers, progress=progress
                )
    data_generate.refuse_overlap(args, splits, functools.partial(find_overlap, box=box))
    data_generate.drop_splits(args.out, splits)
    for name, (inputs, labels, _) in splits.items():
        aug = args.num_aug if name == "train" else 0
        made = enlarge(inputs, labels, box, aug=aug, seed=args.seed)
        data_generate.save_split(made, args.out / name)


def generate(args: argparse.Namespace) -> None:
    """Run `generate`: a data set of the project's own puzzles, with generator.json beside it."""
    box = parse_box(args.box)
    clues = parse_clues(args.clues)
    spec = dataclasses.asdict(SudokuSpec(box=box, num_clues=clues, min_rating=args.min_rating))
    make = functools.partial(generate_sudoku, **spec, seed=args.seed)
    fresh = functools.partial(new_classes, box=box)
    for split, puzzles, answers in data_generate.generate_splits(args, make, fresh):
        save_dataset(enlarge(encode(puzzles), encode(answers), box), args.out / split)
    data_generate.save_facts(args, {"generator": "sudoku", **spec})


def parse_box(text: str) -> Box:
    """Read a box shape such as 2x3 (rows x columns).

    Raises:
      ValueError: another form, or a shape that is not supported.
    """
    try:
        rows, columns = (int(part) for part in text.split("x"))
    except ValueError:
        raise ValueError(f"a box reads ROWSxCOLUMNS, e.g. 2x3 or 3x3, got {text!r}") from None
    check_box((rows, columns))
    return rows, columns


def parse_clues(text: str) -> int | tuple[int, int] | None:
    """Read a number of clues: 30, 25-37 or minimal.

    Raises:
      ValueError: another form.
    """
    if text == "minimal":
        return None
    try:
        low, *rest = (int(part) for part in text.split("-"))
        if not rest:
            return low
        (high,) = rest
        return low, high
    except ValueError:
        raise ValueError(f"clues read 30, 25-37 or minimal, got {text!r}") from None
