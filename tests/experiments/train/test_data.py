"""What training holds back, and which symmetries it takes."""

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.train.data import default_augmentation, split
from trm_jax.config import PRESET_TASKS, preset
from trm_jax.tasks.table import TASKS
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
    names = [
        default_augmentation(TASKS[PRESET_TASKS[name]], preset(name).seq_len) for name in MINIS
    ]
    assert names == list(MINIS.values())


MINIS = {
    "arc-trm-att-mini": "none",
    "sudoku-trm-att-mini": "sudoku-2x3",
    "maze-trm-att-mini": "maze",
}
