"""Products on quantised operands: a Scheme becomes the `dot_general` of every Dense.

Public interface (Sec. 3.4; training: Sec. 3.7):

    site_dot_general   deployment: kernels are already on their grid (ptq.weights.round_weights),
                       so only the inputs are quantised
    qat_dot_general    training: kernels are float masters and are quantised here too

Operands are fake-quantised in float32 (a bfloat16 scale would move the grid), multiplied in
float32, and the result takes the input's dtype. Gradients are straight-through: those of the
product of the quantised operands. Who quantises:

    AQT         symmetric min/max: weights, and dynamic int8 inputs per row
    affine.py   asymmetric or MSE-clipped weights; static and asymmetric inputs

The only file that knows AQT (0.9.0, the last release). Two of its defaults are not used: its
scale, amax/(q_max + 1/2) unless `preserve_max_val` is set and an ulp apart between jit and
eager, comes from affine.py instead; and its DotGeneral, which relies on a conversion that JAX
has deprecated (array to dtype), gives way to `jax.lax.dot_general` on its fake-quantised
operands. A machine that trains may lack AQT: there affine.py quantises symmetric grids too, to the
same bits.

Not here: the rounded outputs of static products and schemes per role (simulation.py), and
products of integers (integer/operators.py).
"""

import functools
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from quant.affine import (
    Affine,
    Clipping,
    Grid,
    Range,
    Symmetry,
    calibrate,
    fake_quantise,
    scale_zero_point,
)
from quant.scheme import Activations, Scheme, WeightScheme
from trm_jax.models.layers import exact_dot_general
from trm_jax.types import DotGeneral, SiteDotGeneral

Ranges = Mapping[str, tuple[float, float]]
"""Smallest and largest input of every site (ptq/calibrate.py)."""

STATIC_GRIDS = {
    Activations.STATIC_INT8: Grid(bits=8, symmetry=Symmetry.ASYMMETRIC),
    Activations.STATIC_INT16: Grid(bits=16),
}
"""Grids of static inputs; a runtime's product rounds its outputs onto one of the same kind."""


def site_dot_general(scheme: Scheme, ranges: Ranges | None = None) -> SiteDotGeneral:
    """Choose the products of a deployed scheme; its kernels are dequantised QTensors.

    Args:
      ranges: needed by static activations.

    Raises:
      ValueError: static activations without ranges.
    """
    if scheme.activations is Activations.NONE:
        return exact_dot_general
    return SchemeDotGeneral(None, scheme.activations, _frozen(scheme, ranges))


def qat_dot_general(scheme: Scheme, ranges: Ranges | None = None) -> SiteDotGeneral:
    """Choose the products that train for a scheme: kernels are quantised at every use.

    MSE clipping searches its range at every call: slow, and seldom worth it in training.

    Raises:
      ValueError: static activations without ranges; weights rounded by what goes through the
        model, which is done once, to a trained model; or grids chosen by the error they leave.
    """
    if scheme.weights is not None and scheme.weights.adaptive:
        raise ValueError(
            f"{scheme.name} chooses the grids of trained weights; train for -sym or -asym"
        )
    if scheme.rounds_with_puzzles:
        raise ValueError(
            f"{scheme.name} rounds a trained model; train for {scheme.to_nearest.name}, which has"
            " the same grid"
        )
    if scheme.exceptions:
        raise ValueError(f"{scheme.name}: training takes one kind of weights; leave [...] out")
    return SchemeDotGeneral(scheme.weights, scheme.activations, _frozen(scheme, ranges))


@dataclass(frozen=True)
class SchemeDotGeneral:
    """Site -> `dot_general`; hashable, so that equal schemes share a compiled model.

    Attributes:
      weights: grid of the kernels, or None where they are used as they come.
      activations: what happens to the inputs.
      ranges: (site, low, high) of static activations.
    """

    weights: WeightScheme | None
    activations: Activations
    ranges: tuple[tuple[str, float, float], ...]

    def __call__(self, site: str) -> DotGeneral:
        return functools.partial(_product, self, site)

    def quantise_input(self, x: Float[Array, "*lead inputs"], site: str) -> Array:
        """Fake-quantise the input of a Dense."""
        rows = tuple(range(x.ndim - 1))
        match self.activations:
            case Activations.NONE:
                return x
            case Activations.DYNAMIC_INT8:
                return symmetric_fake_quantise(x, Grid(bits=8, channel_axes=rows))
            case Activations.DYNAMIC_INT8_ASYM:
                grid = Grid(bits=8, symmetry=Symmetry.ASYMMETRIC, channel_axes=rows)
                return fake_quantise(x, _affine(x, grid), grid)
            case Activations.STATIC_INT8 | Activations.STATIC_INT16:
                grid = STATIC_GRIDS[self.activations]
                return fake_quantise(x, scale_zero_point(self.range_of(site), grid), grid)

    def quantise_kernel(self, kernel: Float[Array, "inputs outputs"]) -> Array:
        """Fake-quantise the kernel of a Dense."""
        if self.weights is None:
            return kernel
        grid = self.weights.grid
        if grid.is_symmetric and self.weights.clipping is Clipping.MINMAX:
            return symmetric_fake_quantise(kernel, grid)
        return fake_quantise(kernel, _affine(kernel, grid, self.weights.clipping), grid)

    def range_of(self, site: str) -> Range:
        """Look up a calibrated range.

        Raises:
          ValueError: the site was not calibrated.
        """
        for name, low, high in self.ranges:
            if name == site:
                return Range(jnp.float32(low), jnp.float32(high))
        names = ", ".join(name for name, _, _ in self.ranges)
        raise ValueError(f"no calibrated range for {site!r}; calibrated sites: {names}")


