"""The search for a recipe: what is refused, what targets store, and a whole search."""

import csv
import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from experiments.recipe import __main__ as recipe
from experiments.recipe.job import (
    CANDIDATES,
    FEWEST_DECIDING,
    MOST_DECIDING,
    choose_deciding,
    matrix_bytes,
    most_deciding,
    most_loss_batches,
    prepare,
    read_budget,
    read_drop,
    read_target,
)
from experiments.recipe.outcomes import find_first, thinned
from experiments.recipe.rows import read_search
from experiments.recipe.tables import header
from export.targets import Target
from quant.ptq.mixed_precision import FrontPoint
from quant.recipe import read_recipe
from quant.scheme import parse_weights
from trm_jax.data.batches import CALIBRATION_PUZZLES
from trm_jax.loading import Puzzles, load_model, load_puzzles
from trm_jax.tasks.calibration import CalibrationPuzzles

SHAPE = (24, 10)
MODEL = ("--task", "sudoku", "--model", "sudoku-trm-mlp-mini", "--limit", "4")


@pytest.mark.parametrize(
    ("name", "target", "expected"),
    [
        ("w3t-sym-gptq", None, 24 * 10 * 3 // 8 + 4),
        ("w4c-asym-gptq", None, 24 * 10 // 2 + 10 * (4 + 1)),
        ("w3t-sym-gptq", Target.LITERT, 24 * 10 // 2 + 4 + 8),  # there is no packed int3
        ("w4c-asym-gptq", Target.LITERT, 24 * 10 // 2 + 10 * (4 + 8)),
        ("w4c-asym-gptq", Target.TFLITE_RUNTIME, 24 * 10 + 10 * (4 + 8)),  # q - z as int8
        ("w8c-sym-gptq", Target.ONNX, 24 * 10 + 10 * (4 + 1)),
        ("w4c-asym-gptq", Target.ONNX, 24 * 10 // 2 + 10 * 4 + 10 // 2),
        ("w4c-asym-gptq", Target.TFLM, 24 * 10 // 2 + 10 * (2 * 12 + 4 + 16)),  # a table per output
        ("w8t-sym-gptq", Target.TFLM, 24 * 10 + 10 * (2 * 12 + 4)),  # a scale per output
    ],
)
def test_a_target_stores_what_it_multiplies_by(
    name: str, target: Target | None, expected: int
) -> None:
    assert matrix_bytes(SHAPE, parse_weights(name), target) == expected


def test_sizes_are_read() -> None:
    assert read_budget("0.15MB", 0, 0) == 150_000
    assert read_budget("150 kB", 0, 0) == 150_000
    assert read_budget("3.5bits", 1000, 3, 70) == 437 + 3 * (4 + 1) + 70
    assert read_drop("0.5pp") == 0.005
    assert read_drop(None) is None


@pytest.mark.parametrize("text", ["", "3", "0MB", "-1MB", "3.5 GB", "1e3kB", "nan bits"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"--budget is a size such as 0\.15MB"):
        read_budget(text, 1, 1)


@pytest.mark.parametrize("text", ["0.5", "-1pp", "101pp", "half"])
def test_what_is_no_drop_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="--max-drop is in percentage points"):
        read_drop(text)


def test_targets_that_leave_no_choice_are_refused() -> None:
    with pytest.raises(ValueError, match="no recipe for target aihub, there is nothing to choose"):
        read_target("aihub")
    for name in ("ethos-u", "aihub"):
        with pytest.raises(ValueError, match="there is nothing to choose") as refused:
            read_target(name)
        assert "use w8c-sym_a8s-cells-fold" in str(refused.value)
    with pytest.raises(ValueError, match=r"unknown target 'ethos-n';.* known: litert"):
        read_target("ethos-n")
    assert read_target("onnx") is Target.ONNX


def test_what_a_command_line_lacks_is_one_line(tmp_path, capsys) -> None:
    out = tmp_path / "out"
    for words, said in (
        ((), "give --budget SIZE, --max-drop POINTS, or both"),
        (("--budget", "much"), "--budget is a size"),
        (("--budget", "4bits", "--target", "litre"), "did you mean 'litert'"),
        (("--budget", "4bits", "--max-drop", "1"), "--max-drop is in percentage points"),
        (("--budget", "1bits"), "which takes at least 69,370 densely packed"),
        (("--budget", "3bits", "--target", "onnx"), "as onnx stores it"),
        (("--budget", "4bits", "--limit", "0"), f"the last {CALIBRATION_PUZZLES}"),
    ):
        assert recipe.main([*MODEL, *words, "--out", str(out)]) == 2
        printed = capsys.readouterr()
        assert said in printed.err
        assert printed.err.startswith("error: ")
        assert printed.err.count("\n") == 1
    assert not out.exists()


def kinds(target: str | None) -> set[str]:
    words = ["--budget", "8bits", *(["--target", target] if target else [])]
    return {w.name for w in prepare(recipe.parser().parse_args([*MODEL, *words])).candidates}


def test_what_a_better_one_is_as_small_as_is_no_choice() -> None:
    """LiteRT stores 2 and 3 bits in 4, and 5 and 6 in 8; TFLite Micro has a scale per output."""
    packed = {f"w{bits}{of}-auto-gptq-norm" for bits in (2, 3, 4, 5, 6) for of in "tc"}
    assert kinds(None) == packed | {"w8t-sym-gptq-norm", "w8c-sym-gptq-norm"}
    eight = {"w8t-sym-gptq-norm", "w8c-sym-gptq-norm"}
    assert kinds("litert") == {"w4t-auto-gptq-norm", "w4c-auto-gptq-norm"} | eight
    assert kinds("tflm") == {"w4c-auto-gptq-norm", "w8c-sym-gptq-norm"}


def test_how_many_puzzles_measure_and_decide_is_said() -> None:
    """Of 200 in seven batches of 29, four measure losses; fewer puzzles where steps cost more."""
    words = ("--budget", "8bits", "--calibration-puzzles", "200")
    job = prepare(recipe.parser().parse_args([*MODEL, *words]))
    assert job.num_loss_puzzles == 116
    said = "the last 200 calibrate (116 of them measure losses), 500 others decide"
    assert said in header(job)
    small = job.model.config
    large = replace(small, hidden_size=4 * small.hidden_size)
    assert FEWEST_DECIDING <= most_deciding(large, None) < MOST_DECIDING
    assert most_deciding(large, 0.01) == MOST_DECIDING
    assert most_loss_batches(small, 29) == 4
    assert most_loss_batches(large, 29) == 1
    alone = header(replace(job, deciding=job.deciding[:0]))
    assert "none is left to decide: the recipe of least loss is taken" in alone


def bundled() -> Puzzles:
    return load_puzzles(load_model(MODEL[3], task="sudoku"))


@pytest.mark.parametrize(
    ("num_puzzles", "first", "stop"),
    [
        (1000, 2000 - CALIBRATION_PUZZLES - MOST_DECIDING, 2000 - CALIBRATION_PUZZLES),
        (1700, 1700, 2000 - CALIBRATION_PUZZLES),
        (1800, 1800, 2000),  # 72 are left: the calibration puzzles decide too
    ],
)
def test_who_decides_is_not_solved_for_the_report(num_puzzles: int, first: int, stop: int) -> None:
    puzzles = bundled()
    expected = puzzles.order[first:stop].tolist()
    aside = CalibrationPuzzles(evaluated=puzzles)
    assert choose_deciding(aside, num_puzzles, MOST_DECIDING).tolist() == expected


def test_images_of_solved_puzzles_do_not_decide() -> None:
    puzzles = bundled()
    deciding = choose_deciding(CalibrationPuzzles(evaluated=puzzles), 1000, MOST_DECIDING)
    inputs = np.array(puzzles.dataset.inputs)
    renamed = np.array([0, 1, 3, 2, *range(4, 8)])  # tokens: two digits are exchanged
    inputs[deciding[3]] = renamed[inputs[puzzles.order[0]]]
    changed = replace(puzzles, dataset=replace(puzzles.dataset, inputs=inputs))
    left = np.delete(deciding, 3)
    assert (
        choose_deciding(CalibrationPuzzles(evaluated=changed), 1000, MOST_DECIDING).tolist()
        == left.tolist()
    )


def test_a_drop_without_puzzles_that_decide_is_refused(
    tmp_path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiments.recipe.job.choose_deciding", lambda *_: np.zeros(0, np.int64))
    assert recipe.main([*MODEL, "--max-drop", "1pp", "--out", str(tmp_path / "out")]) == 2
    assert "is left to decide about --max-drop" in capsys.readouterr().err


def test_bisection_finds_the_first_that_holds() -> None:
    for first in range(9):
        assert find_first(range(9), lambda i, first=first: i >= first) == first
    assert find_first(range(9), lambda _: False) is None


def test_thinned_points_grow_by_steps_and_keep_the_largest() -> None:
    points = [FrontPoint(size, 0.0, ()) for size in range(1000, 1101)]
    sizes = [point.stored + 9000 for point in thinned(points, 9000)]
    assert sizes == [10_000, 10_100]
    alone = [point.stored for point in thinned(points, 0)]
    assert alone[0] == 1000
    assert alone[-1] == 1100
    assert all(b > 1.02 * a for a, b in itertools.pairwise(alone[:-1]))


@pytest.fixture
def two_kinds(monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Leave two kinds of weights and few puzzles, so that a search takes seconds."""
    kinds = [w for w in CANDIDATES if w.name in ("w2t-auto-gptq-norm", "w8t-sym-gptq-norm")]
    monkeypatch.setattr("experiments.recipe.job.CANDIDATES", tuple(kinds))
    monkeypatch.setattr("experiments.recipe.job.MOST_DECIDING", 16)
    every = CalibrationPuzzles.batches
    monkeypatch.setattr(
        CalibrationPuzzles, "batches", lambda aside: itertools.islice(every(aside), 1)
    )
    small, large = (weights.name for weights in kinds)
    return small, large


@pytest.mark.slow
def test_a_search_writes_a_recipe_that_is_read_back(tmp_path, capsys, two_kinds) -> None:
    out = tmp_path / "out"
    assert recipe.main([*MODEL, "--budget", "5bits", "--out", str(out)]) == 0
    assert "Sum of" in capsys.readouterr().out
    names = {"recipe.json", "recipe.md", "recipe.png", "recipe.svg", "front.csv", "solved.json"}
    assert {file.name for file in out.iterdir()} == names
    written = json.loads((out / "recipe.json").read_text())
    scheme = read_recipe(out / "recipe.json")
    found = read_search(out)
    assert found.schemes[1].scheme == scheme
    rates = {each.name: each.rate.value for each in found.schemes}
    assert rates == written["notes"]["exact"]
    assert {weights.name for weights in scheme.all_weights} == set(two_kinds)
    assert written["notes"]["bytes"] <= written["notes"]["budget"]
    with (out / "front.csv").open() as file:
        rows = [(int(row["bytes"]), float(row["predicted_loss"])) for row in csv.DictReader(file)]
    assert rows == sorted(rows)
    assert rows[::-1] == sorted(rows, key=lambda row: row[1])
    fitting = [row for row in rows if row[0] <= written["notes"]["budget"]]
    assert fitting[-1] == (written["notes"]["bytes"], written["notes"]["predicted_loss"])


@pytest.mark.slow
@pytest.mark.usefixtures("two_kinds")
def test_a_drop_that_is_not_reached_is_told_and_nothing_written(tmp_path, capsys) -> None:
    out = tmp_path / "out"
    words = ("--budget", "2bits", "--max-drop", "1pp")
    assert recipe.main([*MODEL, *words, "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert "the best recipe solves -" in said
    assert "of the 16 deciding puzzles" in said
    assert not out.exists()


@pytest.mark.slow
def test_the_smallest_recipe_is_taken_whose_drop_is_allowed(tmp_path, capsys, two_kinds) -> None:
    """Any drop is: two bits for every matrix, which is the smallest there is."""
    out = tmp_path / "out"
    assert recipe.main([*MODEL, "--max-drop", "100pp", "--out", str(out)]) == 0
    assert "Deciding puzzles" in capsys.readouterr().out
    scheme = read_recipe(out / "recipe.json")
    assert [weights.name for weights in scheme.all_weights] == [two_kinds[0]]
    notes = json.loads((out / "recipe.json").read_text())["notes"]
    assert notes["bytes"] == notes["budget"]
