"""Every verdict of the table against the real runtime, and what the checks say about models."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from export.graph.ir import DType
from export.legality import check as legality_check
from export.legality.check import check_legality, find_violations
from export.legality.tflite_table import NEWEST, ROWS, Support, Use, Violation
from export.targets import Target
from tests.support.export import operator_kinds as kinds
from tests.support.export import operators as ops
from tests.support.export.operator_products import (
    Weights,
    convolution,
    decoded,
    dequantised_weights,
    fully_connected,
)
from tests.support.export.operators import Case
from tests.support.export.runtimes import Session, session

F32, I16, I8, I4 = DType.FLOAT32, DType.INT16, DType.INT8, DType.INT4
MEASURED = (Target.LITERT, Target.LITERT_BUILTIN, Target.TFLITE_RUNTIME, Target.TFLM)


def example(use: Use, version: int) -> Case:
    """Make a model of one use."""
    if use.code == "FULLY_CONNECTED":
        return fully_connected(
            use.types[0], Weights(use.types[1], use.per_channel), version=version
        )
    if use.code == "CONV_2D":
        return convolution(use.types[0], Weights(use.types[1], use.per_channel), version=version)
    if use.code == "DEQUANTIZE" and (use.per_channel or use.types[0] in (DType.FLOAT16, I4)):
        return dequantised_weights(Weights(use.types[0], use.per_channel), version=version)
    if use.code in ("QUANTIZE", "DEQUANTIZE"):
        return kinds.to_grid(*use.types, version=version)
    if use.code == "TFLM_DECODE":
        return decoded()
    if use.types[0] is DType.INT32:
        return kinds.INDICES[use.code](version)
    return kinds.plain(use.code, use.types[0], version=version)


Sessions = Callable[[Target], Session]


@pytest.fixture(scope="module")
def sessions() -> Iterator[Sessions]:
    """Opens every runtime once."""
    with ExitStack() as stack:
        opened: dict[Target, Session] = {}

        def get(target: Target) -> Session:
            if target not in opened:
                opened[target] = stack.enter_context(session(target))
            return opened[target]

        yield get


@pytest.fixture(params=MEASURED, ids=lambda t: t.value)
def runtime(request: pytest.FixtureRequest, sessions: Sessions) -> Session:
    return sessions(request.param)


def test_every_row_is_what_the_runtime_does(runtime: Session) -> None:
    wrong = {}
    for use, row in ROWS.items():
        if runtime.target.facts.kernels in row.on_device:
            continue
        measured = runtime.verdict(example(use, row.since))
        if measured is not row.support(runtime.target.facts.kernels):
            wrong[str(use)] = (row.support(runtime.target.facts.kernels), measured)
    assert wrong == {}


def test_the_checks_see_what_the_examples_are() -> None:
    for use, row in ROWS.items():
        model = example(use, row.since).model
        found = [v for v in find_violations(model, Target.TFLM) if v.use == use]
        assert bool(found) == (row.support(Target.TFLM.facts.kernels) is not Support.RIGHT), use


def test_newest_versions(runtime: Session) -> None:
    column = {Target.LITERT: 0, Target.LITERT_BUILTIN: 0, Target.TFLITE_RUNTIME: 1}
    if runtime.target is Target.TFLM:
        high = ops.with_version(kinds.plain("ADD", F32), 99)
        assert runtime.verdict(high) is Support.RIGHT  # TFLM reads no versions
        return
    weighted = {
        "FULLY_CONNECTED": fully_connected(I8, Weights(I8), version=1),
        "CONV_2D": convolution(I8, Weights(I8), version=1),
        "QUANTIZE": kinds.to_grid(F32, I8),
        "DEQUANTIZE": kinds.to_grid(I8, F32),
        "CAST": kinds.cast_indices(1),
    }
    for code, versions in NEWEST.items():
        case = weighted.get(code) or kinds.plain(code, F32)
        newest = versions[column[runtime.target]]
        assert runtime.verdict(ops.with_version(case, newest)) is Support.RIGHT, code
        assert runtime.verdict(ops.with_version(case, newest + 1)) is Support.REFUSED, code


SILENT = {
    "older version": (fully_connected(F32, Weights(I8), version=5), Target.TFLITE_RUNTIME),
    "-8": (fully_connected(F32, Weights(I4, lowest=-8), version=12), Target.LITERT_BUILTIN),
    "-128": (fully_connected(F32, Weights(I8, lowest=-128), version=12), Target.LITERT_BUILTIN),
    "zero points": (
        fully_connected(F32, Weights(I8, zero_point=3), version=12),
        Target.LITERT_BUILTIN,
    ),
    "zero points, one scale": (
        fully_connected(F32, Weights(I8, False, zero_point=3), version=9),
        Target.TFLITE_RUNTIME,
    ),
    "zero points, static": (fully_connected(I8, Weights(I8, zero_point=3), version=4), Target.TFLM),
    "zero points, int16": (
        fully_connected(I16, Weights(I8, zero_point=3), version=7),
        Target.LITERT,
    ),
    "zero points, conv": (convolution(I8, Weights(I4, zero_point=3), version=7), Target.TFLM),
    "scales of DEQUANTIZE": (dequantised_weights(Weights(I8), version=5), Target.TFLM),
    "int4 read as int8": (convolution(I16, Weights(I4), version=7), Target.TFLITE_RUNTIME),
}
"""Models that load, run and compute garbage."""


@pytest.mark.parametrize("name", SILENT)
def test_silent_garbage_is_real_and_is_refused(name: str, sessions: Sessions) -> None:
    case, target = SILENT[name]
    with pytest.raises(ValueError, match="computes silent garbage"):
        check_legality(case.model, target)
    assert sessions(target).verdict(case) is Support.WRONG


RIGHT = {
    "narrow int4": fully_connected(F32, Weights(I4), version=12),
    "odd width": fully_connected(F32, Weights(I4), version=12, width=33),
    "wide int4, static": fully_connected(I8, Weights(I4, lowest=-8), version=10),
    "wide int4, expanded": dequantised_weights(Weights(I4, lowest=-8, zero_point=3), version=6),
    "one scale, zero point, static": fully_connected(
        I8, Weights(I8, False, zero_point=3), version=4
    ),
}


@pytest.mark.parametrize("target", [Target.LITERT, Target.LITERT_BUILTIN])
@pytest.mark.parametrize("name", RIGHT)
def test_near_misses_are_right_and_are_let_through(
    name: str, target: Target, sessions: Sessions
) -> None:
    assert find_violations(RIGHT[name].model, target) == []
    assert sessions(target).verdict(RIGHT[name]) is Support.RIGHT


def test_concatenations_in_tflm(sessions: Sessions) -> None:
    assert find_violations(kinds.concatenation(10).model, Target.TFLM) == []
    (found,) = find_violations(kinds.concatenation(11).model, Target.TFLM)
    assert found.support is Support.REFUSED
    runtime = sessions(Target.TFLM)
    assert runtime.verdict(kinds.concatenation(10)) is Support.RIGHT
    assert runtime.verdict(kinds.concatenation(11)) is Support.REFUSED


def test_messages_name_tensor_reason_and_alternative() -> None:
    model = fully_connected(F32, Weights(I8), version=12).model
    with pytest.raises(ValueError, match="tflite-runtime") as caught:
        check_legality(model, Target.TFLITE_RUNTIME)
    text = str(caught.value)
    for part in ("tensor 'w'", "one scale for all channels", "instead: static int8"):
        assert part in text


def test_aihub_takes_float_and_w8a8_only() -> None:
    assert find_violations(kinds.plain("ADD", F32).model, Target.AI_HUB) == []
    assert find_violations(fully_connected(I8, Weights(I8), version=4).model, Target.AI_HUB) == []
    for case in (
        fully_connected(F32, Weights(I8), version=12),
        fully_connected(I8, Weights(I4), version=10),
        kinds.plain("ADD", I16),
    ):
        (found,) = find_violations(case.model, Target.AI_HUB)
        assert isinstance(found, Violation)
        assert "AI Hub" in found.reason


def test_operators_nobody_measured_are_refused() -> None:
    case = kinds.plain("ADD", F32)
    unknown = ops.with_code(case, "SUB_OF_NOTHING")
    (found,) = legality_check.find_violations(unknown.model, Target.LITERT)
    assert "measured on no runtime" in found.reason
