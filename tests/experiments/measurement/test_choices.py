"""Calibration puzzles: none is evaluated, not even in disguise, and they differ.

Images are made by the symmetries that training draws from, which share no code with the numbers
and names by which images are found.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from experiments.measurement import choices
from experiments.measurement.choices import check_calibration, choose_batch_size
from experiments.sweep.__main__ import main as sweep
from quant.scheme import parse
from trm_jax.config import PRESETS
from trm_jax.data.batches import CALIBRATION_PUZZLES
from trm_jax.data.calibration import CalibrationOptions
from trm_jax.data.format import save_dataset
from trm_jax.data.maze.symmetry import augment_maze
from trm_jax.data.sudoku.symmetry import augment_sudoku
from trm_jax.loading import Puzzles, load_model, load_puzzles
from trm_jax.tasks.calibration import CalibrationPuzzles, choose_calibration

CALIBRATED = parse("w4t-sym-gptq")
SPOILT, EVALUATED = -5, 3  # places in the order of measuring


def aside(puzzles: Puzzles) -> CalibrationPuzzles:
    """Set apart what is calibrated on where a command line says nothing."""
    return CalibrationPuzzles(evaluated=puzzles)


def with_inputs(puzzles: Puzzles, rows: np.ndarray | int, inputs: np.ndarray) -> Puzzles:
    """Put other inputs into rows of a data set."""
    changed = np.array(puzzles.dataset.inputs)
    changed[rows] = inputs
    return dataclasses.replace(
        puzzles, dataset=dataclasses.replace(puzzles.dataset, inputs=changed)
    )


def sudoku_image(puzzles: Puzzles, row: int) -> np.ndarray:
    """Draw a symmetric Sudoku."""
    one = np.array(puzzles.dataset.inputs[row : row + 1])
    box = puzzles.facts.box
    assert box is not None
    return augment_sudoku(np.random.default_rng(1), one, one, box)[0][0]


def maze_image(puzzles: Puzzles, row: int) -> np.ndarray:
    """Draw a turned or mirrored maze."""
    one = np.array(puzzles.dataset.inputs[row : row + 1])
    return augment_maze(np.random.default_rng(2), one, one, puzzles.facts.grid)[0][0]


def planted(task: str, image: Callable[[Puzzles, int], np.ndarray]) -> Puzzles:
    """Put an image of an evaluated puzzle among the calibration puzzles."""
    puzzles = load_puzzles(task)
    row = int(puzzles.order[EVALUATED])
    drawn = image(puzzles, row)
    assert (drawn != puzzles.dataset.inputs[row]).any()
    return with_inputs(puzzles, int(puzzles.order[SPOILT]), drawn)


@pytest.mark.parametrize(("task", "image"), [("sudoku", sudoku_image), ("maze", maze_image)])
def test_an_image_of_an_evaluated_puzzle_is_refused(
    task: str, image: Callable[[Puzzles, int], np.ndarray]
) -> None:
    puzzles = planted(task, image)
    rows = puzzles.order[SPOILT], puzzles.order[EVALUATED]
    message = "1 of the last 128 .* puzzle {} is a symmetric image of puzzle {};".format(*rows)
    with pytest.raises(ValueError, match=message):
        check_calibration([CALIBRATED], EVALUATED + 1, aside(puzzles))
    check_calibration([CALIBRATED], EVALUATED, aside(puzzles))  # the puzzle is not evaluated
    check_calibration([parse("fp32")], EVALUATED + 1, aside(puzzles))  # nothing is calibrated


def test_an_equal_arc_question_is_refused_under_its_own_identifier_alone() -> None:
    puzzles = load_puzzles("arc")
    aside(puzzles).check(len(puzzles) - CALIBRATION_PUZZLES)  # equal under other identifiers
    dataset, order = puzzles.dataset, puzzles.order
    of_row = np.searchsorted(dataset.puzzle_indices, np.arange(len(dataset)), side="right") - 1
    identifiers = np.array(dataset.puzzle_identifiers)
    identifiers[of_row[order[SPOILT]]] = identifiers[of_row[order[EVALUATED]]]
    copied = with_inputs(puzzles, int(order[SPOILT]), dataset.inputs[order[EVALUATED]])
    aside(copied).check(EVALUATED + 1)
    same = dataclasses.replace(copied.dataset, puzzle_identifiers=identifiers)
    with pytest.raises(ValueError, match="is the same as puzzle"):
        aside(dataclasses.replace(copied, dataset=same)).check(EVALUATED + 1)


@pytest.mark.parametrize("task", ["sudoku", "maze", "arc"])
def test_bundled_puzzles_can_all_be_evaluated_but_those(task: str) -> None:
    puzzles = load_puzzles(task)
    left = len(puzzles) - CALIBRATION_PUZZLES
    check_calibration([CALIBRATED], left, aside(puzzles))
    with pytest.raises(ValueError, match=f"at most {left} can be evaluated, got {left + 1}"):
        check_calibration([CALIBRATED], left + 1, aside(puzzles))


def test_copies_of_one_puzzle_are_refused_by_the_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    puzzles = load_puzzles("sudoku", cells=36)
    last = puzzles.order[-CALIBRATION_PUZZLES:]
    copies = with_inputs(puzzles, last, puzzles.dataset.inputs[last[0]])
    save_dataset(copies.dataset, tmp_path / "data" / "test")
    names = ["--task", "sudoku", "--model", "sudoku-trm-mlp-mini", "--limit", "1"]
    folders = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    assert sweep([*names, *folders, "--schemes", CALIBRATED.name]) == 2
    printed = capsys.readouterr().err.strip()
    assert printed.startswith("error: the last 128 puzzles")
    assert len(printed.splitlines()) == 1
    assert not (tmp_path / "out").exists()


CONFIG = PRESETS["sudoku-trm-mlp"]
EACH = 2 * 4 * 48 * 97 * 512
"""Bytes of a puzzle's two trajectories: 16 steps of 3 H-cycles, 97 positions of 512 channels."""


