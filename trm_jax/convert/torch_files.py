"""Files of PyTorch: their tensors read without PyTorch, and files written for it.

    step_N, .pt, .pth, .bin     torch.save: a zip of records that are stored as they are,
                                    ARCHIVE/data.pkl   the objects; tensors name their storages
                                    ARCHIVE/data/KEY   the numbers of a storage
                                or, up to PyTorch 1.5, pickles one after the other and the numbers
                                of all storages behind them
    .safetensors                names and numbers alone
    *.index.json                names, and the file among several that each is in

A zip carries a CRC-32 of every record, which is checked before a number is believed. The older
form and safetensors carry none: damage of their numbers cannot be seen, and it is said.

Not here: reading a pickle (pickled.py); which of the dicts of a file is the model (entries.py).
"""

import io
import logging
import mmap
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import jax.numpy as jnp
import numpy as np

from trm_jax.checkpoints.model_files import check_finite
from trm_jax.checkpoints.tensor_files import map_tensors
from trm_jax.command_line import install_text
from trm_jax.convert.entries import Say, choose
from trm_jax.convert.pickled import (
    DTYPES,
    ArrayInMaking,
    Pickled,
    StoredTensor,
    Unread,
    read_pickle,
)
from trm_jax.output.staging import staging_folder
from trm_jax.typed_json import read_fields, read_json

