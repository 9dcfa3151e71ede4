"""The total table between names of Llama's and Qwen2.5's releases and our leaves.

    model.embed_tokens.weight                      embed_tokens/embedding, or lm_head/kernel where
                                                   the head is the table of embeddings
    model.layers.N.self_attn.q_proj.weight, .bias  layers_N/self_attn/q_proj/kernel, bias
    model.layers.N.input_layernorm.weight          layers_N/input_layernorm/gain
    model.norm.weight, lm_head.weight              norm/gain, lm_head/kernel

Every tensor of a release has one row, and so has every leaf of our parameters. Names are built
from the configuration, never rewritten by pattern. PyTorch keeps matrices as (outputs, inputs),
Flax as (inputs, outputs): those rows are marked as transposed.

Not here: files (release.py, gguf_files.py), and what a release says of its sizes
(release_config.py).
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from trm_jax.checkpoints.model_files import Shape, check_finite, check_shapes
from trm_jax.decoder.config import DecoderConfig
from trm_jax.decoder.transformer import leaf_shapes
from trm_jax.types import Params

Tensors = Mapping[str, Any]
"""Name of a release -> an array, or what `read` makes one of."""

HEAD = "lm_head.weight"
EMBEDDINGS = "model.embed_tokens.weight"
NORMS = ("input_layernorm", "post_attention_layernorm")
PRODUCTS = (
    ("self_attn", "q_proj"),
    ("self_attn", "k_proj"),
    ("self_attn", "v_proj"),
    ("self_attn", "o_proj"),
    ("mlp", "gate_proj"),
    ("mlp", "up_proj"),
    ("mlp", "down_proj"),
)
BIASED = ("q_proj", "k_proj", "v_proj")


class ReleasedTensor(NamedTuple):
    """One tensor: its name in a release, the flat name of our leaf, its layout."""

    release: str
    leaf: str
    transposed: bool = False


def layer_rows(number: int, config: DecoderConfig) -> tuple[ReleasedTensor, ...]:
    """List the rows of one layer."""
    theirs, ours = f"model.layers.{number}", f"layers_{number}"
    norms = tuple(
        ReleasedTensor(f"{theirs}.{name}.weight", f"{ours}/{name}/gain") for name in NORMS
    )
    kernels = tuple(
        ReleasedTensor(f"{theirs}.{part}.{name}.weight", f"{ours}/{part}/{name}/kernel", True)
        for part, name in PRODUCTS
    )
    biases = tuple(
        ReleasedTensor(f"{theirs}.self_attn.{name}.bias", f"{ours}/self_attn/{name}/bias")
        for name in BIASED
        if config.qkv_bias
    )
    return norms + kernels + biases


def table(config: DecoderConfig) -> tuple[ReleasedTensor, ...]:
    """List every tensor of a configuration."""
    head = ReleasedTensor(HEAD, "lm_head/kernel", True)
    embeddings = ReleasedTensor(EMBEDDINGS, "embed_tokens/embedding")
    tied = ReleasedTensor(EMBEDDINGS, "lm_head/kernel", True)
    ends = (tied,) if config.tie_word_embeddings else (embeddings, head)
    layers = (row for n in range(config.num_layers) for row in layer_rows(n, config))
    return (*ends, *layers, ReleasedTensor("model.norm.weight", "norm/gain"))


def released_shapes(config: DecoderConfig) -> dict[str, Shape]:
    """List the names and shapes that a release of a configuration has."""
    shapes = leaf_shapes(config)
    return {
        row.release: shapes[row.leaf][::-1] if row.transposed else shapes[row.leaf]
        for row in table(config)
    }


def from_release(
    tensors: Tensors,
    config: DecoderConfig,
    origin: str,
    read: Callable[[str, Any], np.ndarray] = lambda name, values: values,
) -> Params:
    """Turn the tensors of a release into parameters, float32, one after the other.

    A tied head that is written down beside the embeddings is taken if it is the same.

    Args:
      tensors: all of them; anything with a shape in the order of PyTorch.
      origin: the file, for messages.
      read: (name, value of `tensors`) -> its numbers.

    Raises:
      ValueError: names or shapes that do not fit the configuration, a weight that is no number, or
        a head that is not the embeddings it should be.
    """
    shapes = {name: tuple(map(int, values.shape)) for name, values in tensors.items()}
    extra = config.tie_word_embeddings and shapes.pop(HEAD, None)
    check_shapes(shapes, released_shapes(config), origin)
    if extra and not np.array_equal(
        read(HEAD, tensors[HEAD]), read(EMBEDDINGS, tensors[EMBEDDINGS])
    ):
        raise ValueError(
            f"{origin}: tie_word_embeddings is true, and {HEAD} differs from {EMBEDDINGS};"
            " the configuration or the weights are of another model"
        )
    leaves = {}
    for row in table(config):
        values = np.asarray(read(row.release, tensors[row.release]), np.float32)
        check_finite(row.release, values, origin)
        leaves[row.leaf] = jnp.array(values.T if row.transposed else values, copy=True)
    return unflatten_dict(leaves, sep="/")


def to_release(config: DecoderConfig, params: Params) -> dict[str, np.ndarray]:
    """Turn parameters into the tensors of a release (the inverse of `from_release`)."""
    leaves = flatten_dict(params, sep="/")
    tensors = {row.release: np.asarray(leaves[row.leaf], np.float32) for row in table(config)}
    transposed = {row.release for row in table(config) if row.transposed}
    return {
        name: np.ascontiguousarray(values.T if name in transposed else values)
        for name, values in tensors.items()
    }
