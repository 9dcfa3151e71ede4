"""An attention level as integer operators for TFLM: quant/integer_attention.py as a graph.

Tensors are (batch, 1, rows, width), so that products are 1x1 CONV_2D, which has a scale per
output in every width. Memory decides the shape of the graph: a head's scores exist for
`Chunks.queries` rows at a time, what lies behind the heads for `Chunks.tokens`; the pieces are
joined by trees of at most 10, TFLM's limit. A tensor's other width is made once and kept.

    block graph     z, injection -> z, all layers                              (block_graph)
    stage graphs    the same cut where the host can hold what passes between   (stages.py)

Left out: the heads of the model, and int4 beside int16 inputs, which TFLM refuses.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from export.builder import (
    GraphBuilder,
    batch_matmul,
    binary,
    sliced,
    split,
    transposed,
)
from export.graph import DType, Graph, Quant
from export.lower_block import rms_norm
from quant.affine import QTensor, Symmetry
from quant.integer_attention import Widths, level
from quant.integer_attention_ops import matmul_bits
from quant.integer_attention_spans import ROTARY_NAME, Encodings, Kernels, integer_tables
from quant.integer_block import filter_of
from quant.integer_encoding import Encoding
from trm_jax.config import ReasonerConfig

DTYPES = {8: DType.INT8, 16: DType.INT16}
CONV = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}
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
    """A tensor of the graph, and where its encoding is found."""

    tensor: str
    name: str
    bits: int


class AttentionGraph:
    """Operators as tensors and records of a graph (quant/integer_attention.AttentionOps)."""

    def __init__(
        self,
        g: GraphBuilder,
        kernels: Kernels,
        encodings: Encodings,
        config: ReasonerConfig,
        widths: Widths,
        chunks: Chunks,
    ) -> None:
        self.g, self.kernels, self.encodings = g, kernels, encodings
        self.config, self.widths, self.chunks = config, widths, chunks
        self._casts: dict[tuple[str, int], Written] = {}

    def input(self, tensor: str, name: str, shape: tuple[int, ...], bits: int) -> Written:
        """Declare what is fed, in the encoding of `name`."""
        quant = quant_of(self.encodings[name, bits])
        self.g.input(tensor, shape, DTYPES[bits], quant)
        return Written(tensor, name, bits)

    def linear(self, name: str, x: Written) -> Written:
        bits = self.widths.product
        x, kernel = self._cast(x, bits), self.kernels[name]
        weights, scales = filter_of(kernel)
        carrier = carrier_of(kernel, bits)
        held = Quant(scale=scales, zero_point=np.zeros(scales.size, np.int64), axis=0)
        stored = self.g.constant(f"{name}/kernel", weights[:, None, None], carrier, held)
        inputs: tuple[str, ...] = (x.tensor, stored)
        if bits == 16:  # without a bias the kernel would take 64-bit sums
            unit = np.float32(self.encodings[x.name, bits].scale) * scales
            quant = Quant(scale=unit, zero_point=np.zeros(scales.size, np.int64), axis=0)
            zeros = np.zeros(len(weights))
            inputs += (self.g.constant(f"{name}/bias", zeros, DType.INT32, quant),)
        shape = (*self.g.shape(x.tensor)[:-1], len(weights))
        version = CONV_VERSIONS[bits, carrier]
        return self._op("CONV_2D", inputs, name, shape, bits, version=version, options=CONV)

    def add(self, name: str, a: Written, b: Written) -> Written:
        return self._add(name, a, b, self.widths.state)

    def multiply(self, name: str, a: Written, b: Written) -> Written:
        return self._multiply(name, a, b, self.widths.gate)

    def logistic(self, name: str, x: Written) -> Written:
        x = self._cast(x, self.widths.gate)
        return self._op("LOGISTIC", (x.tensor,), name, self.g.shape(x.tensor), x.bits)

    def halves(self, x: Written) -> tuple[Written, Written]:
        first, second = split(self.g, x.tensor, 2, f"{x.tensor}/halves")
        return x._replace(tensor=first), x._replace(tensor=second)

    def transpose(self, x: Written) -> Written:
        return x._replace(tensor=transposed(self.g, x.tensor, (0, 1, 3, 2), f"{x.tensor}/columns"))

    def joined(self, name: str, parts: Sequence[Written]) -> Written:
        return self._concatenated(list(parts), 3, name)

    def rotate(self, name: str, x: Written) -> Written:
        bits = self.widths.scores
        x = self._cast(x, bits)
        cos, sin = (
            Written(self._table(f"{ROTARY_NAME}/{end}/{bits}", table, bits), ROTARY_NAME, bits)
            for end, table in zip(("cos", "sin"), integer_tables(self.config, bits), strict=True)
        )
        along = self._multiply(f"{name}/cos", x, cos, bits)
        first, second = self.halves(x)
        turned = self._concatenated([second, first], 3, f"{name}/swapped")
        return self._add(name, along, self._multiply(f"{name}/sin", turned, sin, bits), bits)

    def matmul(self, name: str, a: Written, b: Written) -> Written:
        bits = matmul_bits(name, self.widths)
        a, b = self._cast(a, bits), self._cast(b, bits)
        made = batch_matmul(self.g, a.tensor, b.tensor, name, **self._encoded(name, bits))
        return Written(made, name, bits)

    def softmax(self, name: str, x: Written, beta: float) -> Written:
        x = self._cast(x, self.widths.share)
        shape = self.g.shape(x.tensor)
        return self._op("SOFTMAX", (x.tensor,), name, shape, x.bits, options={"beta": beta})

    def residual(self, name: str, h: Written, y: Written) -> Written:
        bits = self.widths.state
        total = binary(self.g, "ADD", self._real(h), self._real(y), f"{name}/sum")
        normed = rms_norm(self.g, total, self.config, f"{name}/real")
        shape = self.g.shape(normed)
        return self._op("QUANTIZE", (normed,), name, shape, bits, version=1 if bits == 8 else 2)

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

    def _concatenated(self, parts: list[Written], axis: int, name: str) -> Written:
        while len(parts) > 1:
            groups = [parts[i : i + MOST_JOINED] for i in range(0, len(parts), MOST_JOINED)]
            parts = [self._concatenation(group, axis, name) for group in groups]
        return parts[0]

    def _concatenation(self, parts: list[Written], axis: int, name: str) -> Written:
        if len(parts) == 1:
            return parts[0]
        shapes = [self.g.shape(part.tensor) for part in parts]
        shape = list(shapes[0])
        shape[axis] = sum(s[axis] for s in shapes)
        first, names = parts[0], tuple(part.tensor for part in parts)
        made = self.g.op(
            "CONCATENATION", names, name, (tuple(shape),), options={"axis": axis},
            **self._encoded(first.name, first.bits),
        )  # fmt: skip
        return first._replace(tensor=made[0])

    def _add(self, name: str, a: Written, b: Written, bits: int) -> Written:
        a, b = self._cast(a, bits), self._cast(b, bits)
        options = {} if bits == 8 else {"potScaleInt16": False}
        shape, inputs = self.g.shape(a.tensor), (a.tensor, b.tensor)
        return self._op("ADD", inputs, name, shape, bits, version=2, options=options)

    def _multiply(self, name: str, a: Written, b: Written, bits: int) -> Written:
        a, b = self._cast(a, bits), self._cast(b, bits)
        shape, inputs = self.g.shape(a.tensor), (a.tensor, b.tensor)
        return self._op("MUL", inputs, name, shape, bits, version=2)

    def _cast(self, x: Written, bits: int) -> Written:
        if x.bits == bits:
            return x
        if (x.tensor, bits) not in self._casts:
            shape = self.g.shape(x.tensor)
            made = self._op("QUANTIZE", (x.tensor,), x.name, shape, bits, version=2,
                            tensor=f"{x.tensor}/int{bits}")  # fmt: skip
            self._casts[x.tensor, bits] = made
        return self._casts[x.tensor, bits]

    def _real(self, x: Written) -> str:
        shape, version = self.g.shape(x.tensor), 2 if x.bits == 8 else 3
        return self.g.op("DEQUANTIZE", (x.tensor,), f"{x.tensor}/real", (shape,),
                         version=version)[0]  # fmt: skip

    def _table(self, tensor: str, values: np.ndarray, bits: int) -> str:
        quant = quant_of(self.encodings[ROTARY_NAME, bits])
        return self.g.constant(tensor, values[None], DTYPES[bits], quant)

    def _op(
        self, code: str, inputs: tuple[str, ...], name: str, shape: tuple[int, ...], bits: int,
        *, version: int = 1, options: dict | None = None, tensor: str = "",
    ) -> Written:  # fmt: skip
        made = self.g.op(code, inputs, tensor or name, (shape,), version=version,
                         options=options, **self._encoded(name, bits))  # fmt: skip
        return Written(made[0], name, bits)

    def _encoded(self, name: str, bits: int) -> dict:
        return {"dtype": DTYPES[bits], "quant": quant_of(self.encodings[name, bits])}


def block_graph(
    name: str,
    network: str,
    config: ReasonerConfig,
    kernels: Kernels,
    encodings: Encodings,
    widths: Widths,
    chunks: Chunks,
    *,
    batch: int = 1,
) -> Graph:
    """Lower one application of a network, L_level or H_level."""
    g = GraphBuilder(name)
    ops = AttentionGraph(g, kernels, encodings, config, widths, chunks)
    shape = (batch, 1, config.num_positions, config.hidden_size)
    z, injection = (
        ops.input(end, f"{network}/{end}", shape, widths.state) for end in ("z", "injection")
    )
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
