"""Classes of puzzles against an oracle that tries every symmetry."""

import numpy as np
import pytest

from tests.support.oracles import sudoku as oracle
from trm_jax.data.sudoku.generator import generate_sudoku, random_solution
from trm_jax.data.sudoku.solver import digits_of, geometry
from trm_jax.data.sudoku.symmetry import (
    augment_sudoku,
    canonical_form,
    class_ids,
    invariants,
    new_classes,
)


def partition(names):
    """Turn names into numbers by first appearance: equal for equal partitions."""
    seen = {}
    return [seen.setdefault(name, len(seen)) for name in names]


def shuffled(puzzles, box, seed):
    """Apply random symmetries (their group is tested in test_augment.py)."""
    tokens = puzzles + 1
    return augment_sudoku(np.random.default_rng(seed), tokens, tokens, box)[0] - 1


@pytest.mark.parametrize(("box", "num"), [((2, 2), 60), ((2, 3), 6)])
def test_classes_are_those_of_the_oracle(box, num):
    puzzles, _ = generate_sudoku(num, box=box, num_clues=None, seed=1)
    puzzles = np.concatenate([puzzles, shuffled(puzzles[: num // 2], box, seed=2)])
    expected = partition(oracle.class_name(p, box) for p in puzzles.tolist())
    assert len(set(expected)) < len(puzzles)
    assert partition(canonical_form(p, box).tobytes() for p in puzzles) == expected
    assert partition(class_ids(puzzles, box).tolist()) == expected


def test_canonical_form_belongs_to_the_class():
    puzzles, _ = generate_sudoku(4, box=(2, 2), seed=3)
    for puzzle in puzzles:
        form = canonical_form(puzzle, (2, 2))
        assert oracle.class_name(form.tolist(), (2, 2)) == oracle.class_name(
            puzzle.tolist(), (2, 2)
        )


def test_9x9_is_blind_to_symmetry_and_sees_a_moved_clue():
    puzzles, answers = generate_sudoku(5, num_clues=30, seed=4)
    for puzzle, answer in zip(puzzles, answers, strict=True):
        form = canonical_form(puzzle, (3, 3), solution=answer)
        for image in shuffled(np.repeat(puzzle[None], 6, axis=0), (3, 3), seed=5):
            np.testing.assert_array_equal(canonical_form(image, (3, 3)), form)
        more = puzzle.copy()
        more[np.flatnonzero(puzzle == 0)[0]] = answer[np.flatnonzero(puzzle == 0)[0]]
        less = puzzle.copy()
        less[np.flatnonzero(puzzle == 0)[1]] = answer[np.flatnonzero(puzzle == 0)[1]]
        forms = [canonical_form(p, (3, 3), solution=answer) for p in (more, less)]
        # both have 31 clues of one grid; a grid without automorphisms tells them apart
        assert (forms[0] != forms[1]).any()


@pytest.mark.parametrize("box", [(2, 2), (2, 3), (3, 3)])
def test_invariants_do_not_change_under_symmetry(box):
    puzzles, _ = generate_sudoku(8, box=box, seed=6)
    for seed in range(4):
        np.testing.assert_array_equal(
            invariants(shuffled(puzzles, box, seed), box), invariants(puzzles, box)
        )


def test_invariants_tell_random_puzzles_apart():
    puzzles, _ = generate_sudoku(15, num_clues=30, seed=7)
    assert len(np.unique(invariants(puzzles, (3, 3)))) == 15


def test_new_classes_drops_images_and_repeats():
    puzzles, _ = generate_sudoku(6, num_clues=32, seed=8)
    known, fresh = puzzles[:3], puzzles[3:]
    candidates = np.concatenate([shuffled(known, (3, 3), 1), fresh, shuffled(fresh, (3, 3), 2)])
    expected = [False] * 3 + [True] * 3 + [False] * 3
    assert new_classes(candidates, known, (3, 3)).tolist() == expected


def test_large_boxes_go_by_the_invariant():
    grid = geometry((4, 4))
    rng = np.random.default_rng(9)
    grids = np.array([digits_of(grid, random_solution(grid, rng)) for _ in range(2)], np.int8)
    grids[rng.random(grids.shape) < 0.5] = 0
    candidates = np.concatenate([shuffled(grids[:1], (4, 4), 3), grids[1:]])
    assert new_classes(candidates, grids[:1], (4, 4)).tolist() == [False, True]
    with pytest.raises(ValueError, match="row and column choices"):
        canonical_form(grids[0], (4, 4))


def test_refuses_ambiguous_puzzles():
    with pytest.raises(ValueError, match="exactly one solution"):
        canonical_form(np.zeros(16, np.int8), (2, 2))
