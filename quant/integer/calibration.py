"""Which encodings a network needs: ranges of all its tensors along whole trajectories.

A recursive network meets its own outputs, so ranges are taken in float32, with the quantised
weights, over every L-cycle, H-cycle and supervision step, over both roles of the shared network
(it updates z_L with z_H + e injected, and z_H with z_L), and over a read-out after every H-cycle.
Ranges get headroom: a carry that saturates once stays wrong for all later cycles.

    int16    symmetric, scale = headroom * max |x| / 32767
    int8     asymmetric over [headroom * low, headroom * high], 0 on the grid

The state that a level takes is the one that it makes: `z` and the last norm share an encoding.

Attention's operators in float32 for calibration, and the tables of rotary positions.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Shaped

from quant.affine import Range, dequantise
from quant.integer.encoding import Encoding
from quant.integer.network import mlp_level, read_out
from quant.integer.operators import ALL, SIGMOID, Products
from trm_jax.config import ReasonerConfig
from trm_jax.models.act import inject
from trm_jax.models.build import build
from trm_jax.models.layers import rms_norm, rotary_tables
from trm_jax.types import Batch, Latents, State, Weights


class AttentionRanges:
    """What RangeOps (calibration.py) does for attention; `noted` remembers a tensor's range."""

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


Spans = dict[str, Range]
"""Range of every tensor by name: scalars."""
HEADROOM = 1.5


class RangeOps(AttentionRanges):
    """float32 operators; `spans` gathers the range of every tensor.

    Args:
      kernels: (inputs, outputs), by site; biases likewise, where there are some.
    """

    def __init__(
        self, kernels: Mapping[str, Array], biases: Mapping[str, Array], eps: float
    ) -> None:
        self.kernels, self.biases, self.eps = kernels, biases, eps
        self.spans: Spans = {}

    def linear(self, name: str, x: Array) -> Array:
        y = jnp.einsum("...i,io->...o", x, self.kernels[name])
        if name in self.biases:
            y = y + self.biases[name].reshape((1,) * (y.ndim - 1) + (-1,))
        return self.noted(name, y)

    def gate_up(self, name: str, x: Array, part: slice) -> tuple[Array, Array]:
        assert part == ALL, "all inner channels at once"
        gate, up = jnp.split(self.linear(name, x), 2, axis=-1)
        return gate, up

    def add(self, name: str, a: Array, b: Array) -> Array:
        return self.noted(name, a + b)

    def multiply(self, name: str, a: Array, b: Array) -> Array:
        return self.noted(name, a * b)

    def norm(self, name: str, x: Array) -> Array:
        return self.noted(name, rms_norm(x, self.eps))

    def logistic(self, name: str, x: Array) -> Array:
        return jax.nn.sigmoid(x)

    def transpose(self, x: Array) -> Array:
        return x.swapaxes(-1, -2)

    def parts(self, name: str) -> Sequence[slice]:
        return (ALL,)

    def joined(self, parts: Sequence[Array]) -> Array:
        return jnp.concatenate(parts, axis=-1)

    def by_rows(self, x: Array, apply: Callable[[Array], Array], rows: slice = ALL) -> Array:
        return apply(x[..., rows, :])

    def noted(self, name: str, x: Array) -> Array:
        """Remember a range."""
        span = Range(jnp.min(x), jnp.max(x))
        self.spans[name] = merged(self.spans[name], span) if name in self.spans else span
        return x


def merged(a: Range, b: Range) -> Range:
    """Join two ranges."""
    return Range(jnp.minimum(a.low, b.low), jnp.maximum(a.high, b.high))


def range_ops(products: Products, eps: float) -> RangeOps:
    """Make float32 operators of integer products."""
    kernels = {site: dequantise(product.kernel) for site, product in products.items()}
    biases = {s: jnp.asarray(p.bias) for s, p in products.items() if p.bias is not None}
    return RangeOps(kernels, biases, eps)


def level_with_spans(
    z: State, injection: State, products: Products, config: ReasonerConfig
) -> tuple[State, Spans]:
    """Apply a level in float32 and range all its tensors, z and injection among them."""
    ops = range_ops(products, config.rms_norm_eps)
    ops.noted("z", z)
    ops.noted("injection", injection)
    return mlp_level(z, injection, config, ops), ops.spans


