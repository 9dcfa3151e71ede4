"""Exports tell what they were calibrated on, which is no expected answer of theirs."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from experiments.deploy import __main__ as deploy
from export import tflite
from export.artifact.verification import Calibrated, find_calibration
from export.pipeline import TRIED, export_model
from quant.scheme import parse
from tests.support.programs import end_of
from trm_jax.data.calibration import CalibrationOptions
from trm_jax.data.format import save_dataset
from trm_jax.loading import Puzzles, load_model, load_puzzles
from trm_jax.tasks.calibration import CalibrationPuzzles

MODEL, SPOILT = "maze-trm-att-mini", -5  # place of a calibration puzzle in the order of measuring
FEW = CalibrationOptions(puzzles=8)


def repeated(place: int) -> Puzzles:
    """Put a copy of an early puzzle among the calibration puzzles."""
    puzzles = load_puzzles("maze")
    inputs = np.array(puzzles.dataset.inputs)
    inputs[puzzles.order[SPOILT]] = inputs[puzzles.order[place]]
    return dataclasses.replace(puzzles, dataset=dataclasses.replace(puzzles.dataset, inputs=inputs))


def test_an_expected_answer_is_not_calibrated_on(tmp_path: Path) -> None:
    model, scheme = load_model(MODEL), parse("w4t-sym-gptq")
    with pytest.raises(ValueError, match=r"1 of the last 128 puzzles .* are evaluated too"):
        export_model(model, scheme, tmp_path / "e", puzzles=repeated(TRIED - 1))
    assert not (tmp_path / "e").exists()
    CalibrationPuzzles(evaluated=repeated(TRIED)).check(TRIED)  # the next one may be


@pytest.mark.parametrize("program", ["export", "board"])
def test_programs_compare_calibration_puzzles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], program: str
) -> None:
    save_dataset(repeated(0).dataset, tmp_path / "data" / "test")
    words = ["--model", MODEL, "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    if program == "export":
        code = end_of(tflite.main, [*words, "--scheme", "w8c-sym_a8s"])
    else:
        target = ["--target", "cortex-m55", "--task", "maze", "--schemes", "tflm_int8_int16"]
        code = end_of(deploy.main, [*target, *words])
    error = capsys.readouterr().err.strip()
    assert code == 2
    assert "is the same as puzzle" in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_puzzles_for_a_scheme_that_needs_none_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--model", MODEL, "--scheme", "int8", "--out", str(tmp_path / "out")]
    assert end_of(tflite.main, [*words, "--calibration-puzzles", "8"]) == 2
    assert "w8c-sym is calibrated on no puzzles; leave --calibration" in capsys.readouterr().err


def test_verification_finds_the_calibration_puzzles_again(tmp_path: Path) -> None:
    bundled, other = load_puzzles("maze"), repeated(0)
    save_dataset(other.dataset, tmp_path / "other" / "test")

    def load(folder: Path | None) -> Puzzles:
        return load_puzzles("maze", folder)

    few = CalibrationPuzzles(evaluated=bundled, options=FEW).recorded
    found = find_calibration(few, load, [tmp_path / "other", None])
    assert found.count == FEW.puzzles
    np.testing.assert_array_equal(found.dataset.inputs, bundled.dataset.inputs)
    earlier = find_calibration(None, load, [tmp_path / "other", None])
    assert earlier.count == Calibrated(bundled.dataset).count  # as exports that say nothing took
    np.testing.assert_array_equal(earlier.dataset.inputs, other.dataset.inputs)
    with pytest.raises(ValueError, match=r"calibrated on the last 8 of maze 8x8 .* --calibration"):
        find_calibration(few, load, [tmp_path / "other"])
