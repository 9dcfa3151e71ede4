"""The bit-parallel solver against plain backtracking and published puzzles."""

import csv

import numpy as np
import pytest

from tests.support.oracles import sudoku as oracle
from trm_jax.data.sudoku.solver import check_box, geometry, solve, state_of


def random_puzzles(box, num, seed):
    """Make clue sets of all sorts: unique, ambiguous, and contradictory."""
    rng = np.random.default_rng(seed)
    side = box[0] * box[1]
    for _ in range(num):
        verdict = solve([0] * side**2, box, limit=int(rng.integers(1, 9)))
        grid = np.array(verdict.solution)
        names = rng.permutation(side) + 1
        puzzle = np.where(rng.random(side**2) < rng.uniform(0.2, 0.6), names[grid - 1], 0)
        if rng.random() < 0.3:
            puzzle[rng.integers(side**2)] = rng.integers(1, side + 1)
        yield puzzle.tolist()


@pytest.mark.parametrize(("box", "limit"), [((2, 2), 300), ((2, 3), 6), ((3, 2), 6)])
def test_counts_solutions_as_plain_backtracking_does(box, limit):
    counts = set()
    for puzzle in random_puzzles(box, 25, seed=1):
        verdict = solve(puzzle, box, limit=limit)
        assert verdict.num_solutions == oracle.count_solutions(puzzle, box, limit)
        counts.add(min(verdict.num_solutions, 2))
        if verdict.solution is None:
            assert verdict.num_solutions == 0
        else:
            assert oracle.is_solution(verdict.solution, box)
            assert all(d in (0, s) for d, s in zip(puzzle, verdict.solution, strict=True))
    assert counts == {0, 1, 2}  # the sample had all three cases


def test_finds_all_288_grids_of_side_4():
    assert solve([0] * 16, (2, 2), limit=1000).num_solutions == 288  # a well-known count


def test_rating_counts_branches():
    assert solve([1, 2, 3, 4, 3, 4, 1, 2, 2, 1, 4, 3, 0, 0, 0, 0], (2, 2)).rating == 0
    assert solve([0] * 16, (2, 2), limit=1).rating > 0


def test_solves_published_puzzles(shared):
    path = shared / "data" / "sudoku_hard" / "puzzles3_magictour_top1465.csv"
    with path.open(newline="") as file:
        rows = [row for row, _ in zip(csv.DictReader(file), range(15), strict=False)]
    for row in rows:
        puzzle = [int(s) for s in row["question"].replace(".", "0")]
        verdict = solve(puzzle, (3, 3))
        assert verdict.num_solutions == 1
        assert "".join(map(str, verdict.solution or [])) == row["answer"]


@pytest.mark.parametrize("box", [(1, 4), (4, 1), (0, 3), (6, 6)])
def test_refuses_boxes(box):
    with pytest.raises(ValueError, match="box must have 2 rows"):
        check_box(box)


def test_refuses_wrong_cells():
    with pytest.raises(ValueError, match="has 16 cells, got 15"):
        state_of(geometry((2, 2)), [0] * 15)
    with pytest.raises(ValueError, match="cell 3 must hold 0 to 4, got 5"):
        state_of(geometry((2, 2)), [0, 0, 0, 5] + [0] * 12)
