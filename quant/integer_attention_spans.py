"""Spans of an attention level's tensors, and the encodings made of them.

A tensor has the encoding of its own width under its name, and one of the other width under
`NAME@8` or `NAME@16`, for a QUANTIZE before an operator of that width. int8 is asymmetric over
the span, int16 symmetric over its larger end; sigmoid and softmax have the encodings that their
kernels insist on, the tables of rotary positions one of their own.
Left out: the loop of a calibration.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Integer

from quant.affine import QTensor, dequantise
from quant.integer_attention import Widths, bits_of, layer_sites, level
from quant.integer_elementwise import quantise_floats
from quant.integer_encoding import BITS, Encoding
from quant.integer_norm import float_norm
from trm_jax.config import ReasonerConfig
from trm_jax.layers import rotary_tables

Kernels = Mapping[str, QTensor]
Encodings = Mapping[str, Encoding]
Spans = Mapping[str, tuple[Any, Any]]
"""Smallest and largest value of every tensor."""

ROTARY_NAME = "rotary"
UNIT = {8: Encoding(scale=1 / 256, zero_point=-128), 16: Encoding(scale=2.0**-15, bits=16)}
"""What LOGISTIC and SOFTMAX give: 0 to 1."""
ROTARY = {8: Encoding(scale=1 / 127), 16: Encoding(scale=1 / 32767, bits=16)}
"""Cosines and sines: 1 is exact."""
EMPTY = 1e-20  # span of a tensor that is always 0


class SpanOps:
    """float32 operators; `spans` gathers the ends of every tensor.

    Args:
      kernels: (inputs, outputs), by site.
    """

    def __init__(self, kernels: Mapping[str, Array], config: ReasonerConfig) -> None:
        self.kernels, self.config = kernels, config
        self.spans: dict[str, tuple[Array, Array]] = {}

    def linear(self, name: str, x: Array) -> Array:
        return self.noted(name, jnp.einsum("...i,io->...o", x, self.kernels[name]))

    def add(self, name: str, a: Array, b: Array) -> Array:
        return self.noted(name, a + b)

    def multiply(self, name: str, a: Array, b: Array) -> Array:
        return self.noted(name, a * b)

    def logistic(self, name: str, x: Array) -> Array:
        return 1 / (1 + jnp.exp(-x))

    def halves(self, x: Array) -> tuple[Array, Array]:
        first, second = jnp.split(x, 2, axis=-1)
        return first, second

    def transpose(self, x: Array) -> Array:
        return x.swapaxes(-1, -2)

    def joined(self, name: str, parts: Sequence[Array]) -> Array:
        return jnp.concatenate(parts, axis=-1)

    def rotate(self, name: str, x: Array) -> Array:
        cos, sin = signed_tables(self.config)
        along = self.noted(f"{name}/cos", x * cos[None])
        across = self.noted(f"{name}/sin", swapped(x) * sin[None])
        return self.noted(name, along + across)

    def matmul(self, name: str, a: Array, b: Array) -> Array:
        return self.noted(name, jnp.einsum("...ik,...jk->...ij", a, b))

    def softmax(self, name: str, x: Array, beta: float) -> Array:
        return jax.nn.softmax(x * beta, axis=-1)

    def residual(self, name: str, h: Array, y: Array) -> Array:
        return self.noted(name, float_norm(h + y, self.config.rms_norm_eps))

    def each_head(self, part: Callable[[str], Array], count: int) -> Sequence[Array]:
        return [part(str(i)) for i in range(count)]

    def by_queries(self, part: Callable[[Array], Array], x: Array) -> Array:
        return part(x)

    def by_tokens(self, part: Callable[..., Array], *xs: Array) -> Array:
        return part(*xs)

    def noted(self, name: str, x: Array) -> Array:
        """Remember the ends, 0 among them."""
        self.spans[name] = jnp.minimum(0.0, jnp.min(x)), jnp.maximum(0.0, jnp.max(x))
        return x


def swapped(x: Any) -> Any:
    """Swap the halves of a head."""
    return jnp.roll(x, x.shape[-1] // 2, axis=-1)


def signed_tables(
    config: ReasonerConfig,
) -> tuple[Float[Array, "pos head_dim"], Float[Array, "pos head_dim"]]:
    """Compute cosines and sines for x * cos + swapped(x) * sin; the sign is in the sines."""
    cos, sin = rotary_tables(config.num_positions, config.head_dim, config.rope_theta)
    return jnp.concatenate([cos, cos], axis=-1), jnp.concatenate([-sin, sin], axis=-1)


def integer_tables(
    config: ReasonerConfig, bits: int
) -> tuple[Integer[np.ndarray, "one pos head_dim"], Integer[np.ndarray, "one pos head_dim"]]:
    """Round the tables of rotary positions, with a leading axis for the batch."""
    with jax.ensure_compile_time_eval():  # constants, also while a caller is being traced
        tables = (quantise_floats(t, ROTARY[bits]) for t in signed_tables(config))
        cos, sin = (np.asarray(table)[None] for table in tables)
    return cos, sin


def spans_of_level(
    z: Float[Array, "batch pos emb"],
    injection: Float[Array, "batch pos emb"],
    kernels: Kernels,
    network: str,
    config: ReasonerConfig,
) -> tuple[Float[Array, "batch pos emb"], dict[str, tuple[Array, Array]]]:
    """Apply a level in float32 with quantised weights.

    Returns:
      The new state, and the ends of every tensor: `NETWORK/z` and `NETWORK/injection` among them.
    """
    ops = SpanOps({name: dequantise(kernel) for name, kernel in kernels.items()}, config)
    ops.noted(f"{network}/z", z)
    ops.noted(f"{network}/injection", injection)
    return level(z, injection, network, config, ops), ops.spans


def encodings_of(
    spans: Spans, config: ReasonerConfig, widths: Widths, headroom: float = 1.0
) -> dict[str, Encoding]:
    """Make the encodings of calibrated spans.

    The state that a network takes is the one that it makes, so `z` and its last norm share one;
    heads that are joined do too.

    Args:
      headroom: factor on both ends of every span, for puzzles that were not seen.
    """
    known = {name: (float(low) * headroom, float(high) * headroom)
             for name, (low, high) in spans.items()}  # fmt: skip
    for network in networks_of(spans):
        last = f"{layer_sites(network, config)[-1]}/mlp/norm"
        _share_one(known, [f"{network}/z", last])
        for site in layer_sites(network, config):
            _share_one(known, [f"{site}/self_attn/mixed/{i}" for i in range(config.num_heads)])
    made: dict[str, Encoding] = {}
    for bits in BITS:
        fixed = dict.fromkeys(_units(known), UNIT[bits]) | {ROTARY_NAME: ROTARY[bits]}
        grids = {name: encoding_of(*span, bits) for name, span in known.items()} | fixed
        made |= {
            name if bits_of(name, widths) == bits else other_width(name, bits): grid
            for name, grid in grids.items()
        }
    return made


def other_width(name: str, bits: int) -> str:
    """Name a tensor's integers of a width that is not its own."""
    return f"{name.split('@')[0]}@{bits}"


def _share_one(spans: dict[str, tuple[float, float]], names: Sequence[str]) -> None:
    low, high = zip(*(spans[name] for name in names), strict=True)
    spans.update(dict.fromkeys(names, (min(low), max(high))))


def _units(names: Iterable[str]) -> set[str]:
    """Name the results of SOFTMAX and LOGISTIC after what goes into them."""
    swaps = (("/scores/", "/share/"), ("/silu", "/sigmoid"))
    return {name.replace(*swap) for name in names for swap in swaps if swap[0] in name}


def networks_of(names: Iterable[str]) -> list[str]:
    """List the networks that tensors belong to."""
    return sorted({name.split("/")[0] for name in names})


def encoding_of(low: float, high: float, bits: int) -> Encoding:
    """Lay a grid over a span that contains 0."""
    if bits == 16:
        return Encoding(scale=max(-low, high, EMPTY) / 32767, bits=16)
    scale = max(high - low, EMPTY) / 255
    return Encoding(scale=scale, zero_point=int(np.clip(round(-128 - low / scale), -128, 127)))
