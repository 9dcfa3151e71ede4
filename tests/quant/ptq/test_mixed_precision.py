"""The exact choice under a budget, against trying every combination."""

import itertools

import numpy as np
import pytest

from quant.ptq.mixed_precision import WeightChoice, best_within, pareto_front


def matrices(seed: int, count: int = 5) -> list[list[WeightChoice]]:
    """Draw choices whose bytes often coincide, so that ties and dominance occur."""
    rng = np.random.default_rng(seed)
    return [
        [
            WeightChoice(f"w{i}", int(rng.integers(1, 12)), float(rng.integers(0, 40)) / 8)
            for i in range(rng.integers(1, 5))
        ]
        for _ in range(count)
    ]


def every_sum(of: list[list[WeightChoice]]) -> list[tuple[int, float]]:
    combinations = itertools.product(*of)
    return [(sum(c.stored for c in each), sum(c.loss for c in each)) for each in combinations]


@pytest.mark.parametrize("seed", range(20))
def test_the_best_of_every_budget_is_that_of_all_combinations(seed: int) -> None:
    """Losses are eighths, so sums are exact in any order."""
    of = matrices(seed)
    front, sums = pareto_front(of), every_sum(of)
    smallest = min(size for size, _ in sums)
    for budget in range(smallest, 70):
        found = best_within(front, budget)
        assert found.loss == min(loss for size, loss in sums if size <= budget)
        assert found.stored <= budget


@pytest.mark.parametrize("seed", range(5))
def test_picks_have_the_bytes_and_the_loss_of_their_point(seed: int) -> None:
    of = matrices(seed)
    front = pareto_front(of)
    for point in front:
        picked = [choices[i] for choices, i in zip(of, point.picks, strict=True)]
        assert sum(c.stored for c in picked) == point.stored
        assert sum(c.loss for c in picked) == point.loss
    assert all(a.stored < b.stored and a.loss > b.loss for a, b in itertools.pairwise(front))


def test_a_budget_too_small_is_told_the_least() -> None:
    front = pareto_front([[WeightChoice("a", 10, 1.0), WeightChoice("b", 20, 0.0)]] * 2)
    with pytest.raises(ValueError, match=r"at least 20 bytes, got a budget of 19"):
        best_within(front, 19)


def test_no_choice_and_no_number_are_refused() -> None:
    with pytest.raises(ValueError, match="matrix 1 has no choice"):
        pareto_front([[WeightChoice("a", 1, 0.0)], []])
    with pytest.raises(ValueError, match="a of matrix 0 loses nan"):
        pareto_front([[WeightChoice("a", 1, float("nan"))]])
