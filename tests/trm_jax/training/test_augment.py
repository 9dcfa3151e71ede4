"""Device augmentation: every draw is a symmetry, clues and answers move together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trm_jax.data.maze.generator import generate_mazes
from trm_jax.data.sudoku.generator import generate_sudoku
from trm_jax.data.sudoku.symmetry import class_ids
from trm_jax.data.sudoku.tokens import encode, valid_grids
from trm_jax.evaluators import any_shortest_path
from trm_jax.training.augment import maze_augmentation, no_augmentation, sudoku_augmentation
from trm_jax.types import Batch

KEYS = [jax.random.key(seed) for seed in range(4)]


@pytest.mark.slow
@pytest.mark.parametrize("box", [(2, 2), (2, 3)])
def test_sudoku_draws_are_symmetric_to_the_puzzle(box: tuple[int, int]) -> None:
    puzzles, answers = generate_sudoku(6, box=box, seed=3)
    inputs = jnp.asarray(encode(puzzles), jnp.int32)
    labels = jnp.asarray(encode(answers), jnp.int32)
    augment = jax.jit(sudoku_augmentation(*box))
    for key in KEYS:
        x, y = (np.asarray(a) - 1 for a in augment(key, inputs, labels))
        assert valid_grids(y, box).all()
        assert (y[x > 0] == x[x > 0]).all()
        both = class_ids(np.concatenate([puzzles, x]), box)
        assert (both[:6] == both[6:]).all()


@pytest.mark.slow
def test_sudoku_draws_differ_between_puzzles_and_keys() -> None:
    puzzle, answer = (jnp.asarray(encode(a), jnp.int32) for a in generate_sudoku(1, box=(2, 3)))
    copies = [jnp.repeat(a, 5, axis=0) for a in (puzzle, answer)]
    augment = jax.jit(sudoku_augmentation(2, 3))
    draws = [np.asarray(augment(key, *copies)[1]) for key in KEYS]
    assert len({row.tobytes() for rows in draws for row in rows}) > 15


@pytest.mark.slow
def test_maze_draws_are_mazes_with_their_shortest_path() -> None:
    mazes, solved = (
        jnp.asarray(a, jnp.int32) for a in generate_mazes(5, height=7, width=7, min_path=8)
    )
    augment = jax.jit(maze_augmentation(7, 7))
    for key in KEYS:
        x, y = augment(key, mazes, solved)
        batch = Batch(x, y, jnp.zeros(5, jnp.int32))
        assert bool(any_shortest_path(7, 7)(y, batch).all())
        assert (np.sort(x) == np.sort(mazes)).all()


@pytest.mark.slow
def test_maze_draws_reach_all_eight_symmetries() -> None:
    grid = jnp.arange(9, dtype=jnp.int32)[None]
    augment = jax.jit(maze_augmentation(3, 3))
    draws = {np.asarray(augment(jax.random.key(s), grid, grid)[0]).tobytes() for s in range(60)}
    # 60 fair draws miss one of 8 with probability 8 * (7/8)^60 = 0.003; the seeds are fixed
    assert len(draws) == 8


def test_no_augmentation_keeps_the_puzzles() -> None:
    grid = jnp.arange(9, dtype=jnp.int32)[None]
    x, y = no_augmentation(jax.random.key(0), grid, grid + 1)
    assert (x == grid).all()
    assert (y == grid + 1).all()
