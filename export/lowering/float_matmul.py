"""Matrix products by numerics: one Dense becomes FULLY_CONNECTED and what is around it.

    FLOAT32       FC
    FLOAT16       DEQUANTIZE(filter), FC
    WEIGHT_ONLY   DEQUANTIZE(filter), FC
    DYNAMIC       FC of float input and integer filter (the kernel quantises every row); with
                  rank-one zero points      FC(x, q) - FC(x, 1) * DEQUANTIZE(z)
    STATIC_INT8   QUANTIZE, FC of int8, DEQUANTIZE
    INT16         QUANTIZE, FC of int16 x int8, DEQUANTIZE

The rank-one term sums the rows as the kernel quantised them (a product with a row of ones), so
that the whole equals the simulation; the sum of the float rows would not. Versions: 5 has three
axes, 6 no bias, 7 int16, 9 asymmetric rows, 10 int4, 12 dynamic with scales per channel; as
any older one these compute silent garbage.

Not here: the stored integers (matrices.py), integers from end to end (integer_matmul.py).
"""

import jax.numpy as jnp
import numpy as np

from export.graph.builder import GraphBuilder, binary, padded
from export.graph.ir import DType, Quant
from export.lowering.matrices import (
    Dense,
    IntegerFilter,
    float_filter,
    integer_filter,
    with_columns,
)
from export.lowering.storage import Numerics, ZeroPoints
from quant.affine import Grid, Range, Symmetry, scale_zero_point

Interval = tuple[float, float]


def linear(g: GraphBuilder, x: str, dense: Dense, path: str) -> str:
    """Multiply the last axis of x by a Dense's kernel and add its bias.

    Args:
      path: where in the graph; prefixes the results' names.

    Raises:
      ValueError: the kernel is not what the plan says, or a range is missing.
    """
    return LOWER[dense.plan.numerics](g, x, dense, path)


def _float32(g: GraphBuilder, x: str, dense: Dense, path: str) -> str:
    weights = g.constant(dense.kernel_name, float_filter(dense))
    return _float_product(g, x, weights, dense, path)


def _float16(g: GraphBuilder, x: str, dense: Dense, path: str) -> str:
    half = g.constant(dense.kernel_name, float_filter(dense), DType.FLOAT16)
    return _float_product(g, x, _expanded(g, half, version=3), dense, path)


def _weight_only(g: GraphBuilder, x: str, dense: Dense, path: str) -> str:
    filter = integer_filter(dense)
    integers = g.constant(dense.kernel_name, filter.q, dense.plan.carrier, filter.quant)
    per_channel = 5 if filter.scale.size > 1 else 2
    version = 6 if dense.plan.carrier is DType.INT4 else per_channel
    return _float_product(g, x, _expanded(g, integers, version), dense, path)


def _expanded(g: GraphBuilder, weights: str, version: int) -> str:
    """Dequantise a constant, once per graph."""
    name = f"{weights}/float32"
    if name in g.tensors:
        return name
    return g.op("DEQUANTIZE", (weights,), name, (g.shape(weights),), version=version)[0]


def _float_product(g: GraphBuilder, x: str, weights: str, dense: Dense, path: str) -> str:
    bias = None
    if dense.bias is not None:
        bias = g.constant(f"{dense.site}/bias", dense.bias)
    return fully_connected(g, x, weights, path, bias=bias, version=6 if bias is None else 5)


def _dynamic(g: GraphBuilder, x: str, dense: Dense, path: str) -> str:
    filter, plan = integer_filter(dense), dense.plan
    rank_one = plan.zero_points is ZeroPoints.RANK_ONE and bool(np.any(filter.zero_point))
    x, stored = _even(g, x, dense, filter, path)
    symmetric = stored._replace(zero_point=np.zeros_like(stored.zero_point))
    weights = g.constant(dense.kernel_name, symmetric.q, plan.carrier, symmetric.quant)
    options = {"asymmetricQuantizeInputs": True} if plan.asymmetric_inputs else {}
    y = fully_connected(g, x, weights, path, version=12, options=options)
    if rank_one:
        width = g.shape(x)[-1]
        unit = Quant(scale=np.ones(1, np.float32), zero_point=np.zeros(1, np.int64))
        row = g.constant(f"ones/{width}", np.ones((1, width)), DType.INT8, unit)
        sums = fully_connected(g, x, row, f"{path}/row_sums", version=9, options=options)
        name = f"{dense.site}/zero_points"  # int8 on the filter's own grid: a byte each
        points = g.constant(name, filter.zero_point, DType.INT8, symmetric.quant)
        shift = binary(g, "MUL", sums, _expanded(g, points, version=5), f"{path}/shift")
        y = binary(g, "SUB", y, shift, f"{path}/shifted")
    return _plus_bias(g, y, dense, path)


