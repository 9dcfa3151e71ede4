"""Scores of a model on puzzles: counted by hand from its answers, and what a sweep would count."""

import numpy as np
import pytest

from trm_jax.intervals import Interval, short_number, wilson
from trm_jax.loading import load_model, load_puzzles
from trm_jax.scores import evaluate


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.93, ".930"), (1.0, "1.000"), (10.05, "10.050"), (-0.002, "-.002"), (0.0, ".000")],
)
def test_numbers_lose_the_zero_before_the_point_and_no_other(value: float, text: str) -> None:
    assert short_number(value) == text


def test_an_interval_is_written_with_its_ends() -> None:
    assert str(Interval(0.5, 0.28, 0.72)) == "0.5000 [.280, .720]"


@pytest.mark.slow
def test_mazes_are_scored_twice_and_a_model_is_its_own_reference() -> None:
    model = load_model(task="maze")
    puzzles = load_puzzles(model)
    scores = evaluate(model, puzzles, reference=model, limit=20, steps=2, batch_size=8)
    again = evaluate(model, puzzles, limit=20, steps=2, batch_size=20)
    assert scores.solved.shape == (20,)
    np.testing.assert_array_equal(scores.solved, again.solved)
    assert scores.exact == wilson(int(scores.solved.sum()), 20)
    assert scores.lenient is not None
    assert scores.lenient.value >= scores.exact.value  # the labelled path is a shortest path
    assert scores.fidelity is not None
    assert scores.fidelity.value == pytest.approx(1, abs=1e-6)  # cosines of equal float32 states
    assert again.fidelity is None


def test_no_steps_are_refused() -> None:
    model = load_model("sudoku-trm-mlp-mini")
    with pytest.raises(ValueError, match="steps must be at least 1, got steps=0"):
        evaluate(model, load_puzzles(model), steps=0)
