"""Flat names of the tensors of a model, as its files use them, and a check of their shapes.

params/L_level/layers_0/mlp/down_proj/kernel, ..., buffers/H_init, buffers/L_init, puzzle_emb
"""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import Array

from trm_jax.types import Buffers, Weights

Shape = tuple[int, ...]
Tensor = Array | np.ndarray


def flatten(weights: Weights) -> dict[str, Tensor]:
    """Give every leaf its flat name; a mapped puzzle table stays a NumPy view."""
    params = cast(dict[str, Tensor], flatten_dict(weights.params, sep="/"))
    return {
        **{f"params/{name}": value for name, value in params.items()},
        "buffers/H_init": weights.buffers.H_init,
        "buffers/L_init": weights.buffers.L_init,
        "puzzle_emb": weights.puzzle_emb,
    }


def unflatten(tensors: Mapping[str, Any]) -> Weights:
    """Rebuild weights from flat names (the inverse of `flatten`)."""
    prefix = "params/"
    params = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    buffers = Buffers(tensors["buffers/H_init"], tensors["buffers/L_init"])
    return Weights(unflatten_dict(params, sep="/"), buffers, tensors["puzzle_emb"])


def check_shapes(found: dict[str, Shape], expected: dict[str, Shape], origin: str) -> None:
    """Demand the same names and shapes on both sides.

    Raises:
      ValueError: lists every missing and unknown name and every pair of shapes that differ.
    """
    problems = [f"{n}: missing, expected {expected[n]}" for n in sorted(expected.keys() - found)]
    problems += [f"{n}: unknown, shape {found[n]}" for n in sorted(found.keys() - expected)]
    problems += [
        f"{n}: found {found[n]}, expected {expected[n]}"
        for n in sorted(expected.keys() & found)
        if found[n] != expected[n]
    ]
    if problems:
        listed = "\n  ".join(problems)
        raise ValueError(f"{origin} does not fit the configuration:\n  {listed}")
