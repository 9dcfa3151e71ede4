"""Answers in a device's integers: counts over puzzles, at full depth and where halting ends."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from experiments.deploy.answers import BATCH, DeviceAnswers, check_limit, measure_answers
from trm_jax.data.format import from_examples
from trm_jax.halting import BY_RULES, StepReading
from trm_jax.types import Batch

STEPS, CELLS, LIMIT = 3, 4, BATCH + 5


def tokens_at(step: int, first: np.ndarray) -> np.ndarray:
    """Puzzles end right at step (first cell % 4), are right once, and wrong behind it again."""
    right = first % (STEPS + 1) == step
    return np.where(right[:, None], first[:, None], first[:, None] + 1).repeat(CELLS, axis=1)


class Rehearsed:
    """A simulation whose answers are known."""

    def readings(self, batch: Batch, *, steps: int) -> list[StepReading]:
        first = np.asarray(batch.inputs)[:, 0]
        zeros = np.zeros(len(first), np.float32)
        return [StepReading(tokens_at(s, first), zeros, zeros) for s in range(1, steps + 1)]


def obeys(puzzle: np.ndarray, answer: np.ndarray) -> bool:
    return bool(answer[0] == puzzle[0])


def puzzles() -> Any:
    rng = np.random.default_rng(0)
    inputs = rng.integers(1, 9, (LIMIT + 3, 1)).repeat(CELLS, axis=1)
    task = SimpleNamespace(rules=lambda facts: obeys, default_halting=BY_RULES)
    return SimpleNamespace(
        task=task, facts=None, ordered=from_examples(inputs, inputs, vocab_size=12)
    )


def test_counts_are_those_of_a_loop_over_puzzles() -> None:
    """The last batch is filled up, and what fills it is not counted."""
    data = puzzles()
    simulation: Any = Rehearsed()
    found = measure_answers(simulation, data, LIMIT, STEPS)
    exact = halted = steps = 0
    for first in data.ordered.inputs[:LIMIT, 0]:
        at = int(first) % (STEPS + 1)  # the step whose answer is right; 0: none is
        exact += at == STEPS
        halted += at > 0
        steps += at or STEPS
    assert 0 < exact < halted < LIMIT
    assert (found.exact, found.halted_exact, found.halted_steps) == (exact, halted, steps)
    assert (found.puzzles, found.steps, found.halting) == (LIMIT, STEPS, "rules")
    assert found.mean_steps == steps / LIMIT
    assert found.rate.value == exact / LIMIT


def test_puzzles_of_the_ranges_are_not_answered() -> None:
    class Named(SimpleNamespace):
        def __len__(self) -> int:
            return 130

    some: Any = Named(name="data")
    check_limit(2, some)
    with pytest.raises(ValueError, match="reaches into the 128 puzzles that ranges are taken"):
        check_limit(3, some)


@pytest.mark.parametrize(
    ("field", "value"),
    [("exact", 11), ("halted_steps", 9), ("halted_steps", 31), ("halting", "never:1")],
)
def test_counts_that_cannot_be_are_refused(field: str, value: object) -> None:
    good: dict[str, Any] = {
        "puzzles": 10,
        "steps": 3,
        "exact": 9,
        "halting": "rules",
        "halted_exact": 10,
        "halted_steps": 12,
    }
    DeviceAnswers(**good)
    with pytest.raises(ValueError, match="halting reads" if field == "halting" else field):
        DeviceAnswers(**{**good, field: value})
