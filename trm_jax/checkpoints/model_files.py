"""A model as files: a directory with safetensors and config.json, for interchange.

    model.safetensors   float32 (or bfloat16, float16) tensors under flat names:
                        `params/L_level/layers_0/mlp/down_proj/kernel`, ...,
                        `buffers/H_init`, `buffers/L_init`, `puzzle_emb`
    config.json         {"format": 1, "config": config.to_dict(...), "metadata": {...},
                        "task": "sudoku", "puzzles": {...}, "sha256": of model.safetensors}; the
                        task is left out where nobody said it, "puzzles" (trm_jax/data/facts.py)
                        where it is not known, the hash by earlier versions and other writers

Both are finished before either appears under its name. When a model is read its hash is checked,
then sizes and shapes against the configuration, then that all weights are numbers.

Not here: states of training runs (training_state.py), PyTorch files (trm_jax/convert).
"""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import Array
from jax.typing import ArrayLike

from trm_jax.checkpoints.tensor_files import map_tensors, save_tensors
from trm_jax.config import STORAGE, Config, HRMConfig, to_dict
from trm_jax.data.facts import PuzzleFacts, read_facts
from trm_jax.models.build import build
from trm_jax.output.staging import replace_text, staged
from trm_jax.typed_json import read_fields, read_json
from trm_jax.types import Buffers, Weights

Shape = tuple[int, ...]
Tensor = Array | np.ndarray


FORMAT = 1
MODEL_FILE = "model.safetensors"
CONFIG_FILE = "config.json"

LAYER_TENSORS = 4  # of every kind of block
SHOWN = 5  # problems of names and shapes in one message

State = TypeVar("State")


@dataclass(frozen=True, kw_only=True)
class ModelDocument:
    """config.json, field by field."""

    format: int
    config: Config
    metadata: dict[str, Any]
    task: str | None = None
    puzzles: Any = None
    sha256: str | None = None


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
      ValueError: names the first missing and unknown tensors and those of another shape.
    """
    problems = [f"{n}: missing, expected {expected[n]}" for n in sorted(expected.keys() - shapes)]
    problems += [f"{n}: unknown, shape {shapes[n]}" for n in sorted(shapes.keys() - expected)]
    problems += [
        f"{n}: found {shapes[n]}, expected {expected[n]}"
        for n in sorted(expected.keys() & shapes)
        if shapes[n] != expected[n]
    ]
    if problems:
        more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        listed = "; ".join(problems[:SHOWN])
        raise ValueError(f"{origin} does not fit the configuration: {listed}{more}")


def weight_shapes(config: Config) -> dict[str, Shape]:
    """List the flat names and shapes that a configuration asks for, allocating nothing."""
    init = build(config).init
    leaves = jax.eval_shape(lambda key: flatten(init(key)), jax.random.key(0))
    return {name: leaf.shape for name, leaf in leaves.items()}


def check_weights(shapes: dict[str, Shape], config: Config, origin: str) -> None:
    """Check names and shapes against a configuration: sizes first, before a network is built.

    Raises:
      ValueError: as `check_shapes`.
    """
    decisive = {
        "params/embed_tokens/embedding": (config.vocab_size, config.hidden_size),
        "puzzle_emb": (config.num_puzzle_identifiers, config.puzzle_emb_ndim),
    }
    held = sum(map(math.prod, shapes.values()))
    if any(math.prod(shape) > held for shape in decisive.values()):
        check_shapes({n: s for n, s in shapes.items() if n in decisive}, decisive, origin)
    layers = config.L_layers + (config.H_layers if isinstance(config, HRMConfig) else 0)
    if layers * LAYER_TENSORS > len(shapes):
        raise ValueError(
            f"{origin} does not fit the configuration: its {len(shapes)} tensors are too few for"
            f" {layers} layers"
        )
    check_shapes(shapes, weight_shapes(config), origin)


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
    check_weights({n: x.shape for n, x in tensors.items()}, config, "the weights to save")
    stored = {name: _stored(name, value, storage) for name, value in tensors.items()}
    document = {"format": FORMAT, "config": to_dict(config), "metadata": metadata or {}}
    if puzzles is not None:
        check_facts(puzzles, config, str(path))
        task = task or puzzles.task
        document["puzzles"] = puzzles.to_json()
    if task is not None:
        document["task"] = task
    json.dumps(document, allow_nan=False)  # raises before anything is written
    with staged(path) as work:
        save_tensors(stored, work / MODEL_FILE)
        document["sha256"] = hash_file(work / MODEL_FILE)
        (work / CONFIG_FILE).write_text(_dump(document), encoding="utf-8")
        forget_hash(path)


def hash_file(file: Path) -> str:
    """Hash a file by SHA-256, in parts."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _dump(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _stored(name: str, value: Tensor, storage: str) -> Tensor:
    """Round to the dtype of the file; raises where that makes infinities of numbers."""
    rounded = value.astype(storage)
    if storage == "float16" and np.isinf(rounded).any() and not np.isinf(value).any():
        raise ValueError(f"{name} has weights beyond {storage}; choose another --storage")
    return rounded


