"""The operators of an integer network as tensors and operators of a TFLM graph, for both mixers.

`GraphOps` reads the description in quant/integer/network.py: each method adds to a graph what
TFLM computes, and returns the name of the result's tensor. What a device holds at a time is cut
where that saves arena, with the same bits:

    rows       of a SwiGLU and its norm: 128 at a time where a matrix has more
    channels   of a filter: 128 outputs at a time, if decoding it whole takes more than 128 KiB

Not here: the operators of attention (integer_attention.py), how a filter is stored
(integer_matmul.py).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from export.graph.builder import (
    GraphBuilder,
    binary,
    joined,
    reshaped,
    scalar,
    sliced,
    transposed,
)
from export.graph.ir import OptionValue
from export.lowering.float_matmul import fully_connected
from export.lowering.integer_matmul import (
    Operand,
    dtype_of,
    filter_tensor,
    is_convolution,
    product_tensor,
    quant_of,
)
from export.lowering.storage import StoragePlan
from quant.integer.encoding import Encoding
from quant.integer.model import IntegerModel
from quant.integer.operators import ALL, NamedValue, operand_name, wide_name
from quant.integer.tensor_names import INVERSE, SQUARE, TensorName

NamedTensor = NamedValue[str]
"""A tensor of a graph, and the name of its encoding."""

MOST_ROWS = 128
MOST_QUERIES = 100
MOST_CHANNELS = 128
MOST_FILTER_BYTES = 128 * 1024
MOST_CONCATENATED = 10  # inputs of CONCATENATION in TFLM
POSITIONS = 2  # axis of the positions; of the channels in a transposed state


@dataclass(frozen=True, kw_only=True)
class Chunks:
    """How much a device holds at a time, at most.

    Attributes:
      rows: of a SwiGLU and its norm.
      queries: rows of a head's scores.
      channels: outputs of a filter.
      filter_bytes: of a filter that is decoded whole.

    Raises:
      ValueError: fewer than one.
    """

    rows: int = MOST_ROWS
    queries: int = MOST_QUERIES
    channels: int = MOST_CHANNELS
    filter_bytes: int = MOST_FILTER_BYTES

    def __post_init__(self) -> None:
        if min(self.rows, self.queries, self.channels) < 1:
            raise ValueError(f"chunks must be at least 1, got {self}")


DEFAULT_CHUNKS = Chunks()


def state_shape(model: IntegerModel, batch: int) -> tuple[int, int, int]:
    """Return the shape of a state where it enters or leaves a graph."""
    return batch, model.config.num_positions, model.config.hidden_size


@dataclass(frozen=True)
class GraphOps:
    """Operators that are added to a graph.

    Attributes:
      filters: tensors of filters that were decoded whole, by the filter's name.
      casts: integers of another width, each made once, by tensor and encoding.
    """

    g: GraphBuilder
    model: IntegerModel
    plan: StoragePlan
    chunks: Chunks
    filters: dict[str, str] = field(default_factory=dict)
    casts: dict[tuple[str, TensorName], NamedTensor] = field(default_factory=dict)

    def input_state(self, tensor: str, name: TensorName, batch: int) -> NamedTensor:
        """Declare an input of three axes: cutting its rows needs no copy of it."""
        return self.input_tensor(tensor, name, state_shape(self.model, batch))

    def input_rows(self, tensor: str, name: TensorName, batch: int) -> NamedTensor:
        """Declare an input state, and give it four axes."""
        x = self.input_state(tensor, name, batch)
        return replace(x, value=self._four_axes(x.value, f"{tensor}/rows"))

    def input_tensor(self, tensor: str, name: TensorName, shape: tuple[int, ...]) -> NamedTensor:
        """Declare an input in the encoding of `name`."""
        encoding = self.encoding(name)
        return NamedValue(self.g.input(tensor, shape, dtype_of(encoding), quant_of(encoding)), name)

    def encoding(self, name: TensorName) -> Encoding:
        """Look up the encoding of a tensor."""
        return self.model.encodings[str(name)]

    def linear(self, name: TensorName, x: NamedTensor) -> NamedTensor:
        parts = self._cut(name, self._kernel_shape(name)[1])
        x = self._cast(x, name)
        return self.joined([self._product(name, x, part, str(name)) for part in parts])

    def gate_up(
        self, name: TensorName, x: NamedTensor, part: slice
    ) -> tuple[NamedTensor, NamedTensor]:
        inner = self._kernel_shape(name)[1] // 2
        start, stop, _ = part.indices(inner)
        up = slice(inner + start, inner + stop)
        x = self._cast(x, name)
        return (
            self._product(name, x, slice(start, stop), f"{name}/gate"),
            self._product(name, x, up, f"{name}/up"),
        )

    def add(self, name: TensorName, a: NamedTensor, b: NamedTensor) -> NamedTensor:
        operands = self._cast(a, name), self._cast(b, name)
        return self.add_operator("ADD", operands, name, 2, {"potScaleInt16": False})

    def multiply(self, name: TensorName, a: NamedTensor, b: NamedTensor) -> NamedTensor:
        return self.add_operator("MUL", (self._cast(a, name), self._cast(b, name)), name, 2, {})

    def logistic(self, name: TensorName, x: NamedTensor) -> NamedTensor:
        return self.add_operator("LOGISTIC", (self._cast(x, name),), name, 1, {})

    def norm(self, name: TensorName, x: NamedTensor) -> NamedTensor:
        """Leave the integers for DEQUANTIZE, MUL, a mean, ADD, RSQRT, MUL, QUANTIZE."""
        if str(name.then(SQUARE)) in self.model.encodings:
            return self._norm_by_products(name, x)
        g, shape = self.g, self.g.shape(x.value)
        real = self._real(x, f"{name}/real")
        square = g.op("MUL", (real, real), f"{name}/square", (shape,))[0]
        inverse = self._inverse_root(square, name)
        scaled = g.op("MUL", (real, inverse), f"{name}/scaled", (shape,))[0]
        real_norm = NamedValue(scaled, name)
        version = self.encoding(name).bits // 8
        return self.add_operator("QUANTIZE", (real_norm,), name, version, {})

    def _norm_by_products(self, name: TensorName, x: NamedTensor) -> NamedTensor:
        """Leave the integers for the mean of a row alone; squares and scaling are of int16."""
        square = self.multiply(name.then(SQUARE), x, x)
        inverse = self._inverse_root(self._real(square, f"{name}/real"), name)
        real_inverse = NamedValue(inverse, name.then(INVERSE))
        scale = self.add_operator("QUANTIZE", (real_inverse,), name.then(INVERSE), 2, {})
        wide = self.multiply(wide_name(name, self.model.encodings), x, scale)
        return wide if wide.name == name else self.add_operator("QUANTIZE", (wide,), name, 2, {})

    def _real(self, x: NamedTensor, name: str) -> str:
        version = self.encoding(x.name).bits // 8 + 1
        shape = self.g.shape(x.value)
        return self.g.op("DEQUANTIZE", (x.value,), name, (shape,), version=version)[0]

    def _inverse_root(self, squares: str, name: TensorName) -> str:
        """Compute 1 / sqrt(mean + eps) of every row in float32."""
        g, row = self.g, (*self.g.shape(squares)[:-1], 1)
        eps = g.constant("eps", np.asarray([self.model.config.rms_norm_eps]))
        mean = mean_by_product(g, squares, f"{name}/mean")
        shifted = g.op("ADD", (mean, eps), f"{name}/shifted", (row,))[0]
        return g.op("RSQRT", (shifted,), f"{name}/{INVERSE}", (row,))[0]

    def silu(self, name: TensorName, x: NamedTensor, sigmoid: TensorName) -> NamedTensor:
        return self.multiply(name, x, self.logistic(sigmoid, x))

    def transpose(self, x: NamedTensor) -> NamedTensor:
        return replace(x, value=transposed(self.g, x.value, (0, 1, 3, 2), f"{x.value}/turned"))

    def parts(self, name: TensorName) -> Sequence[slice]:
        """Cut the inner channels of a SwiGLU."""
        return self._cut(name, self._kernel_shape(name)[1] // 2)

    def joined(self, parts: Sequence[NamedTensor]) -> NamedTensor:
        return self._concatenated(parts, -1, f"{parts[0].name}/joined")

    def by_rows(
        self, x: NamedTensor, apply: Callable[[NamedTensor], NamedTensor], rows: slice = ALL
    ) -> NamedTensor:
        total = self.g.shape(x.value)[-2]
        first, end, _ = rows.indices(total)
        if (first, end) == (0, total) and total <= self.chunks.rows:
            return apply(replace(x, value=self._four_axes(x.value, f"{x.value}/rows")))
        results = []
        for start in range(first, end, self.chunks.rows):
            stop = min(start + self.chunks.rows, end)
            cut = self.rows(x.value, start, stop - start, f"{x.value}/{start}:{stop}")
            results.append(apply(replace(x, value=cut)))
        return self._concatenated(results, POSITIONS, f"{results[0].name}/rows")

    def rows(self, x: str, start: int, count: int, name: str) -> str:
        """Cut rows out of a tensor; the result has four axes."""
        *outer, _, width = self.g.shape(x)
        begin = (*(0 for _ in outer), start, 0)
        return self._four_axes(
            sliced(self.g, x, begin, (*outer, count, width), name), f"{name}/rows"
        )

    def _four_axes(self, x: str, name: str) -> str:
        """Insert the axis that a 1x1 CONV_2D wants, if it is not there."""
        shape = self.g.shape(x)
        return x if len(shape) == 4 else reshaped(self.g, x, (shape[0], 1, *shape[1:]), name)

    def _concatenated(self, parts: Sequence[NamedTensor], axis: int, name: str) -> NamedTensor:
        values = [part.value for part in parts]
        return replace(parts[0], value=concatenated(self.g, values, axis, name))

    def _kernel_shape(self, site: TensorName) -> tuple[int, ...]:
        return self.model.products[str(site)].kernel.qvalue.shape

    def _cut(self, site: TensorName, outputs: int) -> tuple[slice, ...]:
        """Cut output channels if the whole filter is too large to be decoded in the arena."""
        if math.prod(self._kernel_shape(site)) <= self.chunks.filter_bytes:
            return (slice(0, outputs),)
        step = self.chunks.channels
        return tuple(slice(i, min(i + step, outputs)) for i in range(0, outputs, step))

    def _product(self, site: TensorName, x: NamedTensor, part: slice, path: str) -> NamedTensor:
        operand = Operand(x.value, self.encoding(x.name), self.encoding(site))
        kernel = self._filter(str(site), part, operand.x_encoding)
        product = self.model.products[str(site)]
        return NamedValue(product_tensor(self.g, path, operand, kernel, product, part), site)

    def _filter(self, site: str, part: slice, x: Encoding) -> str:
        """Add the filter of some output channels; one that is decoded whole serves all rows."""
        product, plan = self.model.products[site], self.plan.of(site)
        whole = (part.start, part.stop) == (0, product.kernel.qvalue.shape[1])
        name = f"{site}/kernel" + ("" if whole else f"/{part.start}")
        if name in self.filters:
            return self.filters[name]
        tensor = filter_tensor(self.g, name, product, plan, part, is_convolution(plan, x))
        if product.kernel.qvalue.size <= self.chunks.filter_bytes:
            self.filters[name] = tensor
        return tensor

    def _cast(self, x: NamedTensor, result: TensorName) -> NamedTensor:
        """Requantise an operand to the width of the result."""
        name = operand_name(x.name, result, self.model.encodings)
        if name == x.name:
            return x
        if (x.value, name) not in self.casts:
            self.casts[x.value, name] = self.add_operator("QUANTIZE", (x,), name, 2, {})
        return self.casts[x.value, name]

    def add_operator(
        self,
        code: str,
        xs: Sequence[NamedTensor],
        name: TensorName,
        version: int,
        options: Mapping[str, OptionValue],
    ) -> NamedTensor:
        """Add an operator whose result has the shape of its first operand."""
        encoding = self.encoding(name)
        outputs = self.g.op(
            code,
            tuple(x.value for x in xs),
            str(name),
            (self.g.shape(xs[0].value),),
            version=version,
            options=options,
            dtype=dtype_of(encoding),
            quant=quant_of(encoding),
        )
        return NamedValue(outputs[0], name)


def mean_by_product(g: GraphBuilder, x: str, name: str) -> str:
    """Average the last axis of float32 by a product with ones, which has the bits of MEAN.

    TFLM's MEAN takes 150 instructions an element on a Cortex-M55, its FULLY_CONNECTED 4. Both add
    a row from left to right. A weight of 1/width scales every sum exactly where the width is a
    power of two; other sums are divided by the width, as MEAN divides them.
    """
    width = g.shape(x)[-1]
    is_exact = width & (width - 1) == 0
    weight = 1 / width if is_exact else 1
    kind = "average" if is_exact else "total"
    weights = g.constant(f"{kind}/{width}", np.full((1, width), weight, np.float32))
    total = fully_connected(g, x, weights, name if is_exact else f"{name}/total", version=6)
    return total if is_exact else binary(g, "DIV", total, scalar(g, float(width)), name)


def concatenated(g: GraphBuilder, parts: Sequence[str], axis: int, name: str) -> str:
    """Concatenate, in a tree where TFLM takes no more inputs."""
    while len(parts) > 1:
        groups = [parts[i : i + MOST_CONCATENATED] for i in range(0, len(parts), MOST_CONCATENATED)]
        parts = [joined(g, tuple(p), name, axis) if len(p) > 1 else p[0] for p in groups]
    return parts[0]
