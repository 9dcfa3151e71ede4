"""Find the model and the puzzles that a command names."""

from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from trm_jax import zoo
from trm_jax.config import Config
from trm_jax.data.arc.canvas import VOCAB_SIZE as ARC_TOKENS
from trm_jax.data.batches import PuzzleBatch, gather, in_evaluation_order
from trm_jax.data.format import PuzzleDataset, load_dataset
from trm_jax.loading import locate
from trm_jax.types import Batch, Weights


@dataclass(frozen=True)
class Source:
    """A model that is to be exported.

    Attributes:
      name: for headings; origin: what loads it again.
      task: sudoku, maze, or empty.
    """

    name: str
    origin: str
    task: str
    config: Config
    weights: Weights


def load_model(name: str) -> Source:
    """Load the model of a name (trm_jax/loading.py).

    Raises:
      ValueError: unknown, or not a checkpoint of these architectures.
      OSError: missing, or not to be downloaded.
      ModuleNotFoundError: a PyTorch file, and torch is not installed.
    """
    found = locate(name)
    task = zoo.MODELS[name].task if name in zoo.MODELS else task_of(found.config)
    return Source(found.name, found.origin, task, found.config, found.weights)


def task_of(config: Config) -> str:
    """Tell the task by the alphabet, or return an empty name.

    A 10x10 Sudoku has as many tokens as ARC, but no puzzle identifiers.
    """
    side = round(config.seq_len**0.5)
    if side * side != config.seq_len:
        return ""
    if config.vocab_size == ARC_TOKENS and config.num_puzzle_identifiers > 1:
        return "arc"
    return {6: "maze", side + 2: "sudoku"}.get(config.vocab_size, "")


def load_puzzles(folder: Path | None, config: Config) -> PuzzleDataset:
    """Load puzzles that a model can read, in the order in which a sweep measures them.

    The first N of them are thus the first N rows of a sweep (`evaluation_order`).

    Args:
      folder: a data set, or one split of it; None is what is bundled.

    Raises:
      FileNotFoundError: missing.
      ValueError: damaged, of another size or alphabet, or nothing bundled fits.
    """
    task = task_of(config)
    if folder is None and task not in zoo.PUZZLES:
        raise ValueError(
            f"no bundled puzzles for {config.seq_len} cells of {config.vocab_size} tokens;"
            " name some with --data"
        )
    root = zoo.puzzles(task, config.seq_len) if folder is None else folder
    dataset = load_dataset(root if (root / "dataset.json").is_file() else root / "test")
    meta = dataset.metadata
    if (meta.seq_len, meta.vocab_size) != (config.seq_len, config.vocab_size):
        raise ValueError(
            f"the model reads {config.seq_len} cells of {config.vocab_size} tokens, {root} has"
            f" {meta.seq_len} of {meta.vocab_size}; name fitting puzzles with --data"
        )
    return in_evaluation_order(dataset)


def batch_of(dataset: PuzzleDataset, rows: np.ndarray) -> Batch:
    """Gather puzzles."""
    return _on_device(gather(dataset, rows, len(rows)))


def _on_device(host: PuzzleBatch) -> Batch:
    return Batch(*(jnp.asarray(x) for x in host[:3]))
