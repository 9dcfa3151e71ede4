"""Make a training folder from Sudoku CSV files, with a held-out part that is none in disguise.

    python -m trm_jax.data.sudoku.split a.csv b.csv --out data/sudoku-hard --hold-out 2000
    python -m trm_jax.data.sudoku.split hf:sapientinc/sudoku-extreme/train.csv \\
        --out data/sudoku-extreme --hold-out 10000 --min-difficulty 50

Files have the columns question and answer (and rating, for --min-difficulty) as
sapientinc/sudoku-extreme has them. OUT gets train/ and test/ in the released layout, in random
order, and split.json: what they were made from.

Puzzles that a symmetry maps onto each other (digits renamed, bands, stacks and lines permuted,
transposition) form a class. Of each class one puzzle is kept, its first, and classes are drawn for
the held-out part by --seed. Equal invariants (`symmetry.py`) count as one class without
the exact test: that can only drop a puzzle too many, and files of millions of rows stay quick.
"""

import argparse
import functools
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt64

from trm_jax.command_line import make_parser, natural_int, positive_int, seed_int, user_path
from trm_jax.data import csv_puzzles, generate, hub
from trm_jax.data.format import save_dataset
from trm_jax.data.sudoku.checks import check_unique, class_numbers
from trm_jax.data.sudoku.dataset import decode_rows, enlarge, parse_box
from trm_jax.data.sudoku.solver import Box
from trm_jax.data.sudoku.tokens import decode


def hold_out(
    numbers: UInt64[np.ndarray, " _"], size: int, seed: int
) -> tuple[Int[np.ndarray, " _"], Int[np.ndarray, " _"]]:
    """Draw which puzzles to train on and which to hold out.

    Args:
      numbers: class of each puzzle.
      size: puzzles to hold out.
      seed: of the draw.

    Returns:
      Indices of the training and of the held-out puzzles, one of each class, in random order.

    Raises:
      ValueError: there are not as many classes.
    """
    _, first = np.unique(numbers, return_index=True)
    if not 0 < size < len(first):
        raise ValueError(
            f"--hold-out must be 1 to {len(first) - 1}, there are {len(first)} different puzzles;"
            f" got {size}"
        )
    # in the order of the files, not of the hashes: the draw must not hang on the hash function
    order = np.random.default_rng([seed, 2]).permutation(np.sort(first))
    return order[size:], order[:size]


def read_files(args: argparse.Namespace, box: Box) -> tuple[np.ndarray, np.ndarray, list[dict]]:
    """Read all files; gives inputs, labels and what to note about each file."""
    parts, notes = [], []
    for source in args.csv:
        path = hub.resolve(source, repo_type="dataset")
        with generate.progress_bar(path.name) as progress:
            examples = csv_puzzles.read_examples(
                path,
                functools.partial(decode_rows, box=box),
                min_difficulty=args.min_difficulty,
                progress=progress,
                say=generate.note,
            )
        if args.check:
            with generate.progress_bar("solved", len(examples.inputs)) as progress:
                check_unique(path, examples, box, workers=args.workers, progress=progress)
        parts.append(examples[:2])
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        notes.append({"file": path.name, "sha256": digest, "puzzles": len(parts[-1][0])})
    inputs, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return inputs, labels, notes


def split(args: argparse.Namespace) -> None:
    """Read, split, write."""
    box = parse_box(args.box)
    inputs, labels, notes = read_files(args, box)
    with generate.progress_bar("classes", len(inputs)) as progress:
        numbers = class_numbers(decode(inputs), box, progress=progress)
    train, test = hold_out(numbers, args.hold_out, args.seed)
    generate.drop_splits(args.out, ("train", "test"))
    for name, index in (("train", train), ("test", test)):
        save_dataset(enlarge(inputs[index], labels[index], box), args.out / name)
    facts = {"seed": args.seed, "min_difficulty": args.min_difficulty, "files": notes}
    facts |= {"train": len(train), "test": len(test)}
    (args.out / generate.SPLIT).write_text(json.dumps(facts, indent=1))
    sys.stdout.write(
        f"{args.out}: {len(train)} training, {len(test)} held-out puzzles;"
        f" {len(inputs) - len(train) - len(test)} were others in disguise\n"
    )


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = make_parser("trm_jax.data.sudoku.split", __doc__)
    p.add_argument("csv", nargs="+", metavar="CSV", help="file, or hf:owner/name/file[@revision]")
    p.add_argument("--out", type=user_path, metavar="PATH", help="folder of the data set")
    p.add_argument(
        "--hold-out", type=positive_int, required=True, metavar="N", help="puzzles for test/"
    )
    p.add_argument(
        "--seed", type=seed_int, default=0, metavar="N", help="of the draw (%(default)s)"
    )
    p.add_argument(
        "--min-difficulty", type=natural_int, metavar="N", help="leave out lower ratings"
    )
    p.add_argument(
        "--box", default="3x3", metavar="RxC", help="rows x columns of a box (%(default)s)"
    )
    generate.add_check(p, "prove that every puzzle has exactly one solution")
    generate.add_workers(p)
    return p


def _is_source(text: str) -> bool:
    """Return whether a word names puzzles rather than a folder to be made."""
    return text.startswith(hub.PREFIX) or Path(text).is_file()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 when done, 2 on bad input."""
    p = parser()
    args = p.parse_args(argv)
    if args.out is None and len(args.csv) > 1 and not _is_source(args.csv[0]):
        args.out = Path(args.csv.pop(0))  # as earlier versions took it
    if args.out is None:
        p.error("the following arguments are required: --out")
    return generate.run(functools.partial(split, args), args.out)


if __name__ == "__main__":
    sys.exit(main())
