"""The estimate of TFLM's code: every operator that packages use has a size."""

import pytest

from export.cortex_m import build
from export.cortex_m.build import Counted, Linked
from export.cortex_m.instructions import COSTS
from export.cortex_m.sources import CUSTOM_METHODS, METHODS
from export.graph.ir import Graph, GraphModel, Op, Tensor

LINKED = Linked(code=1000, statics=20, stack=512, counted=Counted.FIRMWARE)


def model(*codes: str) -> GraphModel:
    z = Tensor(name="z", shape=(1,))
    ops = tuple(
        Op(
            code=code,
            inputs=("z",),
            outputs=("z",),
            custom_options=b"" if code in CUSTOM_METHODS else None,
        )
        for code in codes
    )
    return GraphModel(graphs=(Graph(name="g", tensors=(z,), ops=ops, inputs={}, outputs={}),))


def test_operators_are_counted_once() -> None:
    found = build.add_tflm(LINKED, model("ADD", "TFLM_DECODE", "ADD"))
    sizes = build.OPERATORS["AddAdd"] + build.OPERATORS["AddDecode"]
    assert found.code == 1000 + build.BASE + sizes
    assert found.statics == 20 + build.VARIABLES
    assert (found.stack, found.counted) == (512, Counted.ESTIMATED)


def test_what_has_a_cost_has_a_size() -> None:
    methods = {**METHODS, **CUSTOM_METHODS}
    assert {f"Add{methods[code]}" for code, _ in COSTS} == set(build.OPERATORS)


def test_an_operator_that_was_not_measured_is_no_nothing() -> None:
    with pytest.raises(ValueError, match=r"no measured size for AddPad; --tflm-lib counts"):
        build.add_tflm(LINKED, model("PAD"))
