"""Graphs of ONNX's operators to and from .onnx bytes: one file per graph, weights inside.

Large constants that several graphs have are external data of all of them, in one file beside them.

    opset 18   what float32 and 8-bit graphs need; 21 where int4 or uint16 appear
    ir_version 8 or 10, as those opsets came
    metadata   the model's entries, as metadata_props
    weights    raw data, little endian, int4 two to a byte (low nibble first)
    weights.bin  the same bytes of shared ones, each at a multiple of ALIGNED, zeros between

What is written passes onnx.checker with shape inference: declared shapes must be the inferred
ones. Reading trusts nothing: whatever is wrong with the bytes is one ValueError.

Not here: other external data, dynamic shapes, control flow; reading refuses them.
"""

from collections.abc import Iterable, Mapping
from typing import cast

import numpy as np
import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from onnx import TensorProto, helper, numpy_helper

from export.graph.ir import DType, Graph, GraphModel, Op, OptionValue, Tensor
from export.graph.onnx_translate import signature_name
from export.graph.onnx_weights import WEIGHTS_FILE, shared_contents
from export.graph.tflite_schema import encode

SUFFIX = ".onnx"
NEW_TYPES = {DType.INT4, DType.UINT16}
VERSIONS = {False: (18, 8), True: (21, 10)}
"""Opset and ir_version, by whether new types appear."""
TYPES = {
    DType.FLOAT32: TensorProto.FLOAT,
    DType.FLOAT16: TensorProto.FLOAT16,
    DType.INT4: TensorProto.INT4,
    DType.INT8: TensorProto.INT8,
    DType.UINT8: TensorProto.UINT8,
    DType.INT16: TensorProto.INT16,
    DType.UINT16: TensorProto.UINT16,
    DType.INT32: TensorProto.INT32,
    DType.INT64: TensorProto.INT64,
}
READ: dict[int, DType] = {int(number): dtype for dtype, number in TYPES.items()}


ALIGNED = 64
"""Bytes: where a shared constant may begin."""


def write_onnx(model: GraphModel) -> dict[str, bytes]:
    """Write every graph, and what they share: file name -> bytes.

    Raises:
      ValueError: onnx.checker refuses a graph.
    """
    protos = {f"{g.name}{SUFFIX}": _model_proto(g, model.metadata) for g in model.graphs}
    weights = _move_out(protos.values(), shared_contents(model))
    files = {name: _bytes_of(proto) for name, proto in protos.items()}
    return files | ({WEIGHTS_FILE: weights} if weights else {})


def write_onnx_graph(graph: Graph, metadata: Mapping[str, bytes]) -> bytes:
    """Write one graph, weights inside.

    Raises:
      ValueError: as `write_onnx`.
    """
    return _bytes_of(_model_proto(graph, metadata))


def _bytes_of(proto: onnx.ModelProto) -> bytes:
    return proto.SerializeToString(deterministic=True)


def _move_out(protos: Iterable[onnx.ModelProto], shared: set[bytes]) -> bytes:
    """Make external data of shared constants; returns the bytes of their file."""
    content, begins = bytearray(), {}
    for proto in protos:
        for tensor in proto.graph.initializer:
            raw = tensor.raw_data
            if raw not in shared:
                continue
            if raw not in begins:
                content += bytes(-len(content) % ALIGNED)
                begins[raw] = len(content)
                content += raw
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            place = {"location": WEIGHTS_FILE, "offset": begins[raw], "length": len(raw)}
            for key, value in place.items():
                tensor.external_data.add(key=key, value=str(value))
    return bytes(content)


