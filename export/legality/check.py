"""Refuses what a target would refuse, and above all what it would compute wrong in silence.

`find_violations` compares every operator of a model with the table of what was measured for the
target's kernels (tflite_table.py, onnx_table.py) and with what depends on more than types:

    a hybrid filter that uses the most negative integer (-8, -128)    LiteRT's builtin kernels
                                                                      negate it: garbage
    zero points in a filter with a scale per channel                  ignored: garbage
    CONCATENATION of more than 10 tensors                             TFLM refuses it
    an operator version that is too low, or newer than the runtime
    ONNX's uint8 x int8 with integers over 64                         x86 without VNNI saturates

AI Hub runs LiteRT, on phones; its model zoo's rule for TFLite is float or 8-bit weights with
8-bit inputs, and nothing else is accepted. Operators that the table lacks are refused: they were
measured nowhere. `check_legality` raises with all violations. Not here: the measured data (the
tables), and whether a scheme fits a target at all (lowering/storage.py).
"""

from collections.abc import Callable, Iterator

from export.graph.ir import DType, Graph, GraphModel, Op, Tensor
from export.legality.onnx_table import find_onnx_violations
from export.legality.tflite_table import (
    BUILTIN,
    NEWEST,
    ROWS,
    RUNTIME,
    TFLM,
    XNNPACK,
    Support,
    Use,
    Violation,
)
from export.targets import Kernels, Target

MOST_CONCATENATED = 10  # inputs of CONCATENATION in TFLM
LOWEST = {DType.INT4: -8, DType.INT8: -128}
FILTERED = ("FULLY_CONNECTED", "CONV_2D")


def check_legality(model: GraphModel, target: Target) -> None:
    """Refuse a model that a target does not compute right.

    Raises:
      ValueError: with every violation, the silent ones first.
    """
    violations = find_violations(model, target)
    if not violations:
        return
    violations.sort(key=lambda v: v.support is not Support.WRONG)
    texts = list(dict.fromkeys(map(str, violations)))
    more = f"\n  ... and {len(texts) - 8} more" if len(texts) > 8 else ""
    raise ValueError(
        f"target {target.value} does not compute this model right:\n  "
        + "\n  ".join(texts[:8])
        + more
    )


def find_violations(model: GraphModel, target: Target) -> list[Violation]:
    """List what a target does not compute right."""
    return FINDERS[target.facts.kernels](model, target)


def _find_tflite_violations(model: GraphModel, target: Target) -> list[Violation]:
    return [
        violation
        for graph in model.graphs
        for op in graph.ops
        for violation in _check_op(graph, op, target)
    ]


def use_of(graph: Graph, op: Op) -> Use:
    """Describe an operator by its types."""
    tensors = [graph.tensor(name) for name in op.inputs if name is not None]
    if op.code in FILTERED:
        x, kernel = tensors[:2]
        return Use(op.code, (x.dtype, kernel.dtype), _is_per_channel(kernel))
    if op.code in ("QUANTIZE", "DEQUANTIZE"):
        ends = (tensors[0].dtype, graph.tensor(op.outputs[0]).dtype)
        return Use(op.code, ends, _is_per_channel(tensors[0]))
    computed = [t for t in tensors if t.data is None] or tensors
    return Use(op.code, (computed[0].dtype,))


def _check_op(graph: Graph, op: Op, target: Target) -> Iterator[Violation]:
    use = use_of(graph, op)
    subject = op.inputs[1] if op.code in FILTERED else op.outputs[0]
    for support, reason, instead in _check_use(graph, op, use, target):
        yield Violation(
            graph=graph.name,
            tensor=str(subject),
            use=use,
            support=support,
            reason=reason,
            instead=instead,
        )


def _check_use(
    graph: Graph, op: Op, use: Use, target: Target
) -> Iterator[tuple[Support, str, str]]:
    """Check an operator against the table, the target's own rule, and what types do not show.

    Yields:
      What the target does, why, and what to use instead, if anything.
    """
    row = ROWS.get(use)
    if row is None:
        yield Support.REFUSED, "it was measured on no runtime (tflite_table.py)", ""
        return
    kernels = target.facts.kernels
    if op.version < row.since:
        reason = f"version {op.version} means other types, {row.since} means these"
        yield Support.WRONG, reason, row.instead or f"version {row.since}"
    elif row.support(kernels) is not Support.RIGHT:
        yield row.support(kernels), row.why, row.instead
    elif op.version > (newest := _newest(op, kernels)):
        reason = f"it knows versions up to {newest}, this is {op.version}"
        yield Support.REFUSED, reason, f"version {row.since}"
    if target.facts.w8a8_only and not _is_w8a8(use):
        rule = "AI Hub's rule for TFLite is float, or 8-bit weights with 8-bit inputs"
        yield Support.REFUSED, rule, "w8c-sym_a8s-cells-fold, or fp32"
    yield from _check_values(graph, op, use, kernels)


def _newest(op: Op, kernels: Kernels) -> int:
    """Look up the newest version that a runtime loads."""
    if op.is_custom:
        return op.version
    litert, tflite_runtime = NEWEST[op.code]
    return {TFLM: op.version, RUNTIME: tflite_runtime}.get(kernels, litert)


def _check_values(
    graph: Graph, op: Op, use: Use, kernels: Kernels
) -> Iterator[tuple[Support, str, str]]:
    """Check what types do not show."""
    if op.code == "CONCATENATION" and kernels is TFLM and len(op.inputs) > MOST_CONCATENATED:
        reason = f"{len(op.inputs)} tensors, at most {MOST_CONCATENATED} are taken"
        yield Support.REFUSED, reason, "a tree of smaller ones"
    if op.code not in FILTERED:
        return
    kernel = graph.tensor(str(op.inputs[1]))
    if kernel.quant is None or kernel.data is None:
        return
    hybrid = use.types[0] is DType.FLOAT32
    if kernel.quant.zero_point.any() and (hybrid or use.per_channel):
        reason = "the kernel ignores the filter's zero points, or refuses them"
        yield Support.WRONG, reason, "q - z as the integers, or a rank-one correction"
    lowest = LOWEST.get(kernel.dtype)
    if hybrid and kernels in (BUILTIN, RUNTIME) and (kernel.data == lowest).any():
        reason = f"the builtin kernel negates weights, and the filter holds {lowest}"
        yield Support.WRONG, reason, f"a symmetric grid, or target {Target.LITERT.value}"


def _is_w8a8(use: Use) -> bool:
    static = all(t in (DType.FLOAT32, DType.INT8) for t in use.types)
    return static and (use.code not in FILTERED or use.types[0] is use.types[1])


def _is_per_channel(tensor: Tensor) -> bool:
    return tensor.quant is not None and tensor.quant.scale.size > 1


FINDERS: dict[Kernels, Callable[[GraphModel, Target], list[Violation]]] = {
    **dict.fromkeys((XNNPACK, BUILTIN, RUNTIME, TFLM), _find_tflite_violations),
    Kernels.ONNX_RUNTIME: lambda model, target: find_onnx_violations(model),
}
