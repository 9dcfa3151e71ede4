"""What a training run reads: puzzles for the device and the symmetries that fit them."""

import hashlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments.train.job import DataSizes
from trm_jax.config import Config
from trm_jax.data.facts import PuzzleFacts
from trm_jax.data.format import facts_of_split, load_dataset, read_metadata
from trm_jax.tasks.sudoku import SUDOKU, named_box
from trm_jax.tasks.table import task_named
from trm_jax.tasks.task import Task
from trm_jax.training.augment import Augment, no_augmentation
from trm_jax.types import IGNORE_LABEL, Batch

NO_AUGMENTATION = "none"
TRAIN = "train"


def training_facts(folder: Path, task: Task, augmentation: str | None) -> PuzzleFacts:
    """Say what the puzzles of a training split are.

    Args:
      augmentation: named by the user; of Sudoku it says the box.

    Raises:
      ValueError: another task or box than the data set's, or something must be said.
      FileNotFoundError: there is no such data set.
    """
    split = folder / TRAIN
    metadata = read_metadata(split / "dataset.json")
    box = named_box(augmentation or "") if task is SUDOKU else None
    facts = facts_of_split(metadata, split, task.name, box=box)
    task.check_alphabet(facts, metadata.vocab_size, f"data {split}")
    return facts


def data_sizes(folder: Path) -> DataSizes:
    """Read off the sizes that a model of a training split has.

    Raises:
      FileNotFoundError, ValueError: there is no such data set, or it is damaged.
    """
    meta = read_metadata(folder / TRAIN / "dataset.json")
    return DataSizes(
        seq_len=meta.seq_len,
        vocab_size=meta.vocab_size,
        num_puzzle_identifiers=meta.num_puzzle_identifiers,
    )


def augmentation(name: str, facts: PuzzleFacts) -> Augment:
    """Look up symmetries of puzzles by name.

    Raises:
      ValueError: none of these puzzles'.
    """
    if name == NO_AUGMENTATION:
        return no_augmentation
    symmetry = task_named(facts.task).augmentation(facts)
    if symmetry is None or name != symmetry.name:
        names = ", ".join([*([symmetry.name] if symmetry else []), NO_AUGMENTATION])
        raise ValueError(f"unknown augmentation {name!r} of {facts.title}; known: {names}")
    return symmetry.make()


def default_augmentation(facts: PuzzleFacts) -> str:
    """Name the symmetries of puzzles."""
    symmetry = task_named(facts.task).augmentation(facts)
    return symmetry.name if symmetry else NO_AUGMENTATION


def load_training_puzzles(folder: Path, config: Config) -> Batch:
    """Read the training split as one batch of int16 arrays for the device.

    Raises:
      ValueError: the puzzles do not fit the configuration.
      FileNotFoundError: there is no such data set.
    """
    meta = read_metadata(folder / TRAIN / "dataset.json")
    expected = (config.seq_len, config.vocab_size)
    if (meta.seq_len, meta.vocab_size) != expected:
        raise ValueError(
            f"{folder} has seq_len={meta.seq_len} vocab_size={meta.vocab_size}; the preset needs"
            f" seq_len={expected[0]} vocab_size={expected[1]}; --fit-data takes the data's"
        )
    if meta.num_puzzle_identifiers != config.num_puzzle_identifiers:
        raise ValueError(
            f"{folder} has {meta.num_puzzle_identifiers} puzzle identifiers; the preset's table"
            f" has {config.num_puzzle_identifiers} rows; --fit-data takes as many as the data has"
        )
    return load_training_arrays(folder)


def load_training_arrays(folder: Path) -> Batch:
    """Read the training split as one batch of int16 arrays, whatever its sizes.

    Raises:
      FileNotFoundError, ValueError: there is no such data set, or it is damaged.
    """
    data = load_dataset(folder / TRAIN)
    meta = data.metadata
    labels = np.asarray(data.labels, np.int16)
    if meta.ignore_label_id is not None:
        labels = np.where(labels == meta.ignore_label_id, np.int16(IGNORE_LABEL), labels)
    identifiers = np.repeat(data.puzzle_identifiers, np.diff(data.puzzle_indices))
    return Batch(jnp.asarray(data.inputs, jnp.int16), jnp.asarray(labels), jnp.asarray(identifiers))


def fingerprint(puzzles: Batch) -> str:
    """Hash the puzzles, so that a run goes on with the data it began with."""
    digest = hashlib.sha256()
    for array in puzzles:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def split(puzzles: Batch, valid: int) -> tuple[Batch, Batch]:
    """Hold puzzles back for validation.

    Without identifiers these are the last ones. With them (ARC) a puzzle left out of one
    augmentation would be seen in the others: the last pair of every task is held back under all
    augmentations, and `valid` of these, evenly spread over the tasks, are validated on.

    Raises:
      ValueError: nothing would be left on one side.
    """
    identifiers = np.asarray(puzzles.puzzle_identifiers)
    total = len(identifiers)
    if not 0 < valid < total:
        raise ValueError(f"--valid must lie between 1 and {total - 1} puzzles, got {valid}")
    validation = np.arange(total) >= total - valid
    if identifiers.min() != identifiers.max():
        validation = _last_pairs(identifiers)
        if valid > validation.sum():
            raise ValueError(
                f"--valid must be at most {validation.sum()}, one pair per augmented task"
            )
    rows = np.flatnonzero(validation)
    chosen = rows[np.linspace(0, len(rows), valid, endpoint=False).astype(int)]
    return (
        jax.tree.map(lambda a: a[~validation], puzzles),
        jax.tree.map(lambda a: a[chosen].astype(jnp.int32), puzzles),
    )


def _last_pairs(identifiers: np.ndarray) -> np.ndarray:
    """Mark the last example of every puzzle; examples of one puzzle follow each other.

    Raises:
      ValueError: a puzzle has no other example.
    """
    last = np.append(identifiers[1:] != identifiers[:-1], True)
    if (last[1:] & last[:-1]).any():
        raise ValueError("a task with a single pair leaves nothing to train on")
    return last
