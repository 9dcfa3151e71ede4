"""A release of Llama, Qwen2 or Qwen2.5 in Hugging Face's layout: a folder, or a Hub repository.

    config.json                    sizes (release_config.py)
    model.safetensors              all tensors, or
    model.safetensors.index.json   the shard that each tensor is in, and the shards beside it
    generation_config.json         tokens that end an answer, if there
    tokenizer.json                 if there (tokenizer.py)

Shards without their index are refused: nothing says whether all are there. Of a Hub repository
exactly these files are downloaded, into huggingface_hub's cache.

Not here: names (name_table.py), other files of weights (gguf_files.py).
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from trm_jax.checkpoints.tensor_files import map_tensors, save_tensors
from trm_jax.convert.torch_files import TorchContent, read_index, read_shard_names
from trm_jax.data.hub import DownloadError, HubFile, download
from trm_jax.data.transport import status_of
from trm_jax.decoder.config import DecoderConfig
from trm_jax.decoder.files.name_table import from_release, to_release
from trm_jax.decoder.files.release_config import (
    ReleaseFacts,
    read_release_config,
    write_release_config,
)
from trm_jax.output.staging import staged
from trm_jax.typed_json import read_fields, read_json
from trm_jax.types import Params

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
GENERATION_FILE = "generation_config.json"
TOKENIZER_FILE = "tokenizer.json"
SHARD = "model-*-of-*.safetensors"
HUB_MODEL = re.compile(r"hf:(?P<repo>[^/@\s]+/[^/@\s]+)(@(?P<revision>[^@\s]+))?")


Value = TypeVar("Value")


class ReleaseContent(NamedTuple):
    """A release that was read: its configuration, tokens that end an answer, and parameters."""

    facts: ReleaseFacts
    params: Params


def read_release(folder: Path) -> ReleaseContent:
    """Read a release; parameters come back as float32.

    Raises:
      FileNotFoundError: a file is missing; the message names it.
      ValueError: a file is damaged, or the release is none that this decoder computes.
    """
    facts = read_facts(folder)
    weights, index = folder / WEIGHTS_FILE, folder / INDEX_FILE
    if weights.is_file() and index.is_file():
        raise ValueError(f"{folder} has {WEIGHTS_FILE} and {INDEX_FILE}; take one of them away")
    if index.is_file():
        file, content = index, read_index(index, lambda _: None)
    elif weights.is_file():
        file, content = weights, TorchContent(tree=map_tensors(weights))
    else:
        raise FileNotFoundError(_no_weights(folder))
    params = from_release(content.tree, facts.config, str(file), content.values)
    return ReleaseContent(facts, params)


def read_facts(folder: Path) -> ReleaseFacts:
    """Read config.json, and from generation_config.json the tokens that end an answer.

    Raises:
      As `read_release`.
    """
    file = folder / CONFIG_FILE
    if not file.is_file():
        raise FileNotFoundError(f"{folder} is no release of a decoder: no {CONFIG_FILE} in it")
    facts = _named(file, read_release_config)
    beside = folder / GENERATION_FILE
    stops = _named(beside, _read_stops) if beside.is_file() else ()
    return ReleaseFacts(config=facts.config, stops=tuple(dict.fromkeys(facts.stops + stops)))


def _named(file: Path, read: Callable[[Any], Value]) -> Value:
    """Read a document; what is wrong with it is said with the file."""
    document = read_json(file)
    try:
        return read(document)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


@dataclass(frozen=True, kw_only=True)
class GenerationFields:
    """What is read of generation_config.json: samplers are for the user to choose."""

    eos_token_id: int | tuple[int, ...] | None = None


def _read_stops(document: object) -> tuple[int, ...]:
    if not isinstance(document, dict):
        raise ValueError(f"it must hold an object, got {type(document).__name__}")
    named = {"eos_token_id": document.get("eos_token_id")}
    eos = read_fields(GenerationFields, named).eos_token_id
    return () if eos is None else (eos,) if isinstance(eos, int) else eos


def _no_weights(folder: Path) -> str:
    if shards := sorted(file.name for file in folder.glob(SHARD)):
        return (
            f"{folder} has {len(shards)} shards ({shards[0]}, ...) and no {INDEX_FILE}, which says"
            " whether all are there; copy it from where they came from"
        )
    return (
        f"{folder} has neither {WEIGHTS_FILE} nor {INDEX_FILE}; of PyTorch's own files"
        " (pytorch_model.bin) save a safetensors version first"
    )


def save_release(
    folder: Path, config: DecoderConfig, params: Params, stops: tuple[int, ...] = ()
) -> None:
    """Write a release that other libraries load: config.json and one file of float32 tensors."""
    with staged(folder) as work:
        save_tensors(to_release(config, params), work / WEIGHTS_FILE)
        text = json.dumps(write_release_config(config, stops), indent=2) + "\n"
        (work / CONFIG_FILE).write_text(text, encoding="utf-8")


def is_hub_model(name: str) -> bool:
    """Return whether a name reads `hf:owner/name[@revision]`: a repository, not one file."""
    return HUB_MODEL.fullmatch(name) is not None


def download_release(name: str) -> Path:
    """Download a release, or find it in the cache.

    Args:
      name: `hf:owner/name[@revision]`.

    Returns:
      The folder that holds it.

    Raises:
      DownloadError: a file that a release needs could not be had.
      ValueError: an index that names no files beside it.
    """
    match = HUB_MODEL.fullmatch(name)
    if match is None:
        raise ValueError(f"a Hub model reads hf:owner/name or hf:owner/name@revision, got {name!r}")

    def fetch(file: str) -> Path:
        return download(HubFile(match["repo"], file, match["revision"]), "model")

    config = fetch(CONFIG_FILE)
    read_facts(config.parent)  # a release of another kind is refused before gigabytes of it come
    for file in (GENERATION_FILE, TOKENIZER_FILE):
        _if_there(fetch, file)
    if (index := _if_there(fetch, INDEX_FILE)) is None:
        fetch(WEIGHTS_FILE)
    else:
        for shard in read_shard_names(index):
            fetch(shard)
    return config.parent


def _if_there(fetch: Callable[[str], Path], file: str) -> Path | None:
    """Fetch a file that a repository may lack.

    Where the Hub cannot be reached the cache decides. Weights are downloaded last, so that a cache
    that has them has what was beside them too.
    """
    try:
        return fetch(file)
    except DownloadError as error:
        if status_of(error) not in (None, 404):
            raise
        return None
