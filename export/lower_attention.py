"""An attention level as integer operators for TFLM: quant/integer_attention.py as a graph.

Tensors are (batch, 1, rows, width), so that products are 1x1 CONV_2D, which has a scale per
output in every width. Memory decides the shape of the graph: a head's scores exist for
`Chunks.queries` rows at a time, what lies behind the heads for `Chunks.tokens`; the pieces are
joined by trees of at most 10, TFLM's limit. A tensor's other width is made once and kept.

    block graph     z, injection -> z, all layers                              (block_graph)
    stage graphs    the same cut where the host can hold what passes between   (stages.py)

Left out: the heads of the model, and int4 beside int16 inputs, which TFLM refuses.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from export.builder import (
    GraphBuilder,
    batch_matmul,
    binary,
    joined,
    sliced,
    split,
    transposed,
)
from export.graph import DType, Graph, OptionValue, Quant
from export.lower_block import rms_norm
from quant.affine import QTensor, Symmetry
from quant.integer_attention import level
from quant.integer_attention_spans import (
    ROTARY_NAME,
    Encodings,
    Kernels,
    integer_tables,
    other_width,
)
from quant.integer_encoding import Encoding
from quant.integer_ops import filter_of
from trm_jax.config import ReasonerConfig

DTYPES = {8: DType.INT8, 16: DType.INT16}
CONV: dict[str, OptionValue] = {
    "strideW": 1,
    "strideH": 1,
    "dilationWFactor": 1,
    "dilationHFactor": 1,
}
CONV_VERSIONS = {(8, DType.INT8): 3, (8, DType.INT4): 7, (16, DType.INT8): 4}
MOST_JOINED = 10  # inputs of CONCATENATION in TFLM
ROWS = 2  # the axis of positions


@dataclass(frozen=True, kw_only=True)
class Chunks:
    """Rows that are worked on at a time, at most.

    Attributes:
      queries: of a head's scores.
      tokens: of everything behind the heads.

    Raises:
      ValueError: fewer than one.
    """

    queries: int = 100
    tokens: int = 100

    def __post_init__(self) -> None:
        if min(self.queries, self.tokens) < 1:
            raise ValueError(f"chunks must have at least 1 row, got {self}")


class Written(NamedTuple):
    """A tensor of the graph, and the name of its encoding."""

    tensor: str
    name: str


class AttentionGraph:
    """Operators as tensors and records of a graph (quant/integer_attention.AttentionOps)."""

    def __init__(
        self,
        g: GraphBuilder,
        kernels: Kernels,
        encodings: Encodings,
        config: ReasonerConfig,
        chunks: Chunks,
    ) -> None:
        self.g, self.kernels, self.encodings = g, kernels, encodings
        self.config, self.chunks = config, chunks
        self._casts: dict[tuple[str, int], Written] = {}

    def input(self, tensor: str, name: str, shape: tuple[int, ...]) -> Written:
        """Declare what is fed, in the encoding of `name`."""
        self.g.input(tensor, shape, **self._encoded(name))
        return Written(tensor, name)

    def linear(self, name: str, x: Written) -> Written:
        x, kernel = self._cast(x, name), self.kernels[name]
        weights, scales = filter_of(kernel)
        bits = self._bits(name)
        carrier, zeros = carrier_of(kernel, bits), np.zeros(scales.size, np.int64)
        held = Quant(scale=scales, zero_point=zeros, axis=0)
        stored = self.g.constant(f"{name}/kernel", weights[:, None, None], carrier, held)
        inputs: tuple[str, ...] = (x.tensor, stored)
        if bits == 16:  # without a bias the kernel would take 64-bit sums
            unit = np.float32(self.encodings[x.name].scale) * scales
            quant = Quant(scale=unit, zero_point=zeros, axis=0)
            nothing = np.zeros(len(weights))
            inputs += (self.g.constant(f"{name}/bias", nothing, DType.INT32, quant),)
        shape = (*self.g.shape(x.tensor)[:-1], len(weights))
        return self._op("CONV_2D", inputs, name, shape, CONV_VERSIONS[bits, carrier], CONV)

    def add(self, name: str, a: Written, b: Written) -> Written:
        a, b = self._cast(a, name), self._cast(b, name)
        options = {} if self._bits(name) == 8 else {"potScaleInt16": False}
        return self._op("ADD", (a.tensor, b.tensor), name, self.g.shape(a.tensor), 2, options)

    def multiply(self, name: str, a: Written, b: Written) -> Written:
        a, b = self._cast(a, name), self._cast(b, name)
        return self._op("MUL", (a.tensor, b.tensor), name, self.g.shape(a.tensor), 2)

    def logistic(self, name: str, x: Written) -> Written:
        x = self._cast(x, name)
        return self._op("LOGISTIC", (x.tensor,), name, self.g.shape(x.tensor))

    def halves(self, x: Written) -> tuple[Written, Written]:
        first, second = split(self.g, x.tensor, 2, f"{x.tensor}/halves")
        return x._replace(tensor=first), x._replace(tensor=second)

    def transpose(self, x: Written) -> Written:
        return x._replace(tensor=transposed(self.g, x.tensor, (0, 1, 3, 2), f"{x.tensor}/columns"))

    def joined(self, name: str, parts: Sequence[Written]) -> Written:
        return self._concatenated(parts, 3, name)

    def rotate(self, name: str, x: Written) -> Written:
        x = self._cast(x, name)
        cos, sin = (
            Written(self.g.constant(end, table[None], **self._encoded(ROTARY_NAME)), ROTARY_NAME)
            for end, table in zip(("rotary/cos", "rotary/sin"),
                                  integer_tables(self.config, self._bits(name)), strict=True)
        )  # fmt: skip
        along = self.multiply(f"{name}/cos", x, cos)
        first, second = self.halves(x)
        turned = self._concatenated((second, first), 3, f"{name}/swapped")
        return self.add(name, along, self.multiply(f"{name}/sin", turned, sin))

    def matmul(self, name: str, a: Written, b: Written) -> Written:
        a, b = self._cast(a, name), self._cast(b, name)
        made = batch_matmul(self.g, a.tensor, b.tensor, name, **self._encoded(name))
        return Written(made, name)

    def softmax(self, name: str, x: Written, beta: float) -> Written:
        x = self._cast(x, name)
        return self._op("SOFTMAX", (x.tensor,), name, self.g.shape(x.tensor), 1, {"beta": beta})

    def residual(self, name: str, h: Written, y: Written) -> Written:
        total = binary(self.g, "ADD", self._real(h), self._real(y), f"{name}/sum")
        normed = rms_norm(self.g, total, self.config, f"{name}/real")
        return self._op("QUANTIZE", (normed,), name, self.g.shape(normed), self._bits(name) // 8)

    def each_head(self, part: Callable[[str], Written], count: int) -> Sequence[Written]:
        return [part(str(i)) for i in range(count)]

    def by_queries(self, part: Callable[[Written], Written], x: Written) -> Written:
        return self._in_chunks(part, (x,), self.chunks.queries)

    def by_tokens(self, part: Callable[..., Written], *xs: Written) -> Written:
        return self._in_chunks(part, xs, self.chunks.tokens)

    def _in_chunks(self, part: Callable[..., Written], xs: Sequence[Written], size: int) -> Written:
        cuts = chunk_ends(self.g.shape(xs[0].tensor)[ROWS], size)
        if len(cuts) == 1:
            return part(*xs)
        pieces = [part(*(self._rows(x, start, stop) for x in xs)) for start, stop in cuts]
        return self._concatenated(pieces, ROWS, f"{pieces[0].name}/all")

    def _rows(self, x: Written, start: int, stop: int) -> Written:
        batch, one, _, width = self.g.shape(x.tensor)
        size = (batch, one, stop - start, width)
        name = f"{x.tensor}/rows/{start}"
        return x._replace(tensor=sliced(self.g, x.tensor, (0, 0, start, 0), size, name))

    def _concatenated(self, parts: Sequence[Written], axis: int, name: str) -> Written:
        tensors = [part.tensor for part in parts]
        while len(tensors) > 1:
            groups = (tensors[i : i + MOST_JOINED] for i in range(0, len(tensors), MOST_JOINED))
            tensors = [joined(self.g, tuple(g), name, axis) if len(g) > 1 else g[0] for g in groups]
        return parts[0]._replace(tensor=tensors[0])

    def _cast(self, x: Written, like: str) -> Written:
        bits = self._bits(like)
        if self._bits(x.name) == bits:
            return x
        if (x.tensor, bits) not in self._casts:
            shape, name = self.g.shape(x.tensor), other_width(x.name, bits)
            made = self.g.op("QUANTIZE", (x.tensor,), f"{x.tensor}@{bits}", (shape,), version=2,
                             **self._encoded(name))  # fmt: skip
            self._casts[x.tensor, bits] = Written(made[0], name)
        return self._casts[x.tensor, bits]

    def _real(self, x: Written) -> str:
        shape, version = self.g.shape(x.tensor), self._bits(x.name) // 8 + 1
        name = f"{x.tensor}/real"
        return self.g.op("DEQUANTIZE", (x.tensor,), name, (shape,), version=version)[0]

    def _op(
        self, code: str, inputs: tuple[str, ...], name: str, shape: tuple[int, ...],
        version: int = 1, options: Mapping[str, OptionValue] | None = None,
    ) -> Written:  # fmt: skip
        made = self.g.op(code, inputs, name, (shape,), version=version, options=options,
                         **self._encoded(name))  # fmt: skip
        return Written(made[0], name)

    def _bits(self, name: str) -> int:
        return self.encodings[name].bits

    def _encoded(self, name: str) -> dict[str, Any]:
        encoding = self.encodings[name]
        return {"dtype": DTYPES[encoding.bits], "quant": quant_of(encoding)}


def block_graph(
    name: str,
    network: str,
    config: ReasonerConfig,
    kernels: Kernels,
    encodings: Encodings,
    chunks: Chunks,
    *,
    batch: int = 1,
) -> Graph:
    """Lower one application of a network, L_level or H_level."""
    g = GraphBuilder(name)
    ops = AttentionGraph(g, kernels, encodings, config, chunks)
    shape = (batch, 1, config.num_positions, config.hidden_size)
    z, injection = (ops.input(end, f"{network}/{end}", shape) for end in ("z", "injection"))
    out = level(z, injection, network, config, ops)
    return g.finish({"z": z.tensor, "injection": injection.tensor}, {"z": out.tensor})


def chunk_ends(total: int, size: int) -> list[tuple[int, int]]:
    """Cut rows into as few pieces as `size` allows, of sizes as equal as can be."""
    count = -(-total // size)
    return list(pairwise(total * i // count for i in range(count + 1)))


def carrier_of(kernel: QTensor, bits: int) -> DType:
    """Choose the type of a stored filter: INT4 where the weights and the inputs allow it.

    TFLM multiplies INT4 by int8 inputs alone, and knows no zero points per output: q - z of an
    asymmetric grid takes 5 bits.
    """
    packed = kernel.grid.bits <= 4 and kernel.grid.symmetry is Symmetry.SYMMETRIC and bits == 8
    return DType.INT4 if packed else DType.INT8


def quant_of(encoding: Encoding) -> Quant:
    """Write an encoding as the schema does."""
    return Quant(
        scale=np.asarray([encoding.scale], np.float32),
        zero_point=np.asarray([encoding.zero_point], np.int64),
    )
