"""Operators of quant/integer/network.py as tensors and records of a graph.

Memory. What a device holds at a time is cut where that saves arena, with the same bits:

    rows       of a SwiGLU and its norm: 128 at a time where a matrix has more
    channels   of a filter: 128 outputs at a time, if decoding it whole takes more than 128 KiB
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from export.graph.builder import GraphBuilder, joined, reshaped, sliced, transposed
from export.graph.ir import DType, OptionValue
from export.lowering.integer_matmul import (
    Ends,
    dtype_of,
    filter_tensor,
    is_convolution,
    product_tensor,
    quant_of,
)
from export.lowering.storage import StoragePlan
from quant.integer.encoding import Encoding
from quant.integer.model import IntegerModel
from quant.integer.operators import ALL, NamedValue

MOST_ROWS = 128
MOST_QUERIES = 100
MOST_CHANNELS = 128
MOST_FILTER_BYTES = 128 * 1024
MOST_CONCATENATED = 10  # inputs of CONCATENATION in TFLM
POSITIONS = 2  # axis of the positions; of channels where they are turned


@dataclass(frozen=True, kw_only=True)
class Chunks:
    """How much a device holds at a time, at most.

    Attributes:
      rows: of a SwiGLU and its norm; channels: outputs of a filter; filter_bytes: of one decoded.
      queries: rows of a head's scores.

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
    """Shape a state at the ends of a graph."""
    return batch, model.config.num_positions, model.config.hidden_size


