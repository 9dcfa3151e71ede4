"""Data augmentation on the device, inside the jitted training step.

The symmetries are the released ones (REFERENCE 1.6); a pure function of a key, so a resumed
run draws what an uninterrupted one would have drawn.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Int

from trm_jax.types import Tokens

Augment = Callable[[Array, Tokens, Tokens], tuple[Tokens, Tokens]]
"""(key, inputs, labels) -> the same puzzles, each under a random symmetry of its own."""


def no_augmentation(key: Array, inputs: Tokens, labels: Tokens) -> tuple[Tokens, Tokens]:
    """Keep the puzzles."""
    del key
    return inputs, labels


def _axis_order(key: Array, groups: int, size: int) -> Int[Array, " side"]:
    """Draw an order of groups * size lines: groups permuted, and lines inside each group."""
    group_key, line_key = jax.random.split(key)
    group_order = jax.random.permutation(group_key, groups)
    line_keys = jax.random.split(line_key, groups)
    lines = jax.vmap(lambda k: jax.random.permutation(k, size))(line_keys)
    return (group_order[:, None] * size + lines).reshape(-1)


def sudoku_augmentation(box_rows: int, box_cols: int) -> Augment:
    """Make the Sudoku symmetries: digits, bands and rows, stacks and columns, transposition.

    Args:
      box_rows, box_cols: shape of a box; transposition needs them equal and is left out
        otherwise. Tokens are digit + 1, blank 1.
    """
    side = box_rows * box_cols

    def one(key: Array, x: Int[Array, " seq"], y: Int[Array, " seq"]) -> tuple[Array, Array]:
        row_key, col_key, digit_key, flip_key = jax.random.split(key, 4)
        rows = _axis_order(row_key, side // box_rows, box_rows)
        cols = _axis_order(col_key, side // box_cols, box_cols)
        source = rows[:, None] * side + cols[None, :]
        if box_rows == box_cols:
            source = jnp.where(jax.random.bernoulli(flip_key), source.T, source)
        digits = jax.random.permutation(digit_key, jnp.arange(2, side + 2))
        recode = jnp.concatenate([jnp.arange(2), digits])  # pad and blank stay
        return recode[x[source.reshape(-1)]], recode[y[source.reshape(-1)]]

    def augment(key: Array, inputs: Tokens, labels: Tokens) -> tuple[Tokens, Tokens]:
        return jax.vmap(one)(jax.random.split(key, inputs.shape[0]), inputs, labels)

    return augment


def maze_augmentation(rows: int, columns: int) -> Augment:
    """Make the eight symmetries of a square maze, or the four of another rectangle."""

    def one(key: Array, x: Int[Array, " seq"], y: Int[Array, " seq"]) -> tuple[Array, Array]:
        index = jnp.arange(rows * columns).reshape(rows, columns)
        flip, mirror, transpose = jax.random.bernoulli(key, shape=(3,))
        index = jnp.where(flip, index[::-1], index)
        index = jnp.where(mirror, index[:, ::-1], index)
        if rows == columns:
            index = jnp.where(transpose, index.T, index)
        return x[index.reshape(-1)], y[index.reshape(-1)]

    def augment(key: Array, inputs: Tokens, labels: Tokens) -> tuple[Tokens, Tokens]:
        return jax.vmap(one)(jax.random.split(key, inputs.shape[0]), inputs, labels)

    return augment
