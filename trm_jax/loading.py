"""Find the model that a command names, wherever it lives.

sudoku-trm-mlp-mini    a bundled model (trm_jax/zoo)
runs/model             a model directory (model.safetensors + config.json)
step_21700             a checkpoint of the PyTorch release, or a directory with one
hf:owner/name/file     the same on the Hugging Face Hub, `@revision` optional
trm-mlp-sudoku-...     a known public checkpoint (`python -m trm_jax.convert --list`)
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp

from trm_jax import zoo
from trm_jax.checkpoints import model_files
from trm_jax.config import Config
from trm_jax.convert import load as convert_load
from trm_jax.convert.published import PUBLISHED
from trm_jax.data.batches import calibration_batches
from trm_jax.data.format import PuzzleDataset
from trm_jax.data.hub import PREFIX as HUB
from trm_jax.types import Batch, Weights


class Located(NamedTuple):
    """A model and where it was found.

    Attributes:
      name: what reports and folders call it.
      origin: what finds it again from any folder.
    """

    name: str
    origin: str
    config: Config
    weights: Weights


def locate(
    name: str,
    hints: convert_load.Hints = convert_load.NO_HINTS,
    *,
    load: Callable[[Path], tuple[Config, Weights]] = model_files.load_model,
) -> Located:
    """Load the model of a name, see the module.

    Args:
      hints: what a PyTorch checkpoint does not show (its preset).
      load: reads a model directory; `checkpoint.map_model` leaves the puzzle table in its file.

    Raises:
      ValueError: unknown, or not a checkpoint of these architectures.
      OSError: missing, or not to be downloaded.
      ModuleNotFoundError: a PyTorch file, and torch is not installed.
    """
    if name in zoo.MODELS:
        return Located(name, name, *load(zoo.MODELS[name].directory))
    path = Path(name)
    origin = str(path.resolve()) if path.exists() else name
    if (path / model_files.CONFIG_FILE).is_file():
        return Located(_short(name), origin, *load(path))
    if name in PUBLISHED or name.startswith(HUB) or path.exists():
        config, weights, _ = convert_load.load_torch(name, hints)
        return Located(_short(name), origin, config, weights)
    raise ValueError(
        f"unknown model {name!r}: no such file or directory; bundled: {', '.join(zoo.MODELS)};"
        " public: see `python -m trm_jax.convert --list`; or hf:owner/name/file"
    )


def gather_calibration(dataset: PuzzleDataset) -> Iterator[Batch]:
    """Gather the puzzles that static activations are calibrated on, once they are asked for.

    Raises:
      ValueError: there are too few.
    """
    for host in calibration_batches(dataset):
        yield Batch(*(jnp.asarray(x) for x in host[:3]))


def known_config(name: str) -> Config | None:
    """Tell the configuration of a name without its weights; None where only they tell.

    Raises:
      ValueError: a model directory with a damaged config.json.
    """
    directory = zoo.MODELS[name].directory if name in zoo.MODELS else Path(name)
    if (directory / model_files.CONFIG_FILE).is_file():
        return model_files.load_config(directory)
    return PUBLISHED[name].config if name in PUBLISHED else None


def _short(source: str) -> str:
    """Name a folder after the last part of a path or Hub source."""
    return Path(source.removeprefix(HUB).partition("@")[0]).name or "model"
