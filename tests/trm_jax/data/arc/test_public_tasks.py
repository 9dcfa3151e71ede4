"""Four real tasks (arc_agi_1/README.md) from their files to a vote, on the released canvas."""

import json
from pathlib import Path

import numpy as np
import pytest

from trm_jax.data.arc import __main__ as arc
from trm_jax.data.arc.test_time import plan_test_time, question_batches
from trm_jax.data.arc.voting import Votes, load_test_tasks, row_names, score_tasks, submission
from trm_jax.data.batches import eval_batches
from trm_jax.data.format import load_dataset, load_identifiers

TASKS = Path(__file__).parent / "arc_agi_1"
NUM_AUG = 4


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The questions of two tasks held out; two tasks trained on whole."""
    out = tmp_path_factory.mktemp("real") / "data"
    options = f"--subsets training evaluation --num-aug {NUM_AUG}".split()
    assert arc.main(["build", str(out), "--source", str(TASKS), *options]) == 0
    return out


def answers() -> dict[str, list]:
    """Read the right answers off the files."""
    files = sorted((TASKS / "evaluation").glob("*.json"))
    tasks = {file.stem: json.loads(file.read_text()) for file in files}
    return {name: [pair["output"] for pair in task["test"]] for name, task in tasks.items()}


def vote(root: Path, spoiled: int) -> Votes:
    """Answer rightly, but the first `spoiled` augmentations of each task with an empty canvas."""
    data, names, votes = load_dataset(root / "test"), load_identifiers(root), Votes()
    turn = np.arange(len(data)) % (NUM_AUG + 1)  # one question a task, so a row per augmentation
    tokens = np.where(turn[:, None] < spoiled, 1, data.labels)
    # the model is surer of its wrong answers: votes come first all the same
    q_halt = np.where(turn < spoiled, 5.0, -5.0).astype(np.float32)
    votes.add(row_names(names, data.puzzle_identifiers.tolist()), data.inputs, tokens, q_halt)
    return votes


@pytest.mark.parametrize(("spoiled", "first"), [(0, 1), (2, 1), (3, 0), (4, 0)])
def test_a_majority_of_right_answers_wins(root, spoiled, first):
    votes, tasks = vote(root, spoiled), load_test_tasks(root)
    scores = score_tasks(votes, tasks, ks=(1, 2))
    assert [score.fraction(1) for score in scores] == [first, first]
    assert [score.fraction(2) for score in scores] == [1, 1]
    attempt = {1: "attempt_1", 0: "attempt_2"}[first]
    made = submission(votes, tasks)
    assert {n: [pair[attempt] for pair in made[n]] for n in made} == answers()


def test_questions_equal_the_test_split(root):
    """Asked anew under the trained augmentations: tokens, labels (pads unscored) and rows."""
    names, tasks = load_identifiers(root), load_test_tasks(root)
    plan = plan_test_time(tasks, names, NUM_AUG, np.random.RandomState(0))
    asked = list(question_batches(plan, 4))
    stored = list(eval_batches(load_dataset(root / "test"), 4))
    assert len(asked) == len(stored) == 3
    for ours, theirs in zip(asked, stored, strict=True):
        for mine, wanted in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(mine, wanted)


def test_the_questions_of_trained_tasks_are_trained_on(root):
    names = load_identifiers(root)
    groups = {name.split("|||")[0] for name in names[1:]}
    assert groups == {"6150a2bd", "d037b0a7", "00576224", "66e6c45b"}
    assert {task.name for task in load_test_tasks(root)} == set(answers())
    assert load_dataset(root / "train").metadata.seq_len == 900
