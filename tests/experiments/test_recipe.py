"""The search for a recipe: what is refused, what targets store, and a whole search."""

import csv
import json

import pytest

from experiments.recipe import __main__ as recipe
from experiments.recipe.job import CANDIDATES, matrix_bytes, read_budget, read_drop, read_target
from export.targets import Target
from quant.recipe import read_recipe
from quant.scheme import parse_weights
from trm_jax.data.batches import CALIBRATION_PUZZLES

SHAPE = (24, 10)
MODEL = ("--task", "sudoku", "--model", "sudoku-trm-mlp-mini", "--limit", "4")


@pytest.mark.parametrize(
    ("name", "target", "expected"),
    [
        ("w3t-sym-gptq", None, 24 * 10 * 3 // 8 + 4),
        ("w3t-sym-gptq", Target.LITERT, 24 * 10 // 2 + 4),  # there is no packed int3
        ("w4c-asym-gptq", Target.LITERT, 24 * 10 // 2 + 10 * (4 + 1)),
        ("w4c-asym-gptq", Target.TFLITE_RUNTIME, 24 * 10 + 10 * 4),  # q - z as int8
        ("w8c-sym-gptq", Target.ONNX, 24 * 10 + 10 * 4),
        ("w4c-asym-gptq", Target.TFLM, 24 * 10 // 2 + 10 * (4 + 16)),  # a table per output
        ("w8t-sym-gptq", Target.TFLM, 24 * 10 + 10 * 4),  # a scale per output, whatever is asked
    ],
)
def test_a_target_stores_what_it_multiplies_by(
    name: str, target: Target | None, expected: int
) -> None:
    assert matrix_bytes(SHAPE, parse_weights(name), target) == expected


def test_sizes_are_read() -> None:
    assert read_budget("0.15MB", 0, 0) == 150_000
    assert read_budget("150 kB", 0, 0) == 150_000
    assert read_budget("3.5bits", 1000, 3, 70) == 437 + 3 * 4 + 70
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
    with pytest.raises(ValueError, match="unknown target 'ethos-u'; known: litert"):
        read_target("ethos-u")
    assert read_target("onnx") is Target.ONNX


def test_what_a_command_line_lacks_is_one_line(tmp_path, capsys) -> None:
    out = tmp_path / "out"
    for words, said in (
        (("--budget", "much"), "--budget is a size"),
        (("--budget", "4bits", "--target", "litre"), "did you mean 'litert'"),
        (("--budget", "4bits", "--max-drop", "1"), "--max-drop is in percentage points"),
        (("--budget", "1bits"), "which takes at least 69,360 densely packed"),
        (("--budget", "3bits", "--target", "onnx"), "as onnx stores it"),
        (("--budget", "4bits", "--limit", "0"), f"the last {CALIBRATION_PUZZLES}"),
    ):
        assert recipe.main([*MODEL, *words, "--out", str(out)]) == 2
        printed = capsys.readouterr()
        assert said in printed.err
        assert printed.err.startswith("error: ")
        assert printed.err.count("\n") == 1
    assert not out.exists()


@pytest.fixture
def two_kinds(monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Leave two kinds of weights, so that a search takes seconds."""
    kinds = [w for w in CANDIDATES if w.name in ("w2t-sym-gptq", "w8t-sym-gptq")]
    monkeypatch.setattr("experiments.recipe.job.CANDIDATES", tuple(kinds))
    small, large = (weights.name for weights in kinds)
    return small, large


@pytest.mark.slow
def test_a_search_writes_a_recipe_that_is_read_back(tmp_path, capsys, two_kinds) -> None:
    out = tmp_path / "out"
    assert recipe.main([*MODEL, "--budget", "5bits", "--out", str(out)]) == 0
    assert "Sum of" in capsys.readouterr().out
    names = {"recipe.json", "recipe.md", "recipe.png", "recipe.svg", "front.csv"}
    assert {file.name for file in out.iterdir()} == names
    written = json.loads((out / "recipe.json").read_text())
    scheme = read_recipe(out / "recipe.json")
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
    assert "the best recipe solves -" in capsys.readouterr().err
    assert not out.exists()
