"""Generated puzzles: one solution by plain backtracking, the clues asked for, seeds."""

import numpy as np
import pytest

from tests.support.oracles import sudoku as oracle
from trm_jax.data.sudoku import generator
from trm_jax.data.sudoku.generator import generate_sudoku
from trm_jax.data.sudoku.solver import solve


@pytest.mark.parametrize(("box", "clues"), [((2, 2), (5, 8)), ((2, 3), 12), ((3, 2), None)])
def test_puzzles_have_exactly_one_solution(box, clues):
    puzzles, answers = generate_sudoku(15, box=box, num_clues=clues, seed=1)
    for puzzle, answer in zip(puzzles.tolist(), answers.tolist(), strict=True):
        assert oracle.is_solution(answer, box)
        assert all(d in (0, a) for d, a in zip(puzzle, answer, strict=True))
        assert oracle.count_solutions(puzzle, box, limit=2) == 1


def test_minimal_puzzles_lose_uniqueness_with_any_clue():
    puzzles, _ = generate_sudoku(10, box=(2, 3), num_clues=None, seed=2)
    for puzzle in puzzles.tolist():
        for i in np.flatnonzero(puzzle):
            without = [*puzzle[:i], 0, *puzzle[i + 1 :]]
            assert oracle.count_solutions(without, (2, 3), limit=2) == 2


def test_9x9_has_the_clues_asked_for():
    puzzles, answers = generate_sudoku(6, num_clues=(26, 32), seed=3)
    counts = (puzzles > 0).sum(axis=1)
    assert counts.min() >= 26
    assert counts.max() <= 32
    assert len(set(counts.tolist())) > 1
    for puzzle, answer in zip(puzzles.tolist(), answers.tolist(), strict=True):
        verdict = solve(puzzle, (3, 3))
        assert (verdict.num_solutions, verdict.solution) == (1, answer)


def test_min_rating_holds():
    puzzles, _ = generate_sudoku(2, num_clues=None, min_rating=2, seed=4)
    assert all(solve(p, (3, 3)).rating >= 2 for p in puzzles.tolist())


def test_a_puzzle_depends_on_seed_and_index_alone():
    whole, answers = generate_sudoku(6, box=(2, 2), seed=5)
    tail, tail_answers = generate_sudoku(4, box=(2, 2), seed=5, start=2)
    np.testing.assert_array_equal(whole[2:], tail)
    np.testing.assert_array_equal(answers[2:], tail_answers)
    assert (generate_sudoku(6, box=(2, 2), seed=6)[0] != whole).any()


def test_progress_counts_puzzles():
    seen = []
    generate_sudoku(3, box=(2, 2), progress=seen.append)
    assert seen == [1, 2, 3]


def test_refuses_what_cannot_be(monkeypatch):
    monkeypatch.setattr(generator, "ATTEMPTS", 3)
    with pytest.raises(ValueError, match="no puzzle with box=\\(2, 2\\) num_clues=3"):
        generate_sudoku(1, box=(2, 2), num_clues=3)  # 4 is the least for 4x4
    for clues in ((9, 8), 0, 17):
        with pytest.raises(ValueError, match="num_clues must lie in 1 to 16"):
            generate_sudoku(1, box=(2, 2), num_clues=clues)
