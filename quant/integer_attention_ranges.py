"""Attention's operators in float32 for calibration, and the tables of rotary positions."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Shaped

from trm_jax.config import ReasonerConfig
from trm_jax.layers import rms_norm, rotary_tables


class AttentionRanges:
    """What RangeOps (integer_ranges.py) does for attention; `noted` remembers a tensor's range."""

    eps: float

    def noted(self, name: str, x: Array) -> Array:
        """Remember a range."""
        raise NotImplementedError

    def rotate(self, name: str, x: Array, config: ReasonerConfig) -> Array:
        cos, sin = signed_tables(config)
        along = self.noted(f"{name}/cos", x * cos[None])
        return self.noted(name, along + self.noted(f"{name}/sin", swapped(x) * sin[None]))

    def matmul(self, name: str, a: Array, b: Array) -> Array:
        return self.noted(name, jnp.einsum("...ik,...jk->...ij", a, b))

    def softmax(self, name: str, x: Array, beta: float) -> Array:
        return jax.nn.softmax(x * beta, axis=-1)

    def residual(self, name: str, h: Array, y: Array) -> Array:
        return self.noted(name, rms_norm(h + y, self.eps))

    def each_head(self, part: Callable[[str], Array], count: int) -> Sequence[Array]:
        return [part(str(i)) for i in range(count)]

    def by_queries(self, part: Callable[[Array], Array], x: Array) -> Array:
        return part(x)

    def by_tokens(self, part: Callable[..., Array], *xs: Array) -> Array:
        return part(*xs)


def swapped(x: Shaped[Array, "*lead head_dim"]) -> Shaped[Array, "*lead head_dim"]:
    """Swap the halves of a head."""
    return jnp.roll(x, x.shape[-1] // 2, axis=-1)


def signed_tables(
    config: ReasonerConfig,
) -> tuple[Float[Array, "pos head_dim"], Float[Array, "pos head_dim"]]:
    """Compute cosines and sines for x * cos + swapped(x) * sin; the sign is in the sines."""
    cos, sin = rotary_tables(config.num_positions, config.head_dim, config.rope_theta)
    return jnp.concatenate([cos, cos], axis=-1), jnp.concatenate([-sin, sin], axis=-1)
