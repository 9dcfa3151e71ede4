"""Which encodings a network needs: ranges of all its tensors along whole trajectories.

A recursive network meets its own outputs, so ranges are taken in float32, with the quantised
weights, over every L-cycle, H-cycle and supervision step, over both roles of the shared network
(it updates z_L with z_H + e injected, and z_H with z_L), and over a read-out after every H-cycle.
Ranges get headroom: a carry that saturates once stays wrong for all later cycles.

    int16    symmetric, scale = headroom * max |x| / 32767
    int8     asymmetric over [headroom * low, headroom * high], 0 on the grid

The state that a level takes is the one that it gives: `z` and the last norm share an encoding.
With the MLP mixer all tensors have one width, but for states that a scheme names (`encodings_of`);
with attention it goes by role (`attention_encodings`).

Not here: grids of weights (quant/affine.py), of embedding rows (carry.py).
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from quant.affine import Range, dequantise
from quant.integer.attention_operators import ROTARY_ENCODINGS, signed_tables, swapped
from quant.integer.encoding import BITS, Encoding, short_scale
from quant.integer.network import apply_level, last_norm, layer_sites, mixed_name, read_out
from quant.integer.operators import ALL, SIGMOID, Products
from quant.integer.tensor_names import (
    INJECTION,
    INVERSE,
    ROTARY,
    SQUARE,
    STATE,
    BitWidths,
    Head,
    TensorName,
    wide_state,
)
from quant.ptq.calibrate import finite_ends, with_nan_as_infinity
from quant.ptq.cells import Select, all_values, select_outputs
from quant.scheme import Ranges, WideState
from trm_jax.config import Config, ReasonerConfig
from trm_jax.models.act import inject
from trm_jax.models.build import build
from trm_jax.models.layers import rms_norm
from trm_jax.types import Batch, Latents, State, Weights

Spans = dict[TensorName, Range]
"""Range of every tensor: scalars."""
Ends = dict[TensorName, tuple[float, float]]
"""Range of every tensor, on the host."""
HEADROOM = 1.5
SMALLEST_RANGE = 1e-6
"""Of a tensor that is always zero: far below states of unit mean square, and not so far that the
ratio of a product's scales to it leaves the 2^31 that a multiplier holds."""
UNIT_RESULTS = {"scores": "share", "silu": "sigmoid"}
"""Results of SOFTMAX and LOGISTIC beside a tensor that is ranged; their encodings are fixed."""


class RangeOps:
    """Operators in float32, of the MLP mixer and of attention; `spans` gathers all ranges.

    Args:
      kernels: (inputs, outputs), by site; biases likewise, where there are some.
      eps: of the norms, added to the mean square.
      select: which values of a tensor its range covers.
    """

    def __init__(
        self,
        kernels: Mapping[str, Array],
        biases: Mapping[str, Array],
        eps: float,
        select: Select = all_values,
    ) -> None:
        self.kernels, self.biases, self.eps, self.select = kernels, biases, eps, select
        self.spans: Spans = {}

    def noted(self, name: TensorName, x: Array) -> Array:
        """Remember the range of a tensor, and return it."""
        covered = with_nan_as_infinity(self.select(name.site, x))
        span = Range(jnp.min(covered), jnp.max(covered))
        self.spans[name] = merged(self.spans[name], span) if name in self.spans else span
        return x

    def linear(self, name: TensorName, x: Array) -> Array:
        y = jnp.einsum("...i,io->...o", x, self.kernels[str(name)])
        if str(name) in self.biases:
            y = y + self.biases[str(name)].reshape((1,) * (y.ndim - 1) + (-1,))
        return self.noted(name, y)

    def gate_up(self, name: TensorName, x: Array, part: slice) -> tuple[Array, Array]:
        assert part == ALL, "all inner channels at once"
        gate, up = jnp.split(self.linear(name, x), 2, axis=-1)
        return gate, up

    def add(self, name: TensorName, a: Array, b: Array) -> Array:
        return self.noted(name, a + b)

    def multiply(self, name: TensorName, a: Array, b: Array) -> Array:
        return self.noted(name, a * b)

    def norm(self, name: TensorName, x: Array) -> Array:
        squares = self.noted(name.then(SQUARE), jnp.square(x))
        mean = jnp.mean(squares, axis=-1, keepdims=True)
        self.noted(name.then(INVERSE), jax.lax.rsqrt(mean + self.eps))
        return self.noted(name, rms_norm(x, self.eps))

    def logistic(self, name: TensorName, x: Array) -> Array:
        return jax.nn.sigmoid(x)

    def silu(self, name: TensorName, x: Array, sigmoid: TensorName) -> Array:
        return self.multiply(name, x, self.logistic(sigmoid, x))

    def transpose(self, x: Array) -> Array:
        return x.swapaxes(-1, -2)

    def parts(self, name: TensorName) -> Sequence[slice]:
        return (ALL,)

    def joined(self, parts: Sequence[Array]) -> Array:
        return jnp.concatenate(parts, axis=-1)

    def by_rows(self, x: Array, apply: Callable[[Array], Array], rows: slice = ALL) -> Array:
        return apply(x[..., rows, :])

    def rotate(self, name: TensorName, x: Array, config: ReasonerConfig) -> Array:
        cos, sin = signed_tables(config)
        along = self.noted(name.then("cos"), x * cos[None])
        return self.noted(name, along + self.noted(name.then("sin"), swapped(x) * sin[None]))

    def matmul(self, name: TensorName, a: Array, b: Array) -> Array:
        return self.noted(name, jnp.einsum("...ik,...jk->...ij", a, b))

    def softmax(self, name: TensorName, x: Array, beta: float) -> Array:
        return jax.nn.softmax(x * beta, axis=-1)

    def residual(self, name: TensorName, h: Array, y: Array) -> Array:
        return self.noted(name, rms_norm(h + y, self.eps))

    def each_head(self, part: Callable[[Head], Array], count: int) -> Sequence[Array]:
        return [part(head) for head in range(count)]

    def by_queries(self, part: Callable[[Array], Array], x: Array) -> Array:
        return part(x)

    def by_tokens(self, part: Callable[..., Array], *xs: Array) -> Array:
        return part(*xs)


