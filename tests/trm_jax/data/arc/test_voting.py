"""Voting and scores: the released evaluator's result, and ranking against plain counting."""

import json
import math

import numpy as np
import pytest

from tests.support.oracles import arc as oracle
from trm_jax.data.arc.canvas import encode
from trm_jax.data.arc.task_files import ArcTask, Pair, parse_task
from trm_jax.data.arc.test_time import count_questions, plan_test_time, question_batches
from trm_jax.data.arc.voting import (
    Votes,
    load_test_tasks,
    row_names,
    score_tasks,
    submission,
    write_submission,
)

SIDE = 4
QUESTION = np.array([[1, 2]], np.uint8)
ANSWERS = [np.full((1, n), n, np.uint8) for n in (1, 2, 3)]


def task(*answers, name="t"):
    pairs = [
        Pair("test", np.array([[1, 2 + at]], np.uint8), answer) for at, answer in enumerate(answers)
    ]
    return ArcTask(name, tuple(pairs))


def vote(votes, answers, logits, question=QUESTION, name="t"):
    inputs = np.stack([encode(question, side=SIDE)] * len(answers))
    predictions = np.stack([encode(answer, side=SIDE) for answer in answers])
    votes.add([name] * len(answers), inputs, predictions, np.array(logits, np.float32))


def test_equals_the_released_evaluator(golden):
    stored = json.loads((golden / "arc_evaluator.json").read_text())
    tasks = [parse_task(t, name, "golden") for name, t in stored["test_puzzles"].items()]
    votes = Votes()
    for part in (slice(0, 7), slice(7, None)):  # batches of any size
        names = row_names(stored["identifiers"], stored["puzzle_identifiers"][part])
        inputs, predictions = (np.array(stored[key][part]) for key in ("inputs", "preds"))
        votes.add(names, inputs, predictions, np.array(stored["q_halt_logits"][part]))
    scores = score_tasks(votes, tasks)
    for k in (1, 2, 5, 10, 100, 1000):
        mean = sum(score.fraction(k) for score in scores) / len(scores)
        assert mean == stored["result"][f"ARC/pass@{k}"]
    assert submission(votes, tasks) == stored["submission"]


@pytest.mark.parametrize("seed", range(20))
def test_ranking_equals_counting(seed):
    """Votes first, then mean halting probability; logits are few, so that ties occur."""
    rng = np.random.default_rng(seed)
    chosen, logits = rng.integers(0, 3, 9), rng.integers(-1, 2, 9).astype(float)
    votes = Votes()
    vote(votes, [ANSWERS[i] for i in chosen], logits)
    chances = [1 / (1 + math.exp(-x)) for x in logits]
    expected = oracle.rank(list(zip(chosen.tolist(), chances, strict=True)))
    ranked = votes.ranked("t", QUESTION)
    assert [c.grid[0, 0] - 1 for c in ranked] == expected
    for candidate, answer in zip(ranked, expected, strict=True):
        mine = [c for i, c in zip(chosen, chances, strict=True) if i == answer]
        assert candidate.votes == len(mine)
        # float64 sums of at most nine terms below 1: nine roundings of 2**-53 at most, twice over
        assert candidate.q_halt == pytest.approx(sum(mine) / len(mine), abs=20 * 2**-53)


def test_votes_of_any_augmentation_meet():
    """A right answer to each turned and repainted question gives one candidate."""
    grid, answer = [[1, 2, 0], [0, 0, 3]], [[4, 0], [5, 6], [0, 0]]
    names = [f"t|||t{turn}|||0987654321" for turn in range(8)] + ["t|||t3|||0132456789"]
    inputs, predictions = (
        np.array([oracle.canvas(oracle.augment(g, name), SIDE) for name in names])
        for g in (grid, answer)
    )
    votes = Votes()
    votes.add(names, inputs, predictions, np.zeros(len(names)))
    (only,) = votes.ranked("t", np.array(grid, np.uint8))
    assert (only.votes, only.q_halt, only.grid.tolist()) == (9, 0.5, answer)


def test_padding_rows_do_not_vote_and_keep_their_place():
    """Blank rows in the middle: the halting logits of the rows after them stay theirs."""
    tokens = np.stack([encode(QUESTION, side=SIDE)] * 3)
    votes = Votes()
    votes.add(["t", "<blank>", "t"], tokens, tokens, np.array([0.0, 50.0, 0.0]))
    assert votes.ranked("t", QUESTION)[0][:2] == (2, 0.5)


