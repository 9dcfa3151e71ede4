"""Votes over augmentations: from command line to scores, against the long way and the release."""

import csv
import json
import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.arc import __main__ as arc
from experiments.arc.outcomes import collect_votes, outcome, read_tables
from experiments.arc.puzzle_rows import RowSource, mean_row
from experiments.arc.rows import VoteKey, read_grid, write_grid
from experiments.arc.runner import make_row
from experiments.render.tables import to_markdown
from tests.support.programs import end_of
from tests.support.tiny import arc as tiny_arc
from tests.support.tiny import sweep as tiny_sweep
from trm_jax.checkpoints.model_files import load_model
from trm_jax.data.arc.task_files import parse_task
from trm_jax.data.arc.test_time import plan_test_time
from trm_jax.data.arc.voting import Votes, load_test_tasks, row_names, score_tasks, submission
from trm_jax.data.batches import eval_batches
from trm_jax.data.format import load_dataset, load_identifiers
from trm_jax.models.act import predictions, rollout
from trm_jax.models.build import build
from trm_jax.types import Batch

SCHEMES = ("--schemes", "fp32,int4_naive")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("arc")
    tiny_arc.write(folder)
    return folder


@pytest.fixture(scope="module")
def finished(root):
    """A vote that ran through."""
    out = root / "out"
    assert arc.main(tiny_arc.arguments(root, out, *SCHEMES)) == 0
    return out


def scores_of(out: Path) -> dict[tuple[str, str], dict[str, str]]:
    with (out / "scores.csv").open() as file:
        return {(r["scheme"], r["num_aug"]): r for r in csv.DictReader(file)}


@pytest.mark.slow
def test_equals_the_released_data_flow(finished, root):
    """The whole table in memory, rows of the test split in file order, votes by identifier."""
    config, weights = load_model(root / "model")
    names, tasks = load_identifiers(root / "data"), load_test_tasks(root / "data")
    reasoner, votes = build(config), Votes()
    for host in eval_batches(load_dataset(root / "data" / "test"), 16):
        batch = Batch(*(jnp.asarray(x) for x in host[:3]))
        latents, _ = rollout(reasoner, weights, batch, steps=3, observe=lambda _: None)
        read = reasoner.read_out(weights.params, latents.z_H)
        tokens, q_halt = np.asarray(predictions(read.logits)), np.asarray(read.q_halt)
        real = slice(host.num_real)
        asked = row_names(names, host.puzzle_identifiers[real].tolist())
        votes.add(asked, host.inputs[real], tokens[real], q_halt[real])
    found = scores_of(finished)["fp32", str(tiny_arc.NUM_AUG)]
    scores = score_tasks(votes, tasks)
    for k in (1, 2, 5, 10):
        mean = np.mean([score.fraction(k) for score in scores])
        # two means of five fractions of at most 2 questions, rounded to float64
        assert float(found[f"pass@{k}"]) == pytest.approx(mean, abs=1e-15)
    answers = json.loads((finished / "submission-fp32.json").read_text())
    assert answers == submission(votes, tasks)
    assert len({json.dumps(pair["attempt_1"]) for pairs in answers.values() for pair in pairs}) > 5


def test_equals_the_released_evaluator(golden):
    """Its 24 predictions as a row: four tasks, the identity and five augmentations each."""
    stored = json.loads((golden / "arc_evaluator.json").read_text())
    tasks = [parse_task(t, name, "golden") for name, t in stored["test_puzzles"].items()]
    plan = plan_test_time(tasks, stored["identifiers"], 5, np.random.RandomState(0))
    assert plan.identifiers == stored["identifiers"]
    tokens, q_halt = np.array(stored["preds"]), np.array(stored["q_halt_logits"])
    key = VoteKey("fp32", 0, 0, len(tasks))
    row = make_row("", key, plan.groups, tokens, q_halt, np.zeros(len(tokens)), 1.0)
    found = outcome([row], plan.groups, 5, "fp32")
    for k in (1, 2, 5, 10, 100, 1000):
        assert found.passed(k).value == stored["result"][f"ARC/pass@{k}"]
        assert found.solved(k).value == found.passed(k).value  # one question per task
    votes = collect_votes([row], plan.groups, 5)
    assert submission(votes, tasks) == stored["submission"]


def test_fewer_augmentations_are_the_first_ones_and_cost_less(finished, root, tmp_path):
    out = tmp_path / "out"
    assert arc.main(tiny_arc.arguments(root, out, "--schemes", "fp32", "--num-aug", "1")) == 0
    fewer, more = scores_of(out)["fp32", "1"], scores_of(finished)["fp32", "1"]
    timing = {"seconds_per_task"}
    assert {k: v for k, v in fewer.items() if k not in timing} == {
        k: v for k, v in more.items() if k not in timing
    }
    assert [float(scores_of(finished)["fp32", n]["rollouts_per_task"]) for n in "013"] == [2, 4, 8]


def test_the_report_lays_out_the_same_tables_from_scores(finished, tmp_path):
    tables = read_tables(finished)
    names = ("schemes", "augmentations")
    for table, name in zip(tables, names, strict=True):
        assert to_markdown(table) == (finished / f"{name}.md").read_text()
    (tmp_path / "votes.json").write_bytes((finished / "votes.json").read_bytes())
    with pytest.raises(FileNotFoundError, match=r"no scores\.jsonl: run .* with --resume"):
        read_tables(tmp_path)


