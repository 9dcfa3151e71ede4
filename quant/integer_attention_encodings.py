"""Encodings of an attention network's tensors, by role, and its products head by head.

A tensor has the encoding of its own width under its name, and one of the other width under
`NAME@8` or `NAME@16`, for a QUANTIZE before an operator of that width. Sigmoid and softmax have
the encodings that their kernels insist on, the tables of rotary positions one of their own.
"""

from collections.abc import Iterable, Mapping, Sequence

import jax
import numpy as np
from jaxtyping import Integer

from quant.affine import QTensor, Range
from quant.integer_attention import Widths, bits_of, head_site, layer_sites
from quant.integer_attention_ranges import signed_tables
from quant.integer_elementwise import quantise_floats
from quant.integer_encoding import BITS, Encoding, short_scale
from quant.integer_ops import SIGMOID, Product, Products
from quant.integer_ranges import encoding, with_headroom
from trm_jax.config import ReasonerConfig

ROTARY_NAME = "rotary"
ROTARY = {8: Encoding(scale=1 / 127), 16: Encoding(scale=1 / 32767, bits=16)}
"""Cosines and sines: 1 is exact."""


def attention_encodings(
    spans: Mapping[str, Range], config: ReasonerConfig, widths: Widths, headroom: float
) -> dict[str, Encoding]:
    """Make the encodings of calibrated ranges.

    The state that a network takes is the one that it makes, so `z` and its last norm share one;
    heads that are joined do too.

    Args:
      headroom: factor on both ends of every range, for puzzles that were not seen.

    Raises:
      ValueError: headroom below 1.
    """
    ends = with_headroom(spans, headroom)
    _share_one(ends, ["z", f"{layer_sites(config)[-1]}/mlp/norm"])
    for site in layer_sites(config):
        _share_one(ends, [f"{site}/self_attn/mixed/{i}" for i in range(config.num_heads)])
    made: dict[str, Encoding] = {}
    for bits in BITS:
        fixed = dict.fromkeys(_units(ends), SIGMOID[bits]) | {ROTARY_NAME: ROTARY[bits]}
        grids = {name: _grid(name, span, bits) for name, span in ends.items()} | fixed
        made |= {
            name if bits_of(name, widths) == bits else other_width(name, bits): grid
            for name, grid in grids.items()
        }
    return made


def _grid(name: str, span: tuple[float, float], bits: int) -> Encoding:
    """Place a grid; what BATCH_MATMUL multiplies has a short scale, for all revisions of TFLM."""
    return encoding(*span, bits, short_scale if "/qkv_proj/" in name else float)


def other_width(name: str, bits: int) -> str:
    """Name a tensor's integers of a width that is not its own."""
    return f"{name.split('@')[0]}@{bits}"


def _share_one(ends: dict[str, tuple[float, float]], names: Sequence[str]) -> None:
    low, high = zip(*(ends[name] for name in names), strict=True)
    ends.update(dict.fromkeys(names, (min(low), max(high))))


def _units(names: Iterable[str]) -> set[str]:
    """Name the results of SOFTMAX and LOGISTIC after what goes into them."""
    swaps = (("/scores/", "/share/"), ("/silu", "/sigmoid"))
    return {name.replace(*swap) for name in names for swap in swaps if swap[0] in name}


def integer_tables(
    config: ReasonerConfig, bits: int
) -> tuple[Integer[np.ndarray, "one pos head_dim"], Integer[np.ndarray, "one pos head_dim"]]:
    """Round the tables of rotary positions, with a leading axis for the batch."""
    with jax.ensure_compile_time_eval():  # constants, also while a caller is being traced
        tables = (quantise_floats(t, ROTARY[bits]) for t in signed_tables(config))
        cos, sin = (np.asarray(table)[None] for table in tables)
    return cos, sin


def with_heads(products: Products, config: ReasonerConfig) -> dict[str, Product]:
    """Cut every fused product of queries, keys and values into heads.

    Its columns stand one behind the other: all queries, all keys, all values.
    """
    cut: dict[str, Product] = {}
    for site, product in products.items():
        if not site.endswith("/qkv_proj"):
            cut[site] = product
            continue
        for i in range(3 * config.num_heads):
            part, head = "qkv"[i // config.num_heads], str(i % config.num_heads)
            start = i * config.head_dim
            name = head_site(site.removesuffix("/qkv_proj"), part, head)
            cut[name] = Product(columns_of(product.kernel, start, start + config.head_dim))
    return cut


def columns_of(kernel: QTensor, start: int, stop: int) -> QTensor:
    """Cut outputs out of a kernel."""
    scale, zeros = (
        x[..., start:stop] if x.shape[-1] > 1 else x for x in (kernel.scale, kernel.zero_point)
    )
    return QTensor(
        qvalue=kernel.qvalue[:, start:stop], scale=scale, zero_point=zeros, grid=kernel.grid
    )
