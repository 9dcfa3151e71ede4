"""Rules of halting: names, bounds, and what each looks at."""

import re

import numpy as np
import pytest

from trm_jax.halting import (
    HaltDecision,
    Halting,
    HaltRule,
    StepReading,
    halting_steps,
    parse_halting,
)
from trm_jax.tasks import ARC, MAZE, SUDOKU

NAMES = ("never", "q", "q:0.5", "q:-2.125", "qc", "qc:1", "rules", "unchanged", "unchanged:2")


@pytest.mark.parametrize("name", [*NAMES, "residual:0.01", "residual:0.0001"])
def test_names_are_read_back(name: str) -> None:
    assert parse_halting(name).name == name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "halting reads never, q[:B], qc[:B], rules, unchanged[:K] or residual:B, got ''"),
        ("Q", "halting reads"),
        ("rules:1", "halting reads"),
        ("q:", "four decimals at most, e.g. q:0.5"),
        ("q:1e3", "four decimals"),
        ("q:0.00001", "four decimals"),
        ("q:nan", "four decimals"),
        ("q:\u0661", "four decimals"),
        ("q:1000.5", "within 1000 of 0, got 1000.5"),
        ("unchanged:0", "takes 1 to 1024 whole steps, got 0"),
        ("unchanged:1.5", "whole steps, got 1.5"),
        ("unchanged:2000", "1 to 1024"),
        ("residual", "residual needs a bound, e.g. residual:0.01"),
        ("residual:0", "positive bound"),
        ("residual:-1", "positive bound"),
    ],
)
def test_what_is_no_rule_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        parse_halting(text)


def test_bounds_that_no_board_could_hold_are_refused() -> None:
    with pytest.raises(ValueError, match="four decimals"):
        Halting(HaltRule.Q, 1 / 3)
    with pytest.raises(ValueError, match="within 1000"):
        Halting(HaltRule.Q, float("nan"))
    with pytest.raises(ValueError, match="has no bound"):
        Halting(HaltRule.RULES, 1.0)


def readings() -> list[StepReading]:
    """Two puzzles of two cells over five steps; the right answers are 1 1 and 2 2."""
    first = ([1, 2], [1, 1], [1, 1], [1, 1], [2, 1])
    second = ([0, 0], [0, 0], [2, 0], [2, 2], [2, 2])
    q_halt = ([-1, 0], [0.5, 0.25], [0.25, 1], [2, 3], [2, 3])
    q_continue = ([0, 0], [0.5, 1], [0, 0], [3, 0], [0, 0])
    residual = ([0.5, 0.25], [0.125, 0.25], [0.25, 0.0625], [0, 0], [0, 0])
    return [
        StepReading(np.array([a, b]), *(np.array(x, np.float32) for x in rest))
        for a, b, *rest in zip(first, second, q_halt, q_continue, residual, strict=True)
    ]


@pytest.mark.parametrize(
    ("rule", "steps"),
    [
        ("never", [5, 5]),
        ("q", [2, 2]),
        ("q:0.25", [2, 3]),
        ("q:-5", [1, 1]),
        ("q:2", [5, 4]),
        ("qc", [3, 3]),
        ("qc:0.5", [5, 3]),
        ("rules", [2, 4]),
        ("unchanged", [3, 2]),
        ("unchanged:2", [4, 5]),
        ("residual:0.25", [2, 3]),
        ("residual:0.0001", [4, 4]),
    ],
)
def test_each_rule_ends_at_its_step(rule: str, steps: list[int]) -> None:
    """By hand, from the table above."""
    inputs = np.array([[1, 1], [2, 2]])

    def is_right(puzzle: np.ndarray, answer: np.ndarray) -> bool:
        return bool((puzzle == answer).all())

    found = halting_steps(parse_halting(rule), inputs, readings(), is_right)
    assert found.tolist() == steps


def test_rules_that_are_unknown_are_refused() -> None:
    with pytest.raises(ValueError, match="no rules to check; use never"):
        HaltDecision(parse_halting("rules"), np.zeros((1, 4), np.int32))


def test_tasks_halt_by_their_rules_where_they_have_some() -> None:
    names = [task.default_halting.name for task in (SUDOKU, MAZE, ARC)]
    assert names == ["rules", "rules", "never"]
