"""Models of one operator, with the real values that they mean: the oracle is NumPy in float64.

Integers on the way in stand for exact real numbers, so only the operator's own rounding lies
between a runtime and the oracle.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from export.graph.ir import DType, Graph, GraphModel, Op, Quant, Tensor

RNG = np.random.default_rng


class Case(NamedTuple):
    """One operator with inputs.

    Attributes:
      expected: real values of the result.
      bound: of the error; half a step of rounding, and one and a half for the fixed-point
        multipliers and tables of integer kernels, or float32 rounding of the sums.
    """

    model: GraphModel
    inputs: Mapping[str, np.ndarray]
    expected: np.ndarray
    bound: np.ndarray | float


STEPS = {DType.INT8: 2.0, DType.INT16: 4.0}  # int16 tables are interpolated
FLOAT_ERROR = 2.0**-18  # relative: approximations of exp and 1/sqrt in float32
SPAN = 4.0


def quant(scale: Any, zero_point: Any = 0, axis: int | None = None) -> Quant:
    scale = np.atleast_1d(np.asarray(scale, np.float32))
    zero_point = np.broadcast_to(np.asarray(zero_point, np.int64), scale.shape).copy()
    return Quant(scale=scale, zero_point=zero_point, axis=axis)


def grid(dtype: DType, reach: float) -> Quant | None:
    """Cover [-reach, reach]: int8 with a zero point, int16 without."""
    if dtype is DType.FLOAT32:
        return None
    if dtype is DType.INT8:
        return quant(2 * reach / 250, 3)
    return quant(reach / 32000)


def integers(real: np.ndarray, q: Quant, dtype: DType) -> np.ndarray:
    info = np.iinfo(dtype.numpy)
    return np.clip(np.round(real / q.scale[0]) + q.zero_point[0], info.min, info.max).astype(
        dtype.numpy
    )


def real(values: np.ndarray, q: Quant | None) -> np.ndarray:
    """Read the real values that integers stand for."""
    if q is None:
        return values.astype(np.float64)
    shape = [1] * values.ndim
    shape[q.axis or 0] = -1
    scale, zero = (v.astype(np.float64).reshape(shape) for v in (q.scale, q.zero_point))
    return (values.astype(np.float64) - zero) * scale


def model_of(op: Op, tensors: list[Tensor], outputs: int = 1) -> GraphModel:
    names = [t.name for t in tensors if t.data is None]
    fed, made = names[: len(names) - outputs], names[len(names) - outputs :]
    graph = Graph(
        name="one",
        tensors=tuple(tensors),
        ops=(op,),
        inputs={n: n for n in fed},
        outputs={n: n for n in made},
    )
    return GraphModel(graphs=(graph,))


def with_version(case: Case, version: int) -> Case:
    """Claim another version of the operator."""
    return _with_op(case, dataclasses.replace(case.model.graphs[0].ops[-1], version=version))


def with_code(case: Case, code: str) -> Case:
    """Claim another operator."""
    return _with_op(case, dataclasses.replace(case.model.graphs[0].ops[-1], code=code))


def _with_op(case: Case, op: Op) -> Case:
    graph = case.model.graphs[0]
    changed = dataclasses.replace(graph, ops=(*graph.ops[:-1], op))
    return case._replace(model=GraphModel(graphs=(changed,)))


def activations(shape: tuple[int, ...], dtype: DType, *, seed: int, low: float = -SPAN):
    """Draw an input: tensor description, values and what they mean."""
    values = RNG(seed).uniform(low, SPAN, shape)
    q = grid(dtype, SPAN)
    held = values.astype(np.float32) if q is None else integers(values, q, dtype)
    return q, held, real(held, q)
