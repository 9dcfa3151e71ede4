"""C++ sources of a board's package: graphs as arrays, the operator resolver, sizes.

    g_NAME_model_data.h/.cc   a graph's .tflite bytes, aligned to 16, in section `.model` (flash)
    trm_op_resolver.h         a resolver with exactly the operators used
    trm_package.h/.cc         model id, sizes and checksums of the graphs, which runs when, arena
                              size (tflm/tflm_package.h)

A board's .tflite leaves out what no kernel reads (`without_names`); the export keeps all of it:

    names       a third of the records of a graph of many operators; TFLM asks for none, so tensors
                are called by their number
    scales      of integer biases: the input's times the filter's, which kernels with a scale per
                channel compute for themselves; 4 bytes a channel
    metadata    scheme, configuration, hash of the parameters: package.json says them

Not here: putting the files together (package.py); the code that uses them (firmware/tflm).
"""

import dataclasses
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from export.graph.ir import DType, Graph, GraphModel, Op, Tensor, rename_tensors
from export.graph.tflite_writer import write_tflite
from export.lowering.stages import Partition

BIASED = ("CONV_2D", "FULLY_CONNECTED")
BIAS = 2  # input of theirs


BYTES_PER_LINE = 16
METHODS = {
    "ABS": "Abs",
    "ADD": "Add",
    "BATCH_MATMUL": "BatchMatMul",
    "CAST": "Cast",
    "CONCATENATION": "Concatenation",
    "CONV_2D": "Conv2D",
    "COS": "Cos",
    "DEQUANTIZE": "Dequantize",
    "DIV": "Div",
    "EXP": "Exp",
    "EXPAND_DIMS": "ExpandDims",
    "FULLY_CONNECTED": "FullyConnected",
    "LOGISTIC": "Logistic",
    "MAXIMUM": "Maximum",
    "MEAN": "Mean",
    "MINIMUM": "Minimum",
    "MUL": "Mul",
    "NEG": "Neg",
    "PACK": "Pack",
    "PAD": "Pad",
    "QUANTIZE": "Quantize",
    "RELU": "Relu",
    "RESHAPE": "Reshape",
    "RSQRT": "Rsqrt",
    "SIN": "Sin",
    "SLICE": "Slice",
    "SOFTMAX": "Softmax",
    "SPLIT": "Split",
    "SPLIT_V": "SplitV",
    "SQUEEZE": "Squeeze",
    "STRIDED_SLICE": "StridedSlice",
    "SUB": "Sub",
    "SUM": "Sum",
    "TRANSPOSE": "Transpose",
    "UNPACK": "Unpack",
}
"""Builtin operator -> method of the resolver, without its Add."""
CUSTOM_METHODS = {"TFLM_DECODE": "Decode"}


def write_board_graph(graph: Graph) -> bytes:
    """Write a graph as a .tflite of its own."""
    return write_tflite(GraphModel(graphs=(without_names(graph),)))


def without_names(graph: Graph) -> Graph:
    """Drop names and scales that no kernel reads."""
    biases = {op.inputs[BIAS] for op in graph.ops if op.code in BIASED and len(op.inputs) > BIAS}
    tensors = tuple(_without_bias_scales(t) if t.name in biases else t for t in graph.tensors)
    names = {tensor.name: f"{i:x}" for i, tensor in enumerate(graph.tensors)}
    return rename_tensors(dataclasses.replace(graph, tensors=tensors), names)


def _without_bias_scales(tensor: Tensor) -> Tensor:
    is_integer = tensor.dtype in (DType.INT32, DType.INT64)
    per_channel = tensor.quant is not None and tensor.quant.scale.size > 1
    return dataclasses.replace(tensor, quant=None) if is_integer and per_channel else tensor


def methods_of(models: Iterable[GraphModel]) -> list[str]:
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


def symbol(name: str) -> str:
    """Name a graph in C: layers_0/heads_0-1 is layers_0_heads_0_1."""
    return re.sub(r"\W", "_", name)


def model_header(name: str) -> str:
    """Declare a graph's array."""
    name = symbol(name)
    guard = f"TRM_{name.upper()}_MODEL_DATA_H"
    return (
        f"#ifndef {guard}\n#define {guard}\n\n"
        f"extern const unsigned int g_{name}_model_data_size;\n"
        f"extern const unsigned char g_{name}_model_data[];\n\n#endif\n"
    )


def model_source(name: str, data: bytes) -> str:
    """Define a graph's array."""
    name = symbol(name)
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


class Sizes(NamedTuple):
    """Bytes of SRAM that a package asks for.

    Attributes:
      states: carry and buffers, `work` included.
      work: the state that graphs of one update hand to each other.
    """

    arena: int
    states: int
    work: int


def package_header(sizes: Sizes, graphs: int) -> str:
    """State the sizes."""
    return (
        "#ifndef TRM_PACKAGE_H\n#define TRM_PACKAGE_H\n\n"
        f"#define TRM_ARENA_BYTES {sizes.arena} /* measured, margin included */\n"
        f"#define TRM_STATE_BYTES {sizes.states} /* z_H, z_L, work, a row, a line */\n"
        f"#define TRM_WORK_BYTES {sizes.work} /* between the graphs of an update */\n"
        f"#define TRM_GRAPHS {graphs}\n\n#endif\n"
    )


def package_source(
    model_id: bytes, files: Mapping[str, bytes], updates: Sequence[Sequence[Partition]]
) -> str:
    """Name the graphs and say in which order they run.

    Args:
      files: graph -> its .tflite, whose CRC-32 the firmware compares at the start; the last is
        the head.
      updates: stages that update z_L, and z_H.
    """
    graphs = list(files)
    includes = "".join(f'#include "g_{symbol(name)}_model_data.h"\n' for name in graphs)
    numbers = ", ".join(str(byte) for byte in model_id)
    arrays = "".join(
        f"    {{g_{symbol(name)}_model_data, {len(data)}, {zlib.crc32(data):#010x}}},\n"
        for name, data in files.items()
    )
    lists = "".join(
        f"static const trm_stage update_{role}[] = {{\n"
        + "".join(f"    {_stage(stage, graphs)},\n" for stage in stages)
        + "};\n"
        for role, stages in zip("LH", updates, strict=True)
    )
    sizes = ", ".join(f"{{update_{r}, {len(s)}}}" for r, s in zip("LH", updates, strict=True))
    return (
        f'#include "tflm_package.h"\n\n{includes}\n'
        f"static const uint8_t model_id[] = {{{numbers}}};\n"
        f"static const TflmGraph graphs[] = {{\n{arrays}}};\n{lists}"
        f"const TflmPackage g_package = {{model_id, graphs, {{{sizes}}}}};\n"
    )


def _stage(stage: Partition, graphs: Sequence[str]) -> str:
    """Write a trm_stage."""
    buffers = [buffer.value for buffer in stage.inputs.values()]
    fields = (
        graphs.index(stage.graph),
        len(buffers),
        len(stage.outputs),
        f"{{{', '.join(buffers)}}}",
        stage.to.value,
        stage.column,
    )
    return f"{{{', '.join(map(str, fields))}}}"
