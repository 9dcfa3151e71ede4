"""Models from .tflite bytes that may be damaged (byte format: tflite_writer.py).

The generated parser answers damage with any exception there is, or with none: references are
followed wherever they point. Here all of it becomes a ValueError, and what the parser accepts is
checked: indices, names, shapes against buffers, types. An interpreter should be given
`write_tflite(read_tflite(data))`: those bytes are well formed whatever the file was.
"""

import math
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from export.graph.ir import DType, Graph, GraphModel, Op, OptionValue, Quant, Tensor
from export.graph.tflite_schema import IDENTIFIER, decode

MAX_ELEMENTS = 2**31 - 1  # of one tensor: what the runtimes index with

TYPES = {getattr(schema.TensorType, dtype.value): dtype for dtype in DType}
CODES = {number: name for name, number in vars(schema.BuiltinOperator).items() if name[0] != "_"}


def read_tflite(data: bytes) -> GraphModel:
    """Read the bytes of a .tflite file.

    Raises:
      ValueError: not a TFLite file, damaged, or beyond what this project writes.
    """
    data = bytes(data)
    if data[4:8] != IDENTIFIER:
        raise ValueError(
            f"not a TFLite file: {len(data)} bytes with {data[4:8]!r} where {IDENTIFIER!r} belongs"
        )
    try:
        return _model(schema.ModelT.InitFromPackedBuf(data, 0))
    except Exception as error:  # the parser raises whatever a damaged file makes it trip over
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"damaged or unsupported TFLite file: {reason}") from error


def _model(table: schema.ModelT) -> GraphModel:
    if table.version != 3:
        raise ValueError(f"schema version must be 3, got {table.version}")
    contents = [_content(buffer) for buffer in _items(table.buffers)]
    codes = [_code(code) for code in _items(table.operatorCodes)]
    subgraphs = _items(table.subgraphs)
    signatures: dict[int, Any] = {}
    for signature in _items(table.signatureDefs):
        if not 0 <= signature.subgraphIndex < len(subgraphs):
            raise ValueError(f"signature of subgraph {signature.subgraphIndex}, which is not there")
        signatures.setdefault(signature.subgraphIndex, signature)
    return GraphModel(
        graphs=tuple(
            _graph(subgraph, signatures.get(i), codes, contents)
            for i, subgraph in enumerate(subgraphs)
        ),
        description=_text(table.description),
        metadata={
            _text(entry.name): _at(contents, entry.buffer, "buffer")
            for entry in _items(table.metadata)
        },
    )


def _content(buffer: schema.BufferT) -> bytes:
    if buffer.offset or buffer.size:
        raise ValueError("buffers outside the flatbuffer are not supported")
    return b"" if buffer.data is None else np.asarray(buffer.data, np.uint8).tobytes()


def _code(table: schema.OperatorCodeT) -> tuple[str, bool, int]:
    number = max(table.builtinCode, table.deprecatedBuiltinCode)
    if number not in CODES:
        raise ValueError(f"unknown operator number {number}")
    custom = CODES[number] == "CUSTOM"
    return (_text(table.customCode) if custom else CODES[number]), custom, table.version


def _graph(
    table: schema.SubGraphT, signature: Any, codes: list[tuple[str, bool, int]], contents: list
) -> Graph:
    tensors: list[Tensor] = []
    taken: set[str] = set()
    for i, entry in enumerate(_items(table.tensors)):
        name = _text(entry.name)
        name = name if name and name not in taken else f"{name}#{i}"
        taken.add(name)
        tensors.append(_tensor(entry, name, contents))
    names = [tensor.name for tensor in tensors]
    tensor_names = (_indices(table.inputs, names), _indices(table.outputs, names))
    if signature is None:
        inputs, outputs = ({name: name for name in side} for side in tensor_names)
    else:
        inputs, outputs = _signature_map(signature, tensor_names, names)
    return Graph(
        name=_text(table.name if signature is None else signature.signatureKey),
        tensors=tuple(tensors),
        ops=tuple(_op(entry, codes, names) for entry in _items(table.operators)),
        inputs=inputs,
        outputs=outputs,
    )


