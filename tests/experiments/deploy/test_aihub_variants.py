"""How a scheme reaches AI Hub."""

import pytest

from experiments.deploy.aihub.variants import precision_of
from export.aihub.devices import Precision
from export.lowering.storage import plan_for
from export.targets import Target
from quant.scheme import parse


def test_precisions_of_plans() -> None:
    names = {
        "fp32": Precision.FLOAT,
        "w8c-sym_a8s": Precision.W8A8,
        "w4c-sym_a8s": Precision.W4A8,
        "w8c-sym_a16s": Precision.W8A16,
        "w4c-sym_a16s": Precision.W4A16,
    }
    for name, precision in names.items():
        assert precision_of(plan_for(parse(name), Target.ONNX)) is precision
    with pytest.raises(ValueError, match="AI Hub has no weight_only"):
        precision_of(plan_for(parse("int8"), Target.ONNX))
