"""C++ sources of a TFLM package: graphs as arrays, the operator resolver, sizes.

    g_NAME_model_data.h/.cc   a graph's .tflite bytes, aligned to 16, in section `.model` (flash)
    trm_op_resolver.h         a resolver with exactly the operators used
    trm_package.h/.cc         model id, which graph does what, arena size (tflm/tflm_package.h)

Left out: writing them (micro.py); the code that uses them (firmware/tflm).
"""

from collections.abc import Iterable, Mapping

from export.graph import Model, Op

BYTES_PER_LINE = 16
METHODS = {
    "ABS": "Abs", "ADD": "Add", "BATCH_MATMUL": "BatchMatMul", "CAST": "Cast",
    "CONCATENATION": "Concatenation", "CONV_2D": "Conv2D", "COS": "Cos",
    "DEQUANTIZE": "Dequantize", "DIV": "Div", "EXP": "Exp", "EXPAND_DIMS": "ExpandDims",
    "FULLY_CONNECTED": "FullyConnected", "LOGISTIC": "Logistic", "MAXIMUM": "Maximum",
    "MEAN": "Mean", "MINIMUM": "Minimum", "MUL": "Mul", "NEG": "Neg", "PACK": "Pack",
    "PAD": "Pad", "QUANTIZE": "Quantize", "RELU": "Relu", "RESHAPE": "Reshape",
    "RSQRT": "Rsqrt", "SIN": "Sin", "SLICE": "Slice", "SOFTMAX": "Softmax", "SPLIT": "Split",
    "SPLIT_V": "SplitV", "SQUEEZE": "Squeeze", "STRIDED_SLICE": "StridedSlice", "SUB": "Sub",
    "SUM": "Sum", "TRANSPOSE": "Transpose", "UNPACK": "Unpack",
}  # fmt: skip
"""Builtin operator -> method of the resolver, without its Add."""
CUSTOM_METHODS = {"TFLM_DECODE": "Decode"}


def methods_of(models: Iterable[Model]) -> list[str]:
    """List the resolver's methods for the operators of some models, sorted, each once.

    Raises:
      ValueError: TFLM has no such operator.
    """
    ops = [op for model in models for graph in model.graphs for op in graph.ops]
    return sorted({_method(op) for op in ops})


def _method(op: Op) -> str:
    table = CUSTOM_METHODS if op.is_custom else METHODS
    if op.code not in table:
        raise ValueError(
            f"no TFLM operator is known for {op.code!r}; known: {', '.join(sorted(table))}"
        )
    return f"Add{table[op.code]}"


def model_header(name: str) -> str:
    """Declare a graph's array."""
    guard = f"TRM_{name.upper()}_MODEL_DATA_H"
    return (
        f"#ifndef {guard}\n#define {guard}\n\n"
        f"extern const unsigned int g_{name}_model_data_size;\n"
        f"extern const unsigned char g_{name}_model_data[];\n\n#endif\n"
    )


def model_source(name: str, data: bytes) -> str:
    """Define a graph's array."""
    pieces = (data[i : i + BYTES_PER_LINE] for i in range(0, len(data), BYTES_PER_LINE))
    lines = "\n".join("    " + "".join(f"{byte}," for byte in piece) for piece in pieces)
    return (
        f'#include "g_{name}_model_data.h"\n\n'
        f"const unsigned int g_{name}_model_data_size = {len(data)};\n"
        f'alignas(16) __attribute__((section(".model")))\n'
        f"const unsigned char g_{name}_model_data[] = {{\n{lines}\n}};\n"
    )


def resolver_header(methods: list[str]) -> str:
    """Define the resolver; a failure names the operator by its number from 1."""
    adds = "".join(
        f"  if (resolver.{method}() != kTfLiteOk) return {i};\n"
        for i, method in enumerate(methods, 1)
    )
    return (
        "#ifndef TRM_OP_RESOLVER_H\n#define TRM_OP_RESOLVER_H\n\n"
        '#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"\n\n'
        f"#define TRM_OPERATORS {len(methods)}\n\n"
        "using TrmOpResolver = tflite::MicroMutableOpResolver<TRM_OPERATORS>;\n\n"
        "/* Returns 0, or the number of the operator that this TFLM lacks. */\n"
        f"inline int RegisterOperators(TrmOpResolver &resolver) {{\n{adds}  return 0;\n}}\n\n"
        "#endif\n"
    )


def package_header(arena_bytes: int, state_bytes: int) -> str:
    """State the sizes."""
    return (
        "#ifndef TRM_PACKAGE_H\n#define TRM_PACKAGE_H\n\n"
        f"#define TRM_ARENA_BYTES {arena_bytes} /* measured, margin included */\n"
        f"#define TRM_STATE_BYTES {state_bytes} /* z_H, z_L, a row, a line */\n\n#endif\n"
    )


def package_source(model_id: bytes, roles: Mapping[str, str]) -> str:
    """Name the graphs.

    Args:
      roles: update_L, update_H, head -> graph.
    """
    graphs = sorted(set(roles.values()))
    includes = "".join(f'#include "g_{graph}_model_data.h"\n' for graph in graphs)
    numbers = ", ".join(str(byte) for byte in model_id)
    members = ", ".join(f"g_{roles[role]}_model_data" for role in ("update_L", "update_H", "head"))
    return (
        f'#include "tflm_package.h"\n\n{includes}\n'
        f"static const uint8_t model_id[] = {{{numbers}}};\n"
        f"const TflmPackage g_package = {{model_id, {members}}};\n"
    )
