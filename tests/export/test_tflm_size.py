"""The estimate of TFLM's code: every operator that packages use has a size."""

import pytest

from export import tflm_size
from export.firmware_build import Counted, Linked
from export.graph import Graph, Model, Op, Tensor
from export.instructions import COSTS
from export.tflm_sources import CUSTOM_METHODS, METHODS

LINKED = Linked(code=1000, statics=20, stack=512, counted=Counted.FIRMWARE)


def model(*codes: str) -> Model:
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
    return Model(graphs=(Graph(name="g", tensors=(z,), ops=ops, inputs={}, outputs={}),))


def test_operators_are_counted_once() -> None:
    found = tflm_size.with_tflm(LINKED, model("ADD", "TFLM_DECODE", "ADD"))
    sizes = tflm_size.OPERATORS["AddAdd"] + tflm_size.OPERATORS["AddDecode"]
    assert found.code == 1000 + tflm_size.BASE + sizes
    assert found.statics == 20 + tflm_size.VARIABLES
    assert (found.stack, found.counted) == (512, Counted.ESTIMATED)


def test_what_has_a_cost_has_a_size() -> None:
    methods = {**METHODS, **CUSTOM_METHODS}
    assert {f"Add{methods[code]}" for code, _ in COSTS} == set(tflm_size.OPERATORS)


def test_an_operator_that_was_not_measured_is_no_nothing() -> None:
    with pytest.raises(ValueError, match=r"no measured size for AddPad; --tflm-lib counts"):
        tflm_size.with_tflm(LINKED, model("PAD"))
