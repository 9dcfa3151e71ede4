"""Operators of integer_attention.py in integers, as TFLM computes them, and its kernels.

Heads are one array each tensor, their operators stacked: a fraction of the time to compile.
Left out: float32 and calibration (integer_attention_spans.py).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Integer

from quant.affine import QTensor
from quant.integer_attention import head_site, level
from quant.integer_attention_spans import (
    ROTARY_NAME,
    Encodings,
    Kernels,
    integer_tables,
    other_width,
    swapped,
)
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
from quant.integer_linear import Linear, batch_matmul, linear, prepare_batch_matmul, prepare_conv
from quant.integer_norm import residual_island
from quant.integer_ops import filter_of
from quant.integer_softmax import (
    SoftmaxInt8,
    SoftmaxInt16,
    prepare_softmax_int8,
    prepare_softmax_int16,
    softmax_int8,
    softmax_int16,
)
from quant.integer_tables import logistic_table, look_up
from quant.ptq import QuantisedParams
from trm_jax.config import ReasonerConfig


class Tagged(NamedTuple):
    """Integers and the name of their encoding; with a * in it, all heads along the first axis."""

    value: Any
    name: str


class MixedOps:
    """TFLM's operators over static encodings of 8 and 16 bits; all heads at once.

    Operators of heads are prepared one by one and stacked: scales differ, shapes do not.
    """

    def __init__(self, kernels: Kernels, encodings: Encodings, config: ReasonerConfig) -> None:
        self.kernels, self.encodings, self.config = kernels, encodings, config

    def linear(self, name: str, x: Tagged) -> Tagged:
        def prepare(site: str, source: Encoding, target: Encoding) -> Linear:
            return prepare_conv(*filter_of(self.kernels[site]), source, target)

        return self._apply(linear, prepare, name, self._cast(x, name))

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

    def halves(self, x: Tagged) -> tuple[Tagged, Tagged]:
        first, second = jnp.split(x.value, 2, axis=-1)
        return x._replace(value=first), x._replace(value=second)

    def transpose(self, x: Tagged) -> Tagged:
        return x._replace(value=x.value.swapaxes(-1, -2))

    def joined(self, name: str, parts: Sequence[Tagged]) -> Tagged:
        (heads,) = parts
        rows = jnp.moveaxis(heads.value, 0, -2)
        return Tagged(rows.reshape(*rows.shape[:-2], -1), heads.name.replace("*", "0"))

    def rotate(self, name: str, x: Tagged) -> Tagged:
        bits = self._of(name).bits
        cos, sin = (Tagged(jnp.asarray(table), ROTARY_NAME)
                    for table in integer_tables(self.config, bits))  # fmt: skip
        x = self._cast(x, name)
        turned = x._replace(value=swapped(x.value))
        across = self.multiply(f"{name}/sin", turned, sin)
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
        eps = self.config.rms_norm_eps
        return Tagged(residual_island(h.value, y.value, encodings, eps), name)

    def each_head(self, part: Callable[[str], Tagged], count: int) -> Sequence[Tagged]:
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
        for i in map(str, range(self.config.num_heads)):
            encodings = (self._of(n.replace("*", i)) for n in names)
            ops.append(prepare(name.replace("*", i), *encodings))
        stacked = jax.tree.map(lambda *parts: np.stack(parts), *ops)
        axes = [0 if "*" in x.name else None for x in xs]
        return Tagged(jax.vmap(kernel, in_axes=(*axes, 0))(*values, stacked), name)

    def _of(self, name: str) -> Encoding:
        return self.encodings[name.replace("*", "0")]


SOFTMAX = {8: (softmax_int8, prepare_softmax_int8), 16: (softmax_int16, prepare_softmax_int16)}


def integer_level(
    z: Integer[Array, "batch pos emb"],
    injection: Integer[Array, "batch pos emb"],
    kernels: Kernels,
    network: str,
    config: ReasonerConfig,
    encodings: Encodings,
) -> Integer[Array, "batch pos emb"]:
    """Apply a level in the device's integers; jit it with everything but the arrays closed over."""
    ops = MixedOps(kernels, encodings, config)
    state, added = Tagged(z, f"{network}/z"), Tagged(injection, f"{network}/injection")
    return level(state, added, network, config, ops).value


def kernels_of(quantised: QuantisedParams, config: ReasonerConfig) -> dict[str, QTensor]:
    """Collect the kernels of L_level, and of H_level where there is one, by site.

    The fused product is cut into heads, whose columns stand one behind the other: all queries,
    all keys, all values.
    """
    found: dict[str, QTensor] = {}
    for network in ("L_level", "H_level"):
        for layer, parts in quantised.get(network, {}).items():
            site = f"{network}/{layer}"
            for part in ("self_attn/o_proj", "mlp/gate_up_proj", "mlp/down_proj"):
                module, name = part.split("/")
                found[f"{site}/{part}"] = parts[module][name]["kernel"]
            fused, size = parts["self_attn"]["qkv_proj"]["kernel"], config.head_dim
            for i in range(3 * config.num_heads):
                part, head = "qkv"[i // config.num_heads], str(i % config.num_heads)
                name = head_site(f"{site}/self_attn", part, head)
                found[name] = columns_of(fused, i * size, (i + 1) * size)
    return found


def columns_of(kernel: QTensor, start: int, stop: int) -> QTensor:
    """Cut outputs out of a kernel."""

    def cut(x: Array) -> Array:
        return x[..., start:stop] if x.shape[-1] > 1 else x

    return QTensor(
        qvalue=kernel.qvalue[:, start:stop], scale=cut(kernel.scale),
        zero_point=cut(kernel.zero_point), grid=kernel.grid,
    )  # fmt: skip