def _static(g: GraphBuilder, x: str, dense: Dense, path: str) -> str:
    if dense.span is None:
        raise ValueError(
            f"{dense.site} has static numerics and no calibrated range;"
            " pass ranges= from quant.simulation.product_ranges"
        )
    int8 = dense.plan.numerics is Numerics.STATIC_INT8
    x, filter = _even(g, x, dense, integer_filter(dense), path)
    dtype = DType.INT8 if int8 else DType.INT16
    small = g.op(
        "QUANTIZE",
        (x,),
        f"{path}/quantised",
        (g.shape(x),),
        version=1 if int8 else 2,
        dtype=dtype,
        quant=activation_quant(dense.span.input, dtype),
    )[0]
    weights = g.constant(dense.kernel_name, filter.q, dense.plan.carrier, filter.quant)
    version = 10 if dense.plan.carrier is DType.INT4 else 6 if int8 else 7
    quant = activation_quant(dense.span.output, dtype)
    y = fully_connected(g, small, weights, f"{path}/integer", version=version, quant=quant)
    real = g.op("DEQUANTIZE", (y,), path, (g.shape(y),), version=2 if int8 else 3)[0]
    return _plus_bias(g, real, dense, path)


def activation_quant(interval: Interval, dtype: DType) -> Quant:
    """Compute the grid of a static activation: the simulation's, moved to a signed type."""
    symmetry = Symmetry.ASYMMETRIC if dtype is DType.INT8 else Symmetry.SYMMETRIC
    grid = Grid(bits=dtype.bits, symmetry=symmetry)
    span = Range(*map(jnp.float32, interval))
    scale, zero_point = scale_zero_point(span, grid)
    offset = 128 if dtype is DType.INT8 else 0
    return Quant(
        scale=np.asarray(scale, np.float32).reshape(1),
        zero_point=np.asarray(zero_point, np.int64).reshape(1) - offset,
    )


def _even(
    g: GraphBuilder, x: str, dense: Dense, filter: IntegerFilter, path: str
) -> tuple[str, IntegerFilter]:
    columns = filter.q.shape[1] % 2 if dense.plan.carrier is DType.INT4 else 0
    return padded(g, x, columns, f"{path}/even"), with_columns(filter, columns)


def _plus_bias(g: GraphBuilder, y: str, dense: Dense, path: str) -> str:
    if dense.bias is None:
        return y
    bias = g.constant(f"{dense.site}/bias", dense.bias)
    return binary(g, "ADD", y, bias, f"{path}/biased")


def fully_connected(
    g: GraphBuilder,
    x: str,
    weights: str,
    name: str,
    *,
    version: int,
    bias: str | None = None,
    options: dict | None = None,
    quant: Quant | None = None,
) -> str:
    """Add the operator itself; the result has the input's type."""
    shape = (*g.shape(x)[:-1], g.shape(weights)[0])
    return g.op(
        "FULLY_CONNECTED",
        (x, weights, bias),
        name,
        (shape,),
        version=version,
        options={"keepNumDims": True, **(options or {})},
        dtype=g.tensors[x].dtype,
        quant=quant,
    )[0]


LOWER = {
    Numerics.FLOAT32: _float32,
    Numerics.FLOAT16: _float16,
    Numerics.WEIGHT_ONLY: _weight_only,
    Numerics.DYNAMIC: _dynamic,
    Numerics.STATIC_INT8: _static,
    Numerics.INT16: _static,
}
