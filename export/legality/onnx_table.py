"""Which operators on which types ONNX Runtime's CPU kernels compute right: the measured ones.

Every use was run against onnx's reference evaluator, and products against NumPy
(tests/export/test_onnx.py repeats it), with onnxruntime 1.32 under the session options
of runtimes/onnx_runtime.py. What is not listed was not measured and is refused. Not here: what QNN
takes on a phone (aihub/devices.py).
"""

from collections.abc import Iterator

from export.graph.ir import DType, Graph, GraphModel, Op
from export.legality.tflite_table import Support, Use, Violation

F32, F16, U8, U16 = DType.FLOAT32, DType.FLOAT16, DType.UINT8, DType.UINT16
FLOAT_OPERATORS = (
    "Add",
    "Mul",
    "Div",
    "Max",
    "Min",
    "Sigmoid",
    "Exp",
    "Relu",
    "Sqrt",
    "Reciprocal",
    "ReduceMean",
    "ReduceSum",
    "Reshape",
    "Transpose",
    "Split",
    "Concat",
    "Slice",
    "Pad",
    "Softmax",
    "MatMul",
)
USES = {
    *(Use(code, (F32,)) for code in FLOAT_OPERATORS),
    Use("Cast", (F16, F32)),
    *(Use("QuantizeLinear", (F32, dtype)) for dtype in (U8, U16)),
    *(Use("DequantizeLinear", (dtype, F32)) for dtype in (U8, U16)),
    *(
        Use("DequantizeLinear", (dtype, F32), per_channel)
        for dtype in (DType.INT8, DType.INT4)
        for per_channel in (False, True)
    ),
}
CASTS = ("Cast", "QuantizeLinear", "DequantizeLinear")


def find_onnx_violations(model: GraphModel) -> list[Violation]:
    """List what ONNX Runtime was not measured to compute right."""
    return [violation for graph in model.graphs for violation in _check_graph(graph)]


def onnx_use_of(graph: Graph, op: Op) -> Use:
    """Describe an operator by its types."""
    tensors = [graph.tensor(name) for name in op.inputs if name is not None]
    if op.code in CASTS:
        ends = (tensors[0].dtype, graph.tensor(op.outputs[0]).dtype)
        return Use(op.code, ends, len(tensors) > 1 and tensors[1].shape != ())
    return Use(op.code, (tensors[0].dtype,))


def _check_graph(graph: Graph) -> Iterator[Violation]:
    for op in graph.ops:
        use = onnx_use_of(graph, op)
        if use not in USES:
            yield Violation(
                graph=graph.name,
                tensor=op.outputs[0],
                use=use,
                support=Support.REFUSED,
                reason="it was not measured in ONNX Runtime (onnx_table.py)",
                instead="",
            )
