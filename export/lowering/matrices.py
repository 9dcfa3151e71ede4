"""The weights of a matrix product as a file holds them: from a QTensor, never re-quantised.

A Flax kernel is (inputs, outputs), a FULLY_CONNECTED filter (outputs, inputs). Unsigned grids
move to signed ones by an offset on both q and z, which leaves s (q - z) as it is:

    4 bits   q in [0, 15] -> [-8, 7]        8 bits   q in [0, 255] -> [-128, 127]

Filters of int4 get a zero column where the width is odd: XNNPACK takes even widths only.

Not here: operators (float_matmul.py, integer_matmul.py).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jax import Array

from export.graph.ir import DType, Quant
from export.lowering.storage import MatrixPlan, Numerics, ZeroPoints
from quant.affine import QTensor
from quant.ptq.calibrate import ProductRange

LIMITS = {DType.INT4: (-8, 7), DType.INT8: (-128, 127)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Dense:
    """One Dense of the model and how to multiply by it.

    Attributes:
      site: `L_level/layers_0/mlp/down_proj`; names the constants.
      kernel: (inputs, outputs); integers, or floats where the plan keeps floats.
      span: needed by static numerics.
    """

    site: str
    kernel: QTensor | Array | np.ndarray
    bias: np.ndarray | None
    plan: MatrixPlan
    span: ProductRange | None = None

    @property
    def inputs(self) -> int:
        return self._shape[0]

    @property
    def outputs(self) -> int:
        return self._shape[1]

    @property
    def _shape(self) -> tuple[int, ...]:
        kernel = self.kernel
        return (kernel.qvalue if isinstance(kernel, QTensor) else kernel).shape

    @property
    def kernel_name(self) -> str:
        return f"{self.site}/kernel"


class IntegerFilter(NamedTuple):
    """A filter on a signed grid.

    Attributes:
      q: (outputs, inputs), int8.
      scale: float32, per output or one.
      zero_point: int64, as many as scales; all zero for symmetric and shifted weights.
    """

    q: np.ndarray
    scale: np.ndarray
    zero_point: np.ndarray

    @property
    def quant(self) -> Quant:
        return Quant(
            scale=self.scale,
            zero_point=self.zero_point,
            axis=0 if self.scale.size > 1 else None,
        )


def float_filter(dense: Dense) -> np.ndarray:
    """Read a float kernel as a filter.

    Raises:
      ValueError: the kernel is quantised, and the plan is not.
    """
    if isinstance(dense.kernel, QTensor):
        raise ValueError(
            f"{dense.site} is quantised, but its plan is {dense.plan.name}; lower the parameters of"
            f" scheme {dense.plan.scheme.name}"
        )
    return np.asarray(dense.kernel, np.float32).T


def integer_filter(dense: Dense) -> IntegerFilter:
    """Read a quantised kernel as a filter of its plan's carrier.

    Raises:
      ValueError: the kernel is not quantised, or not by the plan's scheme.
    """
    kernel, plan = dense.kernel, dense.plan
    if not isinstance(kernel, QTensor) or kernel.grid != getattr(plan.scheme.weights, "grid", None):
        grid = kernel.grid if isinstance(kernel, QTensor) else "float"
        raise ValueError(
            f"{dense.site} is {grid}, but its plan is for {plan.scheme.name};"
            " quantise the parameters with quant.simulation.quantise_for"
        )
    q = np.asarray(kernel.qvalue, np.int32).T
    scale = np.asarray(kernel.scale, np.float32).reshape(-1)
    zero_point = np.asarray(kernel.zero_point, np.int64).reshape(-1)
    if plan.zero_points is ZeroPoints.SHIFTED:
        q, zero_point = q - zero_point[:, None].astype(np.int32), np.zeros_like(zero_point)
    elif not kernel.grid.is_symmetric:
        centre = 2 ** (kernel.grid.bits - 1)
        q, zero_point = q - centre, zero_point - centre
    low, high = LIMITS[plan.carrier]
    fits = low <= q.min() and q.max() <= high
    assert fits, f"{plan.name} cannot hold {q.min()} to {q.max()}"
    if plan.numerics is not Numerics.WEIGHT_ONLY:  # kernels of products want one per output
        scale, zero_point = (
            np.broadcast_to(v, (dense.outputs,)).copy() for v in (scale, zero_point)
        )
    return IntegerFilter(q.astype(np.int8), scale, zero_point)


def with_columns(filter: IntegerFilter, columns: int) -> IntegerFilter:
    """Add columns of real zeros after the last one."""
    zero = np.broadcast_to(filter.zero_point, (filter.q.shape[0],))[:, None]
    extra = np.repeat(zero.astype(np.int8), columns, axis=1)
    return filter._replace(q=np.concatenate([filter.q, extra], axis=1))
