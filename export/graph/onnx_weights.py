"""Which constants of ONNX graphs lie beside them, once for all: ONNX's external data.

A .onnx file holds one graph, and the graphs of a model may read the same matrices (prefill and
decode of a decoder). Such constants go to WEIGHTS_FILE, where every graph says their place; small
ones stay inside.

No package of ONNX is needed here: bytes are counted without one. Not here: writing and reading
(onnx_file.py).
"""

from collections import Counter

from export.graph.ir import Graph, GraphModel
from export.graph.tflite_schema import encode

WEIGHTS_FILE = "weights.bin"
SHARED_LEAST = 1024
"""Bytes from which on a constant of several graphs is worth a place of its own."""


def shared_contents(model: GraphModel) -> set[bytes]:
    """List the bytes of constants of at least SHARED_LEAST bytes that several graphs have."""
    counts = Counter(content for graph in model.graphs for content in _contents(graph))
    return {content for content, n in counts.items() if n > 1 and len(content) >= SHARED_LEAST}


def _contents(graph: Graph) -> set[bytes]:
    constants = [tensor for tensor in graph.tensors if tensor.data is not None]
    return {encode(t.data, t.dtype) for t in constants if t.data is not None}
