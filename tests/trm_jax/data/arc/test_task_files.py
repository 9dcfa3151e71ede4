"""Reading ARC tasks: both public forms, the order of pairs, and errors that name the place."""

import json

import numpy as np
import pytest

from trm_jax.data.arc.task_files import parse_grid, read_subset, task_json, write_kaggle

PAIR = {"input": [[1, 2, 3]], "output": [[4], [5]]}
TASK = {"train": [PAIR], "test": [{"input": [[6]]}, {"input": [[7]]}]}


def kaggle(folder, challenges, solutions=None):
    (folder / "arc_eval_challenges.json").write_text(json.dumps(challenges))
    if solutions is not None:
        (folder / "arc_eval_solutions.json").write_text(json.dumps(solutions))
    return folder / "arc"


def read_one(folder, task, solutions=None):
    return read_subset(kaggle(folder, {"t1": task}, solutions), "eval")


def test_kaggle_files(tmp_path):
    (task,) = read_one(tmp_path, TASK, {"t1": [[[8]], [[9]]]})
    assert task.name == "t1"
    assert task.demonstrations[0].input.tolist() == [[1, 2, 3]]
    assert task.demonstrations[0].output.tolist() == [[4], [5]]
    assert [(p.input.item(), p.output.item()) for p in task.questions] == [(6, 8), (7, 9)]
    assert task.pairs[0].input.dtype == np.uint8


def test_secret_answers_stay_unknown(tmp_path):
    (task,) = read_one(tmp_path, TASK)
    assert [pair.output for pair in task.questions] == [None, None]
    assert task_json(task) == TASK


def test_a_folder_of_tasks_is_read_by_name(tmp_path):
    (tmp_path / "eval").mkdir()
    for name in ("b", "a"):
        (tmp_path / "eval" / f"{name}.json").write_text(json.dumps({**TASK, "name": "x"}))
    assert [task.name for task in read_subset(tmp_path, "eval")] == ["a", "b"]


def test_pairs_keep_the_order_of_the_file(tmp_path):
    questions_first = {"test": TASK["test"], "train": TASK["train"]}
    (task,) = read_one(tmp_path, questions_first)
    assert [pair.kind for pair in task.pairs] == ["test", "test", "train"]
    assert list(task_json(task)) == ["test", "train"]


def test_written_tasks_read_back(tmp_path):
    tasks = read_one(tmp_path, TASK, {"t1": [[[8]], [[9]]]})
    write_kaggle(tmp_path / "new" / "mine", "eval", tasks)
    (again,) = read_subset(tmp_path / "new" / "mine", "eval")
    assert task_json(again) == task_json(tasks[0])


def changed(kind, at, **values):
    pairs = [dict(pair) for pair in TASK[kind]]
    pairs[at].update(values)
    return {**TASK, kind: pairs}


BAD = {
    r"task t1: train pair 0: input: not rectangular: row 1 has 1 cells, row 0 has 2": changed(
        "train", 0, input=[[1, 2], [3]]
    ),
    r"task t1: test pair 1: input: colours are integers 0 to 9, got 10 at row 0, column 1": (
        changed("test", 1, input=[[1, 10]])
    ),
    r"task t1: train pair 0: output: colours are integers .* got -1": changed(
        "train", 0, output=[[-1]]
    ),
    r"task t1: train pair 0: output: colours are integers .* got True": changed(
        "train", 0, output=[[True]]
    ),
    r"task t1: train pair 0: output: colours are integers .* got 1\.5": changed(
        "train", 0, output=[[1.5]]
    ),
    r"task t1: train pair 0: output: at most 30 x 30 cells, got 31 x 1": changed(
        "train", 0, output=[[0]] * 31
    ),
    r"task t1: test pair 0: input: at most 30 x 30 cells, got 1 x 31": changed(
        "test", 0, input=[[0] * 31]
    ),
    r"task t1: test pair 0: input: a grid is a list of rows": changed("test", 0, input=[]),
    r"task t1: train pair 0: input: a grid is a list of rows": changed("train", 0, input=[[]]),
    r"task t1: train pair 0: output: a grid is a list of rows": changed("train", 0, output=None),
    r"task t1: train pair 0: 'output' is missing": {**TASK, "train": [{"input": [[1]]}]},
    r"task t1: test pair 0: 'input' is missing, got int": {**TASK, "test": [3]},
    r'task t1: needs the keys "train" and "test", got \[\'train\'\]': {"train": [PAIR]},
    r'task t1: needs the keys "train" and "test", got list': [],
    r"task t1: 'test' must list at least one pair": {**TASK, "test": []},
}


@pytest.mark.parametrize("message", BAD)
def test_errors_name_file_task_and_pair(tmp_path, message):
    with pytest.raises(ValueError, match=message) as caught:
        read_one(tmp_path, BAD[message])
    assert str(caught.value).startswith(str(tmp_path / "arc_eval_challenges.json"))


@pytest.mark.parametrize(
    ("solutions", "message"),
    [
        ({}, "task t1 must list 2 solutions, got None"),
        ({"t1": [[[1]]]}, "task t1 must list 2 solutions, got 1 grids"),
        ({"t1": [[[1]], [[1], [2, 3]]]}, "task t1: test pair 1: output: not rectangular"),
    ],
)
def test_bad_solutions_name_their_own_file(tmp_path, solutions, message):
    with pytest.raises(ValueError, match=message) as caught:
        read_one(tmp_path, TASK, solutions)
    assert str(caught.value).startswith(str(tmp_path / "arc_eval_solutions.json"))


@pytest.mark.parametrize(
    ("text", "message"), [("{", "is no JSON"), ("[]", "must hold a JSON object, got list")]
)
def test_other_files_are_refused(tmp_path, text, message):
    (tmp_path / "arc_eval_challenges.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_subset(tmp_path / "arc", "eval")


def test_solutions_that_cannot_be_read_are_not_missing(tmp_path):
    """Without solutions the answers are unknown; that must not come from a slip of the file."""
    kaggle(tmp_path, {"t1": TASK})
    solutions = tmp_path / "arc_eval_solutions.json"
    solutions.symlink_to("nowhere")
    with pytest.raises(FileNotFoundError):
        read_subset(tmp_path / "arc", "eval")
    solutions.unlink()
    solutions.mkdir()
    with pytest.raises(IsADirectoryError):
        read_subset(tmp_path / "arc", "eval")


def test_missing_or_empty_subsets_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no ARC tasks of the subset 'eval'"):
        read_subset(tmp_path, "eval")
    (tmp_path / "eval").mkdir()
    with pytest.raises(ValueError, match="holds no tasks"):
        read_subset(tmp_path, "eval")


def test_the_largest_grid_is_legal():
    assert parse_grid([[9] * 30] * 30, "here").shape == (30, 30)


@pytest.mark.slow
def test_both_public_forms_hold_the_same_tasks(shared):
    data = shared / "data"
    folder = {t.name: t for t in read_subset(data / "arc-agi-1" / "data", "evaluation")}
    combined = read_subset(data / "arc_kaggle_combined" / "arc-agi", "evaluation")
    assert len(folder) == len(combined) == 400
    for task in combined:
        ours, theirs = task_json(task), task_json(folder[task.name])
        assert ours == theirs
