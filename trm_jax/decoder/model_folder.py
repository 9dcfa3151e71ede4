"""A small decoder of puzzles as files: safetensors and config.json in one folder.

    model.safetensors   float32 tensors under flat names, `layers_0/self_attn/q_proj/kernel`, ...
    config.json         {"format": 1, "config": decoder_to_dict(...), "order": "scan",
                        "puzzles": {...} (trm_jax/data/facts.py), "metadata": {...},
                        "sha256": of model.safetensors}

It is the folder of the recursive models (trm_jax/checkpoints/model_files.py) with the order in
which the decoder answers, and of its puzzles the facts always: they decide what its tokens mean.
Both files are finished before either appears. When a decoder is read its hash is checked, then
names and shapes against the configuration, the vocabulary against the puzzles, and that all
weights are numbers.

Not here: releases of Hugging Face and GGUF files.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import unflatten_dict

from trm_jax.checkpoints.model_files import (
    CONFIG_FILE,
    FORMAT,
    MODEL_FILE,
    check_finite,
    check_shapes,
    forget_hash,
    hash_file,
)
from trm_jax.checkpoints.tensor_files import map_tensors, save_tensors
from trm_jax.data.facts import PuzzleFacts, read_facts
from trm_jax.decoder.config import DecoderConfig, decoder_to_dict
from trm_jax.decoder.transformer import Decoder, flat_leaves, leaf_shapes
from trm_jax.output.staging import staged
from trm_jax.tasks.table import task_named
from trm_jax.tasks.tokens.form import TokenForm, TraceOrder
from trm_jax.typed_json import read_fields, read_json
from trm_jax.types import Params


@dataclass(frozen=True, kw_only=True)
class PuzzleDecoderDocument:
    """config.json, field by field."""

    format: int
    config: DecoderConfig
    order: TraceOrder
    puzzles: Any
    metadata: dict[str, Any]
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class PuzzleDecoder:
    """A decoder of puzzles.

    Attributes:
      order: of the traces that it was trained on.
      puzzles: task and shape, which decide its tokens.
      metadata: free notes (origin, steps).
    """

    config: DecoderConfig
    params: Params
    order: TraceOrder
    puzzles: PuzzleFacts
    metadata: dict[str, Any]

    @property
    def decoder(self) -> Decoder:
        """The network, as pure functions of the parameters."""
        return Decoder(self.config)

    @property
    def form(self) -> TokenForm:
        """What its tokens mean."""
        return task_named(self.puzzles.task).token_form(self.puzzles)

    @property
    def num_parameters(self) -> int:
        """Number of weights."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.params))


def save_puzzle_decoder(path: Path, model: PuzzleDecoder) -> None:
    """Write a folder.

    Raises:
      ValueError: weights do not fit the configuration, or the vocabulary not the puzzles.
    """
    tensors = flat_leaves(model.params)
    expected = leaf_shapes(model.config)
    check_shapes({n: x.shape for n, x in tensors.items()}, expected, "the weights to save")
    check_vocabulary(model.form, model.config, str(path), model.puzzles.title)
    document = {
        "format": FORMAT,
        "config": decoder_to_dict(model.config),
        "order": model.order.value,
        "puzzles": model.puzzles.to_json(),
        "metadata": model.metadata,
    }
    json.dumps(document, allow_nan=False)  # raises before anything is written
    with staged(path) as work:
        save_tensors({n: np.asarray(x, np.float32) for n, x in tensors.items()}, work / MODEL_FILE)
        document["sha256"] = hash_file(work / MODEL_FILE)
        text = json.dumps(document, indent=2, allow_nan=False) + "\n"
        (work / CONFIG_FILE).write_text(text, encoding="utf-8")
        forget_hash(path)


def check_vocabulary(form: TokenForm, config: DecoderConfig, what: str, puzzles: str) -> None:
    """Check that a decoder has the tokens of puzzles.

    Args:
      what: the decoder, and `puzzles` what they are; both for the message.

    Raises:
      ValueError: another number of tokens.
    """
    if len(form.vocabulary) != config.vocab_size:
        raise ValueError(
            f"{what} has vocab_size={config.vocab_size}, but {puzzles} is written with"
            f" {len(form.vocabulary)} tokens; take a decoder and puzzles that belong together"
        )


def load_puzzle_decoder(path: Path) -> PuzzleDecoder:
    """Read a folder; tensors come back as float32.

    Raises:
      FileNotFoundError: one of the two files is missing.
      ValueError: a file is damaged, of another kind of model, or the two do not fit.
    """
    document = _read_document(path)
    file = path / MODEL_FILE
    if not file.is_file():
        raise FileNotFoundError(f"{path} is no decoder: no {MODEL_FILE} in it")
    if document.sha256 not in (None, hash_file(file)):
        raise ValueError(
            f"{file} is damaged or of another decoder: its SHA-256 is not that of {CONFIG_FILE};"
            " copy the folder again"
        )
    tensors = map_tensors(file)
    shapes = {name: x.shape for name, x in tensors.items()}
    check_shapes(shapes, leaf_shapes(document.config), str(file))
    params = {}
    for name, mapped in tensors.items():
        values = np.asarray(mapped, np.float32)
        check_finite(name, values, str(file))
        params[name] = jnp.array(values, copy=True)
    model = PuzzleDecoder(
        config=document.config,
        params=unflatten_dict(params, sep="/"),
        order=document.order,
        puzzles=read_facts(document.puzzles, str(path / CONFIG_FILE)),
        metadata=document.metadata,
    )
    check_vocabulary(model.form, model.config, str(path), model.puzzles.title)
    return model


def _read_document(path: Path) -> PuzzleDecoderDocument:
    """Read config.json; every field must be there."""
    file = path / CONFIG_FILE
    if not file.is_file():
        raise FileNotFoundError(f"{path} is no decoder: no {CONFIG_FILE} in it")
    document = read_json(file)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f"{file} is not of format {FORMAT}; this version reads no other")
    if "order" not in document:
        raise ValueError(
            f"{file} has no order: it is of a recursive model, which trm_jax.load_model reads, or"
            " of a decoder of text"
        )
    try:
        return read_fields(PuzzleDecoderDocument, document)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
