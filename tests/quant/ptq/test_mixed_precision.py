"""The exact choice under a budget, against trying every combination."""

import itertools

import numpy as np
import pytest

from quant.ptq.mixed_precision import (
    Picks,
    WeightChoice,
    best_within,
    near_choices,
    pareto_front,
    refine,
)


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


def start_of(of: list[list[WeightChoice]]) -> tuple[Picks, int]:
    """Take the smallest choice of every matrix, and a budget with room for others."""
    sizes = [[choice.stored for choice in choices] for choices in of]
    picks = tuple(int(np.argmin(each)) for each in sizes)
    return picks, sum(map(min, sizes)) + 10


def stored(of: list[list[WeightChoice]], picks: Picks) -> int:
    return sum(choices[i].stored for choices, i in zip(of, picks, strict=True))


@pytest.mark.parametrize("seed", range(10))
def test_refining_of_losses_that_add_up_ends_at_the_best(seed: int) -> None:
    of = matrices(seed)
    start, budget = start_of(of)

    def measure(picks: Picks) -> float:
        return sum(choices[i].loss for choices, i in zip(of, picks, strict=True))

    found = refine(of, start, budget, measure)
    assert found.loss == measure(found.picks) == best_within(pareto_front(of), budget).loss
    assert stored(of, found.picks) <= budget


@pytest.mark.parametrize("seed", range(10))
def test_refining_never_raises_the_loss_nor_leaves_the_budget(seed: int) -> None:
    """Losses are drawn for every recipe, so that sums say nothing."""
    of = matrices(seed)
    start, budget = start_of(of)

    def measure(picks: Picks) -> float:
        return float(np.random.default_rng([seed, *picks]).random())

    found = refine(of, start, budget, measure)
    assert found.loss == measure(found.picks) <= measure(start)
    assert stored(of, found.picks) <= budget


def test_an_exchange_is_found_where_sums_mislead() -> None:
    """All three matrices gain alone; all together they lose, any two of them gain most."""
    of = [[WeightChoice("small", 1, 1.0), WeightChoice("large", 2, 0.0)]] * 3
    found = refine(of, (0, 0, 0), 6, lambda picks: (3.0, 2.0, 1.0, 9.0)[sum(picks)])
    assert found.loss == 1.0
    assert sum(found.picks) == 2


def test_refining_measures_two_sizes_on_either_side() -> None:
    """In order of bytes; 4 bytes lose more than 3, and are never measured."""
    choices = [WeightChoice(f"w{n}", n, loss) for n, loss in enumerate((9, 8, 7, 6, 6.5, 5, 4, 3))]
    shuffled = [choices[i] for i in (3, 7, 0, 5, 1, 4, 6, 2)]

    def sizes(pick: int) -> list[int]:
        return [shuffled[i].stored for i in near_choices(shuffled, pick)]

    assert sizes(0) == [1, 2, 3, 5, 6]  # from 3 bytes
    assert sizes(2) == [0, 1, 2]  # from none
    assert sizes(5) == [2, 3, 4, 5, 6]  # from the choice that another undercuts
    measured: set[Picks] = set()
    refine([shuffled] * 2, (0, 0), 9, lambda picks: (measured.add(picks), 1.0)[1])
    assert {shuffled[i].stored for picks in measured for i in picks} == {1, 2, 3, 5, 6}


def test_a_budget_too_small_is_told_the_least() -> None:
    front = pareto_front([[WeightChoice("a", 10, 1.0), WeightChoice("b", 20, 0.0)]] * 2)
    with pytest.raises(ValueError, match=r"at least 20 bytes, got a budget of 19"):
        best_within(front, 19)


def test_no_choice_and_no_number_are_refused() -> None:
    with pytest.raises(ValueError, match="matrix 1 has no choice"):
        pareto_front([[WeightChoice("a", 1, 0.0)], []])
    with pytest.raises(ValueError, match="a of matrix 0 loses nan"):
        pareto_front([[WeightChoice("a", 1, float("nan"))]])