@dataclass(frozen=True)
class GraphOps:
    """Operators that are written down; a value is the name of its tensor.

    Attributes:
      kept: filters that were decoded whole, by site.
    """

    g: GraphBuilder
    model: IntegerModel
    plan: StoragePlan
    chunks: Chunks
    kept: dict[str, str] = field(default_factory=dict)

    def state(self, name: str, batch: int, encoding: str = "") -> NamedValue:
        """Declare a state that is fed, and give it four axes."""
        x = self.fed(name, batch, encoding)
        return NamedValue(self._four_axes(x.value, f"{name}/rows"), x.name)

    def fed(self, name: str, batch: int, encoding: str = "") -> NamedValue:
        """Declare a state that is fed, of three axes: what cuts its rows needs no copy of it."""
        known = encoding or name
        means, shape = self.model.encodings[known], state_shape(self.model, batch)
        return NamedValue(self.g.input(name, shape, dtype_of(means), quant_of(means)), known)

    def linear(self, name: str, x: NamedValue) -> NamedValue:
        outputs = self.model.products[name].kernel.qvalue.shape[1]
        parts = self._cut(name, outputs)
        return self.joined([self._product(name, x, part, name) for part in parts])

    def gate_up(self, name: str, x: NamedValue, part: slice) -> tuple[NamedValue, NamedValue]:
        inner = self.model.products[name].kernel.qvalue.shape[1] // 2
        start, stop, _ = part.indices(inner)
        up = slice(inner + start, inner + stop)
        return (
            self._product(name, x, slice(start, stop), f"{name}/gate"),
            self._product(name, x, up, f"{name}/up"),
        )

    def add(self, name: str, a: NamedValue, b: NamedValue) -> NamedValue:
        return self.made("ADD", (a, b), name, 2, {"potScaleInt16": False})

    def multiply(self, name: str, a: NamedValue, b: NamedValue) -> NamedValue:
        return self.made("MUL", (a, b), name, 2, {})

    def logistic(self, name: str, x: NamedValue) -> NamedValue:
        return self.made("LOGISTIC", (x,), name, 1, {})

    def norm(self, name: str, x: NamedValue) -> NamedValue:
        """Leave the integers for DEQUANTIZE, MUL, MEAN, ADD, RSQRT, MUL, QUANTIZE."""
        g, shape = self.g, self.g.shape(x.value)
        row = (*shape[:-1], 1)
        axis = g.constant(f"axis/{len(row) - 1}", np.asarray([len(row) - 1]), DType.INT32)
        eps = g.constant("eps", np.asarray([self.model.config.rms_norm_eps]))
        version = 3 if self.model.bits == 16 else 2
        real = g.op("DEQUANTIZE", (x.value,), f"{name}/real", (shape,), version=version)[0]
        square = g.op("MUL", (real, real), f"{name}/square", (shape,))[0]
        mean = g.op("MEAN", (square, axis), f"{name}/mean", (row,), options={"keepDims": True})[0]
        shifted = g.op("ADD", (mean, eps), f"{name}/shifted", (row,))[0]
        inverse = g.op("RSQRT", (shifted,), f"{name}/inverse", (row,))[0]
        scaled = g.op("MUL", (real, inverse), f"{name}/scaled", (shape,))[0]
        means = self.model.encodings[name]
        made = g.op(
            "QUANTIZE",
            (scaled,),
            name,
            (shape,),
            version=self.model.bits // 8,
            dtype=dtype_of(means),
            quant=quant_of(means),
        )[0]
        return NamedValue(made, name)

    def transpose(self, x: NamedValue) -> NamedValue:
        return NamedValue(transposed(self.g, x.value, (0, 1, 3, 2), f"{x.value}/turned"), x.name)

    def parts(self, name: str) -> Sequence[slice]:
        """Cut the inner channels of a SwiGLU."""
        return self._cut(name, self.model.products[name].kernel.qvalue.shape[1] // 2)

    def joined(self, parts: Sequence[NamedValue]) -> NamedValue:
        values = [part.value for part in parts]
        return NamedValue(
            concatenated(self.g, values, -1, f"{parts[0].name}/joined"), parts[0].name
        )

    def by_rows(
        self, x: NamedValue, apply: Callable[[NamedValue], NamedValue], rows: slice = ALL
    ) -> NamedValue:
        total = self.g.shape(x.value)[-2]
        first, end, _ = rows.indices(total)
        if (first, end) == (0, total) and total <= self.chunks.rows:
            return apply(NamedValue(self._four_axes(x.value, f"{x.value}/rows"), x.name))
        made = []
        for start in range(first, end, self.chunks.rows):
            stop = min(start + self.chunks.rows, end)
            cut = self.rows(x.value, start, stop - start, f"{x.value}/{start}:{stop}")
            made.append(apply(NamedValue(cut, x.name)))
        if len(made) == 1:
            return made[0]
        values = [part.value for part in made]
        return NamedValue(
            concatenated(self.g, values, POSITIONS, f"{made[0].name}/rows"), made[0].name
        )

    def rows(self, x: str, start: int, count: int, name: str) -> str:
        *outer, _, width = self.g.shape(x)
        begin = (*(0 for _ in outer), start, 0)
        return self._four_axes(
            sliced(self.g, x, begin, (*outer, count, width), name), f"{name}/rows"
        )

    def _four_axes(self, x: str, name: str) -> str:
        """Insert the axis that a 1x1 CONV_2D wants, if it is not there."""
        shape = self.g.shape(x)
        return x if len(shape) == 4 else reshaped(self.g, x, (shape[0], 1, *shape[1:]), name)

    def _cut(self, site: str, outputs: int) -> tuple[slice, ...]:
        """Cut output channels if the whole filter is too large to lie decoded in the arena."""
        whole = self.model.products[site].kernel.qvalue.size
        if whole <= self.chunks.filter_bytes:
            return (slice(0, outputs),)
        step = self.chunks.channels
        return tuple(slice(i, min(i + step, outputs)) for i in range(0, outputs, step))

    def _product(self, site: str, x: NamedValue, part: slice, path: str) -> NamedValue:
        ends = Ends(x.value, self.model.encodings[x.name], self.model.encodings[site])
        kernel = self._filter(site, part, ends.x_encoding)
        made = product_tensor(self.g, path, ends, kernel, self.model.products[site], part)
        return NamedValue(made, site)

    def _filter(self, site: str, part: slice, x: Encoding) -> str:
        """Add the filter of some output channels; one that is decoded whole serves all rows."""
        product, plan = self.model.products[site], self.plan.of(site)
        outputs = product.kernel.qvalue.shape[1]
        whole = (part.start, part.stop) == (0, outputs)
        name = f"{site}/kernel" + ("" if whole else f"/{part.start}")
        if name in self.kept:
            return self.kept[name]
        made = filter_tensor(self.g, name, product, plan, part, is_convolution(plan, x))
        if product.kernel.qvalue.size <= self.chunks.filter_bytes:
            self.kept[name] = made
        return made

    def made(
        self,
        code: str,
        xs: Sequence[NamedValue],
        name: str,
        version: int,
        options: Mapping[str, OptionValue],
    ) -> NamedValue:
        means = self.model.encodings[name]
        made = self.g.op(
            code,
            tuple(x.value for x in xs),
            name,
            (self.g.shape(xs[0].value),),
            version=version,
            options=options,
            dtype=dtype_of(means),
            quant=quant_of(means),
        )[0]
        return NamedValue(made, name)


def concatenated(g: GraphBuilder, parts: Sequence[str], axis: int, name: str) -> str:
    """Concatenate, in a tree where TFLM takes no more inputs."""
    while len(parts) > 1:
        groups = [parts[i : i + MOST_CONCATENATED] for i in range(0, len(parts), MOST_CONCATENATED)]
        parts = [joined(g, tuple(p), name, axis) if len(p) > 1 else p[0] for p in groups]
    return parts[0]
