"""The last choice of a search, between recipes whose deciding puzzles are solved already."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from experiments.recipe.outcomes import FrontMeasurement, best_single, find_uniform, without_repeats
from experiments.recipe.solving import MixMeasurement, choose_finalist
from quant.ptq.mixed_precision import FrontPoint, WeightChoice

REST = 1000
EXACT = {  # picks: puzzles solved of ten; without picks full precision
    (): 9,
    (0, 0): 4,
    (0, 1): 7,
    (1, 0): 8,
    (1, 1): 8,
}


def mixes(max_drop: float | None = None, deciding: int = 10) -> MixMeasurement:
    job: Any = SimpleNamespace(max_drop=max_drop, deciding=np.arange(deciding), rest=REST)
    exact = {picks: np.arange(10) < solved for picks, solved in EXACT.items()}
    none: Any = None
    return MixMeasurement(job=job, calibration=none, sensitivity=none, choices=(), exact=exact)


def points(*names: tuple[int, int]) -> dict[str, FrontPoint]:
    return {str(picks): FrontPoint(100 + sum(picks), 0.1, picks) for picks in names}


@pytest.mark.parametrize(
    ("finalists", "max_drop", "expected"),
    [
        ([(0, 1), (1, 0)], None, (1, 0)),  # most puzzles, whatever the loss
        ([(1, 1), (1, 0)], None, (1, 1)),  # as many: the first, which has the least loss
        ([(0, 0), (0, 1)], 0.21, (0, 1)),  # (0, 0), refined, loses more than is allowed
        ([(0, 0)], None, (0, 0)),
    ],
)
def test_most_deciding_puzzles_choose(finalists, max_drop, expected) -> None:
    chosen, tried = choose_finalist(mixes(max_drop), points(*finalists))
    assert chosen.picks == expected
    assert [each.name for each in tried] == [str(picks) for picks in finalists]
    assert [each.stored for each in tried] == [REST + 100 + sum(picks) for picks in finalists]
    lost = [(EXACT[picks] - EXACT[()]) / 10 for picks in finalists]
    np.testing.assert_allclose([each.difference.value for each in tried], lost, atol=1e-12)


def test_without_deciding_puzzles_the_least_loss_is_taken() -> None:
    chosen, tried = choose_finalist(mixes(deciding=0), points((0, 0), (1, 1)))
    assert chosen.picks == (0, 0)
    assert not tried


def test_single_schemes_are_mixes_too() -> None:
    choices = [[WeightChoice(name, 1, 0.0) for name in ("small", "large")]] * 3
    assert find_uniform(choices) == [("small", (0, 0, 0)), ("large", (1, 1, 1))]
    measured = [
        FrontMeasurement(stored=stored, predicted=0.0, measured=loss, name=name)
        for name, stored, loss in (("a", 10, 0.3), ("b", 20, 0.1), ("c", 30, 0.2))
    ]
    best = best_single(measured, 25)
    assert best is measured[1]
    assert best_single(measured, 9) is None


def test_a_mix_is_asked_about_once() -> None:
    same = points((0, 1), (1, 0)) | {"again": FrontPoint(101, 0.1, (0, 1))}
    assert list(without_repeats(same)) == ["(0, 1)", "(1, 0)"]
