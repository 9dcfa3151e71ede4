"""Find the model a program was asked for, wherever it lives.

(nothing)              the task's bundled model
sudoku-trm-mlp-mini    a bundled model (trm_jax/zoo)
runs/model             a model directory (model.safetensors + config.json)
step_21700             a checkpoint of the PyTorch release, or a directory with one
hf:owner/name/file     the same on the Hugging Face Hub, `@revision` optional
trm-mlp-sudoku-...     a known public checkpoint (`python -m trm_jax.convert --list`)
"""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.tasks import Task
from trm_jax import checkpoint, convert, zoo
from trm_jax.config import Config, to_dict
from trm_jax.data.hub import PREFIX as HUB
from trm_jax.published import PUBLISHED
from trm_jax.types import Weights


class Model(NamedTuple):
    """A model and where it came from.

    Attributes:
      name: what reports and folders call it.
      origin: bundled, or the file or Hub source it was read from.
      sha256: of configuration and weights.
    """

    name: str
    origin: str
    config: Config
    weights: Weights
    sha256: str

    @property
    def num_parameters(self) -> int:
        """Count the weights without the puzzle table."""
        flat = checkpoint.flatten(self.weights)
        return sum(value.size for name, value in flat.items() if name != "puzzle_emb")

    @property
    def architecture(self) -> str:
        """Name the architecture and its mixer."""
        kind = type(self.config).__name__.removesuffix("Config")
        return f"{kind} ({self.config.mixer.value})"


def load(source: str | None, task: Task, hints: convert.Hints = convert.NO_HINTS) -> Model:
    """Load the model of a command line.

    Args:
      source: see the module; None is the task's bundled model.
      hints: what a PyTorch checkpoint does not show (its preset).

    Raises:
      ValueError: unknown, or not a checkpoint of these architectures.
      OSError: missing, or not to be downloaded.
      ModuleNotFoundError: a PyTorch file, and torch is not installed.
    """
    name = zoo.default(task.value) if source is None else source
    if name in zoo.MODELS:
        return _model(name, "bundled", *zoo.load(name))
    if (Path(name) / checkpoint.CONFIG_FILE).is_file():
        return _model(_short(name), name, *checkpoint.load_model(Path(name)))
    if name in PUBLISHED or name.startswith(HUB) or Path(name).exists():
        config, weights, _ = convert.load_torch(name, hints)
        return _model(_short(name), name, config, weights)
    raise ValueError(
        f"unknown model {name!r}: no such file or directory; bundled: {', '.join(zoo.MODELS)};"
        " public: see `python -m trm_jax.convert --list`; or hf:owner/name/file"
    )


def _model(name: str, origin: str, config: Config, weights: Weights) -> Model:
    return Model(name, origin, config, weights, hash_model(config, weights))


def _short(source: str) -> str:
    """Name a folder after the last part of a path or Hub source."""
    return Path(source.removeprefix(HUB).partition("@")[0]).name or "model"


def hash_model(config: Config, weights: Weights) -> str:
    """Hash a configuration and every tensor, names included."""
    digest = hashlib.sha256(json.dumps(to_dict(config), sort_keys=True).encode())
    for name, value in sorted(checkpoint.flatten(weights).items()):
        digest.update(f"{name}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value, np.float32).tobytes())
    return digest.hexdigest()