def merged(a: Range, b: Range) -> Range:
    """Join two ranges."""
    return Range(jnp.minimum(a.low, b.low), jnp.maximum(a.high, b.high))


def range_ops(products: Products, eps: float, select: Select) -> RangeOps:
    """Make float32 operators of integer products."""
    kernels = {site: dequantise(product.kernel) for site, product in products.items()}
    biases = {s: jnp.asarray(p.bias) for s, p in products.items() if p.bias is not None}
    return RangeOps(kernels, biases, eps, select)


def level_with_spans(
    z: State,
    injection: State,
    products: Products,
    config: ReasonerConfig,
    ranges: Ranges = Ranges.ALL,
) -> tuple[State, Spans]:
    """Apply a level in float32 and range all its tensors, z and injection among them."""
    select = select_outputs(ranges, config.prefix_len)
    ops = range_ops(products, config.rms_norm_eps, select)
    ops.noted(STATE, z)
    ops.noted(INJECTION, injection)
    return apply_level(z, injection, config, ops), ops.spans


def read_out_spans(z_H: State, products: Products, config: ReasonerConfig) -> Spans:
    """Range the tensors of a read-out, which takes the cells and position 0 apart itself."""
    ops = range_ops(products, config.rms_norm_eps, all_values)
    read_out(z_H, config, ops)
    return ops.spans


def calibrated_spans(
    config: Config,
    products: Products,
    weights: Weights,
    batches: Iterable[Batch],
    *,
    steps: int,
    ranges: Ranges = Ranges.ALL,
) -> Spans:
    """Range every tensor over the trajectories of puzzles.

    Args:
      weights: simulated; embeddings and initial states are read.
      batches: of one shape, without padding puzzles.
      steps: supervision steps.
      ranges: what they cover.

    Raises:
      ValueError: no batch, or a configuration without an integer level.
    """
    total: Spans | None = None
    run = jax.jit(partial(_spans_of_rollout, config, products, steps=steps, ranges=ranges))
    for batch in batches:
        spans = run(weights, batch)
        total = spans if total is None else {k: merged(total[k], spans[k]) for k in total}
    if total is None:
        raise ValueError("calibration needs at least one batch, got none")
    return total


def _spans_of_rollout(
    config: Config,
    products: Products,
    weights: Weights,
    batch: Batch,
    *,
    steps: int,
    ranges: Ranges,
) -> Spans:
    reasoner = build(config)
    e = inject(reasoner, weights, batch)

    def l_cycle(latents: Latents, _: None) -> tuple[Latents, Spans]:
        z_L, spans = level_with_spans(latents.z_L, latents.z_H + e, products, config, ranges)
        return Latents(latents.z_H, z_L), spans

    def h_cycle(latents: Latents, _: None) -> tuple[Latents, Spans]:
        (z_H, z_L), stacked = jax.lax.scan(l_cycle, latents, length=config.L_cycles)
        z_H, spans = level_with_spans(z_H, z_L, products, config, ranges)
        spans = {k: merged(v, _over_time(stacked[k])) for k, v in spans.items()}
        return Latents(z_H, z_L), {**spans, **read_out_spans(z_H, products, config)}

    start = reasoner.start(weights.buffers, batch.inputs.shape[0])
    _, stacked = jax.lax.scan(h_cycle, start, length=steps * config.H_cycles)
    return {name: _over_time(span) for name, span in stacked.items()}


