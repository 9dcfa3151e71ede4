"""Independent readers: what an input says, by other code than the project's.

JSON by the standard library with names twice refused, arrays by numpy, tensors by the safetensors
package. What they cannot read is `Unreadable`. Types of a document's values must be those of the
valid one: a reader that takes `true` for 1 or "6" for 6 reads something that is not there.
"""

import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.contract import Unreadable


def strict_json(content: bytes) -> Any:
    """Parse JSON; a name twice, NaN, Infinity or anything else that is not JSON is unreadable."""

    def table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise Unreadable("a name twice")
        return dict(pairs)

    def constant(name: str) -> Any:
        raise Unreadable(name)

    try:
        return json.loads(content.decode(), object_pairs_hook=table, parse_constant=constant)
    except (ValueError, RecursionError) as error:
        raise Unreadable(str(error)) from error


def document(folder: Path, name: str, types: bool = True) -> Any:
    """Read a document of a case; its values must have the types of the valid one's.

    Args:
      types: compare types.
    """
    try:
        found = strict_json((folder / name).read_bytes())
    except OSError as error:
        raise Unreadable(str(error)) from error
    if types:
        check_types(found, strict_json((folder.parent / "valid" / name).read_bytes()))
    return found


def check_types(found: Any, valid: Any) -> None:
    """Compare the types of two documents where both have a value; null is any type.

    Raises:
      Unreadable: they differ.
    """
    if found is None or valid is None:
        return
    if isinstance(valid, float) and type(found) is int:
        return
    if type(found) is not type(valid):
        raise Unreadable(f"{found!r} is not of the type of {valid!r}")
    if isinstance(found, dict):
        for key in found.keys() & valid.keys():
            check_types(found[key], valid[key])
    elif isinstance(found, list) and found and valid:
        for item in found:
            check_types(item, valid[0])


def digest(array: Any, dtype: Any = np.float32) -> str:
    """Shorten an array to its shape and a hash of its values."""
    values = np.ascontiguousarray(np.asarray(array), dtype)
    return f"{values.shape} {hashlib.sha256(values.tobytes()).hexdigest()[:16]}"


def digests(arrays: Mapping[str, Any], dtype: Any = np.float32) -> dict[str, str]:
    """Shorten named arrays, sorted by name."""
    return {name: digest(arrays[name], dtype) for name in sorted(arrays)}


def float_tensors(file: Path) -> dict[str, str]:
    """Read a safetensors file of finite floats by the safetensors package."""
    from safetensors.numpy import load

    try:
        arrays = load(file.read_bytes())
    except Exception as error:  # whatever a damaged file makes it raise
        raise Unreadable(str(error)) from error
    if any(a.dtype.kind != "f" or not np.isfinite(a).all() for a in arrays.values()):
        raise Unreadable("no finite floats")
    return digests(arrays)


def npy(file: Path) -> np.ndarray:
    """Read an array of integers by numpy."""
    try:
        array = np.load(file, allow_pickle=False)
    except Exception as error:  # whatever a damaged file makes it raise
        raise Unreadable(str(error)) from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iu":
        raise Unreadable("no integers")
    return array


@functools.cache
def valid_yaml(file: Path) -> Any:
    """Read the YAML of a valid input, once."""
    import yaml

    return yaml.safe_load(file.read_text())
