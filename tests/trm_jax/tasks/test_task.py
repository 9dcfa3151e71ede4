"""Puzzles are checked against their task before anything runs."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.puzzles import hash_dataset
from trm_jax.data.format import from_examples
from trm_jax.evaluate import strict
from trm_jax.tasks.task import Task, second_score, side_of, task_named
from trm_jax.types import Batch

ONES = np.ones((3, 81), np.int32)
SUDOKU = from_examples(ONES, ONES, vocab_size=11)


def test_sides_and_alphabets():
    assert side_of(Task.SUDOKU, SUDOKU, "here") == 9
    assert side_of(Task.MAZE, from_examples(ONES, ONES, vocab_size=6), "here") == 9
    with pytest.raises(ValueError, match=r"here is no maze data: 9x9 maze has 6 tokens.*=11"):
        side_of(Task.MAZE, SUDOKU, "here")
    with pytest.raises(ValueError, match=r"here: puzzles must be square, got 80 cells"):
        side_of(Task.SUDOKU, from_examples(ONES[:, 1:], ONES[:, 1:], vocab_size=11), "here")
    with pytest.raises(ValueError, match=r"unknown task 'chess'; known: sudoku, maze, arc"):
        task_named("chess")


@pytest.mark.parametrize("side", [6, 10, 30])
def test_arc_has_twelve_tokens_on_any_canvas(side):
    ones = np.ones((2, side * side), np.int32)
    assert side_of(Task.ARC, from_examples(ones, ones, vocab_size=12), "here") == side
    with pytest.raises(ValueError, match=r"has 12 tokens, got vocab_size=11"):
        side_of(Task.ARC, SUDOKU, "here")


def test_only_mazes_have_a_second_score():
    """A detour of equal length through open cells: wrong by the label, right for a maze."""
    assert second_score(Task.SUDOKU, 9) is strict
    assert second_score(Task.ARC, 9) is strict
    maze = [[3, 2, 2, 4]]  # start, free / free, goal: two shortest paths
    label, other = [[3, 5, 2, 4]], jnp.asarray([[3, 2, 5, 4]])
    batch = Batch(*map(jnp.asarray, (maze, label, [0])))
    assert not strict(other, batch)[0]
    assert second_score(Task.MAZE, 2)(other, batch)[0]


def test_the_hash_is_of_content_not_of_storage():
    small = from_examples(ONES.astype(np.uint8), ONES.astype(np.uint8), vocab_size=11)
    assert hash_dataset(small) == hash_dataset(SUDOKU)
    changed = ONES.copy()
    changed[2, 80] = 5
    labels = dataclasses.replace(SUDOKU, labels=changed)
    assert hash_dataset(labels) != hash_dataset(SUDOKU)
