"""Operator graphs as plain records: what lowering builds, the writer stores, legality reads.

The terms are the TFLite schema's: a model holds graphs (subgraphs, each with one signature), a
graph holds tensors and operators. Tensors are named, and operators refer to them by name.

Not here: bytes (tflite_writer.py), what the operators mean (lowering/model.py), what runs them
(legality/check.py).
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

OptionValue = bool | int | float | tuple[int, ...]


class DType(enum.Enum):
    """Element types, by the schema's names."""

    FLOAT32 = "FLOAT32"
    FLOAT16 = "FLOAT16"
    FLOAT64 = "FLOAT64"
    BOOL = "BOOL"
    INT2 = "INT2"
    INT4 = "INT4"
    INT8 = "INT8"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"
    UINT8 = "UINT8"
    UINT16 = "UINT16"
    UINT32 = "UINT32"

    @property
    def bits(self) -> int:
        """Width of a stored element."""
        return {DType.INT2: 2, DType.INT4: 4}.get(self, self.numpy.itemsize * 8)

    @property
    def numpy(self) -> np.dtype:
        """Element type in memory; INT4 and INT2 take an int8 each."""
        name = {DType.INT2: "int8", DType.INT4: "int8"}.get(self, self.value.lower())
        return np.dtype(name).newbyteorder("<")


@dataclass(frozen=True, kw_only=True, eq=False)
class Quant:
    """Real value = (q - zero_point) * scale.

    Attributes:
      scale: float32, one element or one per index of `axis`.
      zero_point: int64, as many.
      axis: of the tensor; None for one scale per tensor.

    Raises:
      ValueError: scale and zero point differ in length, or there are several without an axis.
    """

    scale: np.ndarray
    zero_point: np.ndarray
    axis: int | None = None

    def __post_init__(self) -> None:
        lengths = (self.scale.shape, self.zero_point.shape)
        if self.scale.ndim != 1 or lengths[0] != lengths[1]:
            raise ValueError(f"scale and zero_point must be vectors of one length, got {lengths}")
        if self.axis is None and self.scale.size != 1:
            raise ValueError(f"{self.scale.size} scales need an axis, got axis=None")


@dataclass(frozen=True, kw_only=True, eq=False)
class Tensor:
    """A value of a graph.

    Attributes:
      name: unique in its graph; constants have the site's name, `L_level/.../kernel`.
      data: elements of a constant, of `dtype.numpy`; None: computed, or an input.
      quant: grid of integers; None for plain numbers.

    Raises:
      ValueError: data of another shape or type.
    """

    name: str
    shape: tuple[int, ...]
    dtype: DType = DType.FLOAT32
    data: np.ndarray | None = None
    quant: Quant | None = None

    def __post_init__(self) -> None:
        if self.data is None:
            return
        if self.data.shape != self.shape or self.data.dtype != self.dtype.numpy:
            raise ValueError(
                f"tensor {self.name!r} is {self.dtype.value} {self.shape},"
                f" its data is {self.data.dtype} {self.data.shape}"
            )


@dataclass(frozen=True, kw_only=True)
class Op:
    """One operator.

    Attributes:
      code: builtin operator of the schema, `FULLY_CONNECTED`, or the name of a custom one.
      version: of the operator, which runtimes check; a wrong one computes silent garbage.
      inputs: tensor names; None where an optional input is absent.
      options: fields of the operator's options table that differ from the schema's defaults.
      custom_options: options of a custom operator; None means that `code` is builtin.
    """

    code: str
    inputs: tuple[str | None, ...]
    outputs: tuple[str, ...]
    version: int = 1
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    custom_options: bytes | None = None

    @property
    def is_custom(self) -> bool:
        return self.custom_options is not None


@dataclass(frozen=True, kw_only=True, eq=False)
class Graph:
    """A subgraph with its signature; operators are in order of execution.

    Attributes:
      name: of the signature: `block`, `head`, `step`.
      inputs, outputs: signature name -> tensor name, in the subgraph's order.

    Raises:
      ValueError: a name is used twice, or an operator or signature names an unknown tensor.
    """

    name: str
    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]

    def __post_init__(self) -> None:
        names: set[str] = set()
        for tensor in self.tensors:
            if tensor.name in names:
                raise ValueError(f"graph {self.name!r} has two tensors named {tensor.name!r}")
            names.add(tensor.name)
        used = [*self.inputs.values(), *self.outputs.values()]
        for op in self.ops:
            used += [name for name in (*op.inputs, *op.outputs) if name is not None]
        if missing := sorted(set(used) - names):
            raise ValueError(f"graph {self.name!r} uses unknown tensors: {', '.join(missing)}")

    def tensor(self, name: str) -> Tensor:
        """Look up a tensor.

        Raises:
          KeyError: no tensor of that name.
        """
        for tensor in self.tensors:
            if tensor.name == name:
                return tensor
        raise KeyError(name)


@dataclass(frozen=True, kw_only=True, eq=False)
class GraphModel:
    """What one .tflite file holds."""

    graphs: tuple[Graph, ...]
    description: str = ""
    metadata: Mapping[str, bytes] = field(default_factory=dict)

    def graph(self, name: str) -> Graph:
        """Look up a graph by its signature.

        Raises:
          ValueError: no graph of that name; the message lists the known ones.
        """
        for graph in self.graphs:
            if graph.name == name:
                return graph
        names = ", ".join(graph.name for graph in self.graphs)
        raise ValueError(f"no graph {name!r} in this model; it has: {names}")


def rename_tensors(graph: Graph, names: Mapping[str, str]) -> Graph:
    """Rename tensors; the signature's names stay.

    Args:
      names: old -> new; others keep theirs.

    Raises:
      ValueError: two tensors would get one name.
    """

    def name(old: str) -> str:
        return names.get(old, old)

    return Graph(
        name=graph.name,
        tensors=tuple(replace(t, name=name(t.name)) for t in graph.tensors),
        ops=tuple(
            replace(
                op,
                inputs=tuple(None if n is None else name(n) for n in op.inputs),
                outputs=tuple(map(name, op.outputs)),
            )
            for op in graph.ops
        ),
        inputs={key: name(tensor) for key, tensor in graph.inputs.items()},
        outputs={key: name(tensor) for key, tensor in graph.outputs.items()},
    )


def drop_unused(graph: Graph) -> Graph:
    """Drop operators and tensors that no output needs."""
    needed = set(graph.outputs.values())
    ops = []
    for op in reversed(graph.ops):
        if needed & set(op.outputs):
            ops.append(op)
            needed |= {name for name in op.inputs if name is not None}
            needed |= set(op.outputs)
    needed |= set(graph.inputs.values())
    tensors = tuple(t for t in graph.tensors if t.name in needed)
    return replace(graph, tensors=tensors, ops=tuple(reversed(ops)))
