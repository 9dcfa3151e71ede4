"""Operators of network.py in integers, as TFLM computes them.

Heads are one array each tensor, their operators stacked: a fraction of the time to compile. Such
a tensor has a * in its name where its heads' tensors have 0, 1, ...

Encodings of an attention network's tensors, by role, and its products head by head.

A tensor has the encoding of its own width under its name, and one of the other width under
`NAME@8` or `NAME@16`, for a QUANTIZE before an operator of that width. Sigmoid and softmax have
the encodings that their kernels insist on, the tables of rotary positions one of their own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Integer

from quant.affine import QTensor, Range
from quant.integer.calibration import encoding, signed_tables, swapped, with_headroom
from quant.integer.encoding import BITS, Encoding, short_scale
from quant.integer.kernels.elementwise import (
    Requantise,
    add,
    multiply,
    prepare_add,
    prepare_multiply,
    prepare_requantise,
    quantise_floats,
    requantise,
)
from quant.integer.kernels.lookup import logistic_table, look_up
from quant.integer.kernels.matmul import Linear, batch_matmul, linear, prepare_batch_matmul
from quant.integer.kernels.norm import residual_island
from quant.integer.kernels.softmax import (
    SoftmaxInt8,
    SoftmaxInt16,
    prepare_softmax_int8,
    prepare_softmax_int16,
    softmax_int8,
    softmax_int16,
)
from quant.integer.network import BitWidths, bits_of, head_site, layer_sites
from quant.integer.operators import (
    SIGMOID,
    DenseWeights,
    Encodings,
    IntegerOps,
    NamedValue,
    Products,
    prepare_product,
)
from trm_jax.config import ReasonerConfig

ROTARY_NAME = "rotary"
ROTARY = {8: Encoding(scale=1 / 127), 16: Encoding(scale=1 / 32767, bits=16)}
"""Cosines and sines: 1 is exact."""


def attention_encodings(
    spans: Mapping[str, Range], config: ReasonerConfig, widths: BitWidths, headroom: float
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


def with_heads(products: Products, config: ReasonerConfig) -> dict[str, DenseWeights]:
    """Cut every fused product of queries, keys and values into heads.

    Its columns stand one behind the other: all queries, all keys, all values.
    """
    cut: dict[str, DenseWeights] = {}
    for site, product in products.items():
        if not site.endswith("/qkv_proj"):
            cut[site] = product
            continue
        for i in range(3 * config.num_heads):
            part, head = "qkv"[i // config.num_heads], str(i % config.num_heads)
            start = i * config.head_dim
            name = head_site(site.removesuffix("/qkv_proj"), part, head)
            cut[name] = DenseWeights(columns_of(product.kernel, start, start + config.head_dim))
    return cut


def columns_of(kernel: QTensor, start: int, stop: int) -> QTensor:
    """Cut outputs out of a kernel."""
    scale, zeros = (
        x[..., start:stop] if x.shape[-1] > 1 else x for x in (kernel.scale, kernel.zero_point)
    )
    return QTensor(
        qvalue=kernel.qvalue[:, start:stop], scale=scale, zero_point=zeros, grid=kernel.grid
    )


class MixedPrecisionOps(IntegerOps):
    """TFLM's operators over static encodings of 8 and 16 bits; all heads at once.

    Operators of heads are prepared one by one and stacked: scales differ, shapes do not.
    """

    def __init__(self, products: Products, encodings: Encodings, eps: float, heads: int) -> None:
        super().__init__(products, encodings, eps)
        self.heads = heads

    def linear(self, name: str, x: NamedValue) -> NamedValue:
        x = self._cast(x, name)
        for site, source in zip(self._each(name), self._each(x.name), strict=True):
            self.inputs[site] = source

        def prepare(site: str, source: Encoding, target: Encoding) -> Linear:
            return prepare_product(self.products[site], source, target)

        return self._apply(linear, prepare, name, x)

    def add(self, name: str, a: NamedValue, b: NamedValue) -> NamedValue:
        operands = self._cast(a, name), self._cast(b, name)
        return self._apply(add, lambda _, *e: prepare_add(*e), name, *operands)

    def multiply(self, name: str, a: NamedValue, b: NamedValue) -> NamedValue:
        operands = self._cast(a, name), self._cast(b, name)
        return self._apply(multiply, lambda _, *e: prepare_multiply(*e), name, *operands)

    def logistic(self, name: str, x: NamedValue) -> NamedValue:
        def prepare(_: str, source: Encoding, __: Encoding) -> np.ndarray:
            return logistic_table(source)

        return self._apply(look_up, prepare, name, self._cast(x, name))

    def joined(self, parts: Sequence[NamedValue]) -> NamedValue:
        first, *rest = parts
        if "*" not in first.name:
            return super().joined(parts)
        assert not rest, "all heads are one value"
        rows = jnp.moveaxis(first.value, 0, -2)
        return NamedValue(rows.reshape(*rows.shape[:-2], -1), first.name.replace("*", "0"))

    def rotate(self, name: str, x: NamedValue, config: ReasonerConfig) -> NamedValue:
        cos, sin = (
            NamedValue(jnp.asarray(table), ROTARY_NAME)
            for table in integer_tables(config, self._of(name).bits)
        )
        x = self._cast(x, name)
        across = self.multiply(f"{name}/sin", x._replace(value=swapped(x.value)), sin)
        return self.add(name, self.multiply(f"{name}/cos", x, cos), across)

    def matmul(self, name: str, a: NamedValue, b: NamedValue) -> NamedValue:
        operands = self._cast(a, name), self._cast(b, name)
        return self._apply(batch_matmul, lambda _, *e: prepare_batch_matmul(*e), name, *operands)

    def softmax(self, name: str, x: NamedValue, beta: float) -> NamedValue:
        kernel, make = SOFTMAX[self._of(name).bits]

        def prepare(_: str, source: Encoding, __: Encoding) -> SoftmaxInt8 | SoftmaxInt16:
            return make(source, beta)

        return self._apply(kernel, prepare, name, self._cast(x, name))

    def residual(self, name: str, h: NamedValue, y: NamedValue) -> NamedValue:
        encodings = self._of(h.name), self._of(y.name), self._of(name)
        return NamedValue(residual_island(h.value, y.value, encodings, self.eps), name)

    def each_head(self, part: Callable[[str], NamedValue], count: int) -> Sequence[NamedValue]:
        assert count == self.heads
        return [part("*")]

    def by_queries(self, part: Callable[[NamedValue], NamedValue], x: NamedValue) -> NamedValue:
        return part(x)

    def by_tokens(self, part: Callable[..., NamedValue], *xs: NamedValue) -> NamedValue:
        return part(*xs)

    def _cast(self, x: NamedValue, like: str) -> NamedValue:
        """Requantise to the width of the tensor `like`."""
        bits = self._of(like).bits
        if self._of(x.name).bits == bits:
            return x
        name = other_width(x.name, bits)
        dtype = self._of(name).dtype

        def kernel(value: Array, op: Requantise) -> Array:
            return requantise(value, op, dtype)

        return self._apply(kernel, lambda _, *e: prepare_requantise(*e), name, x)

    def _apply(
        self, kernel: Callable[..., Array], prepare: Callable[..., Any], name: str, *xs: NamedValue
    ) -> NamedValue:
        """Run a kernel; `prepare` makes its last argument of a name and encodings."""
        values, names = [x.value for x in xs], (*(x.name for x in xs), name)
        if "*" not in name:
            return NamedValue(kernel(*values, prepare(name, *map(self._of, names))), name)
        ops = []
        for i in map(str, range(self.heads)):
            encodings = (self._of(n.replace("*", i)) for n in names)
            ops.append(prepare(name.replace("*", i), *encodings))
        stacked = jax.tree.map(lambda *parts: np.stack(parts), *ops)
        axes = [0 if "*" in x.name else None for x in xs]
        return NamedValue(jax.vmap(kernel, in_axes=(*axes, 0))(*values, stacked), name)

    def _each(self, name: str) -> list[str]:
        """List the tensors that a name stands for; one that heads share stands for all."""
        return [name.replace("*", str(i)) for i in range(self.heads)]

    def _of(self, name: str) -> Encoding:
        return self.encodings[name.replace("*", "0")]


SOFTMAX = {8: (softmax_int8, prepare_softmax_int8), 16: (softmax_int16, prepare_softmax_int16)}
