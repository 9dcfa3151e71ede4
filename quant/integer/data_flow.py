"""What every product of an integer network multiplies, and the bits that its sums can need.

A reading of the description (network.py) that computes nothing: a tensor is its name together with
the products that led to it, and an operator joins what its operands know. A manifest says from it
how wide the accumulators of a device have to be.

Not here: what saturates in fact (saturation.py).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from quant.integer.model import IntegerModel
from quant.integer.network import apply_level, read_out
from quant.integer.operators import ALL, Encodings, largest_sum, operand_name
from quant.integer.tensor_names import INJECTION, STATE, Head, TensorName
from trm_jax.config import ReasonerConfig


class Flow(NamedTuple):
    """A tensor, and the input of every product that it depends on, by the product's name."""

    name: TensorName
    inputs: Mapping[TensorName, TensorName]


class DataFlowOps:
    """Operators of both mixers that follow the data; pure, results hold all there is to know."""

    def __init__(self, encodings: Encodings) -> None:
        self.encodings = encodings

    def linear(self, name: TensorName, x: Flow) -> Flow:
        return Flow(name, {**x.inputs, name: operand_name(x.name, name, self.encodings)})

    def gate_up(self, name: TensorName, x: Flow, part: slice) -> tuple[Flow, Flow]:
        product = self.linear(name, x)
        return product, product

    def add(self, name: TensorName, a: Flow, b: Flow) -> Flow:
        return _joint(name, a, b)

    def multiply(self, name: TensorName, a: Flow, b: Flow) -> Flow:
        return _joint(name, a, b)

    def norm(self, name: TensorName, x: Flow) -> Flow:
        return _joint(name, x)

    def logistic(self, name: TensorName, x: Flow) -> Flow:
        return _joint(name, x)

    def silu(self, name: TensorName, x: Flow, sigmoid: TensorName) -> Flow:
        return self.multiply(name, x, self.logistic(sigmoid, x))

    def transpose(self, x: Flow) -> Flow:
        return x

    def parts(self, name: TensorName) -> Sequence[slice]:
        return (ALL,)

    def joined(self, parts: Sequence[Flow]) -> Flow:
        return _joint(parts[0].name, *parts)

    def by_rows(self, x: Flow, apply: Callable[[Flow], Flow], rows: slice = ALL) -> Flow:
        return apply(x)

    def rotate(self, name: TensorName, x: Flow, config: ReasonerConfig) -> Flow:
        return _joint(name, x)

    def matmul(self, name: TensorName, a: Flow, b: Flow) -> Flow:
        return _joint(name, a, b)

    def softmax(self, name: TensorName, x: Flow, beta: float) -> Flow:
        return _joint(name, x)

    def residual(self, name: TensorName, h: Flow, y: Flow) -> Flow:
        return _joint(name, h, y)

    def each_head(self, part: Callable[[Head], Flow], count: int) -> Sequence[Flow]:
        return [part(head) for head in range(count)]

    def by_queries(self, part: Callable[[Flow], Flow], x: Flow) -> Flow:
        return part(x)

    def by_tokens(self, part: Callable[..., Flow], *xs: Flow) -> Flow:
        return part(*xs)


def _joint(name: TensorName, *operands: Flow) -> Flow:
    inputs: dict[TensorName, TensorName] = {}
    for operand in operands:
        inputs.update(operand.inputs)
    return Flow(name, inputs)


def product_inputs(model: IntegerModel) -> dict[TensorName, TensorName]:
    """Name what every product of a level and its read-out multiplies, by the product's name."""
    ops = DataFlowOps(model.encodings)
    z = apply_level(Flow(STATE, {}), Flow(INJECTION, {}), model.config, ops)
    logits, q = read_out(Flow(STATE, {}), model.config, ops)
    return {**z.inputs, **logits.inputs, **q.inputs}


def accumulator_bits(model: IntegerModel) -> dict[str, int]:
    """Count the bits that the sums of every product can need, sign included, by its site."""
    return {
        str(name): largest_sum(model.products[str(name)], model.encodings[str(x)]).bit_length() + 1
        for name, x in product_inputs(model).items()
    }
