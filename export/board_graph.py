"""A graph's file as a board gets it: nothing that only people and hosts read.

    names       a third of the records of a graph of many operators; TFLM asks for none, so tensors
                are called by their number
    scales      of integer biases: the input's times the filter's, which kernels with a scale per
                channel compute for themselves; 4 bytes a channel
    metadata    scheme, configuration, hash of the parameters: package.json says them

All of it stays in the export.
"""

import dataclasses
from collections.abc import Mapping

from export.flatbuffer import write
from export.graph import DType, Graph, Model, Op, Tensor

BIASED = ("CONV_2D", "FULLY_CONNECTED")
BIAS = 2  # input of theirs


def board_file(graph: Graph) -> bytes:
    """Write a graph as a .tflite of its own."""
    return write(Model(graphs=(bare(graph),)))


def bare(graph: Graph) -> Graph:
    """Leave out names and scales that no kernel reads."""
    names = {tensor.name: f"{i:x}" for i, tensor in enumerate(graph.tensors)}
    biases = {op.inputs[BIAS] for op in graph.ops if op.code in BIASED and len(op.inputs) > BIAS}

    def ends(known: Mapping[str, str]) -> dict[str, str]:
        return {key: names[name] for key, name in known.items()}

    return dataclasses.replace(
        graph,
        tensors=tuple(_bare(tensor, names, biases) for tensor in graph.tensors),
        ops=tuple(_reconnected(op, names) for op in graph.ops),
        inputs=ends(graph.inputs),
        outputs=ends(graph.outputs),
    )


def _bare(tensor: Tensor, names: Mapping[str, str], biases: set[str | None]) -> Tensor:
    known = tensor.name in biases and tensor.dtype in (DType.INT32, DType.INT64)
    per_channel = tensor.quant is not None and tensor.quant.scale.size > 1
    quant = None if known and per_channel else tensor.quant
    return dataclasses.replace(tensor, name=names[tensor.name], quant=quant)


def _reconnected(op: Op, names: Mapping[str, str]) -> Op:
    inputs = tuple(None if name is None else names[name] for name in op.inputs)
    return dataclasses.replace(op, inputs=inputs, outputs=tuple(names[n] for n in op.outputs))
