"""Random models in the released PyTorch layout, for tests of the converter."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.flax import save_file

from tests.support.samples import random_weights, small
from trm_jax.config import Config, HRMConfig, Mixer, Positions, TRMConfig
from trm_jax.convert.hints import Hints
from trm_jax.convert.name_table import strip_prefixes, to_torch
from trm_jax.types import Weights

CONFIGS: dict[str, Config] = {
    "att": TRMConfig(**small(puzzle_emb_len=2)),
    "learned": TRMConfig(**small(puzzle_emb_len=2, positions=Positions.LEARNED)),
    "mlp": TRMConfig(**small(puzzle_emb_len=2, mixer=Mixer.MLP, positions=Positions.NONE)),
    "hrm": HRMConfig(**small(H_layers=1, L_layers=3)),
}
FULL = "_orig_mod.model.inner."
TOLD = Hints(
    fields=(
        ("H_cycles", 2),
        ("L_cycles", 2),
        ("num_heads", 2),
        ("seq_len", 4),
        ("halt_max_steps", 4),
        ("halt_exploration_prob", 0.0),
        ("rms_norm_eps", 1e-5),
        ("rope_theta", 1e4),
        ("forward_dtype", "float32"),
        ("no_ACT_continue", True),
    )
)
"""What no tensor shows; of models with rotary positions also these and the prefix."""
YAML = """
arch:
  name: {name}
  loss: {{name: losses@ACTLossHead, loss_type: stablemax_cross_entropy}}
  H_cycles: 2
  L_cycles: 2
  H_layers: 0
  L_layers: 2
  hidden_size: 8
  num_heads: 2
  expansion: 1
  pos_encodings: rope
  mlp_t: false
  puzzle_emb_ndim: 8
  puzzle_emb_len: 2
  halt_max_steps: 4
  halt_exploration_prob: 0.0
  forward_dtype: float32
  no_ACT_continue: true
lr: 0.0001
"""
TRM_NAME = "recursive_reasoning.trm@TinyRecursiveReasoningModel_ACTV1"


def released_weights(config: Config) -> Weights:
    """Random weights whose initial states are bfloat16 numbers, as in the releases."""
    weights = random_weights(config)
    round_trip = jax.tree.map(lambda x: x.astype(jnp.bfloat16).astype(jnp.float32), weights.buffers)
    return weights._replace(buffers=round_trip)


def released_tensors(config: Config) -> dict[str, np.ndarray]:
    """Random tensors under PyTorch's names without prefixes."""
    named = to_torch(config, released_weights(config))
    return {strip_prefixes(name): value for name, value in named.items()}


def write_release(file: Path, config: Config, prefix: str = FULL) -> Weights:
    """Write random weights as a safetensors file with PyTorch's names."""
    weights = released_weights(config)
    tensors = {prefix + strip_prefixes(k): v for k, v in to_torch(config, weights).items()}
    file.parent.mkdir(exist_ok=True)
    save_file({k: jnp.asarray(v) for k, v in tensors.items()}, file)
    return weights


def assert_same(a: Weights, b: Weights) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)
