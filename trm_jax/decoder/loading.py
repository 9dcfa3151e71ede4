"""Load a decoder of puzzles by its name: bundled, or a folder (model_folder.py). And its adapters.

    decoder = load_named_decoder("maze-ar-mini")
    puzzles = load_puzzles(decoder.task, cells=decoder.facts.cells)
    decoder.check_fit(puzzles)
    adapter = load_named_adapter("maze-ar-mini-w3c", decoder)
    generate(..., adapted=adapter.rows)

Not here: recursive models (trm_jax/loading.py), decoders of text (files of releases).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from trm_jax import zoo
from trm_jax.checkpoints.model_files import CONFIG_FILE, hash_file
from trm_jax.data.facts import PuzzleFacts
from trm_jax.data.hub import local_path
from trm_jax.decoder.config import DecoderConfig, TraceOrder, decoder_to_dict
from trm_jax.decoder.files.adapter_files import WEIGHTS_FILE, AdapterContent, load_adapters
from trm_jax.decoder.lora import AdaptedRows
from trm_jax.decoder.model_folder import PuzzleDecoder, load_puzzle_decoder
from trm_jax.decoder.transformer import flat_leaves
from trm_jax.loading import DATA_OPTION, Puzzles, check_facts_fit
from trm_jax.names import did_you_mean
from trm_jax.tasks.table import agreed_task, task_named
from trm_jax.tasks.task import Task
from trm_jax.typed_json import read_json
from trm_jax.types import Params


@dataclass(frozen=True, kw_only=True, eq=False)
class NamedDecoder:
    """A decoder of puzzles and what it is called.

    Attributes:
      name: what reports and folders call it.
      origin: what loads it again: a bundled name, or a path.
      model: configuration, weights, order and puzzles.
    """

    name: str
    origin: str
    model: PuzzleDecoder

    @property
    def config(self) -> DecoderConfig:
        """Sizes."""
        return self.model.config

    @property
    def params(self) -> Params:
        """Weights, float32."""
        return self.model.params

    @property
    def order(self) -> TraceOrder:
        """Of the traces that it was trained on."""
        return self.model.order

    @property
    def facts(self) -> PuzzleFacts:
        """Its puzzles."""
        return self.model.puzzles

    @property
    def task(self) -> Task:
        """What it solves."""
        return task_named(self.facts.task)

    @property
    def num_parameters(self) -> int:
        """Number of weights."""
        return self.model.num_parameters

    @cached_property
    def sha256(self) -> str:
        """Hash of configuration, order and weights."""
        said = {"config": decoder_to_dict(self.config), "order": self.order.value}
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
        for name, value in sorted(flat_leaves(self.params).items()):
            digest.update(f"{name}{value.shape}".encode())
            digest.update(np.ascontiguousarray(value, np.float32).tobytes())
        return digest.hexdigest()

    def check_fit(self, puzzles: Puzzles, option: str = DATA_OPTION) -> None:
        """Check that puzzles are those that the decoder reads.

        Raises:
          ValueError: another task, grid or box shape.
        """
        check_facts_fit(self.facts, f"decoder {self.name}", puzzles, option)


@dataclass(frozen=True, kw_only=True, eq=False)
class NamedAdapter:
    """A low-rank adapter of a decoder of puzzles and what it is called.

    Attributes:
      name: what reports call it.
      content: its matrices and sizes.
      sha256: of the file of its weights.
      scheme: name of the scheme on whose weights it was trained; empty: a folder does not say.
    """

    name: str
    content: AdapterContent
    sha256: str
    scheme: str = ""

    @property
    def rows(self) -> AdaptedRows:
        """What `generate` and `continue_streams` take: it acts on all written tokens."""
        return AdaptedRows(self.content.adapters, jnp.float32(self.content.config.scale))

    @property
    def num_parameters(self) -> int:
        """Number of weights."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.content.adapters))


def load_named_adapter(name: str, decoder: NamedDecoder) -> NamedAdapter:
    """Load an adapter.

    Args:
      name: bundled name, or a folder in PEFT's layout.
      decoder: what it is to act on.

    Raises:
      ValueError: unknown, damaged, or of another decoder.
      OSError: a file is missing.
    """
    bundled = zoo.ADAPTERS.get(name)
    where = "; python -m experiments.decode.studies --study lora leaves one in OUT/adapter"
    folder = _folder_of("adapter", name, zoo.ADAPTERS, where)
    if bundled is not None and decoder.origin != bundled.decoder:
        raise ValueError(
            f"adapter {name} acts on {bundled.decoder}, got {decoder.name}; name that decoder"
        )
    return NamedAdapter(
        name=folder.resolve().name,
        content=load_adapters(folder, decoder.config),
        sha256=hash_file(folder / WEIGHTS_FILE),
        scheme="" if bundled is None else bundled.scheme,
    )


def _folder_of(noun: str, name: str, bundled: Mapping[str, zoo.ZooEntry], where: str = "") -> Path:
    """Find the folder of a bundled name, or the folder that is named itself.

    Args:
      where: to be said where there is none.

    Raises:
      ValueError: neither.
    """
    if name in bundled:
        return bundled[name].directory
    if not (folder := local_path(name)).is_dir():
        raise ValueError(
            f"unknown {noun} {name!r}: no such folder;{did_you_mean(name, list(bundled))}"
            f" bundled: {', '.join(bundled)}{where}"
        )
    return folder


def is_decoder(name: str) -> bool:
    """Return whether a name or folder is a decoder's; no weight is read."""
    if name in zoo.DECODERS:
        return True
    file = local_path(name) / CONFIG_FILE
    if not file.is_file():
        return False
    document = read_json(file)
    config = document.get("config") if isinstance(document, dict) else None
    return isinstance(config, dict) and config.get("architecture") == "decoder"


def load_named_decoder(name: str | None = None, *, task: Task | None = None) -> NamedDecoder:
    """Load a decoder of puzzles.

    Args:
      name: bundled name or folder; None: the bundled one of the task.
      task: what it must solve.

    Raises:
      ValueError: unknown, damaged, or of another task.
      OSError: a file is missing.
    """
    if name is None:
        if task is None:
            raise ValueError("a decoder needs a name or a task, got neither")
        name = zoo.default_decoder(task.name)
    bundled = name in zoo.DECODERS
    folder = _folder_of("decoder", name, zoo.DECODERS)
    model = load_puzzle_decoder(folder)
    named = NamedDecoder(
        name=name if bundled else folder.resolve().name,
        origin=name if bundled else str(folder.resolve()),
        model=model,
    )
    agreed_task(task, named.facts.task, f"decoder {name}")
    return named