def read_out_spans(z_H: State, products: Products, config: ReasonerConfig) -> Spans:
    """Range the tensors of a read-out."""
    ops = range_ops(products, config.rms_norm_eps)
    read_out(z_H, config, ops)
    return ops.spans


def calibrated_spans(
    config: ReasonerConfig,
    products: Products,
    weights: Weights,
    batches: Iterable[Batch],
    *,
    steps: int,
) -> Spans:
    """Range every tensor over the trajectories of puzzles.

    Args:
      weights: simulated; embeddings and initial states are read.
      batches: of one shape, without padding puzzles.
      steps: supervision steps.

    Raises:
      ValueError: no batch, or a configuration without an integer level.
    """
    found: Spans | None = None
    run = jax.jit(partial(_spans_of_rollout, config, products, steps=steps))
    for batch in batches:
        spans = run(weights, batch)
        found = spans if found is None else {k: merged(found[k], spans[k]) for k in found}
    if found is None:
        raise ValueError("calibration needs at least one batch, got none")
    return found


def _spans_of_rollout(
    config: Any, products: Products, weights: Weights, batch: Batch, *, steps: int
) -> Spans:
    reasoner = build(config)
    e = inject(reasoner, weights, batch)

    def l_cycle(latents: Latents, _: None) -> tuple[Latents, Spans]:
        z_L, spans = level_with_spans(latents.z_L, latents.z_H + e, products, config)
        return Latents(latents.z_H, z_L), spans

    def h_cycle(latents: Latents, _: None) -> tuple[Latents, Spans]:
        (z_H, z_L), stacked = jax.lax.scan(l_cycle, latents, length=config.L_cycles)
        z_H, spans = level_with_spans(z_H, z_L, products, config)
        spans = {k: merged(v, _over_time(stacked[k])) for k, v in spans.items()}
        return Latents(z_H, z_L), {**spans, **read_out_spans(z_H, products, config)}

    start = reasoner.start(weights.buffers, batch.inputs.shape[0])
    _, stacked = jax.lax.scan(h_cycle, start, length=steps * config.H_cycles)
    return {name: _over_time(span) for name, span in stacked.items()}


def _over_time(span: Range) -> Range:
    low: Float[Array, " times"] = span.low
    return Range(jnp.min(low), jnp.max(span.high))


def with_headroom(spans: Mapping[str, Range], headroom: float) -> dict[str, tuple[float, float]]:
    """Widen calibrated ranges by a factor on both ends, for puzzles that were not seen.

    Raises:
      ValueError: headroom below 1.
    """
    if not headroom >= 1:
        raise ValueError(f"headroom must be at least 1, got headroom={headroom}")
    return {n: (float(low) * headroom, float(high) * headroom) for n, (low, high) in spans.items()}


def encodings_of(
    spans: Mapping[str, Range], config: ReasonerConfig, *, bits: int, headroom: float = HEADROOM
) -> dict[str, Encoding]:
    """Make encodings of the ranges of a calibration.

    Args:
      bits: of all activations, 8 or 16.
      headroom: factor on both ends of every range, for puzzles that were not seen.

    Raises:
      ValueError: headroom below 1.
    """
    ends = with_headroom(spans, headroom)
    last = f"L_level/layers_{config.L_layers - 1}/mlp/norm"
    both = (min(ends["z"][0], ends[last][0]), max(ends["z"][1], ends[last][1]))
    ends["z"] = ends[last] = both
    made = {n: encoding(low, high, bits) for n, (low, high) in ends.items()}
    sigmoids = (f"{name.removesuffix('/silu')}/sigmoid" for name in ends if name.endswith("/silu"))
    return {**made, **dict.fromkeys(sigmoids, SIGMOID[bits])}


def encoding(
    low: float, high: float, bits: int, rounded: Callable[[float], float] = float
) -> Encoding:
    """Place a grid over a range, extended to contain 0.

    Args:
      rounded: what becomes of the scale; not smaller, lest the ends saturate.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    smallest = 1e-30  # of a tensor that is always zero
    if bits == 16:
        return Encoding(scale=rounded(max(-low, high, smallest) / 32767), bits=16)
    scale = rounded(max(high - low, smallest) / 255)
    return Encoding(scale=scale, zero_point=max(-128, min(127, round(-128 - low / scale))), bits=8)
