"""export.solve: questions of ARC by name, file and chance; puzzles that have no answer."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from export import solve, tflite
from export.artifact import arc_question
from export.artifact.open import open_artifact
from export.artifact.watching import beside, describe_difference, show_steps, simulate_steps
from export.options import export_parser
from quant.scheme import parse
from tests.support.tiny import arc as tiny_arc
from tests.support.tiny import sweep as tiny
from trm_jax.data.arc.voting import load_test_tasks
from trm_jax.data.format import load_dataset, load_identifiers
from trm_jax.halting import StepReading
from trm_jax.loading import load_model, load_puzzles


@pytest.fixture(scope="module")
def arc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny ARC model, its data, other data, and its export."""
    root = tmp_path_factory.mktemp("arc")
    tiny_arc.write(root)
    words = ["--model", str(root / "model"), "--data", str(root / "data"), "--scheme", "int8"]
    assert tflite.main([*words, "--batch-size", "2", "--out", str(root / "out")]) == 0
    return root


def run(arc: Path, *words: object) -> int:
    return solve.main([str(arc / "out"), "--data", str(arc / "data"), *map(str, words)])


def test_a_question_is_asked_with_the_row_of_its_task(
    arc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is asked is a row of the data set: the same tokens and the same identifier."""
    export, names = open_artifact(arc / "out"), load_identifiers(arc / "data")
    task = load_test_tasks(arc / "data")[0]
    data = load_dataset(arc / "data" / "test")
    augmented = next(name for name in names if name.startswith(f"{task.name}|||"))
    for name in (task.name, augmented):
        question = arc_question.ask_by_name(name, 2, arc / "data", export)
        puzzle = data.puzzle_identifiers.tolist().index(names.index(name))
        row = data.puzzle_indices[puzzle] + 1
        assert question.identifier == names.index(name)
        np.testing.assert_array_equal(question.tokens, data.inputs[row])
        assert question.answer is not None
        assert run(arc, name, "--question", 2) == 0
        assert f"task {name}, question 2 of 2\n" in capsys.readouterr().out


def test_a_question_is_drawn_from_the_data(arc: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = load_identifiers(arc / "data")
    assert run(arc, "--random", "--seed", 3) == 0
    first = capsys.readouterr().out
    assert run(arc, "--random", "--seed", 3) == 0
    assert capsys.readouterr().out.splitlines()[:3] == first.splitlines()[:3]
    assert first.splitlines()[0].removeprefix("task ") in names
    assert "right" in first or "WRONG, the answer is another" in first


def test_task_files_give_the_question(
    arc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = load_test_tasks(arc / "data")[0].name
    values = json.loads((arc / "data" / "test_puzzles.json").read_text())[name]
    for question in values["test"]:
        del question["output"]
    file = tmp_path / f"{name}.json"
    file.write_text(json.dumps(values))
    assert run(arc, "--task-file", file) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"task {name}, question 1 of 2\n")
    assert "nobody says the right answer; supervision steps" in out
    file.rename(tmp_path / "unnamed.json")
    assert run(arc, name, "--task-file", tmp_path / "unnamed.json") == 0
    assert run(arc, name, "--task-file", arc / "data" / "test_puzzles.json", "--question", "2") == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["S.../####/..../...G"], "has no row for 'S.../####/"),
        (["<blank>"], "has no row for '<blank>'"),
        (["NAME", "--question", "9"], "has questions 1 to 2, got --question 9"),
        (["NAME", "--task", "maze"], "is for arc 6x6, not for maze"),
        (["NAME|||t9|||0123456789"], "an identifier reads NAME or"),
        (["--random", "--data", "OTHERS"], "do not fit"),
        (["NAME", "--data", "OTHERS"], "was trained on other tasks than"),
        (["--task-file", "BAD"], "nested too deeply"),
        (["--task-file", "TESTS"], "holds several tasks; name one as PUZZLE, e.g. "),
        ([], "name one puzzle: a string, a file, a task, or --random"),
        (["NAME", "--random"], "name one puzzle"),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    arc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list, message: str
) -> None:
    (tmp_path / "bad.json").write_text("[" * 100_000)
    places = {
        "OTHERS": arc / "others",
        "BAD": tmp_path / "bad.json",
        "TESTS": arc / "data" / "test_puzzles.json",
    }
    name = load_test_tasks(arc / "data")[0].name
    given = [str(places.get(word, word.replace("NAME", name))) for word in words]
    assert run(arc, *given) == 2
    error = capsys.readouterr().err.splitlines()
    assert error[-1].startswith("error: ")
    assert message in error[-1]


@pytest.fixture(scope="module")
def sudoku(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sudoku")
    tiny.write(root)
    words = ["--model", str(root / "model"), "--data", str(root / "data"), "--scheme", "int8"]
    assert tflite.main([*words, "--batch-size", "2", "--out", str(root / "out")]) == 0
    return root / "out"


@pytest.mark.parametrize(
    ("puzzle", "verdict"),
    [
        ("11.. .... .... ....", "no answer exists: row 1 has 1 twice;"),
        ("123. ...4 .... ....", "no answer exists: the given digits leave none;"),
        (".... .... .... ....", "several answers exist: too few digits are given;"),
        ("1234 3412 2143 43_1", "WRONG by the rules;"),
    ],
)
def test_a_sudoku_without_one_answer_is_not_the_models_fault(
    sudoku: Path, capsys: pytest.CaptureFixture[str], puzzle: str, verdict: str
) -> None:
    assert solve.main([str(sudoku), puzzle]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith(verdict)


def test_options_of_arc_are_refused_elsewhere(
    sudoku: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert solve.main([str(sudoku), "1" * 16, "--question", "1"]) == 2
    assert "--task-file and --question are for ARC" in capsys.readouterr().err


def test_files_that_are_no_puzzles(
    sudoku: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, good = tmp_path / "bad", tmp_path / "good"
    bad.write_bytes(b"\xff\xfe\x00")
    good.write_text("\ufeff1234\n3412\n2143\n43.1\n", encoding="utf-8")
    assert solve.main([str(sudoku), str(bad)]) == 2
    assert f"{bad} is no text in UTF-8" in capsys.readouterr().err
    assert solve.main([str(sudoku), str(good)]) == 0
    assert solve.main([str(sudoku), "█" * 200]) == 2  # too long for a name in bytes
    assert "the model reads 4x4 = 16 cells, the puzzle has 200" in capsys.readouterr().err


def test_the_help_shows_a_bundled_puzzle() -> None:
    bundled = load_puzzles("sudoku")
    form = bundled.task.need_text()
    (shown,) = re.findall(r"[.1-6]{30,}", solve.__doc__ or "")
    puzzle = form.read(shown, bundled.facts)
    assert (bundled.dataset.inputs == puzzle).all(axis=1).any()


def test_the_time_says_of_how_many_puzzles_it_is():
    """Graphs of several puzzles compute all of them, padded, for one."""
    assert solve.cost_text(0.0125, 1) == "12.5 ms"
    assert solve.cost_text(0.5, 16).startswith("500.0 ms for the 16 puzzles of a call")
    assert export_parser("p", "d").get_default("batch_size") == 1


def test_steps_are_shown_beside_another_scheme_s(
    arc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arc, "--random", "--seed", 3) == 0
    plain = capsys.readouterr().out
    assert run(arc, "--random", "--seed", 3, "--watch", "--compare", "fp32") == 0
    shown = capsys.readouterr().out
    steps = load_model(str(arc / "model")).config.halt_max_steps
    assert re.findall(r"^step (\d+): q_halt", shown, re.M) == [str(k + 1) for k in range(steps)]
    assert re.search(r"^fp32, simulated: ", shown, re.M)
    assert "simulated" not in plain
    assert plain.split("\n\n")[-2] == shown.split("\n\n")[-2]  # the answer is the same
    assert run(arc, "--random", "--compare", "w8c-sym_a8s") == 2
    assert "is calibrated on puzzles" in capsys.readouterr().err
    export = open_artifact(arc / "out")
    other = dataclasses.replace(export.manifest, parameters_sha256="0" * 64)
    with pytest.raises(ValueError, match="has other weights than the one that was exported"):
        simulate_steps(
            dataclasses.replace(export, manifest=other), parse("fp32"), np.zeros(1), 0, 1
        )


def test_the_step_from_which_answers_differ_is_the_one_after_the_last_equal_one() -> None:
    def steps(*answers: list[int]) -> list[StepReading]:
        return [StepReading(np.asarray([a]), np.zeros(1), np.zeros(1)) for a in answers]

    mine = steps([1, 1], [1, 2], [3, 2], [3, 4])
    assert describe_difference(mine, mine) == "the same answer"
    other = steps([9, 1], [1, 2], [9, 2], [9, 9])
    assert describe_difference(mine, other) == "2 cells differ, from step 3 on"
    never = steps([9, 9], [9, 9], [9, 9], [3, 9])
    assert describe_difference(mine, never) == "1 cells differ, from step 1 on"
    assert beside("ab\nc", "x\ny\nz") == "ab    x\nc     y\n      z"
    text = show_steps(mine[:2], lambda tokens: "".join(map(str, tokens)), other[:2])
    assert text.splitlines()[0] == "step 1: q_halt +0.00, 1 cells differ"
    assert "1 cells changed, 0 cells differ" in text


def test_a_seed_of_a_named_puzzle_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert solve.main(["nowhere", "1.34", "--seed", "3"]) == 2
    assert "--seed is of --random" in capsys.readouterr().err
