"""Files of PyTorch: read a state_dict without running what is pickled in it, and write one.

The only file that imports torch, and only when a torch.save file is at hand; safetensors need
none. Which tensor means what stands in name_table.py.
"""

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError
from safetensors.flax import load_file, save_file

from trm_jax.convert.name_table import strip_prefixes
from trm_jax.output.staging import staging_folder

FLOATS = ("float32", "bfloat16", "float16")


def read_tensors(file: Path) -> dict[str, np.ndarray]:
    """Read a state_dict, names without prefixes.

    Raises:
      ValueError: the file is truncated, holds something else than named float tensors, or two
        names are equal without their prefixes.
      ModuleNotFoundError: the file needs torch, which is not installed.
    """
    raw = _read_safetensors(file) if file.suffix == ".safetensors" else _read_pickle(file)
    tensors: dict[str, np.ndarray] = {}
    for name, value in raw.items():
        short = strip_prefixes(name)
        if short in tensors:
            raise ValueError(f"{file}: {short} occurs twice, with and without prefixes")
        tensors[short] = value
    return tensors


def _read_safetensors(file: Path) -> dict[str, np.ndarray]:
    """Read a safetensors file of PyTorch names."""
    try:
        stored = load_file(file)
    except SafetensorError as error:
        raise ValueError(f"{file} is truncated or not a safetensors file: {error}") from error
    for name, value in stored.items():
        _demand_float(file, name, value)
    return {name: np.asarray(value) for name, value in stored.items()}


def _read_pickle(file: Path) -> dict[str, np.ndarray]:
    """Read a file of torch.save; only tensors and plain containers are let through."""
    torch = _import_torch()
    try:
        stored = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{file} is not a plain state_dict; nothing was run: {_first_line(error)}"
        ) from error
    except Exception as error:  # a damaged pickle can fail in any way
        raise ValueError(
            f"{file} is truncated or not a PyTorch file: {_first_line(error)}"
        ) from error
    if not isinstance(stored, Mapping) or not stored:
        raise ValueError(f"{file} holds a {type(stored).__name__}, not a state_dict of tensors")
    for name, value in stored.items():
        _demand_float(file, name, value)
    return {name: value.detach().float().numpy() for name, value in stored.items()}


def _first_line(error: Exception) -> str:
    """Shorten torch's messages, which run to pages and may be empty."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _demand_float(file: Path, name: object, value: object) -> None:
    """Refuse what is not a float tensor; float64 and integers are no release of these models."""
    dtype = str(getattr(value, "dtype", type(value).__name__)).removeprefix("torch.")
    if dtype not in FLOATS:
        raise ValueError(f"{file}: {name!r} must be one of {', '.join(FLOATS)}, is {dtype}")


def _import_torch() -> ModuleType:
    """Import torch, which only this file needs.

    Raises:
      ModuleNotFoundError: it is not installed.
    """
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "files of torch.save need PyTorch to be read or written: pip install '.[torch]'"
            " (a .safetensors file does not)"
        ) from error
    return torch


def write_torch(file: Path, tensors: dict[str, np.ndarray]) -> None:
    """Write a state_dict, as torch.save does or, for a .safetensors name, without torch."""
    with staging_folder(file) as folder:
        work = folder / file.name
        if file.suffix == ".safetensors":
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
