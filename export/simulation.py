"""What a plan computes, as the `dot_general` of every Dense: the JAX twin of a lowered file.

For one scheme with float or dynamic products this is `quant.dot_general.site_dot_general`. Two
things are added: roles may have schemes of their own, and a static product rounds its output
onto the calibrated grid of its type, as the runtime's kernel does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jax import Array

from export.lowering.storage import Numerics, StoragePlan
from quant.affine import Grid, Range, Symmetry, fake_quantise, scale_zero_point
from quant.dot_general import site_dot_general
from quant.ptq.calibrate import ProductRange
from trm_jax.types import DotGeneral, SiteDotGeneral

OUTPUT_GRIDS = {
    Numerics.STATIC_INT8: Grid(bits=8, symmetry=Symmetry.ASYMMETRIC),
    Numerics.INT16: Grid(bits=16),
}


def plan_dot_general(
    plan: StoragePlan, ranges: Mapping[str, ProductRange] | None = None
) -> SiteDotGeneral:
    """Choose the products of a plan; kernels are dequantised QTensors of its schemes.

    Args:
      ranges: needed by static numerics.

    Raises:
      ValueError: static numerics without ranges.
    """
    if plan.needs_ranges and not ranges:
        raise ValueError(
            f"plan {plan.name} is static and needs calibrated ranges, got none;"
            " pass ranges= from export.ranges.calibrated"
        )
    return PlanDotGeneral(plan, tuple(sorted((ranges or {}).items())))


@dataclass(frozen=True)
class PlanDotGeneral:
    """Site -> `dot_general`; hashable, so that equal plans share a compiled model."""

    plan: StoragePlan
    ranges: tuple[tuple[str, ProductRange], ...]

    def __call__(self, site: str) -> DotGeneral:
        matrix, span = self.plan.of(site), dict(self.ranges).get(site)
        if not matrix.numerics.is_static:
            return site_dot_general(matrix.scheme)(site)
        if span is None:
            known = ", ".join(name for name, _ in self.ranges)
            raise ValueError(f"no calibrated range for {site!r}; calibrated sites: {known}")
        product = site_dot_general(matrix.scheme, {site: span.input})(site)
        grid = OUTPUT_GRIDS[matrix.numerics]
        ends = Range(*(jnp.float32(end) for end in span.output))

        def rounded(*arguments: Any, **options: Any) -> Array:
            y = product(*arguments, **options)
            affine = scale_zero_point(ends, grid)
            return jnp.asarray(fake_quantise(y.astype(jnp.float32), affine, grid), y.dtype)

        return rounded
