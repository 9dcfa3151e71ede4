"""Find the puzzles a program was asked for, and check them against task and model."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer

from experiments.models import Model
from trm_jax import zoo
from trm_jax.data.batches import evaluation_order
from trm_jax.data.format import ARRAYS, PuzzleDataset, load_dataset
from trm_jax.tasks.task import Task, side_of


class Puzzles(NamedTuple):
    """A set of puzzles and where it came from.

    Attributes:
      name: for headings.
      folder: the split that was read.
      side: cells in a row.
      sha256: of examples, answers and identifiers.
      order: rows of the data set in the order in which they are measured.
    """

    task: Task
    name: str
    folder: Path
    dataset: PuzzleDataset
    side: int
    sha256: str
    order: Integer[np.ndarray, " puzzles"]


def load(folder: Path | None, task: Task, cells: int) -> Puzzles:
    """Load the puzzles of a command line.

    Args:
      folder: a data set in the released layout, or one split of it; None is the bundled one.
      cells: of the bundled puzzles: as many as the model reads.

    Raises:
      FileNotFoundError: missing, or a file of the layout is.
      ValueError: damaged, puzzles of another task, or none of the size are bundled.
    """
    root = zoo.puzzles(task.value, cells) if folder is None else folder
    split = root if (root / "dataset.json").is_file() else root / "test"
    if not root.is_dir():
        raise FileNotFoundError(f"no data folder {root}; leave --data out for bundled puzzles")
    dataset = load_dataset(split)
    side = side_of(task, dataset, str(split))
    name = f"{task.value} {side}x{side} ({'bundled' if folder is None else split})"
    digest = hash_dataset(dataset)
    return Puzzles(task, name, split, dataset, side, digest, evaluation_order(dataset))


def check_fit(model: Model, puzzles: Puzzles) -> None:
    """Demand that a model can read the puzzles.

    Raises:
      ValueError: another puzzle size, alphabet, or too few puzzle identifiers.
    """
    config, meta = model.config, puzzles.dataset.metadata
    for name in ("seq_len", "vocab_size"):
        ours, theirs = getattr(config, name), getattr(meta, name)
        if ours != theirs:
            raise ValueError(
                f"model {model.name} and data {puzzles.folder} do not fit: the model has"
                f" {name}={ours}, the data {name}={theirs}; name another --model or other --data"
                f" (python -m trm_jax.data.{puzzles.task.value} build|generate makes it)"
            )
    if config.num_puzzle_identifiers < meta.num_puzzle_identifiers:
        raise ValueError(
            f"model {model.name} knows {config.num_puzzle_identifiers} puzzle identifiers,"
            f" data {puzzles.folder} uses {meta.num_puzzle_identifiers}"
        )


def hash_dataset(dataset: PuzzleDataset) -> str:
    """Hash a data set; the integer type of its files does not matter."""
    digest = hashlib.sha256()
    for name in ARRAYS:
        values = getattr(dataset, name)
        digest.update(f"{name}{values.shape}".encode())
        digest.update(np.ascontiguousarray(values, np.int32).tobytes())
    return digest.hexdigest()