def _frozen(scheme: Scheme, ranges: Ranges | None) -> tuple[tuple[str, float, float], ...]:
    if not scheme.activations.is_static:
        return ()
    if not ranges:
        raise ValueError(
            f"scheme {scheme.name} has static activations and needs calibrated ranges,"
            " got none; pass ranges= from quant.ptq.calibrate"
        )
    return tuple((site, float(low), float(high)) for site, (low, high) in sorted(ranges.items()))


def _product(
    config: SchemeDotGeneral,
    site: str,
    lhs: Array,
    rhs: Array,
    dimension_numbers: jax.lax.DotDimensionNumbers,
    precision: jax.lax.PrecisionLike = None,
    preferred_element_type: DTypeLike | None = None,
) -> Array:
    """Multiply (..., inputs) by a Flax kernel (inputs, outputs), both fake-quantised."""
    if dimension_numbers != (((lhs.ndim - 1,), (0,)), ((), ())) or rhs.ndim != 2:
        raise ValueError(
            "a quantised product takes (..., inputs) x (inputs, outputs), got dimension_numbers="
            f"{dimension_numbers} over shapes {lhs.shape} and {rhs.shape}"
        )
    x = config.quantise_input(lhs.astype(jnp.float32), site)
    kernel = config.quantise_kernel(rhs.astype(jnp.float32))
    y = jax.lax.dot_general(x, kernel, dimension_numbers, precision=precision)
    return y.astype(preferred_element_type or lhs.dtype)


def _affine(x: Array, grid: Grid, clipping: Clipping = Clipping.MINMAX) -> Affine:
    return scale_zero_point(calibrate(jax.lax.stop_gradient(x), grid, clipping), grid)


def symmetric_fake_quantise(x: Float[Array, "*axes"], grid: Grid) -> Float[Array, "*axes"]:
    """Quantise and dequantise x over its own min/max range; straight-through gradient.

    Args:
      grid: symmetric, at most 8 bits.
    """
    return aqt_fake_quantise(x, grid) if _has_aqt() else fake_quantise(x, _affine(x, grid), grid)


@functools.cache
def _has_aqt() -> bool:
    """Return whether AQT is installed: looked up once, not at every product."""
    return importlib.util.find_spec("aqt") is not None


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def aqt_fake_quantise(x: Float[Array, "*axes"], grid: Grid) -> Float[Array, "*axes"]:
    """Quantise and dequantise x over its own min/max range with AQT; straight-through gradient.

    Args:
      grid: symmetric, at most 8 bits.
    """
    return _aqt_forward(x, grid)[0]


def _aqt_forward(x: Array, grid: Grid) -> tuple[Array, Callable[[Array], tuple]]:
    quantizer = _aqt_quantizer(grid.bits)
    q, gradient = quantizer.quant(x, calibration_axes=grid.reduced_axes(x.ndim))
    assert gradient is not None  # only numerics that do nothing have none
    return q.dequant(), gradient


def _aqt_backward(grid: Grid, gradient: Callable[[Array], tuple], g: Array) -> tuple[Array]:
    del grid
    return (gradient(g)[0],)


aqt_fake_quantise.defvjp(_aqt_forward, _aqt_backward)


@functools.cache
def _affine_calibration() -> type:
    """Define what hands AQT the scales of affine.py: its base class is AQT's."""
    from aqt.jax.v2 import calibration, utils

    @utils.flax_slots_kw_only_dataclass
    class AffineCalibration(calibration.Calibration):
        def get_scale_and_bias_and_sparsity(
            self,
            x: Array,
            shared_axes: Sequence[int] | None,
            numerics_: Any,
            context: Any = None,
        ) -> tuple[list[Array], list[Array], None]:
            del context
            channels = tuple(axis for axis in range(x.ndim) if axis not in (shared_axes or ()))
            return [_affine(x, Grid(bits=numerics_.bits, channel_axes=channels)).scale], [], None

    return AffineCalibration


def _aqt_quantizer(bits: int) -> Any:
    """Make AQT's quantiser of a symmetric narrow grid.

    A new one for every call: AQT's objects are mutable and may hold tracers.
    """
    from aqt.jax.v2 import aqt_quantizer  # late: a training machine may lack it

    quantizer = aqt_quantizer.quantizer_make(
        bits, preserve_max_val=True, initialize_calibration=False
    )
    quantizer.calibration = _affine_calibration()
    quantizer.init_calibration()
    return quantizer
