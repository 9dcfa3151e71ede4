"""Low-rank adapters on every Dense of a decoder (LoRA), masked by position.

    y = x W + rows * (dropout(x) A) B * alpha / rank

`rows` says at which positions the adapters act. With adapters off in the prompt and on in the
answer the keys and values of a prompt are those of the base model, so that one prefill serves both
(arXiv 2603.16867, "masked LoRA"). W is whatever the scheme made of it: adapters trained on a
quantised base have seen its errors.

Adapters reach a Dense through its `dot_general`, like quantisation; no module knows of them.
"""

import functools
import zlib
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict
from jax import Array
from jaxtyping import Bool, Float

from trm_jax.types import DotGeneral, Params, SiteDotGeneral


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """Sizes of adapters.

    Attributes:
      rank: inner width; the study takes 128 and finds that it hardly matters.
      alpha: what they add is scaled by alpha / rank; twice the rank in the study.
      dropout: share of inputs dropped in training.

    Raises:
      ValueError: a rank below 1, an alpha that is not positive, a dropout outside [0, 1).
    """

    rank: int
    alpha: float
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"rank must be at least 1, got rank={self.rank}")
        if not self.alpha > 0:
            raise ValueError(f"alpha must be positive, got alpha={self.alpha}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), got dropout={self.dropout}")

    @property
    def scale(self) -> float:
        """Factor of what the adapters add."""
        return self.alpha / self.rank


class LowRank(NamedTuple):
    """The adapter of one Dense."""

    A: Float[Array, "inputs rank"]
    B: Float[Array, "rank outputs"]


Adapters = dict[str, LowRank]
"""Site of a Dense -> its adapter."""


class AdaptedRows(NamedTuple):
    """Adapters and where they act.

    Attributes:
      scale: alpha / rank.
      rows: the positions at which they act; None: all.
      dropout: of inputs in training, (key, share); None: none.
    """

    adapters: Adapters
    scale: Float[Array, ""]
    rows: Bool[Array, "batch seq"] | None = None
    dropout: tuple[Array, float] | None = None


def init_adapters(key: Array, params: Params, config: LoraConfig) -> Adapters:
    """Draw adapters for every Dense: A at random, B zero, so that they change nothing yet.

    Args:
      params: of the decoder; every leaf named `kernel` gets an adapter.
    """
    adapters = {}
    for name, kernel in sorted(flatten_dict(params, sep="/").items()):
        site, _, leaf = name.rpartition("/")
        if leaf != "kernel":
            continue
        inputs, outputs = kernel.shape
        drawn = jax.random.normal(_site_key(key, site), (inputs, config.rank), jnp.float32)
        zero = jnp.zeros((config.rank, outputs), jnp.float32)
        adapters[site] = LowRank(drawn * inputs**-0.5, zero)
    return adapters


def merge_adapters(params: Params, adapters: Adapters, config: LoraConfig) -> Params:
    """Add adapters to the kernels: the model that acts as if they were on everywhere."""

    def merged(path: tuple, leaf: Array) -> Array:
        site, _, name = jax.tree_util.keystr(path, simple=True, separator="/").rpartition("/")
        if name != "kernel" or site not in adapters:
            return leaf
        return leaf + config.scale * (adapters[site].A @ adapters[site].B)

    return jax.tree_util.tree_map_with_path(merged, params)


def adapted_dot_general(base: SiteDotGeneral, adapted: AdaptedRows) -> SiteDotGeneral:
    """Add adapters to the products of every Dense that has one."""

    def choose(site: str) -> DotGeneral:
        product = base(site)
        if site not in adapted.adapters:
            return product
        return functools.partial(_with_adapter, product, site, adapted)

    return choose


def _with_adapter(
    product: DotGeneral, site: str, adapted: AdaptedRows, x: Array, kernel: Array, *rest: Any
) -> Array:
    """Multiply by the kernel, and add x A B at the rows of the adapters (x: one row a token)."""
    pair = adapted.adapters[site]
    dropped = x if adapted.dropout is None else _drop(x, site, *adapted.dropout)
    inner = dropped @ pair.A.astype(x.dtype)
    added = (inner @ pair.B.astype(x.dtype)) * adapted.scale.astype(x.dtype)
    if adapted.rows is not None:
        added = jnp.where(adapted.rows.reshape(-1, 1), added, jnp.zeros_like(added))
    return product(x, kernel, *rest) + added


def _drop(x: Array, site: str, key: Array, share: float) -> Array:
    if share == 0:
        return x
    kept = jax.random.bernoulli(_site_key(key, site), 1 - share, x.shape)
    return jnp.where(kept, x / jnp.asarray(1 - share, x.dtype), jnp.zeros_like(x))


def _site_key(key: Array, site: str) -> Array:
    """Make the key of a site: the same whatever other sites there are."""
    return jax.random.fold_in(key, zlib.crc32(site.encode()))
