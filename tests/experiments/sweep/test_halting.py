"""Rules of halting in a sweep: steps and answers as a loop over the oracle's rollout finds them."""

import csv

import numpy as np
import pytest

from experiments.measurement.halting import HaltedOutcome
from experiments.measurement.shards import from_hex
from experiments.sweep import __main__ as sweep
from experiments.sweep.outcomes import read_sweeps
from tests.support.oracles import recursion as oracle
from tests.support.tiny import sweep as tiny
from trm_jax.data.format import load_dataset
from trm_jax.loading import load_model
from trm_jax.types import Batch

STEPS = 12  # beyond those of training, so that answers settle
RULES = ("never", "q", "q:0.95", "qc:0.25", "unchanged", "unchanged:2", "rules")


@pytest.fixture(scope="module")
def out(tiny_root, tmp_path_factory):
    """Full precision alone, in shards of which the last is padded."""
    out = tmp_path_factory.mktemp("halting") / "out"
    words = ["--schemes", "fp32", "--batch-size", "8", "--depths", f"allx{STEPS}"]
    words += ["--halt", ",".join(RULES[1:])]
    assert sweep.main(tiny.arguments(tiny_root, out, *words)) == 0
    return out


def by_hand(tiny_root):
    """Tokens and q after every supervision step, labels: of puzzles in the sweep's order."""
    model, dataset = load_model(str(tiny_root / "model")), load_dataset(tiny_root / "data" / "test")
    inputs = np.asarray(dataset.inputs, np.int32)
    batch = Batch(inputs, inputs, np.zeros(len(inputs), np.int32))
    config = model.config
    states, _ = oracle.trajectory(config, model.weights, batch, STEPS * config.H_cycles)
    logits, q = oracle.read_out(config, model.weights, states)[:2]
    last = slice(config.H_cycles - 1, None, config.H_cycles)
    return np.argmax(logits, -1)[last], np.asarray(q)[last], np.asarray(dataset.labels)


def step_by_hand(rule, tokens, q):
    """Find the step of one puzzle."""
    for step in range(1, len(tokens) + 1):
        name, _, bound = rule.partition(":")
        q_halt, q_continue = q[step - 1]
        if name == "q" and q_halt > float(bound or 0):
            return step
        if name == "qc" and q_halt > q_continue + float(bound):
            return step
        if name == "unchanged":
            count = int(bound or 1)
            same = tokens[max(step - 1 - count, 0) : step]
            if step > count and (same == same[0]).all():
                return step
    return len(tokens)


def test_every_rule_ends_puzzles_as_a_loop_does(out, tiny_root):
    tokens, q, labels = by_hand(tiny_root)
    rows = sorted(tiny.lines(out / "rows.jsonl"), key=lambda row: row["start"])
    num, seen = len(labels), set()
    order = np.concatenate([np.arange(row["start"], row["stop"]) for row in rows])
    np.testing.assert_array_equal(order, np.arange(num))
    for at, rule in enumerate(RULES):
        steps = np.concatenate([row["halted"][at][1] for row in rows])
        exact = np.concatenate(
            [from_hex(row["halted"][at][0], row["stop"] - row["start"]) for row in rows]
        )
        wanted = [step_by_hand(rule, tokens[:, i], q[:, i]) for i in range(num)]
        assert steps.tolist() == wanted, rule
        answers = tokens[np.asarray(wanted) - 1, np.arange(num)]
        np.testing.assert_array_equal(exact, (answers == labels).all(axis=1))
        seen |= set(wanted)
    assert len(seen) > 2


def test_the_table_pairs_every_rule_with_full_depth(out):
    with (out / "halting.csv").open() as file:
        records = list(csv.DictReader(file))
    assert [record["halting"] for record in records] == list(RULES)
    never = records[0]
    assert (float(never["mean_steps"]), never["lost"], never["gained"]) == (STEPS, "0", "0")
    (measured,) = read_sweeps([out])
    full = measured.reference.halted("never").solved
    for record in records:
        halted = measured.reference.halted(record["halting"])
        assert int(record["lost"]) == int((full & ~halted.solved).sum())
        assert int(record["gained"]) == int((~full & halted.solved).sum())
    assert f"Halting within n={STEPS}" in (out / "halting.md").read_text()


def test_late_steps_are_enough_for_nineteen_of_twenty():
    outcome = HaltedOutcome(np.ones(20, bool), np.array([1] * 18 + [3, 9]))
    assert outcome.late_steps == 3
    assert outcome.mean_steps.value == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("halt", "words"),
    [("soon", "halting reads never, q[:B]"), ("q:", "four decimals"), ("q,,rules", "got ''")],
)
def test_rules_that_do_not_exist_are_refused(tiny_root, tmp_path, capsys, halt, words):
    assert sweep.main(tiny.arguments(tiny_root, tmp_path / "out", "--halt", halt)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert words in error