def test_scores_by_question_and_by_task():
    """Of two questions one is right at once and one at the second attempt."""
    votes, tasks = Votes(), [task(ANSWERS[0], ANSWERS[1])]
    vote(votes, [ANSWERS[0]], [0.0])
    vote(votes, [ANSWERS[2]] * 2 + [ANSWERS[1]], [0.0] * 3, question=np.array([[1, 3]], np.uint8))
    (score,) = score_tasks(votes, tasks, ks=(1, 2))
    assert score.right == {1: 1, 2: 2}
    assert [score.fraction(k) for k in (1, 2)] == [0.5, 1.0]
    assert [score.solved(k) for k in (1, 2)] == [False, True]


def test_unanswered_questions_are_wrong_and_unknown_answers_do_not_count():
    tasks = [task(ANSWERS[0]), task(None, name="secret")]
    (score,) = score_tasks(Votes(), tasks)
    assert (score.task, score.questions, set(score.right.values())) == ("t", 1, {0})


def test_submission_has_two_attempts_for_every_question(tmp_path):
    votes = Votes()
    vote(votes, [ANSWERS[0]], [0.0])
    made = submission(votes, [task(None, None)])
    assert made == {
        "t": [{"attempt_1": [[1]], "attempt_2": [[1]]}, {"attempt_1": [[0]], "attempt_2": [[0]]}]
    }
    write_submission(made, tmp_path / "new" / "submission.json")
    assert json.loads((tmp_path / "new" / "submission.json").read_text()) == made


def test_merged_votes_equal_votes_together():
    parts, together = [Votes(), Votes()], Votes()
    rng = np.random.default_rng(0)
    for part in parts:
        answers, logits = [ANSWERS[i] for i in rng.integers(0, 3, 5)], rng.integers(-2, 3, 5)
        vote(part, answers, logits)
        vote(together, answers, logits)
    parts[0].merge(parts[1])
    ranked = (votes.ranked("t", QUESTION) for votes in (parts[0], together))
    for ours, theirs in zip(*ranked, strict=True):
        assert ours.grid.tolist() == theirs.grid.tolist()
        assert ours.votes == theirs.votes
        assert ours.q_halt == pytest.approx(theirs.q_halt, abs=20 * 2**-53)  # other order of sums


def test_bad_calls_are_refused(tmp_path):
    with pytest.raises(ValueError, match="puzzle identifier 3 has no name: there are 2"):
        row_names(["<blank>", "t"], [1, 3])
    with pytest.raises(ValueError, match="must be at least 1"):
        score_tasks(Votes(), [], ks=(0,))
    with pytest.raises(FileNotFoundError, match=r"test_puzzles\.json is missing"):
        load_test_tasks(tmp_path)


KNOWN = ["<blank>", "t", "t|||t1|||0123456789", "u|||t1|||0123456789", "t|||t2|||0213456789"]


@pytest.mark.parametrize("num_aug", [0, 1, 2, 7])
def test_known_augmentations_come_first(num_aug):
    tasks = [task(ANSWERS[0], ANSWERS[1]), task(ANSWERS[2], name="new")]
    plan = plan_test_time(tasks, KNOWN, num_aug, np.random.RandomState(0))
    names = [list(group.names()) for group in plan.groups]
    assert names[0][:3] == ["t", *[n for n in KNOWN if n.startswith("t|")]][: num_aug + 1]
    assert plan.identifiers[:5] == KNOWN
    assert plan.identifiers[5:] == [n for row in names for n in row if n not in KNOWN]
    assert all(len(set(row)) == num_aug + 1 for row in names)
    assert count_questions(plan.groups) == 3 * (num_aug + 1)


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_perfect_answers_solve_every_task(batch_size):
    """The whole path: a model that knows the labels gets every vote, whatever the batches."""
    tasks = [task(ANSWERS[0], ANSWERS[1]), task(ANSWERS[2], name="new")]
    plan, votes = plan_test_time(tasks, KNOWN, 6, np.random.RandomState(0)), Votes()
    rows = 0
    for batch in question_batches(plan, batch_size, side=SIDE):
        assert len(batch.inputs) == batch_size
        rows += batch.num_real
        names = row_names(plan.identifiers, batch.puzzle_identifiers.tolist())
        assert names[batch.num_real :] == ["<blank>"] * (batch_size - batch.num_real)
        answers = np.where(batch.labels < 0, 0, batch.labels)
        votes.add(names, batch.inputs, answers, np.zeros(batch_size))
    assert rows == count_questions(plan.groups) == 21
    assert all(score.solved(1) for score in score_tasks(votes, tasks))
    assert votes.ranked("new", tasks[1].questions[0].input)[0].votes == 7
