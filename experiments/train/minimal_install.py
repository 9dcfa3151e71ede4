"""Imported first by programs that must run with jax, flax, optax, orbax and numpy alone.

An accelerator machine often has no more than these. jaxtyping, whose annotations stand on
every function, is then replaced by a stand-in; safetensors files are read and written by
`trm_jax/checkpoints/tensor_files.py` anyway; without matplotlib no curve is drawn, which the
program says.
"""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("jaxtyping") is None:
    sys.path.append(str(Path(__file__).parent / "stand_ins"))


def has(package: str) -> bool:
    """Return whether an optional package is installed."""
    return importlib.util.find_spec(package) is not None
