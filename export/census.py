"""Count what a model holds: bytes of weights, operators."""

from collections import Counter

from export.graph import Model, Tensor
from export.schema import encode


def weight_bytes(model: Model) -> int:
    """Count the bytes of all constants, each stored once, scales and zero points included."""
    stored: dict[bytes, int] = {}
    for graph in model.graphs:
        for tensor in graph.tensors:
            if tensor.data is not None:
                stored[encode(tensor.data, tensor.dtype)] = _bytes(tensor)
    return sum(stored.values())


def _bytes(tensor: Tensor) -> int:
    assert tensor.data is not None
    quant = tensor.quant
    around = (
        0
        if quant is None
        else quant.scale.size * 4 + int(quant.zero_point.any()) * (quant.zero_point.size)
    )
    return len(encode(tensor.data, tensor.dtype)) + around


def operators(model: Model) -> dict[str, dict[str, int]]:
    """Count the operators of every graph."""
    return {graph.name: dict(Counter(op.code for op in graph.ops)) for graph in model.graphs}
