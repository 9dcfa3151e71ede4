"""What training holds back, and which symmetries it takes."""

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.train.data import augmentation, default_augmentation, split
from trm_jax import zoo
from trm_jax.checkpoints.model_files import load_facts
from trm_jax.data.facts import settle_facts
from trm_jax.types import Batch


def puzzles(identifiers):
    """Make puzzles whose only cell is their own number."""
    cells = jnp.arange(len(identifiers), dtype=jnp.int16)[:, None]
    return Batch(cells, cells, jnp.asarray(identifiers, jnp.int32))


def numbers(batch):
    return np.asarray(batch.inputs)[:, 0].tolist()


def test_without_identifiers_the_last_puzzles_are_held_back():
    train, valid = split(puzzles([0] * 5), 2)
    assert (numbers(train), numbers(valid)) == ([0, 1, 2], [3, 4])
    with pytest.raises(ValueError, match="between 1 and 4 puzzles, got 5"):
        split(puzzles([0] * 5), 5)


def test_with_identifiers_the_last_pair_of_every_augmented_task_is_held_back():
    """Else a validation pair would be trained on under another augmentation."""
    train, valid = split(puzzles([1, 1, 1, 2, 2, 2, 5, 5, 7, 7]), 2)
    assert numbers(train) == [0, 1, 3, 4, 6, 8]
    assert numbers(valid) == [2, 7]  # spread over what is held back: 2, 5, 7, 9
    assert valid.puzzle_identifiers.tolist() == [1, 5]


def test_a_task_with_one_pair_or_too_few_tasks_are_refused():
    with pytest.raises(ValueError, match="a task with a single pair"):
        split(puzzles([1, 1, 2, 3, 3]), 1)
    with pytest.raises(ValueError, match="at most 2, one pair"):
        split(puzzles([1, 1, 2, 2]), 3)


def test_arc_is_not_augmented_again():
    facts = {name: load_facts(zoo.MODELS[name].directory) for name in MINIS}
    assert {name: default_augmentation(facts[name]) for name in MINIS} == MINIS


def test_other_symmetries_than_the_puzzles_have_are_refused():
    """A band of a 3x2 box is three rows: moved as two, its answers would break the rules."""
    facts = settle_facts("sudoku", 36, "here", box=(3, 2))
    augmentation("sudoku-3x2", facts)
    with pytest.raises(ValueError, match="'sudoku-2x3' of sudoku 6x6 with boxes 3x2; known: sudo"):
        augmentation("sudoku-2x3", facts)


MINIS = {
    "arc-trm-att-mini": "none",
    "sudoku-trm-att-mini": "sudoku-2x3",
    "maze-trm-att-mini": "maze",
}
