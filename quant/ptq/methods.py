"""The methods of post-training quantisation, by a scheme's rounding.

A new method is a file beside this one, a member of `quant.scheme.Rounding` with its suffix, and
an entry in METHODS; sweeps, ablations, exports and the report then take schemes of that name.
"""

from collections.abc import Callable

from quant.ptq.calibrate import Calibration
from quant.ptq.gptq import quantise_with_hessians
from quant.ptq.weights import QuantisedParams, quantise_params
from quant.scheme import Rounding, Scheme
from trm_jax.types import Params

Method = Callable[[Params, Scheme, Calibration | None], QuantisedParams]


def round_to_nearest(
    params: Params, scheme: Scheme, calibration: Calibration | None = None
) -> QuantisedParams:
    """Round every weight to the nearest integer of its grid; nothing is looked at.

    Raises:
      ValueError: as `quantise_params`.
    """
    del calibration
    return quantise_params(params, scheme)


def gptq(params: Params, scheme: Scheme, calibration: Calibration | None) -> QuantisedParams:
    """Round by the Hessians of whole trajectories.

    Raises:
      ValueError: no calibration, or as `quantise_with_hessians`.
    """
    if calibration is None:
        raise ValueError(f"{scheme.name} needs calibration puzzles, got none")
    return quantise_with_hessians(params, scheme, calibration.hessians)


def gptq_of_first_calls(
    params: Params, scheme: Scheme, calibration: Calibration | None
) -> QuantisedParams:
    """Round by the Hessians of the first call of each role, as a tool without cycles would.

    Raises:
      ValueError: no calibration, or as `quantise_with_hessians`.
    """
    if calibration is None:
        raise ValueError(f"{scheme.name} needs calibration puzzles, got none")
    return quantise_with_hessians(params, scheme, calibration.first_call_hessians)


METHODS: dict[Rounding, Method] = {
    Rounding.NEAREST: round_to_nearest,
    Rounding.GPTQ: gptq,
    Rounding.GPTQ_FIRST: gptq_of_first_calls,
}


def quantise_weights(
    params: Params, scheme: Scheme, calibration: Calibration | None = None
) -> QuantisedParams:
    """Quantise every kernel by the scheme's method and cast the other leaves.

    Args:
      calibration: needed by methods that look at what goes through the model.

    Raises:
      ValueError: the method needs a calibration, or a value that the format cannot hold.
    """
    rounding = Rounding.NEAREST if scheme.weights is None else scheme.weights.rounding
    return METHODS[rounding](params, scheme, calibration)
