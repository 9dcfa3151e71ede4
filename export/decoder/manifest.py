"""manifest.json of an exported decoder: what its files do not say, and what it must write.

    DIR/model.tflite       prefill and decode; weights inside. For ONNX prefill.onnx, decode.onnx
    DIR/host.safetensors   embed_tokens, a row per token, for the host loop
    DIR/manifest.json      this record as JSON; written last, so a folder without it is unfinished

`"kind": "decoder"` tells it from the manifest of a recursive model (artifact/manifest.py), which
has none. Expected tokens are those that the runtime of the exporting host wrote, checked against
the simulation in JAX (confirmation.py).

Not here: filling it in (pipeline.py), checking files against it (open.py).
"""

import dataclasses
import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.artifact.manifest import FileFacts, StoredFiles
from export.decoder.graphs import cache_tensors
from export.graph.files import HOST_FILE, MANIFEST_FILE
from export.targets import Target
from quant.scheme import CarryPrecision, parse
from trm_jax.data.calibration import CalibrationFacts
from trm_jax.data.facts import PuzzleFacts
from trm_jax.decoder.config import DecoderConfig, TraceOrder, decoder_to_dict
from trm_jax.typed_json import parse_json, read_fields

FORMAT, KIND = 1, "decoder"

TokenLists = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class ExpectedWriting:
    """Prompts, and the tokens that follow them; rows are puzzles.

    Attributes:
      confirmed_by: runtime that wrote them during the export.
      logit_difference: largest difference of a logit between that runtime and the simulation.
    """

    prompts: TokenLists
    tokens: TokenLists
    confirmed_by: str
    logit_difference: float


@dataclass(frozen=True, kw_only=True)
class DecoderManifest(StoredFiles):
    """Everything about an exported decoder that its files do not say.

    Attributes:
      model, source, parameters_sha256, scheme, plan, weight_bytes, operators, files: as of a
        recursive model (artifact/manifest.py).
      order: of the traces that it writes; puzzles: task and shape, which decide its tokens.
      prompt: tokens that prefill reads at once; positions: rows of the cache.
      calibration: the puzzles that the scheme was calibrated on; None where it needs none.
    """

    kind: str
    model: str
    source: str
    parameters_sha256: str
    config: DecoderConfig
    order: TraceOrder
    puzzles: PuzzleFacts
    scheme: str
    plan: str
    target: Target
    prompt: int
    positions: int
    weight_bytes: int
    operators: Mapping[str, Mapping[str, int]]
    files: Mapping[str, FileFacts]
    expected: ExpectedWriting
    calibration: CalibrationFacts | None = None

    @property
    def cache_bytes(self) -> int:
        """Bytes of keys and values of one stream, with their scales where they have some."""
        tensors = cache_tensors(self.config, self.positions, self.carry).values()
        return sum(math.prod(shape) * dtype.numpy.itemsize for shape, dtype in tensors)

    @property
    def carry(self) -> CarryPrecision:
        """How graphs keep keys and values."""
        return parse(self.scheme).carry


def is_decoder_export(folder: Path) -> bool:
    """Return whether a folder holds an exported decoder; damaged and missing ones do not."""
    try:
        values = parse_json((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False  # the reader of recursive models says what is wrong
    return isinstance(values, dict) and values.get("kind") == KIND


NO_BOARD = (
    "the firmware calls one graph and keeps one carry, a decoder has two graphs (prefill, decode)"
    " over shared weights, a token to embed for every call, and keys and values"
)
"""Why a decoder is no package for a board, although TFLite Micro has its operators."""


def check_not_decoder(folder: Path) -> None:
    """Check that a package for a board can be made of an export.

    Raises:
      ValueError: it is a decoder's.
    """
    if is_decoder_export(folder):
        raise ValueError(
            f"{folder} holds a decoder, of which no package for a board is made: {NO_BOARD};"
            f" TFLM's interpreter runs it here: python -m export.verify {shlex.quote(str(folder))}"
        )


def dump_decoder_manifest(manifest: DecoderManifest) -> str:
    """Write a manifest as JSON."""
    values: dict[str, Any] = dataclasses.asdict(manifest)
    values |= {
        "format": FORMAT,
        "config": decoder_to_dict(manifest.config),
        "order": manifest.order.value,
        "target": manifest.target.value,
    }
    return json.dumps(values, indent=1) + "\n"


def parse_decoder_manifest(text: str) -> DecoderManifest:
    """Read a manifest.

    Raises:
      ValueError: not the manifest of an exported decoder; the message says what is wrong.
    """
    try:
        values = parse_json(text)
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise ValueError(f"format must be {FORMAT}; this version reads no other")
        fields = {name: value for name, value in values.items() if name != "format"}
        manifest = read_fields(DecoderManifest, fields)
        _check(manifest)
    except ValueError as error:
        raise ValueError(f"not the manifest of an exported decoder: {error}") from error
    return manifest


def read_decoder_manifest(folder: Path) -> DecoderManifest:
    """Read the manifest of a folder.

    Raises:
      OSError: none there.
      ValueError: damaged.
    """
    file = folder / MANIFEST_FILE
    try:
        return parse_decoder_manifest(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file}: {error}; export again") from error


def _check(manifest: DecoderManifest) -> None:
    c, expected = manifest.config, manifest.expected
    if manifest.kind != KIND:
        raise ValueError(f"kind must be {KIND!r}, got {manifest.kind!r}")
    names = {*manifest.model_files, HOST_FILE}
    if set(manifest.files) != names or any(Path(name).name != name for name in names):
        raise ValueError(f"files must be {sorted(names)}, got {sorted(manifest.files)}")
    if not 1 <= manifest.prompt < manifest.positions <= c.max_positions:
        raise ValueError(
            f"prompt={manifest.prompt} and positions={manifest.positions} must rise, up to the"
            f" configuration's {c.max_positions}"
        )
    if manifest.weight_bytes < 0:
        raise ValueError(f"weight_bytes must be 0 or more, got {manifest.weight_bytes}")
    if len(expected.prompts) != len(expected.tokens) or not expected.logit_difference >= 0:
        raise ValueError(
            f"expected has {len(expected.prompts)} prompts, {len(expected.tokens)} answers and"
            f" logit_difference={expected.logit_difference}"
        )
    for prompt, tokens in zip(expected.prompts, expected.tokens, strict=True):
        whole = (*prompt, *tokens)
        if not (prompt and tokens) or len(whole) > manifest.positions:
            raise ValueError(
                f"an expected answer has {len(prompt)} + {len(tokens)} tokens, at least 1 each and"
                f" at most {manifest.positions} together are possible"
            )
        if any(not 0 <= token < c.vocab_size for token in whole):
            raise ValueError(f"expected tokens must be below {c.vocab_size}")
