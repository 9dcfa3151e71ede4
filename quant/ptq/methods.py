"""The methods of post-training quantisation, by the rounding of a matrix's scheme.

A method rounds one matrix after the other; what those that ask for LEARNED have in common is
learned when all are rounded (rounding.py).

A new method that looks at one matrix at a time is a file beside this one, a member of
`quant.scheme.Rounding` with its suffix, and an entry in METHODS; sweeps, ablations, exports and
the report then take schemes of that name.
"""

from collections.abc import Callable

from jax import Array

from quant.affine import QTensor
from quant.ptq.calibrate import Calibration, PerSite, input_widths
from quant.ptq.gptq import round_site
from quant.ptq.rounding import learn_rounding
from quant.ptq.weights import QuantisedParams, RoundKernel, quantise_kernel, quantise_leaves
from quant.scheme import FloatDtype, Rounding, Scheme, WeightScheme
from trm_jax.types import Params

Method = Callable[[str, Array, WeightScheme, Calibration | None], QTensor]
"""(site, kernel, scheme, calibration) -> integers; a method that needs none ignores it."""


def round_to_nearest(
    site: str, kernel: Array, weights: WeightScheme, calibration: Calibration | None
) -> QTensor:
    """Round every weight to the nearest integer of its grid; nothing is looked at."""
    del site, calibration
    return quantise_kernel(kernel, weights)


def gptq(hessians: Callable[[Calibration], PerSite[Array]]) -> Method:
    """Make the method that rounds by Hessians.

    Args:
      hessians: reads those of a calibration, measured when first asked for.
    """

    def round_kernel(
        site: str, kernel: Array, weights: WeightScheme, calibration: Calibration | None
    ) -> QTensor:
        if calibration is None:
            raise ValueError(f"{weights.name} needs calibration puzzles, got none")
        return round_site(site, kernel, weights, hessians(calibration)[site])

    return round_kernel


METHODS: dict[Rounding, Method] = {
    Rounding.NEAREST: round_to_nearest,
    Rounding.GPTQ: gptq(lambda calibration: calibration.hessians),
    Rounding.GPTQ_FIRST: gptq(lambda calibration: calibration.first_call_hessians),
    Rounding.GPTQ_NORM: gptq(lambda calibration: calibration.normed_hessians),
    Rounding.LEARNED: gptq(lambda calibration: calibration.normed_hessians),  # where it starts
}


def quantise_weights(
    params: Params, scheme: Scheme, calibration: Calibration | None = None
) -> QuantisedParams:
    """Quantise every kernel by its scheme's method and cast the other leaves.

    Args:
      calibration: needed by methods that look at what goes through the model.

    Raises:
      ValueError: the method needs a calibration; a leaf is not finite, or the format cannot hold
        it, or a Hessian is not finite; the message names it.
    """
    return quantise_matrices(params, scheme.of, scheme.float_dtype, calibration)


def quantise_matrices(
    params: Params,
    scheme_of: Callable[[str], Scheme],
    floats: FloatDtype,
    calibration: Calibration | None = None,
) -> QuantisedParams:
    """Quantise every kernel by a scheme of its own and cast the other leaves.

    Args:
      scheme_of: the scheme of a site, without exceptions.
      floats: format of the leaves that are no kernels.
      calibration: needed by methods that look at what goes through the model.

    Raises:
      ValueError: as `quantise_weights`.
    """
    quantised = quantise_leaves(params, scheme_of, floats, by_method(calibration))
    schemes = {site: scheme_of(site).weights for site in input_widths(params)}
    learned = [
        s for s, weights in schemes.items() if weights and weights.rounding is Rounding.LEARNED
    ]
    if calibration is None or not learned:
        return quantised
    return learn_rounding(quantised, learned, calibration)


def by_method(calibration: Calibration | None) -> RoundKernel:
    """Round each kernel by the method of its own weights, once for all that share a calibration.

    Args:
      calibration: needed by methods that look at what goes through the model; it keeps what was
        rounded.
    """

    def kernel(site: str, value: Array, weights: WeightScheme) -> QTensor:
        def rounded() -> tuple[Array, QTensor]:
            return value, METHODS[weights.rounding](site, value, weights, calibration)

        if calibration is None:
            return rounded()[1]
        of, kept = calibration.once(("rounded", site, weights), rounded)
        return kept if of is value else rounded()[1]  # other parameters than were asked about first

    return kernel
