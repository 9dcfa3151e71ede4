"""Tiny models as graphs of one target, with the integers of a scheme."""

import functools

from export.graph.ir import GraphModel
from export.lowering.model import lower_floats
from export.lowering.storage import plan_for
from export.targets import Target
from quant.ptq.calibrate import ProductRange, input_widths
from quant.scheme import parse
from quant.simulation import quantise_for
from tests.support.export.models import CONFIGS
from tests.support.samples import random_weights


@functools.cache
def lowered(kind: str, scheme: str, target: Target = Target.ONNX) -> GraphModel:
    """Lower a tiny model, in the TFLite schema's words; static ranges are [-4, 4] everywhere."""
    config, plan = CONFIGS[kind], plan_for(parse(scheme), target)
    quantised = quantise_for(random_weights(config).params, plan.precision)
    span = ProductRange((-4.0, 4.0), (-4.0, 4.0))
    ranges = dict.fromkeys(input_widths(random_weights(config).params), span)
    return lower_floats(config, quantised, plan, batch=3, ranges=ranges)
