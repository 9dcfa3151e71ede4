"""Random symmetries: valid, complete, and blind to padding."""

import itertools

import numpy as np
import pytest

from tests.support.oracles import sudoku as oracle
from trm_jax.data.sudoku.generator import generate_sudoku
from trm_jax.data.sudoku.symmetry import augment_sudoku, reveal_cells


def tokens_of(num, box, seed):
    puzzles, answers = generate_sudoku(num, box=box, seed=seed)
    return puzzles + 1, answers + 1


@pytest.mark.parametrize("box", [(2, 2), (2, 3), (3, 2), (3, 3)])
def test_solutions_stay_solutions(box):
    inputs, labels = tokens_of(5, box, seed=1)
    inputs, labels = np.repeat(inputs, 8, axis=0), np.repeat(labels, 8, axis=0)
    new_inputs, new_labels = augment_sudoku(np.random.default_rng(0), inputs, labels, box)
    assert all(oracle.is_solution(row, box) for row in (new_labels - 1).tolist())
    clue = new_inputs > 1
    np.testing.assert_array_equal(new_inputs[clue], new_labels[clue])
    np.testing.assert_array_equal(clue.sum(1), (inputs > 1).sum(1))
    assert (new_inputs.dtype, new_labels.dtype) == (inputs.dtype, labels.dtype)


@pytest.mark.parametrize(("box", "moves"), [((2, 2), 2 * 8 * 8), ((2, 3), 48 * 72)])
def test_reaches_the_whole_group(box, moves):
    """Every cell a digit of its own shows the moves of cells; names are checked by their number.

    With m equally likely outcomes the chance that n draws miss one is below m exp(-n / m),
    here below 1e-5 for both groups.
    """
    side = box[0] * box[1]
    marks = np.arange(side**2)[None] - 1000  # negative: no digits, so that names do not matter
    draws = 21 * moves
    moved, _ = augment_sudoku(
        np.random.default_rng(0), np.repeat(marks, draws, 0), np.repeat(marks, draws, 0), box
    )
    expected = {tuple(image) for image in oracle.images(marks[0].tolist(), box)}
    assert len(expected) == moves
    assert {tuple(row) for row in moved.tolist()} == expected


def test_names_are_permutations_and_all_24_occur():
    # digits that occur 1, 2, 3 and 10 times: the counts afterwards tell the names
    row = np.array([[2] + [3] * 2 + [4] * 3 + [5] * 10])
    inputs = np.repeat(row, 24 * 21, axis=0)  # misses one with a chance below 1e-7, as above
    renamed, _ = augment_sudoku(np.random.default_rng(0), inputs, inputs, (2, 2))
    counts = {tuple(np.bincount(r, minlength=6)) for r in renamed}
    assert counts == {(0, 0, *order) for order in itertools.permutations((1, 2, 3, 10))}


def test_pad_blank_and_ignored_labels_stay():
    inputs = np.array([[0, 1, 2, 3] * 4] * 50, np.int32)
    labels = np.array([[-100, -100, 2, 3] * 4] * 50, np.int32)
    new_inputs, new_labels = augment_sudoku(np.random.default_rng(1), inputs, labels, (2, 2))
    np.testing.assert_array_equal((new_inputs == 0).sum(1), 4)
    np.testing.assert_array_equal((new_inputs == 1).sum(1), 4)
    np.testing.assert_array_equal(new_labels == -100, new_inputs <= 1)
    np.testing.assert_array_equal(new_labels[new_inputs > 1], new_inputs[new_inputs > 1])


def test_same_seed_same_result():
    inputs, labels = tokens_of(4, (2, 3), seed=2)
    first, second = (
        augment_sudoku(np.random.default_rng(3), inputs, labels, (2, 3)) for _ in range(2)
    )
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_refuses_other_shapes():
    with pytest.raises(ValueError, match="needs inputs and labels of 36 cells"):
        augment_sudoku(
            np.random.default_rng(0), np.ones((2, 16), int), np.ones((2, 16), int), (2, 3)
        )


def test_reveals_exactly_the_cells_asked_for():
    inputs, labels = tokens_of(20, (2, 3), seed=4)
    counts = np.arange(20)
    easier = reveal_cells(np.random.default_rng(0), inputs, labels, counts)
    changed = easier != inputs
    assert (inputs[changed] == 1).all()
    np.testing.assert_array_equal(easier[changed], labels[changed])
    blanks = (inputs == 1).sum(axis=1)
    np.testing.assert_array_equal(changed.sum(axis=1), np.minimum(counts, blanks))