FLOATS = ("float32", "bfloat16", "float16", "float64")
INDEX = ".index.json"
MAGIC = 0x1950A86A20F9469CFC6C
"""First pickle of a file of the older form."""
LEGACY_START = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The same as bytes, behind the numbers of protocol and frame."""
LEGACY_WITHIN = 32  # first bytes of a file

Storages = Mapping[str, memoryview]

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TorchContent:
    """What a file holds.

    Attributes:
      tree: dicts, and what is in them; tensors are `StoredTensor` or arrays.
      storages: key -> bytes of the numbers that tensors are cut from.
    """

    tree: Any
    storages: Storages = field(default_factory=dict)

    def values(self, name: str, leaf: Any) -> np.ndarray:
        """Read the numbers of a leaf, in the dtype of the file.

        Raises:
          ValueError: not a float tensor that the file holds in full.
        """
        stored = leaf.state if isinstance(leaf, ArrayInMaking) else leaf
        if isinstance(stored, np.ndarray):
            _demand_float(name, stored.dtype.name)
            return stored
        if not isinstance(stored, StoredTensor):
            said = stored.said if isinstance(stored, Unread) else f"a {type(stored).__name__}"
            raise ValueError(f"{name!r} must be a float tensor, is {said}; nothing was run")
        _demand_float(name, stored.dtype)
        data = stored.own_bytes
        if data is None:
            data = self.storages.get(cast(str, stored.source))
        if data is None:
            raise ValueError(f"{name!r}: its storage {str(stored.source)[:40]!r} is missing")
        stored.check(name, len(data))
        return stored.values(data)


def read_tensors(file: Path, entry: str | None = None, say: Say = LOG.warning) -> dict[str, Any]:
    """Read the state_dict of a file as float32, under the names of the table.

    Args:
      entry: which, where the file holds several (entries.py).
      say: is told what was taken, rounded or cannot be checked; a warning of the log by default.

    Raises:
      ValueError: the file is damaged, holds no state_dict of these models or several, or weights
        that are not finite float numbers.
      FileNotFoundError: a file that an index names is missing.
    """
    try:
        content = read_index(file, say) if file.name.endswith(INDEX) else _read_file(file, say)
        leaves = choose(content.tree, entry, _is_tensor, say)
        raw = {name: content.values(name, leaf) for name, leaf in leaves.items()}
        if wide := sum(values.dtype == np.float64 for values in raw.values()):
            say(f"rounded to float32: {wide} tensors of float64")
        return {name: _as_float32(name, values) for name, values in raw.items()}
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def _as_float32(name: str, values: np.ndarray) -> np.ndarray:
    check_finite(name, values, "it")
    with np.errstate(over="ignore"):
        narrow = np.array(values, np.float32, order="C")
    check_finite(f"{name} as float32", narrow, "it")
    return narrow


def _is_tensor(leaf: Any) -> bool:
    return isinstance(leaf, StoredTensor | ArrayInMaking | np.ndarray)


def _demand_float(name: str, dtype: str) -> None:
    """Refuse what is no weight: integers, truth values, complex numbers, codes of a quantiser."""
    if dtype not in FLOATS:
        raise ValueError(f"{name!r} must be one of {', '.join(FLOATS)}, is {dtype[:40]}")


def read_shard_names(index: Path) -> list[str]:
    """List the files that an index names.

    Raises:
      ValueError: no index, or it names files elsewhere.
    """
    return sorted(set(_weight_map(index).values()))


def _weight_map(index: Path) -> dict[str, str]:
    document = read_json(index)
    if not isinstance(document, dict) or "weight_map" not in document:
        raise ValueError(f"{index} is no index of shards: it has no weight_map")
    listed = read_fields(dict[str, str], document["weight_map"])
    for name in listed.values():
        if Path(name).name != name or name.endswith(INDEX):
            raise ValueError(f"{index}: the shard {name[:60]!r} is no file beside its index")
    return listed


def read_index(index: Path, say: Say) -> TorchContent:
    """Join the files that an index names.

    Raises:
      ValueError: no index, or a file and the index differ in names; or a file is damaged.
      FileNotFoundError: a file is missing.
    """
    listed, tree = _weight_map(index), {}
    for name in sorted(set(listed.values())):
        if not (shard := index.with_name(name)).is_file():
            raise FileNotFoundError(f"{index} names {name}, which is missing")
        content = _read_file(shard, say)
        if not isinstance(content.tree, Mapping):
            raise ValueError(f"the shard {name} is no state_dict")
        expected = {tensor for tensor, where in listed.items() if where == name}
        if differs := sorted(expected ^ set(map(str, content.tree))):
            raise ValueError(f"{name} and its index differ in {len(differs)} names: {differs[:3]}")
        tree |= {tensor: content.values(tensor, leaf) for tensor, leaf in content.tree.items()}
    return TorchContent(tree=tree)


def _read_file(file: Path, say: Say) -> TorchContent:
    """Read a file by what it is; of pickles its name says nothing."""
    if file.suffix == ".safetensors":
        return TorchContent(tree=map_tensors(file))
    if not file.stat().st_size:
        raise ValueError("it is truncated or not a PyTorch file: it is empty")
    with file.open("rb") as stream:
        data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        if zipfile.is_zipfile(file):
            return _read_zip(stream, data)
        if LEGACY_START in data[:LEGACY_WITHIN]:
            say(
                f"{file.name} is of the form of PyTorch 1.5 and older, which has no checksum:"
                " damage of its numbers cannot be seen"
            )
            return _read_legacy(data)
    raise ValueError("it is truncated or not a PyTorch file")


def _read_zip(stream: io.BufferedReader, data: mmap.mmap) -> TorchContent:
    """Read the zip form: every checksum first, then the objects."""
    try:
        with zipfile.ZipFile(stream) as archive:
            infos = archive.infolist()
            _check_records(infos, len(data))
            if (bad := archive.testzip()) is not None:
                raise ValueError(f"it is damaged: the checksum of {bad!r} differs")
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, ValueError) as error:
        raise ValueError(f"it is truncated or damaged: {_first_line(error)}") from error
    records = {info.filename: _record(info, data) for info in infos}
    roots = [name for name in records if re.fullmatch(r"[^/]+/data\.pkl", name)]
    if len(roots) != 1 or any(name.endswith("/constants.pkl") for name in records):
        raise ValueError("it is a zip, but no file of torch.save (of a program of TorchScript?)")
    folder = roots[0].removesuffix("data.pkl")
    if bytes(records.get(folder + "byteorder", b"little")).strip() != b"little":
        raise ValueError("its numbers are big-endian; save it again on another machine")
    start = folder + "data/"
    storages = {n.removeprefix(start): x for n, x in records.items() if n.startswith(start)}
    return TorchContent(tree=_objects(io.BytesIO(records[roots[0]])), storages=storages)


def _check_records(infos: list[zipfile.ZipInfo], size: int) -> None:
    """Check that the records are stored as they are and lie within the file."""
    if len({info.filename for info in infos}) < len(infos):
        raise ValueError("two records have one name")
    if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
        raise ValueError("its records are compressed, as torch.save never writes them")
    if sum(info.file_size for info in infos) > size:
        raise ValueError("its records are larger than the file")


def _record(info: zipfile.ZipInfo, data: mmap.mmap) -> memoryview:
    """Find the bytes of a stored record, behind its local header of 30 bytes, name and extra."""
    begin = info.header_offset + 30
    begin += sum(int.from_bytes(data[begin + at : begin + at + 2], "little") for at in (-4, -2))
    return memoryview(data)[begin : begin + info.file_size]


def _read_legacy(data: mmap.mmap) -> TorchContent:
    """Read the older form: five pickles, then the numbers of each storage after their count."""
    magic, protocol, system = (_objects(data) for _ in range(3))
    if magic != MAGIC or protocol != 1001 or not isinstance(system, dict):
        raise ValueError("it is truncated or not a PyTorch file")
    if system.get("little_endian") is not True:
        raise ValueError("its numbers are big-endian; save it again on another machine")
    pickled = _pickled(data)
    keys = _objects(data)
    if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(pickled.storages):
        raise ValueError("it is damaged: its storages are not those that its tensors name")
    storages, place = {}, data.tell()
    for key in map(str, keys):
        dtype, numel = pickled.storages[key]
        if dtype not in DTYPES:
            raise ValueError(f"it holds numbers of {dtype}; read are {', '.join(DTYPES)}")
        begin, size = place + 8, numel * DTYPES[dtype].itemsize
        if int.from_bytes(data[place:begin], "little") != numel or begin + size > len(data):
            raise ValueError("it is truncated or damaged: a storage is not where it should be")
        storages[key], place = memoryview(data)[begin : begin + size], begin + size
    if place != len(data):
        raise ValueError(f"it is damaged: {len(data) - place} bytes behind the last storage")
    return TorchContent(tree=pickled.root, storages=storages)


def _objects(stream: io.BytesIO | mmap.mmap) -> Any:
    return _pickled(stream).root


def _pickled(stream: io.BytesIO | mmap.mmap) -> Pickled:
    try:
        return read_pickle(stream)
    except ValueError as error:
        raise ValueError(f"it is truncated or damaged; nothing was run: {error}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:120]


def _import_torch() -> ModuleType:
    """Import torch, which only writing needs.

    Raises:
      ModuleNotFoundError: it is not installed.
    """
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"files of torch.save need PyTorch to be written: {install_text('torch')};"
            " a .safetensors file does not"
        ) from error
    return torch


def write_torch(file: Path, tensors: dict[str, np.ndarray]) -> None:
    """Write a state_dict, as torch.save does or, for a .safetensors name, without torch."""
    with staging_folder(file) as folder:
        work = folder / file.name
        if file.suffix == ".safetensors":
            from safetensors.flax import save_file  # late: a training machine may lack it

            save_file({k: jnp.asarray(v) for k, v in tensors.items()}, work)
        else:
            torch = _import_torch()
            # NumPy's bfloat16 is not torch's: the detour over float32 is exact
            state = {
                k: torch.from_numpy(v.astype(np.float32)).to(getattr(torch, v.dtype.name))
                for k, v in tensors.items()
            }
            torch.save(state, work)
        os.replace(work, file)
