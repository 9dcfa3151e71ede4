"""The operators of attention as tensors and operators of a TFLM graph.

Memory decides the shape of the graph: a head's scores exist for `Chunks.queries` rows at a time,
what comes after the heads for `Chunks.rows` tokens. The same operators serve a block in one graph
(model.py) and one that is cut (stages.py).

Not here: the operators of both mixers (integer_block.py), the arithmetic
(quant/integer/attention_operators.py).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from export.graph.builder import batch_matmul, binary, split
from export.lowering.float_block import rms_norm
from export.lowering.integer_block import (
    POSITIONS,
    GraphOps,
    NamedTensor,
    concatenated,
    mean_by_product,
)
from export.lowering.integer_matmul import dtype_of, quant_of
from quant.integer.attention_operators import integer_tables
from quant.integer.operators import NamedValue
from quant.integer.tensor_names import ROTARY, Head, TensorName
from trm_jax.config import ReasonerConfig


@dataclass(frozen=True)
class AttentionGraph(GraphOps):
    """Operators that are added to a graph, those of attention among them."""

    def rotate(self, name: TensorName, x: NamedTensor, config: ReasonerConfig) -> NamedTensor:
        cos, sin = self._rotary_tables(config)
        x = self._cast(x, name)
        along = self.multiply(name.then("cos"), x, cos)
        first, second = split(self.g, x.value, 2, f"{x.value}/halves")
        halves = concatenated(self.g, (second, first), -1, f"{name}/swapped")
        across = self.multiply(name.then("sin"), replace(x, value=halves), sin)
        return self.add(name, along, across)

    def _rotary_tables(self, config: ReasonerConfig) -> tuple[NamedTensor, NamedTensor]:
        encoding = self.encoding(ROTARY)
        dtype, quant = dtype_of(encoding), quant_of(encoding)
        tables = zip(("cos", "sin"), integer_tables(config, encoding.bits), strict=True)
        cos, sin = (
            NamedValue(self.g.constant(f"{ROTARY}/{part}", table[None], dtype, quant), ROTARY)
            for part, table in tables
        )
        return cos, sin

    def matmul(self, name: TensorName, a: NamedTensor, b: NamedTensor) -> NamedTensor:
        encoding, first, second = self.encoding(name), self._cast(a, name), self._cast(b, name)
        dtype, quant = dtype_of(encoding), quant_of(encoding)
        product = batch_matmul(
            self.g, first.value, second.value, str(name), dtype=dtype, quant=quant
        )
        return NamedValue(product, name)

    def softmax(self, name: TensorName, x: NamedTensor, beta: float) -> NamedTensor:
        return self.add_operator("SOFTMAX", (self._cast(x, name),), name, 1, {"beta": beta})

    def residual(self, name: TensorName, h: NamedTensor, y: NamedTensor) -> NamedTensor:
        total = binary(self.g, "ADD", self._real(h), self._real(y), f"{name}/sum")
        normed = rms_norm(
            self.g, total, self.model.config.rms_norm_eps, f"{name}/real", mean_by_product
        )
        version = self.encoding(name).bits // 8
        return self.add_operator("QUANTIZE", (NamedValue(normed, name),), name, version, {})

    def each_head(self, part: Callable[[Head], NamedTensor], count: int) -> Sequence[NamedTensor]:
        return [part(head) for head in range(count)]

    def by_queries(self, part: Callable[[NamedTensor], NamedTensor], x: NamedTensor) -> NamedTensor:
        return self._in_chunks(part, (x,), self.chunks.queries)

    def by_tokens(self, part: Callable[..., NamedTensor], *xs: NamedTensor) -> NamedTensor:
        return self._in_chunks(part, xs, self.chunks.rows)

    def _in_chunks(
        self, part: Callable[..., NamedTensor], xs: Sequence[NamedTensor], size: int
    ) -> NamedTensor:
        cuts = chunk_ends(self.g.shape(xs[0].value)[POSITIONS], size)
        if len(cuts) == 1:
            return part(*xs)
        pieces = [
            part(*(self._some_rows(x, start, stop - start) for x in xs)) for start, stop in cuts
        ]
        return self._concatenated(pieces, POSITIONS, f"{pieces[0].name}/all")

    def _some_rows(self, x: NamedTensor, start: int, count: int) -> NamedTensor:
        return replace(x, value=self.rows(x.value, start, count, f"{x.value}/rows/{start}"))

    def _real(self, x: NamedTensor) -> str:
        version = self.encoding(x.name).bits // 8 + 1
        shapes, name = (self.g.shape(x.value),), f"{x.value}/real"
        return self.g.op("DEQUANTIZE", (x.value,), name, shapes, version=version)[0]


def chunk_ends(total: int, size: int) -> list[tuple[int, int]]:
    """Cut rows into as few pieces as `size` allows, of sizes as equal as can be."""
    count = -(-total // size)
    return list(pairwise(total * i // count for i in range(count + 1)))