@pytest.mark.parametrize(
    ("free", "number", "reason"),
    [
        (None, 50, "at most 50 on a CPU"),
        (2 * 50 * 2 * EACH, 50, "at most 50 on a CPU"),
        (2 * 7 * 2 * EACH, 7, "half of 0.497 GiB that are free"),
        (0, 1, "half of 0 GiB that are free"),
    ],
)
def test_the_batch_size_follows_free_memory_where_it_is_short(
    free: int | None, number: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two rows at once; seven puzzles take half of what is free."""
    monkeypatch.setattr(choices, "free_bytes", lambda: free)
    monkeypatch.setattr(choices, "num_threads", lambda: 2)
    chosen = choose_batch_size(None, CONFIG, CONFIG.halt_max_steps)
    assert chosen == (number, f"auto: {reason}")
    assert choose_batch_size(None, CONFIG, CONFIG.halt_max_steps, kept=3).number == 3
    assert choose_batch_size(5, CONFIG, CONFIG.halt_max_steps, kept=3) == (5, "")


def test_states_of_a_large_model_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """916 positions: a puzzle takes 172 MiB, of 1 GiB."""
    monkeypatch.setattr(choices, "free_bytes", lambda: None)
    assert choose_batch_size(None, PRESETS["maze-trm-att"], 16) == (5, "auto: 1 GiB for states")


FEW = CalibrationOptions(puzzles=8)


def test_fewer_puzzles_leave_more_to_evaluate() -> None:
    puzzles = load_puzzles("maze")
    few = CalibrationPuzzles(evaluated=puzzles, options=FEW)
    check_calibration([CALIBRATED], len(puzzles) - FEW.puzzles, few)
    with pytest.raises(ValueError, match="is calibrated on the last 8 of the"):
        check_calibration([CALIBRATED], len(puzzles) - FEW.puzzles + 1, few)


def test_chosen_puzzles_without_a_calibrated_scheme_are_refused() -> None:
    few = CalibrationPuzzles(evaluated=load_puzzles("maze"), options=FEW)
    with pytest.raises(ValueError, match=r"nothing here is calibrated .* leave --calibration and"):
        check_calibration([parse("int8")], 1, few)


def test_a_data_set_of_its_own_leaves_all_puzzles_but_their_images(tmp_path: Path) -> None:
    """The other data set has another integer type: what is compared does not depend on it."""
    puzzles, model = load_puzzles("maze"), load_model("maze-trm-att-mini")
    half = len(puzzles) // 2
    other = dataclasses.replace(puzzles.dataset, inputs=puzzles.dataset.inputs.astype(np.int32))
    save_dataset(other, tmp_path / "same" / "test")
    options = CalibrationOptions(data=tmp_path / "same", puzzles=8)
    same = choose_calibration(model, puzzles, options)
    assert same.left == len(puzzles)
    check_calibration([CALIBRATED], half, same)  # its last are not among the first half
    with pytest.raises(ValueError, match=r"8 of the last 8 puzzles of .*same.* of .*maze-8x8"):
        check_calibration([CALIBRATED], len(puzzles), same)
