"""Operators of integer_attention.py in integers, as TFLM computes them, and its kernels.

A value carries its width; where an operator has another one, a QUANTIZE comes before it, as in
the graph. Left out: float32 and calibration (integer_attention_spans.py).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array
from jaxtyping import Integer

from quant.affine import QTensor
from quant.integer_attention import Widths, head_site, level
from quant.integer_attention_spans import (
    ROTARY_NAME,
    Encodings,
    Kernels,
    integer_tables,
    swapped,
)
from quant.integer_block import filter_of
from quant.integer_elementwise import (
    add,
    multiply,
    prepare_add,
    prepare_multiply,
    prepare_requantise,
    requantise,
)
from quant.integer_encoding import Encoding
from quant.integer_linear import batch_matmul, linear, prepare_batch_matmul, prepare_conv
from quant.integer_norm import residual_island
from quant.integer_softmax import (
    prepare_softmax_int8,
    prepare_softmax_int16,
    softmax_int8,
    softmax_int16,
)
from quant.integer_tables import logistic_table, look_up
from quant.ptq import QuantisedParams
from trm_jax.config import ReasonerConfig


class Tagged(NamedTuple):
    """Integers, and where their encoding is found."""

    value: Any
    name: str
    bits: int


class MixedOps:
    """TFLM's operators over static encodings, some of 8 and some of 16 bits."""

    def __init__(
        self, kernels: Kernels, encodings: Encodings, config: ReasonerConfig, widths: Widths
    ) -> None:
        self.kernels, self.encodings = kernels, encodings
        self.config, self.widths = config, widths

    def linear(self, name: str, x: Tagged) -> Tagged:
        bits = self.widths.product
        x = self._cast(x, bits)
        op = prepare_conv(*filter_of(self.kernels[name]), self._of(x), self.encodings[name, bits])
        return Tagged(linear(x.value, op), name, bits)

    def add(self, name: str, a: Tagged, b: Tagged) -> Tagged:
        return self._add(name, a, b, self.widths.state)

    def multiply(self, name: str, a: Tagged, b: Tagged) -> Tagged:
        return self._multiply(name, a, b, self.widths.gate)

    def logistic(self, name: str, x: Tagged) -> Tagged:
        x = self._cast(x, self.widths.gate)
        return Tagged(look_up(x.value, logistic_table(self._of(x))), name, x.bits)

    def halves(self, x: Tagged) -> tuple[Tagged, Tagged]:
        first, second = jnp.split(x.value, 2, axis=-1)
        return x._replace(value=first), x._replace(value=second)

    def transpose(self, x: Tagged) -> Tagged:
        return x._replace(value=x.value.swapaxes(-1, -2))

    def joined(self, name: str, parts: Sequence[Tagged]) -> Tagged:
        return parts[0]._replace(value=jnp.concatenate([x.value for x in parts], axis=-1))

    def rotate(self, name: str, x: Tagged) -> Tagged:
        bits = self.widths.scores
        x = self._cast(x, bits)
        cos, sin = (Tagged(jnp.asarray(table), ROTARY_NAME, bits)
                    for table in integer_tables(self.config, bits))  # fmt: skip
        along = self._multiply(f"{name}/cos", x, cos, bits)
        turned = x._replace(value=swapped(x.value))
        return self._add(name, along, self._multiply(f"{name}/sin", turned, sin, bits), bits)

    def matmul(self, name: str, a: Tagged, b: Tagged) -> Tagged:
        bits = matmul_bits(name, self.widths)
        a, b = self._cast(a, bits), self._cast(b, bits)
        op = prepare_batch_matmul(self._of(a), self._of(b), self.encodings[name, bits])
        return Tagged(batch_matmul(a.value, b.value, op), name, bits)

    def softmax(self, name: str, x: Tagged, beta: float) -> Tagged:
        bits = self.widths.share
        x = self._cast(x, bits)
        if bits == 8:
            return Tagged(softmax_int8(x.value, prepare_softmax_int8(self._of(x), beta)), name, 8)
        return Tagged(softmax_int16(x.value, prepare_softmax_int16(self._of(x), beta)), name, 16)

    def residual(self, name: str, h: Tagged, y: Tagged) -> Tagged:
        end = self.encodings[name, self.widths.state]
        encodings = (self._of(h), self._of(y), end)
        normed = residual_island(h.value, y.value, encodings, self.config.rms_norm_eps)
        return Tagged(normed, name, end.bits)

    def by_queries(self, part: Callable[[Tagged], Tagged], x: Tagged) -> Tagged:
        return part(x)

    def by_tokens(self, part: Callable[..., Tagged], *xs: Tagged) -> Tagged:
        return part(*xs)

    def _add(self, name: str, a: Tagged, b: Tagged, bits: int) -> Tagged:
        a, b = self._cast(a, bits), self._cast(b, bits)
        op = prepare_add(self._of(a), self._of(b), self.encodings[name, bits])
        return Tagged(add(a.value, b.value, op), name, bits)

    def _multiply(self, name: str, a: Tagged, b: Tagged, bits: int) -> Tagged:
        a, b = self._cast(a, bits), self._cast(b, bits)
        op = prepare_multiply(self._of(a), self._of(b), self.encodings[name, bits])
        return Tagged(multiply(a.value, b.value, op), name, bits)

    def _cast(self, x: Tagged, bits: int) -> Tagged:
        if x.bits == bits:
            return x
        target = self.encodings[x.name, bits]
        op = prepare_requantise(self._of(x), target)
        return Tagged(requantise(x.value, op, target.dtype), x.name, bits)

    def _of(self, x: Tagged) -> Encoding:
        return self.encodings[x.name, x.bits]


def matmul_bits(name: str, widths: Widths) -> int:
    """Choose the width of a product of two activations by its name."""
    return widths.scores if "/scores/" in name else widths.share


def integer_level(
    z: Integer[Array, "batch pos emb"],
    injection: Integer[Array, "batch pos emb"],
    kernels: Kernels,
    network: str,
    config: ReasonerConfig,
    encodings: Encodings,
    widths: Widths,
) -> Integer[Array, "batch pos emb"]:
    """Apply a level in the device's integers; jit it with everything but the arrays closed over."""
    ops = MixedOps(kernels, encodings, config, widths)
    ends = (Tagged(value, f"{network}/{name}", widths.state)
            for name, value in (("z", z), ("injection", injection)))  # fmt: skip
    return level(*ends, network, config, ops).value


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
                name = head_site(f"{site}/self_attn", "qkv"[i // config.num_heads],
                                 i % config.num_heads)  # fmt: skip
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
