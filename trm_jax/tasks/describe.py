"""Write into a data set or a model what its puzzles are, where its files do not say: once.

    python -m trm_jax.tasks.describe data/sudoku-6x6 --task sudoku --box 2x3
    python -m trm_jax.tasks.describe runs/model --box 3x2
    python -m trm_jax.tasks.describe models/arc --task arc --identifiers data/arc-1/identifiers.json

PATH is a data set (a folder with train/ and test/, or one of them) or a model directory. Data sets
of the release and files of earlier versions name neither the boxes of a Sudoku, nor rows and
columns of a maze that is not square, nor the puzzles that the rows of a model's puzzle table
belong to. Programs refuse what they would have to guess. What is said here goes into dataset.json
or config.json under the key "puzzles" (trm_jax/data/facts.py); arrays and weights stay as they
are. The answers of a data set are checked against it: boxes of another shape are refused.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trm_jax.command_line import exit_code, make_parser, user_path
from trm_jax.data.facts import PuzzleFacts, RowsColumns, parse_by, settle_facts
from trm_jax.data.format import (
    IDENTIFIERS,
    PuzzleDataset,
    load_dataset,
    load_identifiers,
    read_names,
)
from trm_jax.output.staging import replace_text
from trm_jax.tasks.table import TASKS, agreed_task, need_task
from trm_jax.typed_json import read_json

DATASET_FILE, CONFIG_FILE = "dataset.json", "config.json"
NAMES = "identifiers_sha256"
CHECKED = 200  # answers of a split


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = make_parser("trm_jax.tasks.describe", __doc__)
    p.add_argument("path", type=user_path, metavar="PATH", help="data set or model directory")
    p.add_argument("--task", choices=list(TASKS), help="what the puzzles are (as the file says)")
    p.add_argument("--box", metavar="RxC", help="rows x columns of a Sudoku's box")
    p.add_argument("--grid", metavar="RxC", help="rows x columns of a puzzle (square)")
    p.add_argument(
        "--identifiers",
        type=user_path,
        metavar="FILE",
        help="identifiers.json of the data set that a model was trained on",
    )
    p.add_argument("--replace", action="store_true", help="change what the file says already")
    return p


def describe(args: argparse.Namespace) -> str:
    """Do what a command line asks for; gives what to print.

    Raises:
      ValueError, OSError: neither a data set nor a model, damaged, or what is said does not fit.
    """
    shapes = {
        name: parse_by(getattr(args, name), f"--{name}")
        for name in ("grid", "box")
        if getattr(args, name)
    }
    if (args.path / CONFIG_FILE).is_file():
        return describe_model(args, shapes)
    folders = [args.path, args.path / "train", args.path / "test"]
    splits = [folder for folder in folders if (folder / DATASET_FILE).is_file()]
    if not splits:
        raise ValueError(f"{args.path} is no data set (no {DATASET_FILE}) and no model directory")
    if args.identifiers is not None:
        raise ValueError(f"--identifiers is for models; a data set has its own {IDENTIFIERS}")
    facts = [(split, facts_of_data(args, split, shapes)) for split in splits]
    for split, said in facts:
        write_facts(split / DATASET_FILE, said, replace=args.replace)
    return "\n".join(f"{split}: {said.title}" for split, said in facts)


def facts_of_data(
    args: argparse.Namespace, split: Path, shapes: dict[str, RowsColumns]
) -> PuzzleFacts:
    """Settle what a split is and check its first answers by the rules of the task."""
    dataset = load_dataset(split)
    meta, recorded = dataset.metadata, dataset.metadata.puzzles
    task = need_task(
        agreed_task(args.task, recorded.task if recorded else None, str(split)), f"data {split}"
    )
    names = None
    if (split.parent / IDENTIFIERS).is_file():
        names = load_identifiers(split.parent)
    facts = settle_facts(
        task.name,
        meta.seq_len,
        f"data {split}",
        num_identifiers=meta.num_puzzle_identifiers,
        identifiers=names,
        **shapes,
    )
    task.check_alphabet(facts, meta.vocab_size, f"data {split}")
    check_answers(dataset, facts, split)
    return facts


def check_answers(dataset: PuzzleDataset, facts: PuzzleFacts, split: Path) -> None:
    """Check the first answers of a split by the rules.

    Raises:
      ValueError: the first that is not right.
    """
    form = TASKS[facts.task].text
    for row in range(min(CHECKED, len(dataset)) if form else 0):
        assert form is not None
        if not form.is_right(dataset.inputs[row], dataset.labels[row], facts):
            raise ValueError(f"{split}: answer {row} is not right as {facts.title}; say another")


def describe_model(args: argparse.Namespace, shapes: dict[str, RowsColumns]) -> str:
    """Write what a model's puzzles are; gives what to print."""
    from trm_jax.checkpoints import model_files  # imports jax: after parsing

    config, recorded = model_files.load_config(args.path), model_files.load_task(args.path)
    what = f"model {args.path}"
    task = need_task(agreed_task(args.task, recorded, what), what)
    names = None if args.identifiers is None else read_names(args.identifiers)
    rows = config.num_puzzle_identifiers
    if names is not None and len(names) != rows:
        raise ValueError(f"{args.identifiers} lists {len(names)} names, {what} has {rows} rows")
    facts = settle_facts(
        task.name, config.seq_len, what, num_identifiers=rows, identifiers=names, **shapes
    )
    task.check_alphabet(facts, config.vocab_size, what)
    write_facts(args.path / CONFIG_FILE, facts, {"task": task.name}, replace=args.replace)
    return f"{args.path}: {facts.title}"


def write_facts(
    file: Path, facts: PuzzleFacts, more: dict[str, Any] | None = None, *, replace: bool
) -> None:
    """Add the key "puzzles" to a file of JSON; the file is replaced in one piece.

    Args:
      more: other keys to set.
      replace: change what the file says already.

    Raises:
      ValueError: it says something else and is not to be changed.
    """
    document = read_json(file)
    before = document.get("puzzles")
    after = json.loads(json.dumps(facts.to_json()))
    filled = isinstance(before, dict) and before | {NAMES: after[NAMES]} == after
    open_still = filled and not before[NAMES]  # as a converter leaves it
    if before not in (None, after) and not open_still and not replace:
        raise ValueError(f"{file} says {before} already; add --replace to change it to {after}")
    document |= {**(more or {}), "puzzles": after}
    indent, end = (2, "\n") if file.name == CONFIG_FILE else (None, "")
    replace_text(file, json.dumps(document, indent=indent) + end)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 when done, 2 on bad input."""
    args = parser().parse_args(argv)

    def action() -> None:
        sys.stdout.write(describe(args) + "\n")

    return exit_code(action, (ValueError, OSError))


if __name__ == "__main__":
    sys.exit(main())
