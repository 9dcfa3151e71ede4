"""Safetensors files, read and written with NumPy alone: a training machine may have no more.

    bytes 0 to 7    N, the size of the header in bytes, unsigned little-endian
    N bytes         header: JSON {name: {"dtype", "shape", "data_offsets": [begin, end]}, ...},
                    with "__metadata__" as an optional entry, padded with spaces to a multiple of 8
    the rest        arrays, little-endian, row-major; offsets count from here; nothing between

The format has no checksum: what is checked is that header and data agree, byte for byte. A model
directory adds one (model_files.py).

`map_tensors` reads nothing but the header: arrays are views of the file, of which the operating
system brings in the pages that are touched. Of a puzzle table of any size one row costs one page
or two (tests/trm_jax/checkpoints/test_tensor_files.py measures it).

Not here: dtypes that no weight has (8-bit floats, complex).
"""

import json
import math
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from trm_jax.typed_json import parse_json, read_fields

DTYPES = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(jnp.bfloat16),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "I16": np.dtype(np.int16),
    "I8": np.dtype(np.int8),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}
CODES = {dtype: code for code, dtype in DTYPES.items()}
MAX_AXES = 8  # of an array; weights have two at most
MAX_HEADER = 100_000_000  # bytes; the format's own limit


@dataclass(frozen=True, kw_only=True)
class TensorEntry:
    """What the header says of one array."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def save_tensors(tensors: Mapping[str, Any], path: Path) -> None:
    """Write named arrays, sorted by name.

    Raises:
      ValueError: a dtype that the format, or this file, does not know.
    """
    header, blobs, end = {}, [], 0
    for name, value in sorted(tensors.items()):
        array = np.asarray(value)
        if array.dtype not in CODES:
            raise ValueError(f"{name} has dtype {array.dtype}; known: {', '.join(map(str, CODES))}")
        begin, end = end, end + array.nbytes
        header[name] = {
            "dtype": CODES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [begin, end],
        }
        blobs.append(array.tobytes())  # row-major, and every supported machine is little-endian
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.writelines(blobs)


def load_tensors(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays of a file.

    Raises:
      ValueError: the file is truncated or not of this format.
    """
    return _tensors(path, memoryview(path.read_bytes()))


def map_tensors(path: Path) -> dict[str, np.ndarray]:
    """Make read-only views of all arrays of a file; nothing is read before it is touched.

    Raises:
      ValueError: the file is truncated or not of this format.
    """
    if not path.stat().st_size:
        raise _broken(path, "it is empty")  # which cannot be mapped
    with path.open("rb") as file:
        # arrays made from it keep the map alive; it outlives the open file
        return _tensors(path, memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))


def _tensors(path: Path, raw: memoryview) -> dict[str, np.ndarray]:
    """Cut the arrays out of the bytes of a file."""
    size = int.from_bytes(raw[:8], "little")
    if len(raw) < 8 or size > min(MAX_HEADER, len(raw) - 8):
        raise _broken(path, f"{len(raw)} bytes, and a header of {size}")
    try:
        entries = _entries(parse_json(bytes(raw[8 : 8 + size])))
        data = raw[8 + size :]
        _check_offsets(entries, len(data))
        return {name: _array(name, entry, data) for name, entry in entries.items()}
    except ValueError as error:
        raise _broken(path, str(error)) from error


def _entries(header: Any) -> dict[str, TensorEntry]:
    """Read the header; `__metadata__` is checked and left out."""
    if not isinstance(header, dict):
        raise ValueError(f"the header must be an object, got {type(header).__name__}")
    read_fields(dict[str, str], header.get("__metadata__", {}))
    listed = {name: entry for name, entry in header.items() if name != "__metadata__"}
    return read_fields(dict[str, TensorEntry], listed)


def _check_offsets(entries: Mapping[str, TensorEntry], size: int) -> None:
    """Check that the arrays follow each other without gap or overlap and fill the data."""
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        begin, after = entry.data_offsets
        if begin != end or after < begin:
            raise ValueError(f"{name} lies at {begin} to {after}, the one before it ends at {end}")
        end = after
    if end != size:
        raise ValueError(f"{size} bytes of data, {end} in the header")


def _broken(path: Path, what: str) -> ValueError:
    return ValueError(f"{path} is truncated or not a safetensors file: {what}")


def _array(name: str, entry: TensorEntry, data: memoryview) -> np.ndarray:
    """Cut one array out of the data; raises ValueError where its entry contradicts itself."""
    if entry.dtype not in DTYPES:
        raise ValueError(f"{name} has dtype {entry.dtype!r}; known: {', '.join(DTYPES)}")
    dtype, (begin, end) = DTYPES[entry.dtype], entry.data_offsets
    if len(entry.shape) > MAX_AXES:
        raise ValueError(f"{name} has {len(entry.shape)} axes; read are up to {MAX_AXES}")
    if any(axis < 0 for axis in entry.shape):
        raise ValueError(f"{name} has a negative size: {entry.shape}")
    if end - begin != dtype.itemsize * math.prod(entry.shape):
        raise ValueError(f"{name} of {entry.dtype} {entry.shape} cannot have {end - begin} bytes")
    return np.frombuffer(data[begin:end], dtype).reshape(entry.shape)