def _move_in(proto: onnx.ModelProto, weights: bytes) -> None:
    """Put external data back into its tensors.

    Raises:
      ValueError: it lies elsewhere, or outside of the file.
    """
    for tensor in proto.graph.initializer:
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        place = {entry.key: entry.value for entry in tensor.external_data}
        numbers = [place.get(key, "") for key in ("offset", "length")]
        if set(place) != {"location", "offset", "length"} or not all(map(str.isdecimal, numbers)):
            raise ValueError(f"tensor {tensor.name[:40]!r} has external data at {str(place)[:80]}")
        begin, length = map(int, numbers)
        if place["location"] != WEIGHTS_FILE or begin + length > len(weights):
            raise ValueError(
                f"tensor {tensor.name[:40]!r} lies at {begin} to {begin + length} of"
                f" {place['location'][:40]!r}, and {WEIGHTS_FILE} has {len(weights)} bytes"
            )
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
        tensor.raw_data = weights[begin : begin + length]


def _model_proto(graph: Graph, metadata: Mapping[str, bytes]) -> onnx.ModelProto:
    """Make the checked message of a graph."""
    opset, ir_version = _versions(graph)
    proto = helper.make_model(
        _graph_proto(graph),
        producer_name="trm-jax-edge",
        ir_version=ir_version,
        opset_imports=[helper.make_opsetid("", opset)],
    )
    helper.set_model_props(proto, {k: v.decode() for k, v in sorted(metadata.items())})
    _check(proto, graph.name)
    return proto


def read_onnx(contents: Mapping[str, bytes]) -> GraphModel:
    """Read files that `write_onnx` wrote: file name -> bytes.

    Raises:
      ValueError: not ONNX, or what this project does not write.
    """
    graphs, metadata = [], {}
    weights = contents.get(WEIGHTS_FILE, b"")
    for name, content in contents.items():
        if name == WEIGHTS_FILE:
            continue
        graph, own = read_onnx_graph(content, weights)
        if graph.name + SUFFIX != name:
            raise ValueError(f"{name} holds graph {graph.name[:80]!r}")
        if graphs and own != metadata:
            raise ValueError(f"{name} has other metadata than {graphs[0].name}{SUFFIX}")
        metadata = own
        graphs.append(graph)
    return GraphModel(graphs=tuple(graphs), metadata=metadata)


