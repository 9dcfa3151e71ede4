"""From a decoder and a scheme to a decoder that computes like the device.

    weights       rounded to nearest, or by GPTQ with Hessians along texts
    inputs        dynamic, or static with ranges measured along texts; outputs of static products
                  are rounded too, as a runtime's kernels do
    KV cache      the scheme's carry: `..._carry8` keeps keys and values in int8
    head          a tied head is one matrix with the embeddings; both are the rounded one

`w4c-sym_a16s_carry8` is the W4A16KV8 of arXiv 2603.16867, without its trained transforms.

What belongs to recursion is refused: TFLite Micro's integers, ranges of cells, and roundings that
see cycles.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from jax import Array

from quant.affine import QTensor
from quant.carry import kv_store
from quant.decoder.texts import CalibrationTexts, decoder_hessians, decoder_ranges
from quant.precision_plan import PrecisionPlan
from quant.ptq.calibrate import PerSite, ProductRange, input_widths
from quant.ptq.gptq import round_site
from quant.ptq.weights import (
    QuantisedParams,
    dequantise_params,
    quantise_kernel,
    quantise_leaves,
)
from quant.scheme import Ranges, Rounding, Scheme, WeightScheme
from quant.simulation import plan_dot_general
from trm_jax.decoder.config import DecoderConfig
from trm_jax.decoder.transformer import Decoder
from trm_jax.types import Params

ROUNDINGS = (Rounding.NEAREST, Rounding.GPTQ)
"""What weights of a decoder are rounded by; the others see the cycles of a recursion."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DecoderSimulation:
    """A decoder under a scheme, ready to run.

    Attributes:
      params: those that the decoder reads.
      quantised: what a device stores: a QTensor for every kernel of integers.
      ranges: of static products by site.
    """

    decoder: Decoder
    params: Params
    quantised: QuantisedParams
    ranges: Mapping[str, ProductRange] = field(default_factory=dict)


def check_decoder_scheme(scheme: Scheme) -> None:
    """Check that a scheme is one of decoders.

    Raises:
      ValueError: it is not; the message says what to take instead.
    """
    if scheme.is_integer:
        raise ValueError(
            f"{scheme.name}: TFLite Micro's integers are not simulated for decoders; leave _tflm"
            " out"
        )
    if scheme.ranges is not Ranges.ALL:
        raise ValueError(
            f"{scheme.name}: a decoder has no puzzle prefix to leave out; write"
            f" {replace(scheme, ranges=Ranges.ALL).name}"
        )
    for weights in scheme.all_weights:
        if weights.rounding not in ROUNDINGS:
            raise ValueError(
                f"{scheme.name}: -{weights.rounding.value} sees the cycles of a recursion; decoders"
                " take -gptq, whose Hessians are summed along texts"
            )


def simulate_decoder(
    config: DecoderConfig,
    params: Params,
    scheme: Scheme,
    texts: CalibrationTexts | None = None,
    *,
    dtype: str = "float32",
) -> DecoderSimulation:
    """Compress a decoder and build the one that computes like the device.

    Args:
      texts: to calibrate on; read only by schemes that need them.
      dtype: arithmetic of a scheme that names none.

    Raises:
      ValueError: a scheme of recursive models, no texts where it needs some, or weights that its
        format cannot hold.
    """
    check_decoder_scheme(scheme)
    scheme.check_sites(input_widths(params))
    if scheme.needs_puzzles and texts is None:
        raise ValueError(f"{scheme.name} is calibrated on texts, got none")
    plan = PrecisionPlan.uniform(scheme)
    computed = replace(config, forward_dtype=plan.forward_dtype(dtype))
    exact = replace(config, forward_dtype="float32")
    quantised = quantise_leaves(
        params, scheme.of, scheme.float_dtype, _rounder(exact, params, texts)
    )
    rounded = dequantise_params(quantised)
    ranges: PerSite[ProductRange] = {}
    if plan.needs_ranges and texts is not None:
        ranges = decoder_ranges(exact, rounded, texts)
    return DecoderSimulation(
        decoder=Decoder(computed, plan_dot_general(plan, ranges), kv_store(scheme)),
        params=rounded,
        quantised=quantised,
        ranges=ranges,
    )


def _rounder(
    config: DecoderConfig, params: Params, texts: CalibrationTexts | None
) -> Callable[[str, Array, WeightScheme], QTensor]:
    """Round kernels by the method of their scheme; Hessians are measured when first needed."""
    measured: dict[str, Array] = {}

    def kernel(site: str, value: Array, weights: WeightScheme) -> QTensor:
        if weights.rounding is Rounding.NEAREST:
            return quantise_kernel(value, weights)
        if not measured:
            assert texts is not None  # simulate_decoder checked it
            measured.update(decoder_hessians(config, params, texts))
        return round_site(site, value, weights, measured[site])

    return kernel
