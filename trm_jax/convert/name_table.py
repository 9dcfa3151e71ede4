"""The total table between names of the PyTorch releases and our leaves (REFERENCE 1.2).

Every tensor of a released state_dict has one row, and so has every leaf of `Weights`. Names
are built from the configuration, never rewritten by pattern. PyTorch keeps Linear weights as
(out, in), Flax kernels as (in, out): those rows are marked as transposed.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from trm_jax.checkpoints.model_files import Shape, check_shapes, flatten, unflatten, weight_shapes
from trm_jax.config import Config, HRMConfig, Mixer, Positions
from trm_jax.types import Weights

Tensors = Mapping[str, np.ndarray]

PREFIXES = ("_orig_mod.", "model.", "inner.")
"""What torch.compile, the loss head and the ACT wrapper put in front, in this order."""


class TensorName(NamedTuple):
    """One tensor: its name in PyTorch (without prefixes), its flat name here, its layout."""

    torch: str
    leaf: str
    transposed: bool = False


TOP = (
    TensorName("H_init", "buffers/H_init"),
    TensorName("L_init", "buffers/L_init"),
    TensorName("embed_tokens.embedding_weight", "params/embed_tokens/embedding"),
    TensorName("lm_head.weight", "params/lm_head/kernel", True),
    TensorName("q_head.weight", "params/q_head/kernel", True),
    TensorName("q_head.bias", "params/q_head/bias"),
    TensorName("puzzle_emb.weights", "puzzle_emb"),
)
LEARNED_POSITIONS = TensorName("embed_pos.embedding_weight", "params/embed_pos/embedding")
ATTENTION = (("self_attn", "qkv_proj"), ("self_attn", "o_proj"))
MLP_MIXING = (("mlp_t", "gate_up_proj"), ("mlp_t", "down_proj"))
CHANNEL_MLP = (("mlp", "gate_up_proj"), ("mlp", "down_proj"))


def level_rows(level: str, layers: int, mixer: Mixer) -> tuple[TensorName, ...]:
    """List the rows of one stack of blocks.

    Args:
      level: `L_level` or `H_level`.
      layers: its number of blocks.
      mixer: what its blocks mix positions with.
    """
    products = (MLP_MIXING if mixer is Mixer.MLP else ATTENTION) + CHANNEL_MLP
    return tuple(
        TensorName(
            f"{level}.layers.{i}.{module}.{product}.weight",
            f"params/{level}/layers_{i}/{module}/{product}/kernel",
            True,
        )
        for i in range(layers)
        for module, product in products
    )


def table(config: Config) -> tuple[TensorName, ...]:
    """List every tensor of a configuration, in the order of the releases."""
    learned = (LEARNED_POSITIONS,) if config.positions is Positions.LEARNED else ()
    h_layers = config.H_layers if isinstance(config, HRMConfig) else 0
    return (
        *TOP,
        *learned,
        *level_rows("H_level", h_layers, config.mixer),
        *level_rows("L_level", config.L_layers, config.mixer),
    )


def strip_prefixes(name: str) -> str:
    """Remove the wrappers' prefixes, each optional, in their order."""
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def from_torch(tensors: Tensors, config: Config) -> Weights:
    """Turn a released state_dict into weights.

    Args:
      tensors: every tensor, prefixes removed.
      config: their configuration.

    Raises:
      ValueError: lists all names and shapes that do not fit the configuration.
    """
    rows = table(config)
    shapes = weight_shapes(config)
    expected: dict[str, Shape] = {
        row.torch: shapes[row.leaf][::-1] if row.transposed else shapes[row.leaf] for row in rows
    }
    assert {row.leaf for row in rows} == shapes.keys()
    check_shapes({k: v.shape for k, v in tensors.items()}, expected, "the state_dict")
    leaves = {
        row.leaf: tensors[row.torch].T if row.transposed else tensors[row.torch] for row in rows
    }
    return unflatten({k: jnp.asarray(v, jnp.float32) for k, v in leaves.items()})


def to_torch(config: Config, weights: Weights) -> dict[str, np.ndarray]:
    """Turn weights into a released state_dict (the inverse of `from_torch`).

    H_init and L_init are bfloat16 as in the releases if that is exact; otherwise they stay
    float32, since rounding would change the model.

    Returns:
      Tensors under the full names of the releases (`_orig_mod.model.inner....`).
    """
    leaves = flatten(weights)
    tensors = {}
    for row in table(config):
        value = np.asarray(leaves[row.leaf])
        if row.leaf.startswith("buffers/"):
            value = _as_bfloat16_if_exact(value)
        full = "".join(PREFIXES) + row.torch
        tensors[full] = np.ascontiguousarray(value.T if row.transposed else value)
    return tensors


def _as_bfloat16_if_exact(value: np.ndarray) -> np.ndarray:
    """Narrow to bfloat16 where no bit is lost."""
    narrow = value.astype(jnp.bfloat16)
    return narrow if np.array_equal(narrow.astype(np.float32), value) else value