def forget_hash(path: Path) -> None:
    """Remove the hash of the old model of a folder, just before a new one takes its place.

    The two files are replaced one after the other; a kill in between would leave a new model that
    an old hash refuses.
    """
    try:
        document = read_json(path / CONFIG_FILE)
        del document["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # a new folder, or no hash in it
    replace_text(path / CONFIG_FILE, _dump(document))


def load_model(path: Path) -> tuple[Config, Weights]:
    """Read an interchange directory; tensors come back as float32.

    Raises:
      FileNotFoundError: one of the two files is missing.
      ValueError: a file is damaged or not of this format, tensors do not fit the configuration
        (names and both shapes are told), or a weight is not a number.
    """
    config, weights = map_model(path)
    table = _in_memory("puzzle_emb", weights.puzzle_emb, path)
    return config, weights._replace(puzzle_emb=table)


def map_model(path: Path) -> tuple[Config, Weights]:
    """Read an interchange directory but leave the puzzle table in its file.

    The table is a NumPy view in the stored dtype: indexing it reads the rows asked for. With
    876,406 rows of 512 it would take 1.8 GB; everything else takes 27 MB.

    Raises:
      As `load_model`; only the weights of the table are not looked at.
    """
    document = _read_document(path)
    file = _existing(path, MODEL_FILE)
    tensors = map_tensors(file)
    if document.sha256 not in (None, hash_file(file)):
        raise ValueError(
            f"{file} is damaged or of another model: its SHA-256 is not that of {CONFIG_FILE};"
            " copy or convert the model again"
        )
    check_weights({n: x.shape for n, x in tensors.items()}, document.config, str(file))
    table = tensors.pop("puzzle_emb")
    rest = {name: _in_memory(name, value, path) for name, value in tensors.items()}
    return document.config, unflatten({**rest, "puzzle_emb": table})


def check_finite(name: str, values: np.ndarray, origin: str) -> None:
    """Check that weights are numbers.

    Raises:
      ValueError: names the tensor, and counts what is NaN or infinite.
    """
    if bad := values.size - int(np.isfinite(values).sum()):
        raise ValueError(
            f"{origin}: {name} has {bad} of {values.size} weights that are NaN or infinite;"
            " the file is damaged, or its training left the numbers"
        )


def _in_memory(name: str, mapped: ArrayLike, path: Path) -> Array:
    """Copy a view of a file as float32; an array that aliases it would go on living in it."""
    values = np.asarray(mapped, np.float32)
    check_finite(name, values, str(path / MODEL_FILE))
    return jnp.array(values, copy=True)


def load_config(path: Path) -> Config:
    """Read the configuration of an interchange directory.

    Raises:
      FileNotFoundError, ValueError: config.json is missing or not of this format.
    """
    return _read_document(path).config


def load_metadata(path: Path) -> dict[str, object]:
    """Read the free notes of an interchange directory.

    Raises:
      FileNotFoundError, ValueError: config.json is missing or not of this format.
    """
    return _read_document(path).metadata


def load_task(path: Path) -> str | None:
    """Read the name of the task of an interchange directory; None where it does not say.

    Raises:
      FileNotFoundError, ValueError: config.json is missing or not of this format.
    """
    return _read_document(path).task


def load_facts(path: Path) -> PuzzleFacts | None:
    """Read what the puzzles of an interchange directory are; None where it does not say.

    Raises:
      FileNotFoundError, ValueError: config.json is missing, not of this format, or contradicts
        itself.
    """
    document, file = _read_document(path), str(path / CONFIG_FILE)
    if document.puzzles is None:
        return None
    facts = read_facts(document.puzzles, file)
    if document.task not in (None, facts.task):
        raise ValueError(f"{file}: task is {document.task!r}, puzzles.task {facts.task!r}")
    check_facts(facts, document.config, file)
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
    if os.path.lexists(path / name) and not (path / name).is_file():
        raise FileNotFoundError(f"{path / name} is a folder or a broken link, not a file")
    if not (path / name).is_file():
        raise FileNotFoundError(
            f"{path} is not a model directory: no {name} in it"
            " (PyTorch files are converted with `python -m trm_jax.convert`)"
        )
    return path / name


def _read_document(path: Path) -> ModelDocument:
    """Read config.json; every field of its configuration must be there."""
    file = _existing(path, CONFIG_FILE)
    document = read_json(file)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f"{file} is not of format {FORMAT}; this version reads no other")
    if "order" in document:
        raise ValueError(
            f"{file} is of a decoder of puzzles, not of a recursive model: `python -m"
            " experiments.decode --models` and experiments.decode.studies take it, export.tflite"
            " and export.onnx export it"
        )
    try:
        return read_fields(ModelDocument, document)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
