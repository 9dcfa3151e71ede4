"""Operators of integer_attention.py in integers, as TFLM computes them.

Heads are one array each tensor, their operators stacked: a fraction of the time to compile. Such
a tensor has a * in its name where its heads' tensors have 0, 1, ...
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from quant.integer_attention_encodings import ROTARY_NAME, integer_tables, other_width
from quant.integer_attention_ranges import swapped
from quant.integer_elementwise import (
    Requantise,
    add,
    multiply,
    prepare_add,
    prepare_multiply,
    prepare_requantise,
    requantise,
)
from quant.integer_encoding import Encoding
from quant.integer_linear import Linear, batch_matmul, linear, prepare_batch_matmul
from quant.integer_norm import residual_island
from quant.integer_ops import Encodings, IntegerOps, Products, Tagged, prepare_product
from quant.integer_softmax import (
    SoftmaxInt8,
    SoftmaxInt16,
    prepare_softmax_int8,
    prepare_softmax_int16,
    softmax_int8,
    softmax_int16,
)
from quant.integer_tables import logistic_table, look_up
from trm_jax.config import ReasonerConfig


class MixedOps(IntegerOps):
    """TFLM's operators over static encodings of 8 and 16 bits; all heads at once.

    Operators of heads are prepared one by one and stacked: scales differ, shapes do not.
    """

    def __init__(self, products: Products, encodings: Encodings, eps: float, heads: int) -> None:
        super().__init__(products, encodings, eps)
        self.heads = heads

    def linear(self, name: str, x: Tagged) -> Tagged:
        x = self._cast(x, name)
        for site, source in zip(self._each(name), self._each(x.name), strict=True):
            self.inputs[site] = source

        def prepare(site: str, source: Encoding, target: Encoding) -> Linear:
            return prepare_product(self.products[site], source, target)

        return self._apply(linear, prepare, name, x)

    def add(self, name: str, a: Tagged, b: Tagged) -> Tagged:
        operands = self._cast(a, name), self._cast(b, name)
        return self._apply(add, lambda _, *e: prepare_add(*e), name, *operands)

    def multiply(self, name: str, a: Tagged, b: Tagged) -> Tagged:
        operands = self._cast(a, name), self._cast(b, name)
        return self._apply(multiply, lambda _, *e: prepare_multiply(*e), name, *operands)

    def logistic(self, name: str, x: Tagged) -> Tagged:
        def prepare(_: str, source: Encoding, __: Encoding) -> np.ndarray:
            return logistic_table(source)

        return self._apply(look_up, prepare, name, self._cast(x, name))

    def joined(self, parts: Sequence[Tagged]) -> Tagged:
        first, *rest = parts
        if "*" not in first.name:
            return super().joined(parts)
        assert not rest, "all heads are one value"
        rows = jnp.moveaxis(first.value, 0, -2)
        return Tagged(rows.reshape(*rows.shape[:-2], -1), first.name.replace("*", "0"))

    def rotate(self, name: str, x: Tagged, config: ReasonerConfig) -> Tagged:
        cos, sin = (
            Tagged(jnp.asarray(table), ROTARY_NAME)
            for table in integer_tables(config, self._of(name).bits)
        )
        x = self._cast(x, name)
        across = self.multiply(f"{name}/sin", x._replace(value=swapped(x.value)), sin)
        return self.add(name, self.multiply(f"{name}/cos", x, cos), across)

    def matmul(self, name: str, a: Tagged, b: Tagged) -> Tagged:
        operands = self._cast(a, name), self._cast(b, name)
        return self._apply(batch_matmul, lambda _, *e: prepare_batch_matmul(*e), name, *operands)

    def softmax(self, name: str, x: Tagged, beta: float) -> Tagged:
        kernel, make = SOFTMAX[self._of(name).bits]

        def prepare(_: str, source: Encoding, __: Encoding) -> SoftmaxInt8 | SoftmaxInt16:
            return make(source, beta)

        return self._apply(kernel, prepare, name, self._cast(x, name))

    def residual(self, name: str, h: Tagged, y: Tagged) -> Tagged:
        encodings = self._of(h.name), self._of(y.name), self._of(name)
        return Tagged(residual_island(h.value, y.value, encodings, self.eps), name)

    def each_head(self, part: Callable[[str], Tagged], count: int) -> Sequence[Tagged]:
        assert count == self.heads
        return [part("*")]

    def by_queries(self, part: Callable[[Tagged], Tagged], x: Tagged) -> Tagged:
        return part(x)

    def by_tokens(self, part: Callable[..., Tagged], *xs: Tagged) -> Tagged:
        return part(*xs)

    def _cast(self, x: Tagged, like: str) -> Tagged:
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
        self, kernel: Callable[..., Array], prepare: Callable[..., Any], name: str, *xs: Tagged
    ) -> Tagged:
        """Run a kernel; `prepare` makes its last argument of a name and encodings."""
        values, names = [x.value for x in xs], (*(x.name for x in xs), name)
        if "*" not in name:
            return Tagged(kernel(*values, prepare(name, *map(self._of, names))), name)
        ops = []
        for i in map(str, range(self.heads)):
            encodings = (self._of(n.replace("*", i)) for n in names)
            ops.append(prepare(name.replace("*", i), *encodings))
        stacked = jax.tree.map(lambda *parts: np.stack(parts), *ops)
        axes = [0 if "*" in x.name else None for x in xs]
        return Tagged(jax.vmap(kernel, in_axes=(*axes, 0))(*values, stacked), name)

    def _each(self, name: str) -> list[str]:
        """List the tensors that a name stands for; one that heads share stands for all."""
        return [name.replace("*", str(i)) for i in range(self.heads)]

    def _of(self, name: str) -> Encoding:
        return self.encodings[name.replace("*", "0")]


SOFTMAX = {8: (softmax_int8, prepare_softmax_int8), 16: (softmax_int16, prepare_softmax_int16)}
