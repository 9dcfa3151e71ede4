"""A stream of bytes in parts small enough to carry, each checked when it is read.

    DIR/part-000.bin, part-001.bin, ...   the stream, cut every PART_BYTES
    DIR/manifest.json                     {"sha256": of `body`, "body": {"format": 1,
        "parts": [{"bytes", "sha256"}, ...], and what the caller adds}}

`body` is hashed as JSON with sorted keys and no spaces; hashes are lower-case hexadecimal.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trm_jax.output.kinds import COMPACT_STATE
from trm_jax.output.ownership import contents, is_empty
from trm_jax.output.staging import staging_folder, swap
from trm_jax.typed_json import read_fields, read_json

FORMAT = 1
MIB = 2**20
PART_BYTES = 15 * MIB
TOTAL_BYTES = 56 * MIB  # what a carried training state may take in all
MANIFEST = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class PartFacts:
    """Size and hash of a part, as the manifest lists them."""

    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class PartsManifest:
    """manifest.json: `body`, and the hash that guards it."""

    sha256: str
    body: dict[str, Any]


def part_name(index: int) -> str:
    """Name a part by its number from 0."""
    return f"part-{index:03d}.bin"


def check_free(path: Path) -> None:
    """Check that a folder may be written: new, empty, or one of these, which is replaced whole.

    Raises:
      ValueError: it holds something else, beside a compact state too.
    """
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path} is a file; choose a folder")
    if not path.exists() or is_empty(path):
        return
    ours = {MANIFEST} | {file.name for file in path.glob("part-[0-9][0-9][0-9].bin")}
    if not COMPACT_STATE.is_in(path) or {file.name for file in contents(path)} - ours:
        raise ValueError(f"{path} holds other files; choose another folder")


def _manifest(stream: bytes, body: dict[str, object]) -> str:
    parts = [
        {"bytes": len(part), "sha256": hashlib.sha256(part).hexdigest()} for part in _cut(stream)
    ]
    body = {"format": FORMAT, **body, "parts": parts}
    return json.dumps({"sha256": _hash(body), "body": body})


def _cut(stream: bytes) -> list[bytes]:
    return [stream[i : i + PART_BYTES] for i in range(0, len(stream), PART_BYTES)]


def _hash(body: dict[str, object]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def total_bytes(stream: bytes, body: dict[str, object]) -> int:
    """Count the bytes that `write` would put into files."""
    return len(stream) + len(_manifest(stream, body))


def write(path: Path, stream: bytes, body: dict[str, object]) -> None:
    """Write beside `path`, then change places: a kill loses neither old nor new files.

    Args:
      body: JSON-ready additions to the manifest.
    """
    with staging_folder(path) as work:
        for i, part in enumerate(_cut(stream)):
            (work / part_name(i)).write_bytes(part)
        (work / MANIFEST).write_text(_manifest(stream, body))
        swap(work, path)


def read_manifest(path: Path) -> dict[str, Any]:
    """Read and check `body`.

    Raises:
      FileNotFoundError: no such folder or file.
      ValueError: damaged, or of another format.
    """
    file = path / MANIFEST
    if not file.is_file():
        raise FileNotFoundError(f"{path} is no compact state: there is no {file}")
    try:
        document = read_fields(PartsManifest, read_json(file))
    except ValueError as error:
        raise ValueError(f"{file} is truncated or no manifest: {error}") from error
    body = document.body
    if _hash(body) != document.sha256:
        raise ValueError(f"{file} was changed after it was written: its hash differs")
    if body.get("format") != FORMAT:
        raise ValueError(f"{file} has format {body.get('format')}; this version reads {FORMAT}")
    return body


def read_stream(path: Path, body: dict[str, Any]) -> bytes:
    """Join the parts that a manifest names.

    Raises:
      FileNotFoundError: a part is missing.
      ValueError: a part is truncated or damaged.
    """
    try:
        listed = read_fields(tuple[PartFacts, ...], body.get("parts"))
    except ValueError as error:
        raise ValueError(f"{path / MANIFEST}: parts: {error}") from error
    parts = []
    for i, said in enumerate(listed):
        file = path / part_name(i)
        if not file.is_file():
            raise FileNotFoundError(f"{file} is missing; there must be {len(listed)} parts")
        if (size := file.stat().st_size) != said.bytes:
            raise ValueError(f"{file} is truncated: {size} of {said.bytes} bytes")
        data = file.read_bytes()
        if hashlib.sha256(data).hexdigest() != said.sha256:
            raise ValueError(f"{file} is damaged: its hash is not the manifest's")
        parts.append(data)
    return b"".join(parts)
