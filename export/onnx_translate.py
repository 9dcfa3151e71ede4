"""Operator graphs from the TFLite schema's words into ONNX's: the same names, integers, ranges.

    QUANTIZE, DEQUANTIZE, integer results     QuantizeLinear, DequantizeLinear (QDQ)
    FULLY_CONNECTED                           MatMul with the filter as (inputs, outputs)
    its DEQUANTIZE(filter)                    DequantizeLinear, or Cast from float16
    RSQRT                                     Sqrt, Reciprocal
    BATCH_MATMUL (adj_y)                      Transpose, MatMul; two Transposes become one
    SIN, COS, MUL of constants                a constant

An operator between integers is DequantizeLinear, the float operator, QuantizeLinear: what
runtimes fuse. Integers of activations move to the unsigned types that Qualcomm's NPUs take,
(q, z) to (q + 128, z + 128) or by 32768, which leaves s (q - z) as it is; those of filters stay
signed. Left out: dynamic products (ONNX has no range per row), CONV_2D, bytes (onnx_file.py).
"""

import dataclasses
from collections.abc import Mapping

from export.graph import Graph, Model
from export.onnx_builder import Translation
from export.onnx_operators import step

OUT = "_out"


def translate(model: Model) -> Model:
    """Translate every graph.

    Raises:
      ValueError: an operator that has no ONNX form here; the message names it.
    """
    return dataclasses.replace(model, graphs=tuple(map(translate_graph, model.graphs)))


def translate_graph(graph: Graph) -> Graph:
    """Translate one graph; its ends are called as in its signature.

    ONNX wants different names for what goes in and what comes out: an output that is called
    like an input gets OUT behind its name.

    Raises:
      ValueError: as `translate`.
    """
    t = Translation(graph)
    for tensor in graph.inputs.values():
        t.real[tensor] = t.g.input(tensor, graph.tensor(tensor).shape)
    for op in graph.ops:
        step(t, op)
    outputs = {name: t.value(tensor) for name, tensor in graph.outputs.items()}
    names = {tensor: name for name, tensor in graph.inputs.items()}
    for name, tensor in outputs.items():
        names[tensor] = name + OUT * (name in graph.inputs)
    return without_unused(renamed(t.g.finish(graph.inputs, outputs), names))


def signature_name(tensor: str, inputs: Mapping[str, str]) -> str:
    """Read the name of an output in the signature off its tensor's."""
    plain = tensor.removesuffix(OUT)
    return plain if plain in inputs else tensor


def renamed(graph: Graph, names: Mapping[str, str]) -> Graph:
    """Call tensors otherwise.

    Raises:
      ValueError: two tensors would get one name.
    """

    def name(old: str) -> str:
        return names.get(old, old)

    return Graph(
        name=graph.name,
        tensors=tuple(dataclasses.replace(t, name=name(t.name)) for t in graph.tensors),
        ops=tuple(
            dataclasses.replace(
                op,
                inputs=tuple(None if n is None else name(n) for n in op.inputs),
                outputs=tuple(map(name, op.outputs)),
            )
            for op in graph.ops
        ),
        inputs={key: name(tensor) for key, tensor in graph.inputs.items()},
        outputs={key: name(tensor) for key, tensor in graph.outputs.items()},
    )


def without_unused(graph: Graph) -> Graph:
    """Leave out what no output needs: transpositions that went into another one."""
    needed = set(graph.outputs.values())
    ops = []
    for op in reversed(graph.ops):
        if needed & set(op.outputs):
            ops.append(op)
            needed |= {name for name in op.inputs if name is not None}
            needed |= set(op.outputs)
    kept = needed | set(graph.inputs.values())
    tensors = tuple(t for t in graph.tensors if t.name in kept)
    return dataclasses.replace(graph, tensors=tensors, ops=tuple(reversed(ops)))