def _over_time(span: Range) -> Range:
    low: Float[Array, " times"] = span.low
    return Range(jnp.min(low), jnp.max(span.high))


def encodings_of(
    spans: Mapping[TensorName, Range],
    config: ReasonerConfig,
    *,
    bits: int,
    headroom: float = HEADROOM,
    wide: Collection[WideState] = (),
) -> dict[str, Encoding]:
    """Make encodings of calibrated ranges for a network with the MLP mixer.

    Args:
      bits: of all activations, 8 or 16.
      headroom: factor on both ends of every range, for puzzles that were not seen.
      wide: states that have 16 bits all the same; then a tensor has an encoding of either width,
        as in `attention_encodings`.

    Raises:
      ValueError: headroom below 1.
    """
    ends = _with_headroom(spans, headroom)
    _share_range(ends, [STATE, last_norm(layer_sites(config)[-1])])
    if WideState.NORMS not in wide:
        ends = {name: span for name, span in ends.items() if wide_state(name) != WideState.NORMS}
    encodings: dict[str, Encoding] = {}
    for each in BITS if wide else (bits,):
        grids = {name: encoding(*span, each) for name, span in ends.items()}
        grids |= dict.fromkeys(_unit_results(ends), SIGMOID[each])
        for name, grid in grids.items():
            own = 16 if wide_state(name) in wide else bits
            encodings[str(name if own == each else name.with_bits(each))] = grid
    return encodings


def attention_encodings(
    spans: Mapping[TensorName, Range], config: ReasonerConfig, widths: BitWidths, headroom: float
) -> dict[str, Encoding]:
    """Make encodings of calibrated ranges for a network with attention.

    A tensor has an encoding of its own width by its name, and one of the other width by
    `name.with_bits`. Heads that are joined share one range, like the state and the last norm.

    Args:
      headroom: as in `encodings_of`.

    Raises:
      ValueError: headroom below 1.
    """
    ends = _with_headroom(spans, headroom)
    sites = layer_sites(config)
    _share_range(ends, [STATE, last_norm(sites[-1])])
    for site in sites:
        _share_range(ends, [mixed_name(site, head) for head in range(config.num_heads)])
    encodings: dict[str, Encoding] = {}
    for bits in BITS:
        grids = {name: _attention_encoding(name, span, bits) for name, span in ends.items()}
        grids |= dict.fromkeys(_unit_results(ends), SIGMOID[bits])
        grids[ROTARY] = ROTARY_ENCODINGS[bits]
        for name, grid in grids.items():
            is_own = widths.of(name.role) == bits
            encodings[str(name if is_own else name.with_bits(bits))] = grid
    return encodings


def _attention_encoding(name: TensorName, span: tuple[float, float], bits: int) -> Encoding:
    """Place a grid; what BATCH_MATMUL multiplies has a short scale, for all revisions of TFLM."""
    return encoding(*span, bits, short_scale if "/qkv_proj/" in name.site else float)


def _with_headroom(spans: Mapping[TensorName, Range], headroom: float) -> Ends:
    if not headroom >= 1:
        raise ValueError(f"headroom must be at least 1, got headroom={headroom}")
    return {name: finite_ends(str(name), span, headroom, "values") for name, span in spans.items()}


def _share_range(ends: Ends, names: Sequence[TensorName]) -> None:
    """Give tensors the range that covers all of them."""
    low, high = zip(*(ends[name] for name in names), strict=True)
    ends.update(dict.fromkeys(names, (min(low), max(high))))


def _unit_results(names: Iterable[TensorName]) -> list[TensorName]:
    words = ((name, name.site.rsplit("/", 1)[-1]) for name in names)
    return [name.beside(UNIT_RESULTS[word]) for name, word in words if word in UNIT_RESULTS]


def encoding(
    low: float, high: float, bits: int, rounded: Callable[[float], float] = float
) -> Encoding:
    """Place a grid over a range, extended to contain 0.

    Args:
      rounded: applied to the scale; must not make it smaller, or the ends would saturate.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    if bits == 16:
        return Encoding(scale=rounded(max(-low, high, SMALLEST_RANGE) / 32767), bits=16)
    scale = rounded(max(high - low, SMALLEST_RANGE) / 255)
    return Encoding(scale=scale, zero_point=max(-128, min(127, round(-128 - low / scale))), bits=8)
