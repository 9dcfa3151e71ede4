"""The bundled models and puzzles: what runs when nothing was downloaded.

Everything here was trained by `experiments.train` on puzzles of this project's generators; each
folder holds a model (safetensors + config.json) and its card (README.md). Recursive models are in
MODELS, decoders in DECODERS, adapters of decoders in ADAPTERS. This module only finds files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trm_jax.checkpoints.model_files import load_model
from trm_jax.config import Config
from trm_jax.decoder.model_folder import PuzzleDecoder, load_puzzle_decoder
from trm_jax.names import unknown_name
from trm_jax.tasks.table import task_named
from trm_jax.types import Weights

ROOT = Path(__file__).resolve().parent


@dataclass(frozen=True, kw_only=True)
class ZooEntry:
    """A bundled model.

    Attributes:
      name: of the model, its preset and its folder.
      task: what it solves, by its name in trm_jax.tasks.
    """

    name: str
    task: str

    @property
    def directory(self) -> Path:
        """Folder of the model."""
        return ROOT / self.name


@dataclass(frozen=True, kw_only=True)
class AdapterEntry(ZooEntry):
    """A bundled low-rank adapter.

    Attributes:
      decoder: the bundled decoder that it acts on.
      scheme: that decoder's weights, by the name of a scheme: it was trained on them.
    """

    decoder: str
    scheme: str


PUZZLES = {
    "sudoku": {36: ROOT / "puzzles" / "sudoku-6x6", 81: ROOT / "puzzles" / "sudoku-9x9"},
    "maze": {64: ROOT / "puzzles" / "maze-8x8"},
    "arc": {36: ROOT / "puzzles" / "arc-6x6"},
}
"""Held-out puzzles of each task by their cells, in the released layout (test split); the first
of each task belongs to its default model."""

MODELS = {
    entry.name: entry
    for entry in (
        ZooEntry(name="sudoku-trm-mlp-mini", task="sudoku"),
        ZooEntry(name="sudoku-trm-att-mini", task="sudoku"),
        ZooEntry(name="sudoku-hrm-mini", task="sudoku"),
        ZooEntry(name="sudoku-trm-mlp-midi", task="sudoku"),
        ZooEntry(name="sudoku-trm-att-midi", task="sudoku"),
        ZooEntry(name="maze-trm-att-mini", task="maze"),
        ZooEntry(name="arc-trm-att-mini", task="arc"),
    )
}
"""The bundled recursive models; the first of each task is its default."""

DECODERS = {
    entry.name: entry
    for entry in (
        ZooEntry(name="sudoku-ar-mini", task="sudoku"),
        ZooEntry(name="maze-ar-mini", task="maze"),
    )
}
"""The bundled decoders, which solve the puzzles of the default models; the first of each task is
its default."""

ADAPTERS = {
    entry.name: entry
    for entry in (
        AdapterEntry(
            name="maze-ar-mini-w3c", task="maze", decoder="maze-ar-mini", scheme="w3c-sym"
        ),
    )
}
"""The bundled adapters, in PEFT's layout."""


def default_decoder(task: str) -> str:
    """Name the default decoder of a task.

    Raises:
      ValueError: unknown task, or no decoder of it is bundled.
    """
    if (name := _first_of(task, DECODERS)) is None:
        raise ValueError(f"no decoder of {task} puzzles is bundled; name one with --models")
    return name


def load(name: str) -> tuple[Config, Weights]:
    """Load a bundled model.

    Raises:
      ValueError: unknown name; the message lists the known ones.
    """
    if name not in MODELS:
        raise ValueError(unknown_name("bundled model", name, MODELS))
    return load_model(MODELS[name].directory)


def load_decoder(name: str) -> PuzzleDecoder:
    """Load a bundled decoder.

    Raises:
      ValueError: unknown name; the message lists the known ones.
    """
    if name not in DECODERS:
        raise ValueError(unknown_name("bundled decoder", name, DECODERS))
    return load_puzzle_decoder(DECODERS[name].directory)


def default(task: str) -> str:
    """Name the default model of a task.

    Raises:
      ValueError: unknown task, or no model of it is bundled.
    """
    if (name := _first_of(task, MODELS)) is None:
        raise ValueError(f"no {task} model is bundled; name one with --model")
    return name


def _first_of(task: str, entries: Mapping[str, ZooEntry]) -> str | None:
    """Name the first entry of a task."""
    wanted = task_named(task).name
    return next((entry.name for entry in entries.values() if entry.task == wanted), None)


def puzzles(task: str, cells: int | None = None) -> Path:
    """Find the held-out puzzles of a task: a data set folder with a test split.

    Args:
      cells: of a puzzle (`seq_len` of the model that is to read it); None is the default model's.

    Raises:
      ValueError: unknown task, or no puzzles of it or of this size are bundled.
    """
    sizes = PUZZLES.get(task_named(task).name)
    if not sizes:
        raise ValueError(f"no {task} puzzles are bundled; name some with --data")
    if cells is not None and cells not in sizes:
        raise ValueError(
            f"no {task} puzzles of {cells} cells are bundled, only of"
            f" {', '.join(map(str, sizes))}; name some with --data"
        )
    return sizes[next(iter(sizes)) if cells is None else cells]
