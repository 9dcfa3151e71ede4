"""What goes through a decoder along texts: ranges of products and Hessians of their inputs.

Texts are prompts with the answers that the decoder was taught, or any text of a language model; all
tokens count but the padding. A text is read in one pass, which computes what decoding does.

Not here: the same for recursive models (quant/ptq/calibrate.py), whose statistics these are.
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict
from jax import Array
from jaxtyping import Bool, Float, Int

from quant.affine import Range
from quant.ptq.calibrate import HESSIAN, RANGE, PerSite, ProductRange, finite_ends
from trm_jax.decoder.config import DecoderConfig
from trm_jax.decoder.transformer import Transformer, token_positions
from trm_jax.types import Params

BATCH = 16
"""Texts that are read together."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CalibrationTexts:
    """Texts to calibrate on.

    Attributes:
      tokens: padded on the right.
      lengths: tokens of each text.

    Raises:
      ValueError: no text, or an empty one.
    """

    tokens: Int[np.ndarray, "texts positions"]
    lengths: Int[np.ndarray, " texts"]

    def __post_init__(self) -> None:
        if not len(self.tokens) or self.lengths.min() < 1:
            raise ValueError(
                f"calibration needs texts of one token or more, got {len(self.tokens)} texts,"
                f" the shortest of {self.lengths.min(initial=0)} tokens"
            )


class ProductEnds(NamedTuple):
    """Smallest and largest values of a Dense: of its inputs, and of inputs @ kernel."""

    input: Range
    output: Range


def decoder_ranges(
    config: DecoderConfig, params: Params, texts: CalibrationTexts
) -> PerSite[ProductRange]:
    """Measure the smallest and largest input and output of every Dense.

    Raises:
      ValueError: a value that is not finite; the message names the site.
    """
    parts = [_ends(config, params, *batch) for batch in _batches(texts)]

    def joined(spans: Iterable[Range]) -> Range:
        lows, highs = zip(*spans, strict=True)
        return Range(min(lows), max(highs))

    return {
        site: ProductRange(
            finite_ends(site, joined(part[site].input for part in parts)),
            finite_ends(site, joined(part[site].output for part in parts), what="outputs"),
        )
        for site in parts[0]
    }


def decoder_hessians(
    config: DecoderConfig, params: Params, texts: CalibrationTexts
) -> PerSite[Float[Array, "inputs inputs"]]:
    """Sum x x^T over the inputs x of every Dense, all tokens of all texts."""
    parts = [_products(config, params, *batch) for batch in _batches(texts)]
    return functools.reduce(lambda a, b: jax.tree.map(jnp.add, a, b), parts)


def _batches(texts: CalibrationTexts) -> list[tuple[Array, Array]]:
    """Cut texts into batches of one shape; what is missing in the last is padding alone."""
    room = -len(texts.tokens) % min(BATCH, len(texts.tokens))
    tokens = np.pad(texts.tokens, ((0, room), (0, 0)))
    lengths = np.pad(texts.lengths, (0, room))
    seen = np.arange(tokens.shape[1])[None] < lengths[:, None]
    parts = max(1, len(tokens) // BATCH)
    return [
        (jnp.asarray(t, jnp.int32), jnp.asarray(s))
        for t, s in zip(np.split(tokens, parts), np.split(seen, parts), strict=True)
    ]


def _inputs(
    config: DecoderConfig, params: Params, tokens: Array, seen: Bool[Array, "batch seq"]
) -> dict[str, Array]:
    """Run a decoder and collect the inputs of every Dense by site, those of padding as zeros."""
    module = Transformer(config)

    def run(module: Transformer) -> Array:
        hidden, _ = module.hidden(tokens, token_positions(tokens), None)
        return module.read_out(hidden)

    _, sown = module.apply({"params": params}, method=run, mutable=["intermediates"])
    named: dict[str, Any] = flatten_dict(sown["intermediates"], sep="/")
    return {
        name.removesuffix("/input"): jnp.where(seen[..., None], x.astype(jnp.float32), 0.0)
        for name, (x,) in named.items()
    }


@functools.partial(jax.jit, static_argnums=0)
def _ends(
    config: DecoderConfig, params: Params, tokens: Array, seen: Bool[Array, "batch seq"]
) -> dict[str, ProductEnds]:
    ends = {}
    for site, x in _inputs(config, params, tokens, seen).items():
        y = x @ kernel_of(params, site).astype(jnp.float32)
        ends[site] = ProductEnds(*(RANGE.add(RANGE.empty(v.shape[-1]), v) for v in (x, y)))
    return ends


@functools.partial(jax.jit, static_argnums=0)
def _products(
    config: DecoderConfig, params: Params, tokens: Array, seen: Bool[Array, "batch seq"]
) -> dict[str, Array]:
    inputs = _inputs(config, params, tokens, seen)
    return {site: HESSIAN.add(HESSIAN.empty(x.shape[-1]), x) for site, x in inputs.items()}


def kernel_of(params: Params, site: str) -> Array:
    """Find the kernel of a Dense."""
    return functools.reduce(lambda node, key: node[key], site.split("/"), params)["kernel"]
