"""The benchmark of a step: both compute one function, in turn, and ratios stay within a repeat."""

import itertools
import json

import jax
import pytest

pytest.importorskip("torch", reason="the [torch] extra is not installed")

from benchmarks.puzzle_step import __main__ as puzzle_step
from benchmarks.puzzle_step import runner
from benchmarks.puzzle_step.runner import OURS, RIVAL, compare_logits, make_row, time_in_turn
from benchmarks.subject import Subject
from tests.support.programs import end_of
from tests.support.samples import random_batch, random_weights, small
from tests.support.tiny.preset import PRESET
from trm_jax.config import HRMConfig
from trm_jax.models.build import build

CONFIG = HRMConfig(**small(hidden_size=16, H_layers=1, L_layers=2))


def test_a_rival_with_other_weights_is_found_out() -> None:
    weights = random_weights(CONFIG)
    subject = Subject("tiny", build(CONFIG), weights, random_batch(CONFIG, 2))
    own = runner.make_contestants(subject, 1)
    assert compare_logits(own) < 1e-5  # float32 twice: a step of some tens of roundings of 2^-24
    other = subject._replace(weights=jax.tree.map(lambda x: x * 1.01, weights))
    rival = runner.TorchReasoner.of(CONFIG, other.weights, 1)
    inputs, _, identifiers = runner.puzzle_tensors(subject.batch)
    with pytest.raises(ValueError, match="PyTorch computes another model"):
        compare_logits(
            {OURS: own[OURS], RIVAL: lambda: rival.logits(inputs, identifiers, CONFIG.H_cycles)}
        )


def test_who_begins_changes_from_repeat_to_repeat() -> None:
    called: list[str] = []
    both = {name: lambda name=name: called.append(name) for name in (OURS, RIVAL)}
    assert [set(times) for times in time_in_turn(both, 3)] == [{OURS, RIVAL}] * 3
    assert called == [OURS, RIVAL, RIVAL, OURS, OURS, RIVAL]


def test_ratios_are_taken_within_a_repeat() -> None:
    row = make_row([{OURS: (4, a), RIVAL: (2, b)} for a, b in ((1, 2), (8, 2), (3, 2))])
    assert row["cpu_ratio"] == {"median": 1.5, "min": 0.5, "max": 4}
    assert row["wall_ratio"]["median"] == 2
    assert row["jax_cpu_ms"] == {"median": 3000, "min": 1000, "max": 8000}


def test_the_range_covers_the_median_as_often_as_it_says() -> None:
    """Of all 2^4 ways in which four values fall beside the median, two leave it outside."""
    ways = list(itertools.product((-1, 1), repeat=4))
    inside = sum(min(way) < 0 < max(way) for way in ways)
    assert runner.coverage(4) == inside / len(ways)


def test_the_program_prints_rows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PJRT_NPROC", "1")  # and taken back, for the program sets it
    words = ["--presets", PRESET, "--batch-sizes", "1,2", "--repeats", "2"]
    assert puzzle_step.main(words) == 0
    printed = capsys.readouterr()
    rows = [json.loads(line) for line in printed.out.splitlines()]
    assert [(row["preset"], row["puzzles"]) for row in rows] == [(PRESET, 1), (PRESET, 2)]
    assert all(row["cpu_ratio"]["min"] > 0 and row["difference"] < 1e-3 for row in rows)
    assert "covers 50%" in " ".join(printed.err.split())


@pytest.mark.parametrize(
    "words",
    [("--presets", "chess"), ("--batch-sizes", "1,0"), ("--batch-sizes", ""), ("--repeats", "0")],
    ids=" ".join,
)
def test_bad_input_exits_with_2(
    words: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PJRT_NPROC", "1")
    assert end_of(puzzle_step.main, words) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
