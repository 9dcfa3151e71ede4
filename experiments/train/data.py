"""What a training run reads: puzzles for the device and the symmetries that fit them."""

import hashlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from trm_jax.config import Config
from trm_jax.data.format import load_dataset
from trm_jax.training.augment import (
    Augment,
    maze_augmentation,
    no_augmentation,
    sudoku_augmentation,
)
from trm_jax.types import IGNORE_LABEL, Batch

AUGMENTATIONS: dict[str, Augment] = {
    "none": no_augmentation,
    "sudoku-2x2": sudoku_augmentation(2, 2),
    "sudoku-2x3": sudoku_augmentation(2, 3),
    "sudoku-3x3": sudoku_augmentation(3, 3),
}


def augmentation(name: str, seq_len: int) -> Augment:
    """Look an augmentation up by name; `maze` fits any square.

    Raises:
      ValueError: unknown name, or a maze that is not square.
    """
    if name == "maze":
        side = round(seq_len**0.5)
        if side * side != seq_len:
            raise ValueError(f"maze augmentation needs square mazes, got {seq_len} cells")
        return maze_augmentation(side)
    if name not in AUGMENTATIONS:
        known = ", ".join(["maze", *AUGMENTATIONS])
        raise ValueError(f"unknown augmentation {name!r}; known: {known}")
    return AUGMENTATIONS[name]


def load_puzzles(folder: Path, config: Config) -> Batch:
    """Read the training split as one batch of int16 arrays for the device.

    Raises:
      ValueError: the puzzles do not fit the configuration.
      FileNotFoundError: there is no such data set.
    """
    data = load_dataset(folder / "train")
    meta = data.metadata
    wanted = (config.seq_len, config.vocab_size)
    if (meta.seq_len, meta.vocab_size) != wanted:
        raise ValueError(
            f"{folder} has seq_len={meta.seq_len} vocab_size={meta.vocab_size}; the preset needs"
            f" seq_len={wanted[0]} vocab_size={wanted[1]}"
        )
    if meta.num_puzzle_identifiers > config.num_puzzle_identifiers:
        raise ValueError(
            f"{folder} has {meta.num_puzzle_identifiers} puzzle identifiers; the preset's table"
            f" has {config.num_puzzle_identifiers} rows"
        )
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
    held = np.arange(total) >= total - valid
    if identifiers.min() != identifiers.max():
        held = _last_pairs(identifiers)
        if valid > held.sum():
            raise ValueError(f"--valid must be at most {held.sum()}, one pair per augmented task")
    rows = np.flatnonzero(held)
    chosen = rows[np.linspace(0, len(rows), valid, endpoint=False).astype(int)]
    return (
        jax.tree.map(lambda a: a[~held], puzzles),
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


def default_augmentation(config: Config) -> str:
    """Choose the symmetries by the size of the puzzle; ARC's are in the data set."""
    if config.num_puzzle_identifiers > 1:
        return "none"
    return {16: "sudoku-2x2", 36: "sudoku-2x3", 81: "sudoku-3x3"}.get(config.seq_len, "maze")
