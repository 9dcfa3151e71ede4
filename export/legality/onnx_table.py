"""Which operators on which types ONNX Runtime's CPU kernels compute right: the measured ones.

Every use was run against onnx's reference evaluator, and products against NumPy
(tests/export/test_onnx.py repeats it), with onnxruntime 1.32 under the session options
of runtimes/onnx_runtime.py. What is not listed was not measured and is refused. Which products
of 8-bit integers are right depends on the CPU (onnxruntime 1.32, K = 4, 255 * 127):

    inputs x filter      AVX2, AVX-512    with VNNI, Arm
    uint8 x uint8        right            right
    uint8 x int8         saturates        right
    int8 x int8 (QDQ)    saturates        right             becomes uint8 x int8 on x86
    uint8 x int8, |q| at most 64          right everywhere

A file is for every CPU, so uint8 x int8 with larger integers is wrong here, whatever this CPU has;
docs/deploy-onnx.md says how that was measured. Not here: what QNN takes on a phone
(aihub/devices.py).
"""

from collections.abc import Iterator, Mapping

from export.graph.ir import DType, Graph, GraphModel, Op
from export.graph.onnx_translate import SAFE, is_safe
from export.legality.tflite_table import Support, Use, Violation

F32, F16, U8, U16 = DType.FLOAT32, DType.FLOAT16, DType.UINT8, DType.UINT16
I32 = DType.INT32
FLOAT_OPERATORS = (
    "Add",
    "Mul",
    "Div",
    "Max",
    "Min",
    "Sigmoid",
    "Exp",
    "Relu",
    "Sin",
    "Cos",
    "Sqrt",
    "Reciprocal",
    "ReduceMean",
    "ReduceSum",
    "ReduceMax",
    "Reshape",
    "Transpose",
    "Split",
    "Concat",
    "Slice",
    "Pad",
    "Softmax",
    "MatMul",
    "ScatterElements",
)
USES = {
    *(Use(code, (F32,)) for code in FLOAT_OPERATORS),
    Use("Cast", (F16, F32)),
    Use("Cast", (I32, F32)),
    Use("Add", (I32,)),
    Use("ScatterElements", (U8,)),
    *(Use("QuantizeLinear", (F32, dtype)) for dtype in (U8, U16)),
    *(Use("DequantizeLinear", (dtype, F32)) for dtype in (U8, U16)),
    Use("DequantizeLinear", (U8, F32), per_channel=True),
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
    makers = {name: op for op in graph.ops for name in op.outputs}
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
        elif op.code == "MatMul" and _saturates(graph, op, makers):
            yield Violation(
                graph=graph.name,
                tensor=str(op.inputs[1]),
                use=Use("MatMul", (U8, DType.INT8), per_channel=True),
                support=Support.WRONG,
                reason=f"pairs of products saturate on x86 without VNNI (|q| over {SAFE})",
                instead="uint8 filters with zero point 128; export again",
            )


def _saturates(graph: Graph, op: Op, makers: Mapping[str, Op]) -> bool:
    """Return whether a product is u8 x s8 with integers that some CPU saturates."""
    sources = [makers.get(str(name)) for name in op.inputs]
    if any(source is None or source.code != "DequantizeLinear" for source in sources):
        return False
    x, filter = (graph.tensor(str(source.inputs[0])) for source in sources if source)
    if filter.dtype is not DType.INT8 or x.dtype not in (U8, DType.INT8):
        return False
    return filter.data is None or not is_safe(filter.data)
