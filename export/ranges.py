"""Calibrated ranges of static products: what goes into every Dense and what comes out.

A runtime's integer product rounds its output onto a grid as well, so the ends of the output
matter too. They are folded over the same trajectories as the inputs' (quant/ptq/calibrate.py): the
summary of a site carries its kernel and multiplies every input that passes. Outputs are without
bias, which is added in float32 behind the integers.
"""

from collections.abc import Iterable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from quant.affine import Range
from quant.ptq.calibrate import (
    ProductRange,
    Statistic,
    activation_ranges,
    input_widths,
    observed_rollout,
)
from trm_jax.models.reasoner import Reasoner
from trm_jax.types import Batch, Weights


class OutputSummary(NamedTuple):
    """The range of inputs @ kernel so far."""

    kernel: Float[Array, "inputs outputs"]
    span: Range


def _widen(summary: OutputSummary, x: Float[Array, "*lead inputs"]) -> OutputSummary:
    y = jnp.einsum("...i,io->...o", x.astype(jnp.float32), summary.kernel)
    low, high = summary.span
    span = Range(jnp.minimum(low, jnp.min(y)), jnp.maximum(high, jnp.max(y)))
    return OutputSummary(summary.kernel, span)


def _no_kernel(width: int) -> OutputSummary:
    raise ValueError(f"an output range starts from a kernel, not from a width ({width})")


OUTPUT_RANGE = Statistic(_no_kernel, _widen)


def calibrated(
    reasoner: Reasoner,
    weights: Weights,
    batches: Iterable[Batch],
    *,
    steps: int,
    headroom: float = 1.0,
) -> dict[str, ProductRange]:
    """Measure the smallest and largest input and output of every Dense.

    Args:
      reasoner, weights, batches, steps, headroom: as for `quant.ptq.calibrate.activation_ranges`.

    Raises:
      ValueError: no batch, or headroom not positive.
    """
    kept = list(batches)
    inputs = activation_ranges(reasoner, weights, kept, steps=steps, headroom=headroom)
    nothing = Range(jnp.float32(jnp.inf), jnp.float32(-jnp.inf))
    summary = {
        site: OutputSummary(_kernel(weights, site), nothing)
        for site in input_widths(weights.params)
    }
    for batch in kept:
        _, summary = observed_rollout(reasoner, weights, batch, summary, steps, OUTPUT_RANGE)
    spans = {site: found.span for site, found in summary.items()}
    return {
        site: ProductRange(ends, (float(low) * headroom, float(high) * headroom))
        for (site, ends), (low, high) in ((item, spans[item[0]]) for item in inputs.items())
    }


def _kernel(weights: Weights, site: str) -> Array:
    node = weights.params
    for key in site.split("/"):
        node = node[key]
    return node["kernel"]
