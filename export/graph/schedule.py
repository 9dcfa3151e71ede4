"""The order of a graph's operators: results are computed when they are needed, not before.

TFLM runs operators as they stand in the file and plans memory by it: of a SwiGLU written down as
gate, up, sigmoid, silu, product, four tensors lie in the arena at a time, of gate, sigmoid, silu,
up, product three.

Not here: where a tensor lies (TFLM's planner), and orders that share nothing with the one written
down.
"""

import dataclasses
import math

from export.graph.ir import Graph, Op, Tensor

ALIGNMENT = 16  # bytes, of tensors in an arena


def scheduled(graph: Graph) -> Graph:
    """Choose the order with the smaller peak: as written, or every result late."""
    return min(graph, late(graph), key=peak_bytes)  # of equals the first


def late(graph: Graph) -> Graph:
    """Put every operator before the first that needs it, with what it needs itself before it.

    Operators that no output needs are dropped.
    """
    makers = {name: op for op in graph.ops for name in op.outputs}
    ops: dict[int, Op] = {}
    last = [makers[name] for name in graph.outputs.values() if name in makers]
    waiting = [(op, False) for op in reversed(last)]
    while waiting:
        op, has_inputs = waiting.pop()
        if id(op) in ops:
            continue
        if has_inputs:
            ops[id(op)] = op
            continue
        waiting.append((op, True))
        needed = [makers[name] for name in op.inputs if name in makers]
        waiting += [(maker, False) for maker in reversed(needed)]
    return dataclasses.replace(graph, ops=tuple(ops.values()))


def peak_bytes(graph: Graph) -> int:
    """Count the bytes in an arena at the worst moment: no plan takes less."""
    sizes = {t.name: _bytes(t) for t in graph.tensors if t.data is None}
    spans: dict[str, list[int]] = {name: [0, 0] for name in graph.inputs.values()}
    for i, op in enumerate(graph.ops):
        for name in (*op.inputs, *op.outputs):
            if name in sizes:
                spans.setdefault(name, [i, i])[1] = i
    for name in graph.outputs.values():
        spans[name][1] = len(graph.ops) - 1
    changes = [0] * (len(graph.ops) + 1)
    for name, (first, last) in spans.items():
        changes[first] += sizes[name]
        changes[last + 1] -= sizes[name]
    live, peak = 0, 0
    for change in changes:
        live += change
        peak = max(peak, live)
    return peak


def _bytes(tensor: Tensor) -> int:
    size = math.prod(tensor.shape) * tensor.dtype.bits // 8
    return -(-size // ALIGNMENT) * ALIGNMENT
