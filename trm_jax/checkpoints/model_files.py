"""A model as files: a directory with safetensors and config.json, for interchange.

    model.safetensors   float32 (or bfloat16, float16) tensors under flat names:
                        `params/L_level/layers_0/mlp/down_proj/kernel`, ...,
                        `buffers/H_init`, `buffers/L_init`, `puzzle_emb`
    config.json         {"format": 1, "config": config.to_dict(...), "metadata": {...},
                        "task": "sudoku", "puzzles": {...}}; the task is left out where nobody
                        said it, and "puzzles" (trm_jax/data/facts.py) where it is not known

Both are finished before either appears under its name. Shapes are checked against the
configuration when a model is read.

Not here: states of training runs (training_state.py), PyTorch files (trm_jax/convert).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import Array
from jax.typing import ArrayLike

from trm_jax.checkpoints.tensor_files import map_tensors, save_tensors
from trm_jax.config import STORAGE, Config, from_dict, to_dict
from trm_jax.data.facts import PuzzleFacts, read_facts
from trm_jax.models.build import build
from trm_jax.output.staging import staged
from trm_jax.types import Buffers, Weights

Shape = tuple[int, ...]
Tensor = Array | np.ndarray


FORMAT = 1
MODEL_FILE = "model.safetensors"
CONFIG_FILE = "config.json"

State = TypeVar("State")


def flatten(weights: Weights) -> dict[str, Tensor]:
    """Give every leaf its flat name; a mapped puzzle table stays a NumPy view."""
    params = cast(dict[str, Tensor], flatten_dict(weights.params, sep="/"))
    return {
        **{f"params/{name}": value for name, value in params.items()},
        "buffers/H_init": weights.buffers.H_init,
        "buffers/L_init": weights.buffers.L_init,
        "puzzle_emb": weights.puzzle_emb,
    }


def unflatten(tensors: Mapping[str, Any]) -> Weights:
    """Rebuild weights from flat names (the inverse of `flatten`)."""
    prefix = "params/"
    params = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    buffers = Buffers(tensors["buffers/H_init"], tensors["buffers/L_init"])
    return Weights(unflatten_dict(params, sep="/"), buffers, tensors["puzzle_emb"])


def check_shapes(shapes: dict[str, Shape], expected: dict[str, Shape], origin: str) -> None:
    """Check that names and shapes are the same on both sides.

    Raises:
      ValueError: lists every missing and unknown name and every pair of shapes that differ.
    """
    problems = [f"{n}: missing, expected {expected[n]}" for n in sorted(expected.keys() - shapes)]
    problems += [f"{n}: unknown, shape {shapes[n]}" for n in sorted(shapes.keys() - expected)]
    problems += [
        f"{n}: found {shapes[n]}, expected {expected[n]}"
        for n in sorted(expected.keys() & shapes)
        if shapes[n] != expected[n]
    ]
    if problems:
        listed = "\n  ".join(problems)
        raise ValueError(f"{origin} does not fit the configuration:\n  {listed}")


def weight_shapes(config: Config) -> dict[str, Shape]:
    """List the flat names and shapes that a configuration asks for, allocating nothing."""
    init = build(config).init
    leaves = jax.eval_shape(lambda key: flatten(init(key)), jax.random.key(0))
    return {name: leaf.shape for name, leaf in leaves.items()}


def save_model(
    path: Path,
    config: Config,
    weights: Weights,
    metadata: dict[str, object] | None = None,
    storage: str = "float32",
    *,
    task: str | None = None,
    puzzles: PuzzleFacts | None = None,
) -> None:
    """Write an interchange directory.

    Args:
      path: the directory; made if missing.
      metadata: free JSON-ready notes (origin, steps, accuracy), kept in config.json.
      storage: dtype of the tensors in the file. Anything below float32 rounds them.
      task: what the model solves, by its name in trm_jax.tasks; None: not known.
      puzzles: what its puzzles are, their task included; None: not known.

    Raises:
      ValueError: the weights or the puzzles do not fit the configuration, or the storage dtype is
        unknown.
    """
    if storage not in STORAGE:
        raise ValueError(f"storage must be one of {', '.join(STORAGE)}, got storage={storage!r}")
    tensors = flatten(weights)
    shapes = {name: value.shape for name, value in tensors.items()}
    check_shapes(shapes, weight_shapes(config), "the weights to save")
    document = {"format": FORMAT, "config": to_dict(config), "metadata": metadata or {}}
    if puzzles is not None:
        check_facts(puzzles, config, str(path))
        task = task or puzzles.task
        document["puzzles"] = puzzles.to_json()
    if task is not None:
        document["task"] = task
    text = json.dumps(document, indent=2) + "\n"
    with staged(path) as work:
        save_tensors({k: v.astype(storage) for k, v in tensors.items()}, work / MODEL_FILE)
        (work / CONFIG_FILE).write_text(text, encoding="utf-8")


def load_model(path: Path) -> tuple[Config, Weights]:
    """Read an interchange directory; tensors come back as float32.

    Raises:
      FileNotFoundError: one of the two files is missing.
      ValueError: a file is truncated or not of this format, or tensors do not fit the
        configuration; names and both shapes are listed.
    """
    config, weights = map_model(path)
    return config, weights._replace(puzzle_emb=_in_memory(weights.puzzle_emb))


def map_model(path: Path) -> tuple[Config, Weights]:
    """Read an interchange directory but leave the puzzle table in its file.

    The table is a NumPy view in the stored dtype: indexing it reads the rows asked for. With
    876,406 rows of 512 it would take 1.8 GB; everything else takes 27 MB.

    Raises:
      As `load_model`.
    """
    config = load_config(path)
    file = _existing(path, MODEL_FILE)
    tensors = map_tensors(file)
    shapes = {name: value.shape for name, value in tensors.items()}
    check_shapes(shapes, weight_shapes(config), str(file))
    table = tensors.pop("puzzle_emb")
    rest = {k: _in_memory(v) for k, v in tensors.items()}
    return config, unflatten({**rest, "puzzle_emb": table})


def _in_memory(mapped: ArrayLike) -> Array:
    """Copy a view of a file as float32; an array that aliases it would go on living in it."""
    return jnp.array(np.asarray(mapped, np.float32), copy=True)


def load_config(path: Path) -> Config:
    """Read the configuration of an interchange directory.

    Raises:
      FileNotFoundError, ValueError: config.json is missing or not of this format.
    """
    return from_dict(_read_document(path)["config"])


def load_metadata(path: Path) -> dict[str, object]:
    """Read the free notes of an interchange directory.

    Raises:
      FileNotFoundError, ValueError: config.json is missing or not of this format.
    """
    return _read_document(path)["metadata"]


def load_task(path: Path) -> str | None:
    """Read the name of the task of an interchange directory; None where it does not say.

    Raises:
      FileNotFoundError, ValueError: config.json is missing or not of this format.
    """
    return _read_document(path).get("task")


def load_facts(path: Path) -> PuzzleFacts | None:
    """Read what the puzzles of an interchange directory are; None where it does not say.

    Raises:
      FileNotFoundError, ValueError: config.json is missing, not of this format, or contradicts
        itself.
    """
    document, file = _read_document(path), str(path / CONFIG_FILE)
    if "puzzles" not in document:
        return None
    facts = read_facts(document["puzzles"], file)
    if facts.task != document.get("task", facts.task):
        raise ValueError(f"{file}: task is {document['task']!r}, puzzles.task {facts.task!r}")
    check_facts(facts, load_config(path), file)
    return facts


def check_facts(facts: PuzzleFacts, config: Config, where: str) -> None:
    """Check that puzzles have the size that a configuration reads.

    Args:
      where: the file, for the message.

    Raises:
      ValueError: another number of cells.
    """
    if facts.cells != config.seq_len:
        raise ValueError(
            f"{where}: puzzles.grid must have seq_len={config.seq_len} cells, got"
            f" {list(facts.grid)}"
        )


def _existing(path: Path, name: str) -> Path:
    """Join and demand that the file is there."""
    if not (path / name).is_file():
        raise FileNotFoundError(
            f"{path} is not a model directory: no {name} in it"
            " (PyTorch files are converted with `python -m trm_jax.convert`)"
        )
    return path / name


def _read_document(path: Path) -> dict[str, Any]:
    """Read config.json and check its outline."""
    file = _existing(path, CONFIG_FILE)
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is truncated or not JSON: {error}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f"{file} is not of format {FORMAT}; this version reads no other")
    for key in ("config", "metadata"):
        if not isinstance(document.get(key), dict):
            raise ValueError(f"{file} has no table {key!r}")
    if not isinstance(document.get("task", ""), str):
        raise ValueError(f"{file}: task must be a name, got {document['task']!r}")
    return document
