"""The model a program was asked for, with what reports say about it.

How a name finds a model is written in trm_jax/loading.py; no name is the task's bundled model.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trm_jax import zoo
from trm_jax.checkpoints import model_files
from trm_jax.config import Config, to_dict
from trm_jax.convert import load as convert_load
from trm_jax.loading import locate
from trm_jax.tasks.task import Task
from trm_jax.types import Weights

HASHED_ROWS = 4096  # of a tensor at a time


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
        flat = model_files.flatten(self.weights)
        return sum(value.size for name, value in flat.items() if name != "puzzle_emb")

    @property
    def architecture(self) -> str:
        """Name the architecture and its mixer."""
        kind = type(self.config).__name__.removesuffix("Config")
        return f"{kind} ({self.config.mixer.value})"


def load(
    source: str | None,
    task: Task,
    hints: convert_load.Hints = convert_load.NO_HINTS,
    *,
    read: Callable[[Path], tuple[Config, Weights]] = model_files.load_model,
) -> Model:
    """Load the model of a command line.

    Args:
      source: a name that `locate` knows; None is the task's bundled model.
      hints: what a PyTorch checkpoint does not show (its preset).
      read: of a model directory, see `locate`.

    Raises:
      ValueError: unknown, or not a checkpoint of these architectures.
      OSError: missing, or not to be downloaded.
      ModuleNotFoundError: a PyTorch file, and torch is not installed.
    """
    name = zoo.default(task.value) if source is None else source
    found = locate(name, hints, load=read)
    digest = hash_model(found.config, found.weights)
    origin = "bundled" if name in zoo.MODELS else name
    return Model(found.name, origin, found.config, found.weights, digest)


def hash_model(config: Config, weights: Weights) -> str:
    """Hash a configuration and every tensor, names included."""
    digest = hashlib.sha256(json.dumps(to_dict(config), sort_keys=True).encode())
    for name, value in sorted(model_files.flatten(weights).items()):
        digest.update(f"{name}{value.shape}".encode())
        for first in range(0, len(value), HASHED_ROWS):  # a mapped table is never whole in memory
            part = np.ascontiguousarray(value[first : first + HASHED_ROWS], np.float32)
            digest.update(part.tobytes())
    return digest.hexdigest()
