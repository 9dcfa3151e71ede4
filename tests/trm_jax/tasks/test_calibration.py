"""Calibration puzzles that a command line chooses: which ones, what is refused, the record."""

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import pytest

from trm_jax.data.batches import CALIBRATION_PUZZLES, batch_size_of, calibration_batches
from trm_jax.data.calibration import (
    FEWEST_PUZZLES,
    CalibrationFacts,
    CalibrationOptions,
    add_calibration,
    describe_calibration,
    read_calibration,
)
from trm_jax.data.format import save_dataset
from trm_jax.loading import LoadedModel, Puzzles, load_model, load_puzzles
from trm_jax.tasks.calibration import CalibrationPuzzles, choose_calibration

MODEL = "maze-trm-att-mini"


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model(MODEL)


@pytest.fixture(scope="module")
def puzzles(model: LoadedModel) -> Puzzles:
    return load_puzzles(model)


def read(*words: str) -> CalibrationOptions:
    parser = argparse.ArgumentParser()
    add_calibration(parser)
    return read_calibration(parser.parse_args(words))


def test_options_are_read() -> None:
    assert read() == CalibrationOptions()
    assert not read("--calibration-puzzles", str(CALIBRATION_PUZZLES)).is_chosen
    assert read("--calibration", "d") == CalibrationOptions(data=Path("d"))
    assert read("--calibration", "d").is_chosen


def test_too_few_puzzles_are_refused() -> None:
    assert read("--calibration-puzzles", str(FEWEST_PUZZLES)).puzzles == FEWEST_PUZZLES
    message = f"--calibration-puzzles must be at least {FEWEST_PUZZLES}, got {FEWEST_PUZZLES - 1}"
    with pytest.raises(ValueError, match=message):
        read("--calibration-puzzles", str(FEWEST_PUZZLES - 1))


@pytest.mark.parametrize("count", [1, 8, 31, 32, 33, 48, 127, 128])
def test_batches_hold_every_puzzle_once_and_no_padding(puzzles: Puzzles, count: int) -> None:
    batches = list(calibration_batches(puzzles.dataset, count))
    assert {len(b.inputs) for b in batches[:-1]} <= {batch_size_of(count)}
    assert all(b.num_real == len(b.inputs) for b in batches)
    together = np.concatenate([b.inputs for b in batches])
    np.testing.assert_array_equal(together, puzzles.dataset.inputs[puzzles.order[-count:]])


def test_the_usual_number_is_cut_as_ever(puzzles: Puzzles) -> None:
    assert [len(b.inputs) for b in calibration_batches(puzzles.dataset)] == [32] * 4


def test_without_a_choice_nothing_is_recorded(model: LoadedModel, puzzles: Puzzles) -> None:
    usual = choose_calibration(model, puzzles)
    assert usual.facts is None
    assert usual.recorded_if(False) is None
    assert usual.left == len(puzzles) - CALIBRATION_PUZZLES


def test_a_record_is_of_the_puzzles_not_of_their_folder(
    model: LoadedModel, puzzles: Puzzles, tmp_path: Path
) -> None:
    dataset = dataclasses.replace(puzzles.dataset, inputs=puzzles.dataset.inputs.astype(np.int32))
    save_dataset(dataset, tmp_path / "d" / "test")
    own = choose_calibration(model, puzzles, CalibrationOptions(data=tmp_path / "d", puzzles=40))
    by_task = choose_calibration(puzzles.task, puzzles, own.options)  # as of a decoder
    assert (by_task.source.folder, by_task.facts) == (own.source.folder, own.facts)
    few = choose_calibration(model, puzzles, CalibrationOptions(puzzles=40))
    fewer = choose_calibration(model, puzzles, CalibrationOptions(puzzles=39))
    assert own.facts is not None
    assert few.facts is not None
    assert fewer.facts is not None
    assert own.facts.identity == few.facts.identity
    assert own.facts.data != few.facts.data
    assert few.facts.sha256 != fewer.facts.sha256
    assert (own.left, few.left) == (len(puzzles), len(puzzles) - 40)
    assert describe_calibration(own.facts).startswith("the last 40 of maze 8x8 (")


def test_other_data_sets_are_refused(model: LoadedModel, puzzles: Puzzles, tmp_path: Path) -> None:
    sudoku = load_puzzles("sudoku").folder.parent
    with pytest.raises(ValueError, match="is sudoku data, not maze"):
        choose_calibration(model, puzzles, CalibrationOptions(data=sudoku))
    with pytest.raises(FileNotFoundError, match=r"no data folder .*; leave --calibration out"):
        choose_calibration(model, puzzles, CalibrationOptions(data=tmp_path / "none"))
    few = CalibrationOptions(data=puzzles.folder, puzzles=len(puzzles) + 1)
    with pytest.raises(ValueError, match=f"has {len(puzzles)} puzzles, --calibration-puzzles asks"):
        choose_calibration(model, puzzles, few)


def test_another_grid_is_refused(model: LoadedModel, puzzles: Puzzles) -> None:
    """Of a model that does not say what its puzzles are, the evaluated ones tell."""
    rows, columns = puzzles.facts.grid
    facts = dataclasses.replace(puzzles.facts, grid=(rows * 2, columns // 2))
    silent = dataclasses.replace(model, facts=None)
    with pytest.raises(ValueError, match="has grid 8x8; name another --calibration"):
        choose_calibration(
            silent,
            dataclasses.replace(puzzles, facts=facts),
            CalibrationOptions(data=puzzles.folder),
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"puzzles": 0}, "puzzles must be at least 1"), ({"sha256": "ab"}, "64 hexadecimal digits")],
)
def test_damaged_records_are_refused(changes: dict, message: str) -> None:
    facts = CalibrationFacts(puzzles=8, sha256="0" * 64, data="d")
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(facts, **changes)


def test_one_puzzle_can_be_asked_for_by_the_library(puzzles: Puzzles) -> None:
    one = CalibrationPuzzles(evaluated=puzzles)
    assert len(next(iter(calibration_batches(one.source.dataset, 1))).inputs) == 1
