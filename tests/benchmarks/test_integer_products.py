"""The benchmark of 8-bit products: every form is the same product, and saturation is counted."""

# ruff: noqa: E402 - what is optional is looked for before its users are imported
import json

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the extra [onnx] is not installed")
ort = pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")

from benchmarks.integer_products import __main__ as integer_products
from benchmarks.integer_products.runner import (
    FLOAT,
    FORMS,
    ProductForm,
    ProductShape,
    draw_operands,
    form_graph,
    read_shapes,
    share_wrong,
)
from export.graph.onnx_file import write_onnx_graph
from export.runtimes.onnx_kernels import PRECISE, host_entries
from tests.support.programs import end_of

SHAPE = ProductShape(4, 34, 18)  # no whole vectors


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_every_form_is_the_same_product(form: ProductForm) -> None:
    """Operator by operator, nothing fused: the product is float, and no CPU's integers."""
    operands = draw_operands(SHAPE, form.bits)
    content = write_onnx_graph(form_graph(form, SHAPE, operands), {})
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": (operands.x * operands.scale).astype(np.float32)})
    assert share_wrong(np.asarray(y), operands) == 0


def test_sums_that_saturate_are_counted() -> None:
    drawn = draw_operands(SHAPE, 8)
    largest = drawn._replace(x=np.full_like(drawn.x, 127), q=np.full_like(drawn.q, 127))
    pairs = SHAPE.inputs // 2 * min(2 * 255 * 127, 2**15 - 1)
    sums = pairs - 128 * 127 * SHAPE.inputs  # the zero point's share is subtracted behind
    y = np.clip(np.rint(sums * drawn.scales), -128, 127) * drawn.scale
    assert share_wrong(np.tile(y, (SHAPE.positions, 1)), largest) == 1


@pytest.mark.slow
def test_the_program_prints_rows(capsys: pytest.CaptureFixture[str]) -> None:
    assert integer_products.main(["--shapes", "8x64x32", "--repeats", "2"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["form"] for row in rows] == [*(form.name for form in FORMS), FLOAT]
    wrong = {row["form"]: row["wrong"] for row in rows}
    host_saturates = PRECISE in host_entries()
    saturating = ("uint8 x int8", "int8 x int8")
    for name, share in wrong.items():
        if name != FLOAT:
            assert (share > 0) == (host_saturates and name in saturating), name


@pytest.mark.parametrize("text", ["8x64", "8x64x32x1", "8x0x32", "axbxc", "8x-1x2", ""])
def test_shapes_that_are_none_are_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="positions x inputs x outputs"):
        read_shapes(text)
    assert integer_products.main(["--shapes", text]) == 2
    assert "error: --shapes takes" in capsys.readouterr().err


def test_no_repeats_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert end_of(integer_products.main, ["--repeats", "0"]) == 2
    assert "--repeats" in capsys.readouterr().err
