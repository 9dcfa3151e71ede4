"""Models to .tflite bytes, by the schema in ai-edge-litert.

Byte format (TFLite schema version 3, file identifier TFL3): one flatbuffer table `Model`.

    buffers[0]      empty: of every tensor that has no data
    buffers[1...]   elements little endian in row-major order, int4 two to a byte (low nibble
                    first, quant/packing.py), aligned to 16 bytes; equal bytes once
    metadata        name -> buffer

Weights are always inside the flatbuffer: TFLM takes external buffers for activations and computes
garbage.

Not here: control flow, sparsity, block-wise scales, external buffers and strings; reading
(tflite_reader.py) refuses them, so what was read can be written without loss.
"""

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from export.graph.ir import Graph, GraphModel, Op, Tensor
from export.graph.tflite_schema import IDENTIFIER, OPTIONS, PLAIN, encode

ALIGNMENT = 16  # bytes; SIMD kernels read weights in place


class AlignedBuffer(schema.BufferT):
    """A buffer whose bytes start at a multiple of ALIGNMENT; of 4 if they are fewer."""

    def Pack(self, builder: flatbuffers.Builder) -> int:
        """Write bytes and table (the generated code's hook, hence its name)."""
        data = None
        if self.data is not None:
            content = bytes(self.data)
            builder.StartVector(1, len(content), ALIGNMENT if len(content) >= ALIGNMENT else 4)
            builder.head -= len(content)
            builder.Bytes[builder.head : builder.head + len(content)] = content
            data = builder.EndVector()
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


class SharingBuilder(flatbuffers.Builder):
    """Writes equal vectors and strings once.

    A zero point takes 8 bytes where a row of 97 int4 weights takes 49: the zeros of symmetric
    filters, and the scales that several graphs use, are worth sharing.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.offsets: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: np.ndarray) -> int:
        key = (x.dtype.str, x.tobytes())
        if key not in self.offsets:
            self.offsets[key] = super().CreateNumpyVector(x)
        return self.offsets[key]

    def CreateString(self, s: str, encoding: str = "utf-8", errors: str = "strict") -> int:
        key = ("text", s.encode(encoding, errors))
        if key not in self.offsets:
            self.offsets[key] = super().CreateString(s, encoding, errors)
        return self.offsets[key]


class Buffers:
    """The buffers of a file: equal bytes get one index."""

    def __init__(self) -> None:
        self.contents: dict[bytes, int] = {b"": 0}

    def index(self, content: bytes) -> int:
        """Find or add a buffer."""
        return self.contents.setdefault(content, len(self.contents))

    def tables(self) -> list[schema.BufferT]:
        return [AlignedBuffer(data=content or None) for content in self.contents]


def write_graph(graph: Graph) -> bytes:
    """Write a .tflite file of one graph: what TFLM's interpreter, boards and Vela are given.

    Raises:
      ValueError: as `write_tflite`.
    """
    return write_tflite(GraphModel(graphs=(graph,)))


def write_tflite(model: GraphModel) -> bytes:
    """Write a .tflite file: its bytes; equal models give equal bytes.

    Raises:
      ValueError: an operator is unknown, or has options that the schema does not.
    """
    buffers, codes = Buffers(), {}
    subgraphs = [_write_graph(graph, buffers, codes) for graph in model.graphs]
    table = schema.ModelT(
        version=3,
        operatorCodes=[_write_code(*key) for key in codes],
        subgraphs=subgraphs,
        description=model.description,
        metadata=[
            schema.MetadataT(name=name, buffer=buffers.index(content))
            for name, content in model.metadata.items()
        ],
        signatureDefs=[_write_signature(i, graph) for i, graph in enumerate(model.graphs)],
    )
    table.buffers = buffers.tables()
    builder = SharingBuilder(1024 + sum(map(len, buffers.contents)))
    builder.Finish(table.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def _write_graph(
    graph: Graph, buffers: Buffers, codes: dict[tuple[str, bool, int], int]
) -> schema.SubGraphT:
    index = {tensor.name: i for i, tensor in enumerate(graph.tensors)}
    operators = []
    for op in graph.ops:
        code = codes.setdefault((op.code, op.is_custom, op.version), len(codes))
        inputs = [-1 if name is None else index[name] for name in op.inputs]
        operators.append(_write_op(op, code, inputs, [index[name] for name in op.outputs]))
    return schema.SubGraphT(
        name=graph.name,
        tensors=[_write_tensor(tensor, buffers) for tensor in graph.tensors],
        operators=operators,
        inputs=np.asarray([index[name] for name in graph.inputs.values()], np.int32),
        outputs=np.asarray([index[name] for name in graph.outputs.values()], np.int32),
    )


def _write_tensor(tensor: Tensor, buffers: Buffers) -> schema.TensorT:
    content = b"" if tensor.data is None else encode(tensor.data, tensor.dtype)
    quant = tensor.quant
    return schema.TensorT(
        name=tensor.name,
        shape=np.asarray(tensor.shape, np.int32),
        type=getattr(schema.TensorType, tensor.dtype.value),
        buffer=buffers.index(content),
        hasRank=True,
        quantization=None
        if quant is None
        else schema.QuantizationParametersT(
            scale=np.asarray(quant.scale, "<f4"),
            zeroPoint=np.asarray(quant.zero_point, "<i8"),
            quantizedDimension=quant.axis or 0,
        ),
    )


def _write_op(op: Op, code: int, inputs: list[int], outputs: list[int]) -> schema.OperatorT:
    table = schema.OperatorT(
        opcodeIndex=code, inputs=np.asarray(inputs, np.int32), outputs=np.asarray(outputs, np.int32)
    )
    if op.custom_options is not None:
        table.customOptions = list(op.custom_options)
        return table
    if op.code not in OPTIONS and op.code not in PLAIN:
        raise ValueError(f"unknown operator {op.code!r}; known: {', '.join([*OPTIONS, *PLAIN])}")
    fields: dict[str, Any] = {}
    if name := OPTIONS.get(op.code):
        options = getattr(schema, f"{name}T")()
        fields, table.builtinOptions = vars(options), options
        table.builtinOptionsType = getattr(schema.BuiltinOptions, name)
    if unknown := sorted(set(op.options) - set(fields)):
        raise ValueError(f"{op.code} has no options {unknown}; it has: {sorted(fields)}")
    for field, value in op.options.items():
        fields[field] = np.asarray(value, np.int32) if isinstance(value, tuple) else value
    return table


def _write_code(code: str, is_custom: bool, version: int) -> schema.OperatorCodeT:
    name = "CUSTOM" if is_custom else code
    number = getattr(schema.BuiltinOperator, name)
    return schema.OperatorCodeT(
        builtinCode=number,
        deprecatedBuiltinCode=min(number, 127),  # all that readers before schema 3a know
        customCode=code if is_custom else None,
        version=version,
    )


def _write_signature(i: int, graph: Graph) -> schema.SignatureDefT:
    index = {tensor.name: i for i, tensor in enumerate(graph.tensors)}

    def maps(names: Any) -> list[schema.TensorMapT]:
        return [schema.TensorMapT(name=k, tensorIndex=index[v]) for k, v in names.items()]

    return schema.SignatureDefT(
        signatureKey=graph.name,
        subgraphIndex=i,
        inputs=maps(graph.inputs),
        outputs=maps(graph.outputs),
    )
