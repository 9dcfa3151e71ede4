"""The folder of a training run: damage is refused by line before anything is written."""

import json
from pathlib import Path
from typing import Any

import pytest

from experiments.train import __main__ as train
from experiments.train.folder import RunFolder, read_spec, read_window
from experiments.train.job import TrainSpec
from experiments.train.metric_rows import parse_rows, read_rows
from tests.support.tiny.training import command
from trm_jax.training.running_metrics import Window
from trm_jax.typed_json import read_fields

ROWS = [
    {"step": step, "seconds": 0.5 * step, "loss": 2.0, "exact_accuracy": 0.25, "lr": 1e-4}
    for step in (2, 4, 6)
]
TEXT = "".join(json.dumps(row) + "\n" for row in ROWS)
SPEC: dict[str, Any] = {
    "preset": "maze-trm-att-mini",
    "task": "maze",
    "data": "d",
    "augmentation": "maze",
    "valid": 4,
    "start": None,
    "recipe": {"total_steps": 6, "lr": 1e-4, "lr_min_ratio": 1.0},
}


def folder_with(tmp_path: Path, text: str) -> RunFolder:
    (tmp_path / "rows.jsonl").write_text(text)
    return RunFolder(tmp_path)


def test_a_torn_last_line_goes_and_nothing_else(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, TEXT + '{"step": 8, "lo')
    assert folder.read_rows() == ROWS
    assert folder.rows_until(4) == ROWS[:2]
    folder.keep_rows(ROWS)
    assert folder.rows_file.read_text() == TEXT + '{"step": 8, "lo'  # the same rows: untouched
    folder.keep_rows(ROWS[:2])
    assert read_rows(folder.rows_file) == ROWS[:2]
    folder.add_row({"step": 6, "seconds": 4.0, "loss": 1, "exact_accuracy": 0})
    assert len(read_rows(folder.rows_file)) == 3


def test_a_torn_line_goes_only_where_its_row_comes_again(tmp_path: Path) -> None:
    """A file that was cut in its middle lost rows that the state is past."""
    text = TEXT[: TEXT.index("\n") + 30]  # the second row of three, cut off
    folder = folder_with(tmp_path, text)
    (tmp_path / "state" / "4").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"step 4, is cut off.*state of step 4 is past it"):
        folder.open({})
    assert folder.rows_file.read_text() == text
    (tmp_path / "state" / "4").rename(tmp_path / "state" / "2")
    folder._check_torn_line()  # the state of step 2: the row of step 4 comes again


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"step": 4', '"step": "4"', "field step must be a number, got '4'"),
        ('"step": 4', '"step": 4.5', "field step must be a whole number of at least 1, got 4.5"),
        ('"step": 4', '"step": 2', "step 2 comes after step 2"),
        ('"step": 4, ', "", "field step is missing"),
        ('"loss": 2.0', '"loss": NaN', "NaN is no number of JSON"),
        ('"loss": 2.0', '"lo\0s": 2.0', "Invalid control character"),
        ('"seconds": 2.0', '"seconds": -1', "field seconds must be 0 or more"),
        ('"exact_accuracy": 0.25', '"exact_accuracy": 25', r"must be 0 to 1, got 25"),
        ("{", "", "Extra data"),
    ],
)
def test_a_damaged_line_is_named_and_left(tmp_path: Path, old: str, new: str, words: str) -> None:
    lines = TEXT.splitlines(keepends=True)
    lines[1] = lines[1].replace(old, new, 1)
    folder = folder_with(tmp_path, "".join(lines))
    with pytest.raises(ValueError, match=rf"rows\.jsonl, line 2 is damaged \(.*{words}"):
        folder.open({})
    assert folder.rows_file.read_text() == "".join(lines)
    assert [file.name for file in tmp_path.iterdir()] == ["rows.jsonl"]
    with pytest.raises(ValueError, match=rf"log, line 2 is damaged \(.*{words}"):
        parse_rows("".join(lines), "log")


def test_resume_refuses_a_damaged_byte_and_loses_no_row(
    maze_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert train.main(command(maze_data, out)) == 0
    whole = {file: file.read_bytes() for file in (out / "rows.jsonl", out / "spec.json")}
    for file, at in ((out / "rows.jsonl", 3), (out / "spec.json", 40)):
        content = whole[file]
        file.write_bytes(content[:at] + b"\x00" + content[at + 1 :])
        damaged = file.read_bytes()
        capsys.readouterr()
        assert train.main(command(maze_data, out, "--resume")) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: {file}")
        assert error.count("\n") == 1
        assert file.read_bytes() == damaged
        file.write_bytes(content)
    assert train.main(command(maze_data, out, "--resume")) == 0
    assert all(file.read_bytes() == content for file, content in whole.items())


def test_what_a_run_is_is_typed(tmp_path: Path) -> None:
    assert read_spec(json.dumps(SPEC))["recipe"]["accumulate"] == 1  # earlier versions
    read_fields(TrainSpec, read_spec(json.dumps(SPEC)))
    for change, words in (
        ({"valid": "4"}, "field valid must be an integer"),
        ({"recipe": 3}, "it needs `preset`, a text, and `recipe`, an object"),
        ({"recipe": {"total_steps": "6"}}, "field recipe.total_steps must be an integer"),
        ({"preset": "nothing"}, "unknown preset 'nothing'"),
        ({"colour": 1}, "field colour is unknown"),
        ({"data_sha256": 1}, "field data_sha256 must be a text"),
        ({"kind": "sweep"}, "it is of a sweep"),
        ({"runs": []}, "it is of a folder of rows"),
    ):
        with pytest.raises(ValueError, match=words):
            read_spec(json.dumps(SPEC | change))
    for text in ("", "[]", "{", "3"):
        with pytest.raises(ValueError, match=r"\w"):
            read_spec(text)


def test_a_run_departs_from_its_preset_in_halting_where_asked() -> None:
    for change, expected in (({}, (16, 0.1)), ({"halt_exploration": 0.5}, (16, 0.5))):
        config = read_fields(TrainSpec, read_spec(json.dumps(SPEC | change))).config
        assert (config.halt_max_steps, config.halt_exploration_prob) == expected


def test_a_damaged_window_is_named(tmp_path: Path) -> None:
    file, window = tmp_path / "6.json", Window([])
    file.write_text('{"steps": 2, "sums": {"loss": 1.5}}')
    read_window(file, window)
    assert (window.steps, window.sums) == (2, {"loss": 1.5})
    for text in ("", '{"steps": -1, "sums": {}}', '{"steps": 1, "sums": {"loss": "x"}}'):
        file.write_text(text)
        with pytest.raises(ValueError, match=r"6\.json is damaged \(.*; delete it"):
            read_window(file, window)