def _signature_map(
    signature: schema.SignatureDefT, sides: tuple[list[str], list[str]], names: list[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Order a signature's names as the subgraph orders its tensors."""
    maps = []
    for side, entries in zip(sides, (signature.inputs, signature.outputs), strict=True):
        tensors = {_text(e.name): _at(names, e.tensorIndex, "tensor") for e in _items(entries)}
        if sorted(tensors.values()) != sorted(side):
            raise ValueError(f"signature names {sorted(tensors.values())}, its subgraph {side}")
        maps.append(dict(sorted(tensors.items(), key=lambda item: side.index(item[1]))))
    return maps[0], maps[1]


def _tensor(table: schema.TensorT, name: str, contents: list[bytes]) -> Tensor:
    if table.type not in TYPES:
        raise ValueError(f"tensor {name!r} has the unsupported type {table.type}")
    if table.sparsity is not None or table.externalBuffer:
        raise ValueError(f"tensor {name!r} is sparse or external, which is not supported")
    dtype, shape = TYPES[table.type], tuple(int(n) for n in _items(table.shape))
    if min(shape, default=1) < 0 or math.prod(shape) > MAX_ELEMENTS:
        raise ValueError(f"tensor {name!r} has the impossible shape {shape}")
    content = _at(contents, table.buffer, "buffer")
    return Tensor(
        name=name,
        shape=shape,
        dtype=dtype,
        data=decode(content, dtype, shape) if content else None,
        quant=_quant(table.quantization, shape, name),
    )


def _quant(
    table: schema.QuantizationParametersT | None, shape: tuple[int, ...], name: str
) -> Quant | None:
    if table is None or not len(_items(table.scale)):
        return None
    if table.detailsType:
        raise ValueError(f"tensor {name!r} has block-wise scales, which are not supported")
    scale = np.asarray(table.scale, np.float32)
    # writers may omit a zero point that is zero
    given = table.zeroPoint is not None and len(table.zeroPoint)
    zero_point = np.asarray(table.zeroPoint, np.int64) if given else np.zeros(scale.size, np.int64)
    axis = int(table.quantizedDimension) if scale.size > 1 else None
    if axis is not None and (not 0 <= axis < len(shape) or shape[axis] != scale.size):
        raise ValueError(f"tensor {name!r} of shape {shape} has {scale.size} scales on axis {axis}")
    return Quant(scale=scale, zero_point=zero_point, axis=axis)


def _op(table: schema.OperatorT, codes: list[tuple[str, bool, int]], names: list[str]) -> Op:
    code, custom, version = _at(codes, table.opcodeIndex, "operator code")
    if table.builtinOptions2Type or table.largeCustomOptionsSize:
        raise ValueError(f"{code} has options of a kind that is not supported")
    inputs = [None if i == -1 else _at(names, int(i), "tensor") for i in _items(table.inputs)]
    own = table.customOptions
    return Op(
        code=code,
        version=version,
        inputs=tuple(inputs),
        outputs=tuple(_indices(table.outputs, names)),
        options={} if table.builtinOptions is None else _options(table.builtinOptions),
        custom_options=(b"" if own is None else bytes(np.asarray(own, np.uint8)))
        if custom
        else None,
    )


def _options(table: Any) -> dict[str, OptionValue]:
    """Keep the fields that differ from the schema's defaults."""
    defaults, fields = vars(type(table)()), {}
    for name, value in vars(table).items():
        if isinstance(value, np.ndarray):
            fields[name] = tuple(int(v) for v in value)
        elif value != defaults[name]:
            fields[name] = value
    return fields


def _items(value: Any) -> Any:
    """Return a vector of the file; an absent one is empty."""
    return () if value is None or np.ndim(value) == 0 else value


def _indices(value: Any, names: list[str]) -> list[str]:
    return [_at(names, int(i), "tensor") for i in _items(value)]


def _at(values: list, index: int, what: str) -> Any:
    if not 0 <= index < len(values):
        raise ValueError(f"{what} {index} is not among the {len(values)} of the file")
    return values[index]


def _text(value: Any) -> str:
    return "" if value is None else bytes(value).decode("utf-8")