def read_onnx_graph(content: bytes, weights: bytes = b"") -> tuple[Graph, dict[str, bytes]]:
    """Read a graph and its metadata.

    Args:
      weights: the file of shared constants.

    Raises:
      ValueError: as `read_onnx`.
    """
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(content)
        _check_texts(proto)
    except DecodeError as error:
        raise ValueError(f"not an ONNX file: {error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"a name in the ONNX file is not UTF-8: {error}") from error
    _move_in(proto, weights)
    _check(proto, proto.graph.name)
    body = proto.graph
    constants = [_constant(tensor) for tensor in body.initializer]
    infos = (*body.input, *body.output, *body.value_info)
    shapes = {info.name: _computed(info) for info in infos}
    inputs = {info.name: info.name for info in body.input}
    graph = Graph(
        name=body.name,
        tensors=(*shapes.values(), *constants),
        ops=tuple(_op(node) for node in body.node),
        inputs=inputs,
        outputs={signature_name(o.name, inputs): o.name for o in body.output},
    )
    _check_versions(proto, graph)
    metadata = {entry.key: entry.value.encode() for entry in proto.metadata_props}
    if len(metadata) != len(proto.metadata_props):
        raise ValueError(f"graph {graph.name!r} has a metadata entry twice")
    return graph, metadata


def _check_versions(proto: onnx.ModelProto, graph: Graph) -> None:
    """Demand the operators' version and domain that a graph is written with: others mean others.

    Raises:
      ValueError: another version or domain, or parts that no graph of ours has.
    """
    opset, ir_version = _versions(graph)
    opsets = [(entry.domain, entry.version) for entry in proto.opset_import]
    if opsets != [("", opset)] or proto.ir_version != ir_version:
        raise ValueError(
            f"graph {graph.name!r} has the opsets {opsets[:4]} and ir_version {proto.ir_version},"
            f" expected opset {opset} and ir_version {ir_version}"
        )
    body = proto.graph
    others = (proto.functions, proto.training_info, body.sparse_initializer)
    if any(map(len, (*others, body.quantization_annotation))):
        raise ValueError(f"graph {graph.name!r} has functions, training or sparse tensors")
    if domains := {node.domain for node in body.node} - {""}:
        raise ValueError(f"graph {graph.name!r} has operators of the domains {sorted(domains)[:4]}")


def _versions(graph: Graph) -> tuple[int, int]:
    """Choose opset and ir_version."""
    return VERSIONS[any(t.dtype in NEW_TYPES for t in graph.tensors)]


def _graph_proto(graph: Graph) -> onnx.GraphProto:
    inputs, outputs = (
        [_info(graph.tensor(name)) for name in names.values()]
        for names in (graph.inputs, graph.outputs)
    )
    signature = {*graph.inputs.values(), *graph.outputs.values()}
    inner = [_info(t) for t in graph.tensors if t.data is None and t.name not in signature]
    nodes = [_node(op) for op in graph.ops]
    constants = [_initializer(t, t.data) for t in graph.tensors if t.data is not None]
    return helper.make_graph(nodes, graph.name, inputs, outputs, constants, value_info=inner)


def _node(op: Op) -> onnx.NodeProto:
    node = helper.make_node(op.code, [n or "" for n in op.inputs], op.outputs, op.outputs[0])
    node.attribute.extend(helper.make_attribute(name, v) for name, v in op.options.items())
    return node


def _initializer(tensor: Tensor, data: np.ndarray) -> onnx.TensorProto:
    content = encode(data, tensor.dtype)
    return helper.make_tensor(tensor.name, TYPES[tensor.dtype], tensor.shape, content, raw=True)


def _info(tensor: Tensor) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(tensor.name, TYPES[tensor.dtype], tensor.shape)


def _check(proto: onnx.ModelProto, name: str) -> None:
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = " ".join(str(error).split())  # the checker's runs over several lines
        raise ValueError(f"graph {name[:40]!r} is not ONNX: {reason[:240]}") from error


def _check_texts(message: Message) -> None:
    """Demand that every text of a message is one: protobuf gives others back as bytes, or fails.

    Raises:
      ValueError: one is not UTF-8.
    """
    for field, value in message.ListFields():
        items = [value] if isinstance(value, str | bytes | int | float | Message) else value
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for item in items:
                _check_texts(cast(Message, item))
        is_text = field.type == FieldDescriptor.TYPE_STRING
        if is_text and not all(isinstance(item, str) for item in items):
            raise ValueError(f"field {field.name} of the ONNX file is not UTF-8")


def _constant(proto: onnx.TensorProto) -> Tensor:
    if proto.data_location == TensorProto.EXTERNAL or proto.data_type not in READ:
        raise ValueError(f"tensor {proto.name!r} is external, or of a type that is not written")
    dtype = READ[proto.data_type]
    data = np.asarray(numpy_helper.to_array(proto)).astype(dtype.numpy)
    return Tensor(name=proto.name, shape=tuple(proto.dims), dtype=dtype, data=data)


def _computed(info: onnx.ValueInfoProto) -> Tensor:
    kind = info.type.tensor_type
    dims = tuple(dim.dim_value for dim in kind.shape.dim)
    if kind.elem_type not in READ or any(d.HasField("dim_param") for d in kind.shape.dim):
        raise ValueError(f"tensor {info.name!r} has no static shape, or a type that is not written")
    return Tensor(name=info.name, shape=dims, dtype=READ[kind.elem_type])


def _op(node: onnx.NodeProto) -> Op:
    options = {a.name: _option(node, a) for a in node.attribute}
    inputs = tuple(name or None for name in node.input)
    return Op(code=node.op_type, inputs=inputs, outputs=tuple(node.output), options=options)


def _option(node: onnx.NodeProto, attribute: onnx.AttributeProto) -> OptionValue:
    value = helper.get_attribute_value(attribute)
    if isinstance(value, int | float):
        return value
    if attribute.type == onnx.AttributeProto.INTS:
        return tuple(value)
    raise ValueError(f"{node.op_type} has option {attribute.name!r}, which is not written")
