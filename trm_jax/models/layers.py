"""The layers that TRM and HRM share: norm, rotary positions, Dense, SwiGLU, embeddings.

Formulas: REFERENCE 1.3 (released `models/layers.py`). Weights are float32 masters, cast to the
dtype of the activations at every use. `dot_general` is a constructor field of Dense, so that a
quantised product is seen in the wiring instead of being patched in.

The embeddings of tokens, puzzle and positions make one state-shaped array, the injection. The
rows of the puzzle table are an argument: whether they were gathered from a table of 876,406 rows
or streamed as one row from flash is the caller's business (section 4.1).
"""

import math
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from trm_jax.config import ReasonerConfig
from trm_jax.types import DotGeneral, Injection, OnState, SiteDotGeneral


def prefix_from_rows(
    rows: Float[Array, "batch id_emb"], config: ReasonerConfig
) -> Float[Array, "batch prefix emb"]:
    """Lay puzzle rows out over the prefix positions (there may be none), zeros behind them."""
    room = config.prefix_len * config.hidden_size - rows.shape[-1]
    padded = jnp.pad(rows, ((0, 0), (0, room)))
    return padded.reshape(rows.shape[0], config.prefix_len, config.hidden_size)


def combine(
    tokens: Float[Array, "batch seq emb"],
    rows: Float[Array, "batch id_emb"],
    positions: Float[Array, "pos emb"] | None,
    config: ReasonerConfig,
) -> Injection:
    """Join prefix and tokens, add learned positions, scale by sqrt(hidden_size).

    Factors are applied in float32 and rounded once, as PyTorch does for a bfloat16 tensor
    times a Python number; a weakly typed JAX scalar would itself be rounded to bfloat16.
    """
    dtype = jnp.dtype(config.forward_dtype)
    prefix = prefix_from_rows(rows.astype(dtype), config)
    e = jnp.concatenate([prefix, tokens.astype(dtype)], axis=1)
    if positions is not None:
        both = (e + positions.astype(dtype)[None]).astype(jnp.float32)
        e = (math.sqrt(0.5) * both).astype(dtype)
    return (math.sqrt(config.hidden_size) * e.astype(jnp.float32)).astype(dtype)


def exact_dot_general(site: str) -> DotGeneral:
    """Choose the unquantised product for every site."""
    del site
    return jax.lax.dot_general


def as_computed(site: str, state: Array) -> Array:
    """Keep the state of every site as it was computed."""
    del site
    return state


def at_site(module: nn.Module, on_state: OnState, name: str, state: Array) -> Array:
    """Hand a state to what happens at its site.

    Before that it is sown into the collection `states`, which costs nothing unless a caller asks.
    """
    module.sow("states", name, state)
    return on_state("/".join((*module.path, name)), state)


def rms_norm(x: Float[Array, "*axes"], eps: float, axis: int = -1) -> Float[Array, "*axes"]:
    """Normalise an axis to unit mean square in float32; there is no learned gain."""
    x32 = x.astype(jnp.float32)
    mean_square = jnp.mean(jnp.square(x32), axis=axis, keepdims=True)
    return (x32 * jax.lax.rsqrt(mean_square + eps)).astype(x.dtype)


def rotary_tables(
    num_positions: int, head_dim: int, theta: float
) -> tuple[Float[Array, "pos half"], Float[Array, "pos half"]]:
    """Compute cosines and sines of the rotary angles.

    Args:
      num_positions: positions 0, 1, ...; the puzzle prefix counts.
      head_dim: even size of one head.
      theta: base of the geometric progression of wavelengths.
    """
    frequency = theta ** (-jnp.arange(0, head_dim, 2, dtype=jnp.float32) / head_dim)
    angle = jnp.arange(num_positions, dtype=jnp.float32)[:, None] * frequency[None, :]
    return jnp.cos(angle), jnp.sin(angle)


def apply_rotary(
    x: Float[Array, "batch pos heads head_dim"],
    cos: Float[Array, "pos half"],
    sin: Float[Array, "pos half"],
) -> Float[Array, "batch pos heads head_dim"]:
    """Rotate heads by the angles of positions that all puzzles share."""
    return rotate_halves(x, cos[None, :, None, :], sin[None, :, None, :])


def rotate_halves(
    x: Float[Array, "batch pos heads head_dim"],
    cos: Float[Array, "#batch pos 1 half"],
    sin: Float[Array, "#batch pos 1 half"],
) -> Float[Array, "batch pos heads head_dim"]:
    """Rotate the two halves of every head against each other (half-split, in float32)."""
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    rotated = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    return rotated.astype(x.dtype)


class Dense(nn.Module):
    """A matrix product over one axis (CastedLinear in the released code).

    Attributes:
      features: output width.
      use_bias: add a bias (only q_head does).
      dot_general: chooses the product from this layer's site, `L_level/layers_0/mlp/down_proj`.
      axis: what is multiplied, the last axis or the first.
      kernel_init, bias_init: initialisers; the kernel's default is the released one.

    The input is sown as an intermediate, its multiplied axis last, which costs nothing unless a
    caller asks for it.
    """

    features: int
    use_bias: bool = False
    dot_general: SiteDotGeneral = exact_dot_general
    axis: Literal[0, -1] = -1
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    bias_init: nn.initializers.Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Float[Array, "*axes"]) -> Float[Array, "*new_axes"]:
        inputs = x.shape[self.axis]
        kernel = self.param("kernel", self.kernel_init, (inputs, self.features), jnp.float32)
        self.sow("intermediates", "input", jnp.moveaxis(x, self.axis, -1))
        product = self.dot_general("/".join(self.path))
        # rows first: XLA's CPU gradient of a product over three axes takes twice as long
        rows = x.reshape(-1, inputs) if self.axis else x.reshape(inputs, -1).T
        y = product(rows, kernel.astype(x.dtype), (((1,), (0,)), ((), ())))
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), jnp.float32)
            y = y + bias.astype(x.dtype)[None]
        if self.axis:
            return y.reshape(*x.shape[:-1], self.features)
        # XLA takes both transpositions into the product
        return y.T.reshape(self.features, *x.shape[1:])


class SwiGLU(nn.Module):
    """down(silu(gate) * up), gate and up in one product, the gate first.

    Attributes:
      inner: width between the two products (`ReasonerConfig.swiglu_size`).
      axis: what is multiplied, the last axis or the first.
    """

    inner: int
    dot_general: SiteDotGeneral = exact_dot_general
    axis: Literal[0, -1] = -1

    @nn.compact
    def __call__(self, x: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
        gate_up = Dense(
            2 * self.inner, dot_general=self.dot_general, axis=self.axis, name="gate_up_proj"
        )(x)
        gate, up = jnp.split(gate_up, 2, axis=self.axis)
        down = Dense(
            x.shape[self.axis], dot_general=self.dot_general, axis=self.axis, name="down_proj"
        )
        return down(nn.silu(gate) * up)


class Embedding(nn.Module):
    """A table of vectors, float32, initialised with standard deviation 1/sqrt(width)."""

    rows: int
    width: int

    def setup(self) -> None:
        # fan_out of (rows, width) is the width: the released std 1/sqrt(hidden_size)
        init = nn.initializers.variance_scaling(1.0, "fan_out", "truncated_normal")
        self.embedding = self.param("embedding", init, (self.rows, self.width), jnp.float32)

    def __call__(self, index: Int[Array, "*lead"]) -> Float[Array, "*lead width"]:
        return self.embedding[index]
