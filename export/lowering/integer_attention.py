"""Operators of quant/integer/network.py as tensors and records of a graph, for TFLM.

Memory decides the shape of the graph: a head's scores exist for `Chunks.queries` rows at a time,
what lies behind the heads for `Chunks.rows` tokens. A tensor's other width is made once and kept.
The same operators serve a block in one graph (model.py) and one that is cut (stages.py).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from export.graph.builder import batch_matmul, binary, split
from export.lowering.float_block import rms_norm
from export.lowering.integer_block import POSITIONS, GraphOps, concatenated
from export.lowering.integer_matmul import dtype_of, quant_of
from quant.integer.attention_operators import ROTARY_NAME, integer_tables, other_width
from quant.integer.operators import NamedValue
from trm_jax.config import ReasonerConfig


@dataclass(frozen=True)
class AttentionGraph(GraphOps):
    """Operators that are written down; a value is the name of its tensor.

    Attributes:
      casts: integers of another width, by tensor and encoding.
    """

    casts: dict[tuple[str, str], NamedValue] = field(default_factory=dict)

    def rows_of(self, tensor: str, name: str, rows: int) -> NamedValue:
        """Declare rows that are fed, in the encoding of `name`; four axes, one puzzle."""
        means = self.model.encodings[name]
        shape = (1, 1, rows, self.model.config.hidden_size)
        return NamedValue(self.g.input(tensor, shape, dtype_of(means), quant_of(means)), name)

    def linear(self, name: str, x: NamedValue) -> NamedValue:
        return super().linear(name, self._cast(x, name))

    def gate_up(self, name: str, x: NamedValue, part: slice) -> tuple[NamedValue, NamedValue]:
        return super().gate_up(name, self._cast(x, name), part)

    def add(self, name: str, a: NamedValue, b: NamedValue) -> NamedValue:
        return super().add(name, self._cast(a, name), self._cast(b, name))

    def multiply(self, name: str, a: NamedValue, b: NamedValue) -> NamedValue:
        return super().multiply(name, self._cast(a, name), self._cast(b, name))

    def logistic(self, name: str, x: NamedValue) -> NamedValue:
        return super().logistic(name, self._cast(x, name))

    def rotate(self, name: str, x: NamedValue, config: ReasonerConfig) -> NamedValue:
        means = self.model.encodings[ROTARY_NAME]
        tables = zip(("cos", "sin"), integer_tables(config, means.bits), strict=True)
        cos, sin = (
            NamedValue(
                self.g.constant(
                    f"{ROTARY_NAME}/{end}", table[None], dtype_of(means), quant_of(means)
                ),
                ROTARY_NAME,
            )
            for end, table in tables
        )
        x = self._cast(x, name)
        along = self.multiply(f"{name}/cos", x, cos)
        first, second = split(self.g, x.value, 2, f"{x.value}/halves")
        turned = concatenated(self.g, (second, first), -1, f"{name}/swapped")
        across = self.multiply(f"{name}/sin", x._replace(value=turned), sin)
        return self.add(name, along, across)

    def matmul(self, name: str, a: NamedValue, b: NamedValue) -> NamedValue:
        means, first, second = self.model.encodings[name], self._cast(a, name), self._cast(b, name)
        made = batch_matmul(
            self.g, first.value, second.value, name, dtype=dtype_of(means), quant=quant_of(means)
        )
        return NamedValue(made, name)

    def softmax(self, name: str, x: NamedValue, beta: float) -> NamedValue:
        return self.made("SOFTMAX", (self._cast(x, name),), name, 1, {"beta": beta})

    def residual(self, name: str, h: NamedValue, y: NamedValue) -> NamedValue:
        total = binary(self.g, "ADD", self._real(h), self._real(y), f"{name}/sum")
        normed = rms_norm(self.g, total, self.model.config, f"{name}/real")
        version = self.model.encodings[name].bits // 8
        return self.made("QUANTIZE", (NamedValue(normed, name),), name, version, {})

    def each_head(self, part: Callable[[str], NamedValue], count: int) -> Sequence[NamedValue]:
        return [part(str(i)) for i in range(count)]

    def by_queries(self, part: Callable[[NamedValue], NamedValue], x: NamedValue) -> NamedValue:
        return self._in_chunks(part, (x,), self.chunks.queries)

    def by_tokens(self, part: Callable[..., NamedValue], *xs: NamedValue) -> NamedValue:
        return self._in_chunks(part, xs, self.chunks.rows)

    def _in_chunks(
        self, part: Callable[..., NamedValue], xs: Sequence[NamedValue], size: int
    ) -> NamedValue:
        cuts = chunk_ends(self.g.shape(xs[0].value)[POSITIONS], size)
        if len(cuts) == 1:
            return part(*xs)
        pieces = [
            part(
                *(
                    x._replace(
                        value=self.rows(x.value, start, stop - start, f"{x.value}/rows/{start}")
                    )
                    for x in xs
                )
            )
            for start, stop in cuts
        ]
        values = [piece.value for piece in pieces]
        made = concatenated(self.g, values, POSITIONS, f"{pieces[0].name}/all")
        return pieces[0]._replace(value=made)

    def _cast(self, x: NamedValue, like: str) -> NamedValue:
        bits = self.model.encodings[like].bits
        if self.model.encodings[x.name].bits == bits:
            return x
        name = other_width(x.name, bits)
        if (x.value, name) not in self.casts:
            self.casts[x.value, name] = self.made("QUANTIZE", (x,), name, 2, {})
        return self.casts[x.value, name]

    def _real(self, x: NamedValue) -> str:
        version = self.model.encodings[x.name].bits // 8 + 1
        shapes, name = (self.g.shape(x.value),), f"{x.value}/real"
        return self.g.op("DEQUANTIZE", (x.value,), name, shapes, version=version)[0]


def chunk_ends(total: int, size: int) -> list[tuple[int, int]]:
    """Cut rows into as few pieces as `size` allows, of sizes as equal as can be."""
    count = -(-total // size)
    return list(pairwise(total * i // count for i in range(count + 1)))
