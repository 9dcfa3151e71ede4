"""One graph on its way from the TFLite schema's words into ONNX's: values, filters, rounding.

Every integer tensor becomes a pair: quantised, and dequantised at once for whoever reads it.
Which operator becomes which: onnx_operators.py; graphs and their ends: onnx_translate.py.
"""

import numpy as np

from export.builder import GraphBuilder, Shape
from export.graph import DType, Graph, Op, OptionValue, Quant, Tensor

UNSIGNED = {DType.INT8: (DType.UINT8, 128), DType.INT16: (DType.UINT16, 32768)}
"""What integers of activations become, and the offset of q and z."""
FLOAT = 1  # ONNX's number of float32, for Cast


class Translation:
    """A graph that is being translated.

    Attributes:
      real: tensor of the source -> float32 tensor of the result that holds its value.
      folded: values of computed constants.
    """

    def __init__(self, source: Graph) -> None:
        self.source, self.g = source, GraphBuilder(source.name)
        self.real: dict[str, str] = {}
        self.folded: dict[str, np.ndarray] = {}
        self.makers = {name: op for op in source.ops for name in op.outputs}

    def add(
        self, code: str, inputs: tuple[str, ...], name: str, shape: Shape, **options: OptionValue
    ) -> str:
        """Add a float operator."""
        return self.g.op(code, inputs, name, (shape,), options=options)[0]

    def value(self, name: str) -> str:
        """Name the float32 value of a tensor of the source."""
        if name not in self.real:
            plain, tensor = self.constant(name), self.source.tensor(name)
            dtype, data = (
                (DType.FLOAT32, plain) if plain is not None else (tensor.dtype, tensor.data)
            )
            assert data is not None, name
            held = self.g.constant(name, data, dtype)
            self.real[name] = held if tensor.quant is None else self.dequantised(held, tensor.quant)
        return self.real[name]

    def room(self, op: Op, index: int = 0) -> tuple[str, Shape]:
        """Name and shape the float result of an operator."""
        out = self.source.tensor(op.outputs[index])
        return (out.name if out.quant is None else f"{out.name}/unrounded"), out.shape

    def give(self, op: Op, made: str, index: int = 0) -> None:
        """Record a float result, rounded if the source's is an integer."""
        out = self.source.tensor(op.outputs[index])
        self.real[out.name] = made if out.quant is None else self.rounded(made, out)

    def rounded(self, x: str, out: Tensor) -> str:
        """Quantise and dequantise."""
        assert out.quant is not None
        dtype, shift = UNSIGNED[out.dtype]
        quant = Quant(scale=out.quant.scale, zero_point=out.quant.zero_point + shift)
        ends = self._grid(out.name, quant, dtype)
        held = self.g.op("QuantizeLinear", (x, *ends), out.name, (out.shape,), dtype=dtype)[0]
        return self.add("DequantizeLinear", (held, *ends), f"{out.name}/real", out.shape)

    def dequantised(self, held: str, quant: Quant) -> str:
        """Expand constant integers, once."""
        name = f"{held}/float32"
        if name in self.g.tensors:
            return name
        tensor = self.g.tensors[held]
        axis = {} if quant.axis is None else {"axis": quant.axis}
        ends = self._grid(held, quant, tensor.dtype)
        return self.add("DequantizeLinear", (held, *ends), name, tensor.shape, **axis)

    def integers(self, values: Shape) -> str:
        """Add a vector of numbers that operators read: axes, shapes."""
        name = "numbers/" + "x".join(str(v) for v in values)
        return self.g.constant(name, np.asarray(values), DType.INT64)

    def numbers(self, name: str) -> Shape:
        """Read such a vector of the source."""
        data = self.source.tensor(name).data
        assert data is not None, name
        return tuple(int(v) for v in data.ravel())

    def transposed(self, x: str, order: Shape, name: str) -> str:
        """Permute axes; on top of another permutation, both at once."""
        maker = next((op for op in self.g.ops if x in op.outputs and op.code == "Transpose"), None)
        if maker is not None:
            inner = maker.options["perm"]
            assert isinstance(inner, tuple)
            x, order = str(maker.inputs[0]), tuple(inner[axis] for axis in order)
        shape = tuple(self.g.shape(x)[axis] for axis in order)
        return self.add("Transpose", (x,), name, shape, perm=order)

    def kernel(self, name: str) -> str:
        """Name the float32 values of a filter, (inputs, outputs), however it is stored."""
        maker = self.makers.get(name)
        source = self.source.tensor(str(maker.inputs[0]) if maker else name)
        assert source.data is not None, name
        held = self.g.constant(source.name, source.data.T, source.dtype)
        if source.quant is not None:
            q, axis = source.quant, source.quant.axis
            turned = None if axis is None else 1 - axis
            return self.dequantised(
                held, Quant(scale=q.scale, zero_point=q.zero_point, axis=turned)
            )
        wide = f"{held}/float32"
        if source.dtype is DType.FLOAT32 or wide in self.g.tensors:
            return held if source.dtype is DType.FLOAT32 else wide
        return self.add("Cast", (held,), wide, self.g.shape(held), to=FLOAT)

    def _grid(self, name: str, quant: Quant, dtype: DType) -> tuple[str, str]:
        """Add scale and zero point: scalars (fusions want them), or one per index of an axis."""
        shape = () if quant.axis is None else quant.scale.shape
        scale, zero = quant.scale.reshape(shape), quant.zero_point.reshape(shape)
        ends = (
            Tensor(name=f"{name}/scale", shape=shape, data=scale),
            Tensor(
                name=f"{name}/zero_point", shape=shape, dtype=dtype, data=zero.astype(dtype.numpy)
            ),
        )
        self.g.tensors |= {tensor.name: tensor for tensor in ends}
        return ends[0].name, ends[1].name

    def constant(self, name: str | None) -> np.ndarray | None:
        """Look up a constant of plain numbers, or one that was computed."""
        if name is None or name in self.folded:
            return self.folded.get(name or "")
        tensor = self.source.tensor(name)
        return tensor.data if tensor.dtype is DType.FLOAT32 else None
