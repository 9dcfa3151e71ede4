"""Load a model by its name and puzzles by their task: the one way of every program.

A model's name is

    sudoku-trm-mlp-mini    a bundled model (trm_jax/zoo)
    runs/model             a model directory (model.safetensors + config.json)
    step_21700             a checkpoint of the PyTorch release, or a directory with one
    hf:owner/name/file     the same on the Hugging Face Hub, `@revision` optional
    trm-mlp-sudoku-...     a known public checkpoint (`python -m trm_jax.convert --list`)

and puzzles are the bundled ones of a task or a folder in the released layout:

    model = load_model("sudoku-trm-mlp-mini")
    puzzles = load_puzzles(model)                    # bundled puzzles of the model's size
    puzzles = load_puzzles("maze", Path("data/maze-hard"))

The task comes with the model or is named by the caller; it is never inferred (tasks/table.py).

Not here: files and their formats (checkpoints, convert, data/format.py).
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Integer

from trm_jax import zoo
from trm_jax.checkpoints import model_files
from trm_jax.config import Config, to_dict
from trm_jax.convert import load as convert_load
from trm_jax.convert.hints import NO_HINTS, Hints
from trm_jax.convert.published import PUBLISHED
from trm_jax.data.batches import (
    CALIBRATION_PUZZLES,
    PuzzleBatch,
    calibration_batches,
    evaluation_order,
    gather,
    in_evaluation_order,
)
from trm_jax.data.facts import PuzzleFacts, by, check_agreement, settle_facts
from trm_jax.data.format import ARRAYS, PuzzleDataset, facts_of_split, load_dataset
from trm_jax.data.hub import PREFIX as HUB
from trm_jax.data.hub import local_path
from trm_jax.models.build import build
from trm_jax.models.reasoner import Reasoner
from trm_jax.names import did_you_mean
from trm_jax.tasks.table import agreed_task, need_task, task_named
from trm_jax.tasks.task import Task
from trm_jax.types import Batch, Weights

DATA_OPTION = "--data"
HASHED_ROWS = 4096  # of a tensor at a time


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedModel:
    """A model and what is known of it.

    Attributes:
      name: what reports and folders call it.
      origin: what loads it again from any folder: a name, a path, or a Hub source.
      task: None where neither its files nor the caller said one.
      facts: what its puzzles are, as its files say; None: they do not (PyTorch checkpoints, older
        folders).
    """

    name: str
    origin: str
    task: Task | None
    config: Config
    weights: Weights
    facts: PuzzleFacts | None = None

    @cached_property
    def reasoner(self) -> Reasoner:
        """Full precision, as pure functions of the weights."""
        return build(self.config)

    @cached_property
    def sha256(self) -> str:
        """Hash of configuration and weights."""
        return hash_model(self.config, self.weights)

    @cached_property
    def num_parameters(self) -> int:
        """Number of weights without the puzzle table."""
        flat = model_files.flatten(self.weights)
        return sum(value.size for name, value in flat.items() if name != "puzzle_emb")

    @property
    def architecture(self) -> str:
        """Architecture and mixer, as tables write them."""
        kind = type(self.config).__name__.removesuffix("Config")
        return f"{kind} ({self.config.mixer.value})"

    @property
    def where(self) -> str:
        """Where it comes from, as headings write it: bundled, or its origin."""
        return "bundled" if self.origin in zoo.MODELS else self.origin

    def need_task(self) -> Task:
        """Return the task.

        Raises:
          ValueError: nothing says it.
        """
        return need_task(self.task, f"model {self.name}")

    def trained_on(self, puzzles: "Puzzles") -> "LoadedModel":
        """Say which puzzles the model was trained on, where its files do not (PyTorch checkpoints).

        Returns:
          The model with the task, grid, boxes and identifiers of the puzzles.

        Raises:
          ValueError: its files say otherwise, or its sizes are others than the puzzles'.
        """
        facts = self.facts or puzzles.facts
        model = dataclasses.replace(self, task=self.task or puzzles.task, facts=facts)
        check_fit(model, puzzles)
        return model

    def need_facts(self) -> PuzzleFacts:
        """Return what its puzzles are; where its files do not say, what leaves no choice.

        Raises:
          ValueError: something that must be said.
        """
        if self.facts is not None:
            return self.facts
        return settle_facts(
            self.need_task().name,
            self.config.seq_len,
            f"model {self.name}",
            num_identifiers=self.config.num_puzzle_identifiers,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Puzzles:
    """A split of a data set and where it comes from.

    Attributes:
      name: for headings.
      folder: the split that was read.
      dataset: in the layout of its files.
      facts: their grid, boxes and identifiers.
    """

    task: Task
    name: str
    folder: Path
    dataset: PuzzleDataset
    facts: PuzzleFacts

    def __len__(self) -> int:
        """Count the puzzles (of ARC: the questions)."""
        return len(self.dataset)

    @cached_property
    def sha256(self) -> str:
        """Hash of examples, answers and identifiers."""
        return hash_dataset(self.dataset)

    @cached_property
    def order(self) -> Integer[np.ndarray, " puzzles"]:
        """Rows of the data set in the order in which they are measured."""
        return evaluation_order(self.dataset)

    @cached_property
    def ordered(self) -> PuzzleDataset:
        """The data set laid out in that order: row i here is row `order[i]` of `dataset`."""
        return in_evaluation_order(self.dataset)


def load_model(
    name: str | None = None,
    hints: Hints = NO_HINTS,
    *,
    task: Task | str | None = None,
    read: Callable[[Path], tuple[Config, Weights]] = model_files.load_model,
) -> LoadedModel:
    """Load the model of a name (module docstring).

    Args:
      name: None is the bundled model of the task.
      hints: what a PyTorch checkpoint does not show (its preset).
      task: what it solves, for models whose files do not say.
      read: reads a model directory; `model_files.map_model` leaves the puzzle table in its file.

    Raises:
      ValueError: unknown, not a checkpoint of these architectures, of another task, or neither
        name nor task is given.
      OSError: missing, or not to be downloaded.
    """
    asked = task_named(task) if isinstance(task, str) else task
    if name is None:
        name = zoo.default(need_task(asked, "a model without a name").name)
    if name in zoo.MODELS:
        entry = zoo.MODELS[name]
        facts = model_files.load_facts(entry.directory)
        return _loaded(name, name, asked, (entry.task, facts), read(entry.directory))
    if name in zoo.DECODERS:
        raise ValueError(
            f"{name} is a decoder of puzzles, not a recursive model: `python -m experiments.decode"
            f" --task {zoo.DECODERS[name].task} --models {name}` and experiments.decode.studies"
            " take it, export.tflite and export.onnx export it"
        )
    path = local_path(name)
    origin = str(path.resolve()) if path.exists() else name
    if os.path.lexists(path / model_files.CONFIG_FILE):
        recorded = model_files.load_task(path), model_files.load_facts(path)
        return _loaded(_short(name), origin, asked, recorded, read(path))
    if name in PUBLISHED or name.startswith(HUB) or path.exists():
        config, weights, _ = convert_load.load_torch(name, hints)
        recorded = convert_load.recorded_task(name, hints), None
        return _loaded(_short(name), origin, asked, recorded, (config, weights))
    raise ValueError(_unknown_model(name))


def _unknown_model(name: str) -> str:
    """Say that no model has a name, and which names there are."""
    return (
        f"unknown model {name!r}: no such file or directory;"
        f"{did_you_mean(name, [*zoo.MODELS, *PUBLISHED])} bundled: {', '.join(zoo.MODELS)};"
        " public: see `python -m trm_jax.convert --list`; or hf:owner/name/file"
    )


def known_config(name: str) -> Config | None:
    """Return the configuration of a name without its weights; None where only they tell.

    Raises:
      ValueError: a model directory with a damaged config.json.
    """
    directory = zoo.MODELS[name].directory if name in zoo.MODELS else local_path(name)
    if (directory / model_files.CONFIG_FILE).is_file():
        return model_files.load_config(directory)
    return PUBLISHED[name].config if name in PUBLISHED else None


def load_puzzles(
    source: LoadedModel | Task | str,
    folder: Path | None = None,
    *,
    cells: int | None = None,
    option: str = DATA_OPTION,
) -> Puzzles:
    """Load the puzzles of a task, or those that a model reads.

    Args:
      source: a task or its name; or a model, which must then fit the puzzles.
      folder: a data set in the released layout, or one split of it (of a data set the test
        split is read); None is the bundled one.
      cells: of the bundled puzzles; None is the model's, or the first that is bundled.
      option: of the command line that named the folder, for messages.

    Raises:
      FileNotFoundError: missing, or a file of the layout is.
      ValueError: damaged, puzzles of another task or size, none of the size are bundled, or a
        model of which nothing says the task.
    """
    model = None
    if isinstance(source, LoadedModel):
        model, cells = source, source.config.seq_len
        source = source.need_task()
    task = task_named(source) if isinstance(source, str) else source
    root = zoo.puzzles(task.name, cells) if folder is None else folder
    if not root.is_dir():
        raise FileNotFoundError(f"no data folder {root}; leave {option} out for bundled puzzles")
    split = root if (root / "dataset.json").is_file() else root / "test"
    dataset = load_dataset(split)
    facts = facts_of_split(dataset.metadata, split, task.name)
    task.check_alphabet(facts, dataset.metadata.vocab_size, f"data {split}")
    name = f"{task.name} {by(facts.grid)} ({'bundled' if folder is None else split})"
    puzzles = Puzzles(task=task, name=name, folder=split, dataset=dataset, facts=facts)
    if model:
        check_fit(model, puzzles, option)
    return puzzles


def check_fit(model: LoadedModel, puzzles: Puzzles, option: str = DATA_OPTION) -> None:
    """Check that a model can read the puzzles, and that they are what it was trained on.

    Args:
      option: of the command line that named the puzzles, for messages.

    Raises:
      ValueError: another task, puzzle size, alphabet, grid, box shape or puzzle identifiers.
    """
    if model.task is not None and model.task != puzzles.task:
        raise ValueError(
            f"model {model.name} and data {puzzles.folder} do not fit: the model solves"
            f" {model.task.name}, the data is {puzzles.task.name}; name another --model or {option}"
        )
    check_config_fits(model.name, model.config, puzzles, option)
    check_facts_fit(model.need_facts(), f"model {model.name}", puzzles, option)


def check_facts_fit(
    facts: PuzzleFacts, name: str, puzzles: Puzzles, option: str = DATA_OPTION
) -> None:
    """Check that puzzles are those that something was made for.

    Args:
      name: of the model or export, with the word before it, for the message.
      option: of the command line that named the puzzles, for messages.

    Raises:
      ValueError: another task, grid, box shape or puzzle identifiers.
    """
    remedy = f"name another model or other {option}"
    check_agreement(facts, name, puzzles.facts, f"data {puzzles.folder}", remedy=remedy)


def check_config_fits(
    name: str, config: Config, puzzles: Puzzles, option: str = DATA_OPTION
) -> None:
    """Check that a configuration fits the puzzles.

    Args:
      name: of the model or export, for the message.
      option: of the command line that named the puzzles, for messages.

    Raises:
      ValueError: another puzzle size, alphabet, or number of puzzle identifiers.
    """
    meta = puzzles.dataset.metadata
    for field in ("seq_len", "vocab_size"):
        ours, theirs = getattr(config, field), getattr(meta, field)
        if ours != theirs:
            raise ValueError(
                f"model {name} and data {puzzles.folder} do not fit: the model has"
                f" {field}={ours}, the data {field}={theirs}; name another --model or other"
                f" {option} (python -m {puzzles.task.data_command} build|generate makes it)"
            )
    if config.num_puzzle_identifiers != meta.num_puzzle_identifiers:
        raise ValueError(
            f"model {name} knows {config.num_puzzle_identifiers} puzzle identifiers, data"
            f" {puzzles.folder} uses {meta.num_puzzle_identifiers}; name the data it was trained on"
        )


def gather_batch(dataset: PuzzleDataset, rows: Integer[np.ndarray, " batch"]) -> Batch:
    """Gather puzzles as one batch on the default device.

    Args:
      rows: of the data set, in any order.
    """
    return to_batch(gather(dataset, rows, len(rows)))


def gather_calibration(dataset: PuzzleDataset, count: int = CALIBRATION_PUZZLES) -> Iterator[Batch]:
    """Gather the puzzles that schemes are calibrated on, once they are asked for.

    Which ones: data/batches.py. A command line's are chosen and checked by tasks/calibration.py.

    Args:
      count: how many, the last of the data set; below 8 (data/calibration.py) accuracy suffers.

    Raises:
      ValueError: the data set has too few, or all of them are the same puzzle.
    """
    for host in calibration_batches(dataset, count):
        yield to_batch(host)


def to_batch(host: PuzzleBatch) -> Batch:
    """Copy a batch from the host to the default device."""
    return Batch(*(jnp.asarray(x) for x in host[:3]))


def hash_model(config: Config, weights: Weights) -> str:
    """Hash a configuration and every tensor, names included."""
    digest = hashlib.sha256(json.dumps(to_dict(config), sort_keys=True).encode())
    for name, value in sorted(model_files.flatten(weights).items()):
        digest.update(f"{name}{value.shape}".encode())
        for first in range(0, len(value), HASHED_ROWS):  # a mapped table is never whole in memory
            part = np.ascontiguousarray(value[first : first + HASHED_ROWS], np.float32)
            digest.update(part.tobytes())
    return digest.hexdigest()


def hash_dataset(dataset: PuzzleDataset) -> str:
    """Hash a data set; the integer type of its files does not matter."""
    digest = hashlib.sha256()
    for name in ARRAYS:
        values = getattr(dataset, name)
        digest.update(f"{name}{values.shape}".encode())
        for first in range(0, len(values), HASHED_ROWS):  # mapped files are never whole in memory
            part = np.ascontiguousarray(values[first : first + HASHED_ROWS], np.int32)
            digest.update(part.tobytes())
    return digest.hexdigest()


def _loaded(
    name: str,
    origin: str,
    asked: Task | None,
    recorded: tuple[str | None, PuzzleFacts | None],
    parts: tuple[Config, Weights],
) -> LoadedModel:
    """Make the record of a model; `recorded` is what its files say of its puzzles."""
    (said, facts), (config, weights) = recorded, parts
    task = agreed_task(asked, said or (facts.task if facts else None), f"model {name}")
    return LoadedModel(
        name=name, origin=origin, task=task, config=config, weights=weights, facts=facts
    )


def _short(source: str) -> str:
    """Name a folder after the last part of a path or Hub source."""
    return Path(source.removeprefix(HUB).partition("@")[0]).name or "model"
