"""The operators that a network is described with, and TFLM's reading of them on int8 and int16.

A description (network.py) is generic in what a tensor is: `Ops[Value]` says what every operator
takes and gives, a reading of it says what a Value is and computes it. `IntegerOps` is the reading
that a device has; its values are integers that carry the name of their encoding (`NamedValue`).
Operators that only move numbers (rows, parts, transpose, joined) keep the name.

How much a device holds at a time is for the reading to decide: `by_rows` may cut rows, `parts`
the inner channels of a SwiGLU. Neither changes a bit of the result, since rows and output channels
do not meet in a product; JAX takes all at once.

Not here: the operators of attention (attention_operators.py), the arithmetic itself (kernels/).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import jax
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
from quant.integer.kernels.lookup import logistic_table, look_up, tabulate
from quant.integer.kernels.matmul import Accumulator, Linear, halves_of, linear, prepare_conv
from quant.integer.kernels.norm import norm_in_float32
from quant.integer.tensor_names import INJECTION, STATE, TensorName
from quant.ptq.weights import QuantisedParams

Value = TypeVar("Value")
Data = TypeVar("Data")
ALL = slice(None)
SIGMOID = {
    16: Encoding(scale=2.0**-15, bits=16),
    8: Encoding(scale=2.0**-8, zero_point=-128, bits=8),
}
"""Output encodings that LOGISTIC and SOFTMAX require, by width."""


class DenseWeights(NamedTuple):
    """A Dense of a model: integers of its kernel, and its bias in real numbers."""

    kernel: QTensor
    bias: Float32[np.ndarray, " outputs"] | None = None


Products = Mapping[str, DenseWeights]
"""Every Dense by its site; the heads of attention one by one, by their printed names."""
Encodings = Mapping[str, Encoding]
"""By the printed name of the tensor, as in a manifest."""


@dataclass(frozen=True)
class NamedValue(Generic[Data]):
    """A tensor (an array, or the name it has in a graph) and the name of its encoding."""

    value: Data
    name: TensorName


NamedArray = NamedValue[Array]


@runtime_checkable
class Ops(Protocol[Value]):
    """Operators of every network; shapes are (..., rows, channels), results are called `name`."""

    def linear(self, name: TensorName, x: Value) -> Value:
        """Multiply by the kernel of the site `name`: (..., rows, inputs) to (..., rows, outputs).

        The site's bias, where it has one, is added to every row.
        """
        ...

    def gate_up(self, name: TensorName, x: Value, part: slice) -> tuple[Value, Value]:
        """Multiply by some inner channels of a SwiGLU's first kernel: its gates, and its ups.

        (..., rows, inputs) to twice (..., rows, part of the inner channels).
        """
        ...

    def add(self, name: TensorName, a: Value, b: Value) -> Value:
        """Add two tensors of one shape."""
        ...

    def multiply(self, name: TensorName, a: Value, b: Value) -> Value:
        """Multiply two tensors element by element; axes of length 1 broadcast."""
        ...

    def norm(self, name: TensorName, x: Value) -> Value:
        """Divide every row by the root of its mean square; the shape stays."""
        ...

    def logistic(self, name: TensorName, x: Value) -> Value:
        """Compute 1 / (1 + exp(-x)) of every element."""
        ...

    def silu(self, name: TensorName, x: Value, sigmoid: TensorName) -> Value:
        """Multiply every element by its logistic, which is called `sigmoid`."""
        ...

    def transpose(self, x: Value) -> Value:
        """Exchange rows and channels: (..., rows, channels) to (..., channels, rows)."""
        ...

    def parts(self, name: TensorName) -> Sequence[slice]:
        """Cut the inner channels of the SwiGLU whose first product is called `name`."""
        ...

    def joined(self, parts: Sequence[Value]) -> Value:
        """Join channels: (..., rows, some channels) each to (..., rows, all of them)."""
        ...

    def by_rows(self, x: Value, apply: Callable[[Value], Value], rows: slice = ALL) -> Value:
        """Apply a function that treats rows alike to some of them, (..., chosen rows, channels)."""
        ...


def name_state(value: Data) -> NamedValue[Data]:
    """Name what a network updates."""
    return NamedValue(value, STATE)


def name_injection(value: Data) -> NamedValue[Data]:
    """Name what is added to the state."""
    return NamedValue(value, INJECTION)


def operand_name(x: TensorName, result: TensorName, encodings: Encodings) -> TensorName:
    """Name what an operator reads: x, or where the result has another width x in that one.

    A device has a QUANTIZE there.
    """
    bits = encodings[str(result.of_head(0))].bits
    return x if encodings[str(x.of_head(0))].bits == bits else x.with_bits(bits)


def wide_name(name: TensorName, encodings: Encodings) -> TensorName:
    """Name a tensor in integers of 16 bits, its own or beside them."""
    return name if encodings[str(name)].bits == 16 else name.with_bits(16)


class IntegerOps:
    """TFLM's operators over static encodings, of int16 or int8.

    Args:
      products: symmetric or not, q - zero_point is what the device multiplies with.
      eps: of the norms, added to the mean square.
    """

    def __init__(self, products: Products, encodings: Encodings, eps: float) -> None:
        self.products, self.encodings, self.eps = products, encodings, eps

    def linear(self, name: TensorName, x: NamedArray) -> NamedArray:
        return NamedValue(linear(x.value, self._product(x.name, name)), name)

    def _product(self, x: TensorName, name: TensorName) -> Linear:
        """Prepare a product of its own, in the form that takes the least time here."""
        product, encodings = self.products[str(name)], self._encoded(x, name)
        return prepare_product(product, *encodings, in_floats=jax.default_backend() == "cpu")

    def gate_up(
        self, name: TensorName, x: NamedArray, part: slice
    ) -> tuple[NamedArray, NamedArray]:
        assert part == ALL, "all inner channels at once"
        op = self._product(x.name, name)
        # two products, not one cut in two: XLA on CPUs computes the cut together with the look-up
        # of the gates in one loop without vectors, and a SwiGLU takes 3 times as long
        gate, up = (NamedValue(linear(x.value, half), name) for half in halves_of(op))
        return gate, up

    def add(self, name: TensorName, a: NamedArray, b: NamedArray) -> NamedArray:
        op: Add = prepare_add(*self._encoded(a.name, b.name, name))
        return NamedValue(add(a.value, b.value, op), name)

    def multiply(self, name: TensorName, a: NamedArray, b: NamedArray) -> NamedArray:
        op: Multiply = prepare_multiply(*self._encoded(a.name, b.name, name))
        return NamedValue(multiply(a.value, b.value, op), name)

    def norm(self, name: TensorName, x: NamedArray) -> NamedArray:
        source, target = self._encoded(x.name, name)
        return NamedValue(norm_in_float32(x.value, source, target, self.eps), name)

    def logistic(self, name: TensorName, x: NamedArray) -> NamedArray:
        return NamedValue(look_up(x.value, logistic_table(self.encoding(x.name))), name)

    def silu(self, name: TensorName, x: NamedArray, sigmoid: TensorName) -> NamedArray:
        """Look both operators up in one table: a function of one integer."""

        def both(every: Array) -> Array:
            x_all = NamedValue(every, x.name)
            return self.multiply(name, x_all, self.logistic(sigmoid, x_all)).value

        return NamedValue(look_up(x.value, tabulate(both, self.encoding(x.name))), name)

    def transpose(self, x: NamedArray) -> NamedArray:
        return NamedValue(x.value.swapaxes(-1, -2), x.name)

    def parts(self, name: TensorName) -> Sequence[slice]:
        return (ALL,)

    def joined(self, parts: Sequence[NamedArray]) -> NamedArray:
        return NamedValue(jnp.concatenate([p.value for p in parts], axis=-1), parts[0].name)

    def by_rows(
        self,
        x: NamedArray,
        apply: Callable[[NamedArray], NamedArray],
        rows: slice = ALL,
    ) -> NamedArray:
        return apply(NamedValue(x.value[..., rows, :], x.name))

    def encoding(self, name: TensorName) -> Encoding:
        """Look up the encoding of a tensor; the first head's for those of all heads."""
        return self.encodings[str(name.of_head(0))]

    def _encoded(self, *names: TensorName) -> tuple[Encoding, ...]:
        return tuple(self.encoding(name) for name in names)


def prepare_product(
    product: DenseWeights, x: Encoding, y: Encoding, *, in_floats: bool = False
) -> Linear:
    """Prepare a Dense between two encodings; `in_floats` as for `prepare_conv`."""
    weights, scales = filter_of(product.kernel)
    bias, accumulator = integer_bias(product, x), accumulator_of(product, x)
    return prepare_conv(
        weights, scales, x, y, bias=bias, accumulator=accumulator, in_floats=in_floats
    )


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
    products: dict[str, DenseWeights] = {}

    def visit(tree: Mapping[str, Any], path: str) -> None:
        for key, value in tree.items():
            if key == "kernel":
                products[path] = _product(path, value, tree.get("bias"))
            elif isinstance(value, Mapping):
                visit(value, f"{path}/{key}" if path else key)

    visit(quantised, "")
    return products


def _product(site: str, kernel: Any, bias: Array | None) -> DenseWeights:
    if not isinstance(kernel, QTensor):
        raise ValueError(f"{site} is not quantised; integers need a scheme with weights, w4c-asym")
    return DenseWeights(kernel, None if bias is None else np.asarray(bias, np.float32))
