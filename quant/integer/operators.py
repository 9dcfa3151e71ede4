"""What an operator is: the protocol that networks are described in, and TFLM's reading of it.

A description (network.py) calls operators by the names of their results. An encoding is
keyed by that name; values carry it along (`Tagged`), so an operator finds the encodings of its
operands. Operators that only move integers (rows, parts, positions, transpose) keep the name.

What a device takes at a time is the reading's business: `by_rows` may cut rows, `parts` may cut
the inner channels of a SwiGLU. Both leave every result as it is, bit for bit, since rows and
output channels do not meet in a product; JAX takes all at once.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float32, Int8, Int32

from quant.affine import QTensor
from quant.integer.encoding import Encoding
from quant.integer.kernels.elementwise import (
    Add,
    Multiply,
    add,
    multiply,
    prepare_add,
    prepare_multiply,
)
from quant.integer.kernels.lookup import logistic_table, look_up
from quant.integer.kernels.matmul import Accumulator, Linear, linear, prepare_conv
from quant.integer.kernels.norm import norm_island
from quant.ptq.weights import QuantisedParams

Encodings = Mapping[str, Encoding]
SIGMOID = {
    16: Encoding(scale=2.0**-15, bits=16),
    8: Encoding(scale=2.0**-8, zero_point=-128, bits=8),
}
"""What LOGISTIC insists on, by width."""
ALL = slice(None)


class DenseWeights(NamedTuple):
    """A Dense of a model: integers of its kernel, and its bias in real numbers."""

    kernel: QTensor
    bias: Float32[np.ndarray, " outputs"] | None = None


Products = Mapping[str, DenseWeights]
"""Every Dense by its site."""


@runtime_checkable
class Ops(Protocol):
    """What an operator is; every result is called `name`, every operand what made it."""

    def linear(self, name: str, x: Any) -> Any: ...
    def gate_up(self, name: str, x: Any, part: slice) -> tuple[Any, Any]: ...
    def add(self, name: str, a: Any, b: Any) -> Any: ...
    def multiply(self, name: str, a: Any, b: Any) -> Any: ...
    def norm(self, name: str, x: Any) -> Any: ...
    def logistic(self, name: str, x: Any) -> Any: ...
    def transpose(self, x: Any) -> Any: ...
    def parts(self, name: str) -> Sequence[slice]: ...
    def joined(self, parts: Sequence[Any]) -> Any: ...
    def by_rows(self, x: Any, apply: Callable[[Any], Any], rows: slice = ALL) -> Any: ...


class NamedValue(NamedTuple):
    """A value and the name of its encoding."""

    value: Any
    name: str


class IntegerOps:
    """TFLM's operators over static encodings, of int16 or int8.

    Args:
      products: symmetric or not, q - zero_point is what the device multiplies with.

    `inputs` notes what every product was applied to, by the product's name.
    """

    def __init__(self, products: Products, encodings: Encodings, eps: float) -> None:
        self.products, self.encodings, self.eps = products, encodings, eps
        self.inputs: dict[str, str] = {}

    def linear(self, name: str, x: NamedValue) -> NamedValue:
        self.inputs[name] = x.name
        source, target = self._encoded(x.name, name)
        op = prepare_product(self.products[name], source, target)
        return NamedValue(linear(x.value, op), name)

    def gate_up(self, name: str, x: NamedValue, part: slice) -> tuple[NamedValue, NamedValue]:
        assert part == ALL, "all inner channels at once"
        gate, up = jnp.split(self.linear(name, x).value, 2, axis=-1)
        return NamedValue(gate, name), NamedValue(up, name)

    def add(self, name: str, a: NamedValue, b: NamedValue) -> NamedValue:
        op: Add = prepare_add(*self._encoded(a.name, b.name, name))
        return NamedValue(add(a.value, b.value, op), name)

    def multiply(self, name: str, a: NamedValue, b: NamedValue) -> NamedValue:
        op: Multiply = prepare_multiply(*self._encoded(a.name, b.name, name))
        return NamedValue(multiply(a.value, b.value, op), name)

    def norm(self, name: str, x: NamedValue) -> NamedValue:
        source, target = self._encoded(x.name, name)
        return NamedValue(norm_island(x.value, source, target, self.eps), name)

    def logistic(self, name: str, x: NamedValue) -> NamedValue:
        return NamedValue(look_up(x.value, logistic_table(self.encodings[x.name])), name)

    def transpose(self, x: NamedValue) -> NamedValue:
        return NamedValue(x.value.swapaxes(-1, -2), x.name)

    def parts(self, name: str) -> Sequence[slice]:
        return (ALL,)

    def joined(self, parts: Sequence[NamedValue]) -> NamedValue:
        return NamedValue(jnp.concatenate([p.value for p in parts], axis=-1), parts[0].name)

    def by_rows(
        self, x: NamedValue, apply: Callable[[NamedValue], NamedValue], rows: slice = ALL
    ) -> NamedValue:
        return apply(NamedValue(x.value[..., rows, :], x.name))

    def _encoded(self, *names: str) -> tuple[Encoding, ...]:
        return tuple(self.encodings[name] for name in names)


def prepare_product(product: DenseWeights, x: Encoding, y: Encoding) -> Linear:
    """Prepare a Dense between two encodings."""
    weights, scales = filter_of(product.kernel)
    bias = integer_bias(product, x)
    return prepare_conv(weights, scales, x, y, bias=bias, accumulator=accumulator_of(product, x))


def filter_of(
    kernel: QTensor,
) -> tuple[Int8[np.ndarray, "outputs inputs"], Float32[np.ndarray, " outputs"]]:
    """Make the filter q - zero_point of a kernel, and a scale per output.

    Raises:
      ValueError: q - zero_point leaves int8.
    """
    steps = np.asarray(kernel.qvalue, np.int16) - np.asarray(kernel.zero_point, np.int16)
    if np.abs(steps).max(initial=0) > 127:
        raise ValueError(
            "q - zero_point of an asymmetric grid of 8 bits needs 9; use w8c-sym or 7 bits"
        )
    scale = np.asarray(kernel.scale, np.float32).reshape(-1)
    weights = np.ascontiguousarray(steps.T.astype(np.int8))
    return weights, np.broadcast_to(scale, (len(weights),)).copy()


def integer_bias(product: DenseWeights, x: Encoding) -> Int32[np.ndarray, " outputs"]:
    """Round a bias to steps of input times filter; zeros where there is none.

    Raises:
      ValueError: it leaves int32.
    """
    _, scales = filter_of(product.kernel)
    if product.bias is None:
        return np.zeros(len(scales), np.int32)
    steps = np.round(product.bias.astype(np.float64) / (np.float64(x.scale) * scales))
    if np.abs(steps).max(initial=0.0) > np.iinfo(np.int32).max:
        raise ValueError(f"a bias of {steps} steps does not fit an int32; its input scale is tiny")
    return steps.astype(np.int32)


def largest_sum(product: DenseWeights, x: Encoding) -> int:
    """Bound a product's accumulator over all inputs: sum |w| max|x - z_x| + |bias|."""
    weights, _ = filter_of(product.kernel)
    reach = max(x.q_max - x.zero_point, x.zero_point - x.q_min)
    sums = np.abs(weights.astype(np.int64)).sum(axis=1) * reach
    return int(np.max(sums + np.abs(integer_bias(product, x).astype(np.int64)), initial=0))


def accumulator_of(product: DenseWeights, x: Encoding) -> Accumulator:
    """Choose the accumulator of an int16 kernel: 32 bits where no input makes them overflow."""
    is_wide = x.bits == 16 and largest_sum(product, x) >= 2**31
    return Accumulator.INT64 if is_wide else Accumulator.INT32


def products_of(quantised: QuantisedParams) -> dict[str, DenseWeights]:
    """Collect every Dense of a parameter tree by site.

    Raises:
      ValueError: a kernel is not quantised.
    """
    found: dict[str, DenseWeights] = {}

    def visit(tree: Mapping[str, Any], path: str) -> None:
        for key, value in tree.items():
            if key == "kernel":
                found[path] = _product(path, value, tree.get("bias"))
            elif isinstance(value, Mapping):
                visit(value, f"{path}/{key}" if path else key)

    visit(quantised, "")
    return found


def _product(site: str, kernel: Any, bias: Array | None) -> DenseWeights:
    if not isinstance(kernel, QTensor):
        raise ValueError(f"{site} is not quantised; integers need a scheme with weights, w4c-asym")
    return DenseWeights(kernel, None if bias is None else np.asarray(bias, np.float32))
