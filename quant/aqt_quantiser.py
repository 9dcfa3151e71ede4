"""Symmetric grids by AQT: what the simulation's weights and dynamic inputs go through.

The only file that knows AQT (0.9.0, the last release). Its scale, amax/(q_max + 1/2) unless
`preserve_max_val` is set and an ulp apart between jit and eager, is not used: it comes from
affine.py, and so AQT and affine.py agree to the last bit.
"""

import functools
from collections.abc import Callable, Sequence

import jax
from aqt.jax.v2 import aqt_quantizer, calibration, utils
from aqt.jax.v2.numerics import int_numerics
from jax import Array
from jaxtyping import Float

from quant.affine import Clipping, Grid, calibrate, scale_zero_point


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


@utils.flax_slots_kw_only_dataclass
class AffineCalibration(calibration.Calibration):
    """Hands AQT the scales of affine.py."""

    def get_scale_and_bias_and_sparsity(
        self,
        x: Array,
        shared_axes: Sequence[int] | None,
        numerics_: int_numerics.IntSymmetric,  # pyright: ignore[reportIncompatibleMethodOverride]
        context: utils.Context | None = None,
    ) -> tuple[list[Array], list[Array], None]:
        del context
        channels = tuple(axis for axis in range(x.ndim) if axis not in (shared_axes or ()))
        grid = Grid(bits=numerics_.bits, channel_axes=channels)
        range_ = calibrate(jax.lax.stop_gradient(x), grid, Clipping.MINMAX)
        return [scale_zero_point(range_, grid).scale], [], None


def _aqt_quantizer(bits: int) -> aqt_quantizer.Quantizer:
    """Make AQT's quantiser of a symmetric narrow grid.

    A new one for every call: AQT's objects are mutable and may hold tracers.
    """
    quantizer = aqt_quantizer.quantizer_make(
        bits, preserve_max_val=True, initialize_calibration=False
    )
    quantizer.calibration = AffineCalibration
    quantizer.init_calibration()
    return quantizer
