"""The operators that attention needs beside those of every network, and TFLM's reading of them.

Each head has operators and scales of its own. A device computes one head after the other; JAX
computes all of them at once, which takes a fraction of the time to compile: the tensors of all
heads are one array, their prepared operators are stacked, and their name has ALL_HEADS for a head.

Activations may have 8 or 16 bits, by role (tensor_names.py): an operator has the width of its
result, and where an operand has another one, a QUANTIZE comes before it (`operand_name`).

Not here: linear attention, which has no integers; which encodings there are (calibration.py).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Integer, Shaped

from quant.affine import QTensor
from quant.integer.encoding import Encoding
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
from quant.integer.kernels.norm import inverse_root_of_squares, residual_in_float32
from quant.integer.kernels.softmax import (
    SoftmaxInt8,
    SoftmaxInt16,
    prepare_softmax_int8,
    prepare_softmax_int16,
    softmax_int8,
    softmax_int16,
)
from quant.integer.operators import (
    DenseWeights,
    Encodings,
    IntegerOps,
    NamedArray,
    NamedValue,
    Ops,
    Products,
    Value,
    operand_name,
    prepare_product,
    wide_name,
)
from quant.integer.tensor_names import ALL_HEADS, INVERSE, ROTARY, SQUARE, Head, TensorName
from trm_jax.config import ReasonerConfig
from trm_jax.models.layers import rotary_tables

ROTARY_ENCODINGS = {8: Encoding(scale=1 / 127), 16: Encoding(scale=1 / 32767, bits=16)}
"""Of cosines and sines, by width: 1 is exact."""
SOFTMAX = {8: (softmax_int8, prepare_softmax_int8), 16: (softmax_int16, prepare_softmax_int16)}


@runtime_checkable
class AttentionOps(Ops[Value], Protocol[Value]):
    """Operators of attention; pos are positions, a name with ALL_HEADS means an axis of heads."""

    def rotate(self, name: TensorName, x: Value, config: ReasonerConfig) -> Value:
        """Apply rotary positions to queries or keys, (..., pos, head_dim)."""
        ...

    def matmul(self, name: TensorName, a: Value, b: Value) -> Value:
        """Multiply a by the transpose of b: (..., i, k) and (..., j, k) to (..., i, j)."""
        ...

    def softmax(self, name: TensorName, x: Value, beta: float) -> Value:
        """Compute the softmax of beta * x over the last axis; the shape stays."""
        ...

    def residual(self, name: TensorName, h: Value, y: Value) -> Value:
        """Compute rms_norm(h + y) of two tensors of one shape."""
        ...

    def each_head(self, part: Callable[[Head], Value], count: int) -> Sequence[Value]:
        """Apply `part` to the heads 0, 1, ... one by one, or once to ALL_HEADS."""
        ...

    def by_queries(self, part: Callable[[Value], Value], x: Value) -> Value:
        """Apply `part` to some rows of queries at a time; the rows do not see each other."""
        ...

    def by_tokens(self, part: Callable[..., Value], *xs: Value) -> Value:
        """Apply `part` to some rows of all xs at a time, the same of each."""
        ...


def swapped(x: Shaped[Array, "*lead head_dim"]) -> Shaped[Array, "*lead head_dim"]:
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
        tables = (quantise_floats(t, ROTARY_ENCODINGS[bits]) for t in signed_tables(config))
        cos, sin = (np.asarray(table)[None] for table in tables)
    return cos, sin


def head_name(path: str, part: str, head: Head) -> TensorName:
    """Name the queries, keys or values (`part` q, k or v) of a head: `.../qkv_proj/q/0`."""
    return TensorName(f"{path}/qkv_proj/{part}", head)


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
            part, head = "qkv"[i // config.num_heads], i % config.num_heads
            start = i * config.head_dim
            name = head_name(site.removesuffix("/qkv_proj"), part, head)
            cut[str(name)] = DenseWeights(
                columns_of(product.kernel, start, start + config.head_dim)
            )
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

    def linear(self, name: TensorName, x: NamedArray) -> NamedArray:
        if name.head is not ALL_HEADS:
            return super().linear(name, self._cast(x, name))

        def prepare(head: TensorName, source: Encoding, target: Encoding) -> Linear:
            return prepare_product(self.products[str(head)], source, target)  # all of one form

        return self._apply(linear, prepare, name, self._cast(x, name))

    def gate_up(
        self, name: TensorName, x: NamedArray, part: slice
    ) -> tuple[NamedArray, NamedArray]:
        return super().gate_up(name, self._cast(x, name), part)

    def add(self, name: TensorName, a: NamedArray, b: NamedArray) -> NamedArray:
        operands = self._cast(a, name), self._cast(b, name)
        return self._apply(add, lambda _, *e: prepare_add(*e), name, *operands)

    def multiply(self, name: TensorName, a: NamedArray, b: NamedArray) -> NamedArray:
        operands = self._cast(a, name), self._cast(b, name)
        return self._apply(multiply, lambda _, *e: prepare_multiply(*e), name, *operands)

    def norm(self, name: TensorName, x: NamedArray) -> NamedArray:
        """Normalise in float32; where the scheme says so, in products of int16 but for the mean."""
        if str(name.then(SQUARE)) not in self.encodings:
            return super().norm(name, x)
        square, inverse = self.multiply(name.then(SQUARE), x, x), name.then(INVERSE)
        encodings = self.encoding(square.name), self.encoding(inverse)
        scale = inverse_root_of_squares(square.value, encodings, self.eps)
        result = self.multiply(wide_name(name, self.encodings), x, NamedValue(scale, inverse))
        return result if result.name == name else self._requantised(result, name)

    def logistic(self, name: TensorName, x: NamedArray) -> NamedArray:
        def prepare(_: TensorName, source: Encoding, __: Encoding) -> np.ndarray:
            return logistic_table(source)

        return self._apply(look_up, prepare, name, self._cast(x, name))

    def joined(self, parts: Sequence[NamedArray]) -> NamedArray:
        first, *rest = parts
        if first.name.head is not ALL_HEADS:
            return super().joined(parts)
        assert not rest, "all heads are one value"
        rows = jnp.moveaxis(first.value, 0, -2)
        return NamedValue(rows.reshape(*rows.shape[:-2], -1), first.name.of_head(0))

    def rotate(self, name: TensorName, x: NamedArray, config: ReasonerConfig) -> NamedArray:
        cos, sin = (
            NamedValue(jnp.asarray(table), ROTARY)
            for table in integer_tables(config, self.encoding(name).bits)
        )
        x = self._cast(x, name)
        across = self.multiply(name.then("sin"), replace(x, value=swapped(x.value)), sin)
        return self.add(name, self.multiply(name.then("cos"), x, cos), across)

    def matmul(self, name: TensorName, a: NamedArray, b: NamedArray) -> NamedArray:
        operands = self._cast(a, name), self._cast(b, name)
        return self._apply(batch_matmul, lambda _, *e: prepare_batch_matmul(*e), name, *operands)

    def softmax(self, name: TensorName, x: NamedArray, beta: float) -> NamedArray:
        kernel, prepare_kernel = SOFTMAX[self.encoding(name).bits]

        def prepare(_: TensorName, source: Encoding, __: Encoding) -> SoftmaxInt8 | SoftmaxInt16:
            return prepare_kernel(source, beta)

        return self._apply(kernel, prepare, name, self._cast(x, name))

    def residual(self, name: TensorName, h: NamedArray, y: NamedArray) -> NamedArray:
        encodings = self.encoding(h.name), self.encoding(y.name), self.encoding(name)
        return NamedValue(residual_in_float32(h.value, y.value, encodings, self.eps), name)

    def each_head(self, part: Callable[[Head], NamedArray], count: int) -> Sequence[NamedArray]:
        assert count == self.heads
        return [part(ALL_HEADS)]

    def by_queries(self, part: Callable[[NamedArray], NamedArray], x: NamedArray) -> NamedArray:
        return part(x)

    def by_tokens(self, part: Callable[..., NamedArray], *xs: NamedArray) -> NamedArray:
        return part(*xs)

    def _cast(self, x: NamedArray, result: TensorName) -> NamedArray:
        """Requantise an operand to the width of the result."""
        name = operand_name(x.name, result, self.encodings)
        return x if name == x.name else self._requantised(x, name)

    def _requantised(self, x: NamedArray, name: TensorName) -> NamedArray:
        """Give a tensor the encoding of a name."""
        dtype = self.encoding(name).dtype

        def kernel(value: Array, op: Requantise) -> Array:
            return requantise(value, op, dtype)

        return self._apply(kernel, lambda _, *e: prepare_requantise(*e), name, x)

    def _apply(
        self,
        kernel: Callable[..., Array],
        prepare: Callable[..., Any],
        name: TensorName,
        *xs: NamedArray,
    ) -> NamedArray:
        """Run a kernel; `prepare` makes its last argument of the result's name and encodings."""
        values, names = [x.value for x in xs], (*(x.name for x in xs), name)
        if name.head is not ALL_HEADS:
            return NamedValue(kernel(*values, prepare(name, *self._encoded(*names))), name)
        ops = []
        for head in range(self.heads):
            encodings = self._encoded(*(each.of_head(head) for each in names))
            ops.append(prepare(name.of_head(head), *encodings))
        stacked = jax.tree.map(lambda *parts: np.stack(parts), *ops)
        axes = [0 if x.name.head is ALL_HEADS else None for x in xs]
        return NamedValue(jax.vmap(kernel, in_axes=(*axes, 0))(*values, stacked), name)
