"""SwiGLU fold: channels inside an MLP are brought to like sizes, the network staying the same.

A gated MLP computes down(silu(gate) * up). Dividing a column of `up` by s and multiplying the row
of `down` that reads it by s changes no result, but the product in between has one static range,
which its largest channel decides. s is the largest absolute product of a channel over the
calibration puzzles, at most CAP times the median channel's, in units of that median:

    s_c = 2 ^ round(log2(min(max|product_c| / median, CAP)))

Powers of two make the fold exact in floating point (short of overflow), so it costs nothing at
run time and in float. Channels below 1 / CAP are not brought up further: `up` shares a tensor
with `gate` on devices, whose grid would have to widen.

Source: equivalence of scales between layers, as in SmoothQuant (arXiv 2211.10438). Not here: which
positions a range covers (cells.py), the grids (quant/affine.py).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from quant.ptq.calibrate import (
    Statistic,
    collect_from,
    input_widths,
    not_finite,
    own_start,
    with_nan_as_infinity,
)
from quant.ptq.cells import RangedSite
from quant.scheme import Ranges
from trm_jax.models.reasoner import Reasoner
from trm_jax.types import Batch, Params, Weights

CAP = 4.0
"""Largest factor of a channel, in medians: a spike beyond it is brought down no further."""
DOWN, UP = "down_proj", "gate_up_proj"
Factors = Mapping[str, np.ndarray]
"""A power of two for every channel inside an MLP, by the site of its `down_proj`."""


class ChannelMaxima(NamedTuple):
    """Largest absolute value of every channel so far, over the cells."""

    site: RangedSite
    largest: Float[Array, " channels"]


def _add_maxima(summary: ChannelMaxima, x: Float[Array, "*lead channels"]) -> ChannelMaxima:
    if not _is_down(summary.site.name):
        return summary
    rows = jnp.abs(summary.site.input(with_nan_as_infinity(x))).reshape(-1, x.shape[-1])
    return summary._replace(largest=jnp.maximum(summary.largest, jnp.max(rows, axis=0)))


def _is_down(site: str) -> bool:
    return site.split("/")[-1] == DOWN


CHANNEL_MAXIMA = Statistic(own_start, _add_maxima)


def fold_factors(
    reasoner: Reasoner, weights: Weights, batches: Iterable[Batch], *, steps: int
) -> dict[str, np.ndarray]:
    """Measure the factor of every channel inside an MLP along whole trajectories.

    Args:
      reasoner, weights, batches, steps: as for `quant.ptq.calibrate.activation_ranges`.

    Raises:
      ValueError: no batch, or values that are not finite.
    """
    prefix_len = reasoner.config.prefix_len
    start = {
        site: ChannelMaxima(RangedSite(site, Ranges.CELLS, prefix_len), jnp.zeros(width))
        for site, width in input_widths(weights.params).items()
    }
    maxima = collect_from(start, reasoner, weights, batches, steps=steps, statistic=CHANNEL_MAXIMA)
    largest = {site: np.asarray(each.largest) for site, each in maxima.items() if _is_down(site)}
    for site, channels in largest.items():
        if not np.isfinite(channels).all():
            raise ValueError(not_finite(site))
    return {site: powers_of_two(channels) for site, channels in largest.items()}


def powers_of_two(largest: np.ndarray) -> np.ndarray:
    """Choose the factors of channels from their largest absolute values; 1 where none fires."""
    median = np.median(largest)
    if not median > 0:
        return np.ones_like(largest)
    return np.exp2(np.round(np.log2(np.clip(largest / median, 1 / CAP, CAP)))).astype(np.float32)


def fold(params: Params, factors: Factors, chosen: Callable[[str], bool]) -> Params:
    """Divide columns of `up` and multiply rows of `down` by the factors of their channels.

    Args:
      chosen: says whether the MLP of a `down_proj` is folded.

    Returns:
      Parameters of the same network.
    """

    def folded(path: tuple, leaf: Array) -> Array:
        *parents, layer, kind = (key.key for key in path)
        site = "/".join((*parents, DOWN))
        if site not in factors or layer not in (UP, DOWN) or not chosen(site):
            return leaf
        s = jnp.asarray(factors[site], leaf.dtype)
        if layer == UP:  # the last axis of a kernel and of a bias: gate, then up
            columns = jnp.concatenate([jnp.ones_like(s), 1 / s])
            return leaf * columns.reshape((1,) * (leaf.ndim - 1) + (-1,))
        return leaf * s[:, None] if kind == "kernel" else leaf

    return jax.tree_util.tree_map_with_path(folded, params)