def test_resumed_it_ends_the_same_and_answers_nothing_twice(finished, root, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    whole = (finished / "rows.jsonl").read_bytes()
    lines = whole.splitlines(keepends=True)
    (out / "rows.jsonl").write_bytes(lines[0] + lines[1][:40])
    (out / "votes.json").write_bytes((finished / "votes.json").read_bytes())
    assert arc.main(tiny_arc.arguments(root, out, *SCHEMES, "--resume")) == 0
    again = [json.loads(line) for line in (out / "rows.jsonl").read_bytes().splitlines()]
    before = [json.loads(line) for line in lines]
    for rows in (again, before):
        for row in rows:
            row.pop("seconds")
    assert again == before
    assert (out / "rows.jsonl").read_bytes().startswith(lines[0])


def test_several_checkpoints_vote_together(finished, root, tmp_path):
    """Twice the same model: every answer has twice the votes, so no rank changes."""
    out, model = tmp_path / "out", str(root / "model")
    both = tiny_arc.arguments(root, out, "--schemes", "fp32", "--model", model, model)
    assert arc.main(both) == 0
    one = scores_of(finished)["fp32", str(tiny_arc.NUM_AUG)]
    two = scores_of(out)["fp32", str(tiny_arc.NUM_AUG)]
    assert [two[f"pass@{k}"] for k in (1, 2, 5)] == [one[f"pass@{k}"] for k in (1, 2, 5)]
    assert float(two["rollouts_per_task"]) == 2 * float(one["rollouts_per_task"])
    name = "submission-fp32.json"
    assert (out / name).read_bytes() == (finished / name).read_bytes()


@pytest.mark.slow
def test_new_tasks_get_the_mean_row_or_a_trained_one(root, tmp_path, capsys):
    others = ("--tasks", str(root / "others"), "--new-only", "--schemes", "fp32")
    for name, steps in (("mean", "0"), ("trained", "3")):
        out = tmp_path / name
        assert arc.main(tiny_arc.arguments(root, out, *others, "--row-steps", steps)) == 0
    captured = capsys.readouterr()
    assert "new (mean)" in captured.out
    assert "new (trained-3)" in captured.out
    assert "mean loss of the first 1 updates" in captured.err
    mean, trained = ((tmp_path / n / "rows.jsonl").read_text() for n in ("mean", "trained"))
    assert json.loads(mean)["q_halt"] != json.loads(trained)["q_halt"]


def test_rows_come_from_the_table_then_from_the_new_ones():
    table = np.arange(12, dtype=np.float32).reshape(6, 2)
    np.testing.assert_array_equal(mean_row(table), table.mean(axis=0))
    source = RowSource(table, np.array([[-1.0, -2.0], [-3.0, -4.0]], np.float32))
    taken = source.take(np.array([7, 0, 5, 6]))
    assert taken.tolist() == [[-3, -4], [0, 1], [10, 11], [-1, -2]]
    single = RowSource(table, mean_row(table)[None])
    assert single.take(np.array([6, 99])).tolist() == [table.mean(axis=0).tolist()] * 2


@pytest.mark.parametrize("grid", [np.zeros((0, 0), np.uint8), np.array([[1, 2, 3], [9, 0, 5]])])
def test_grids_survive_the_file(grid):
    again = read_grid(write_grid(grid.astype(np.uint8)))
    assert (again.shape, again.dtype, again.tolist()) == (grid.shape, np.uint8, grid.tolist())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--schemes", "a8s"), "static|calibration puzzles"),
        (("--num-aug", "-1"), "--num-aug must be 0 or more, got -1"),
        (("--steps", "0"), "--steps must be at least 1"),
        (("--batch-size", "0"), "--batch-size must be at least 1"),
        (("--model", "sudoku-trm-att-mini"), "sudoku-trm-att-mini is for sudoku, not for arc"),
        (("--new-only",), "has no tasks to ask"),
        (("--data", "nowhere"), "identifiers.json is missing"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(root, tmp_path, capsys, change, message):
    out = tmp_path / "out"
    assert end_of(arc.main, tiny_arc.arguments(root, out, *change)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(message, line), line
    assert not out.exists()


def test_a_model_that_does_not_say_its_task_must_read_arc(root, tmp_path, capsys):
    tiny_sweep.write(tmp_path, task=None)
    change = ("--model", str(tmp_path / "model"))
    assert arc.main(tiny_arc.arguments(root, tmp_path / "out", *change)) == 2
    assert "reads no ARC: 16 cells of 6 tokens" in capsys.readouterr().err


def test_a_used_folder_is_not_touched(finished, root, capsys):
    before = {file: file.read_bytes() for file in finished.iterdir()}
    assert arc.main(tiny_arc.arguments(root, finished, *SCHEMES)) == 2
    assert "add --resume" in capsys.readouterr().err
    assert arc.main(tiny_arc.arguments(root, finished, *SCHEMES, "--seed", "7", "--resume")) == 2
    assert "seed is 42, asked for 7" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in finished.iterdir()} == before
