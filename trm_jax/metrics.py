"""What is measured: per-puzzle counts and similarities; only a report divides (section 3.2, 3.6).

Accumulation is float32 or int32. Every function works on one depth of a trajectory.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int

from trm_jax.types import IGNORE_LABEL, State, Tokens

MAZE_WALL, MAZE_START, MAZE_GOAL, MAZE_PATH = 1, 3, 4, 5  # tokens of the released charset "# SGo"


def scored_cells(labels: Tokens) -> Int[Array, " batch"]:
    """Count the cells of each puzzle that are scored (given clues count, as released)."""
    return jnp.sum(labels != IGNORE_LABEL, axis=-1, dtype=jnp.int32)


def correct_cells(predictions: Tokens, labels: Tokens) -> Int[Array, " batch"]:
    """Count the scored cells that are right; cell_accuracy divides it by `scored_cells`."""
    return jnp.sum((predictions == labels) & (labels != IGNORE_LABEL), axis=-1, dtype=jnp.int32)


def puzzle_exact(predictions: Tokens, labels: Tokens) -> Bool[Array, " batch"]:
    """Mark the puzzles that have no wrong cell."""
    return jnp.all((predictions == labels) | (labels == IGNORE_LABEL), axis=-1)


def maze_solved(
    predictions: Tokens, inputs: Tokens, labels: Tokens, shape: tuple[int, int]
) -> Bool[Array, " batch"]:
    """Score mazes leniently: any shortest path counts, not only the one in the label.

    A maze is solved when the predicted path cells are free cells that join start to goal and
    are as many as on the labelled shortest path; every cell beside the path may say anything
    but "path".

    Args:
      shape: rows and columns; seq = rows * columns.
    """

    def grid(cells: Bool[Array, "batch seq"]) -> Bool[Array, "batch rows columns"]:
        return cells.reshape(-1, *shape)

    path = predictions == MAZE_PATH
    legal = ~jnp.any(path & (inputs == MAZE_WALL), axis=-1)
    blocked = (inputs == MAZE_START) | (inputs == MAZE_GOAL)
    length = jnp.sum(path & ~blocked, axis=-1)
    shortest = length == jnp.sum(labels == MAZE_PATH, axis=-1)
    reached = _flood(grid(inputs == MAZE_START), grid(path | blocked))
    arrived = jnp.any(reached & grid(inputs == MAZE_GOAL), axis=(1, 2))
    return legal & shortest & arrived


def _flood(
    seed: Bool[Array, "batch rows columns"], open_cells: Bool[Array, "batch rows columns"]
) -> Bool[Array, "batch rows columns"]:
    """Grow the seed over 4-connected open cells until nothing changes."""

    def grow(x: Array) -> Array:
        p = jnp.pad(x, ((0, 0), (1, 1), (1, 1)))
        near = p[:, :-2, 1:-1] | p[:, 2:, 1:-1] | p[:, 1:-1, :-2] | p[:, 1:-1, 2:]
        return (x | near) & open_cells

    def changed(pair: tuple[Array, Array]) -> Array:
        return jnp.any(pair[0] != pair[1])

    first = seed & open_cells
    return jax.lax.while_loop(changed, lambda pair: (grow(pair[0]), pair[0]), (grow(first), first))[
        0
    ]


def cosine(a: Float[Array, "*axes emb"], b: Float[Array, "*axes emb"]) -> Float[Array, "*axes"]:
    """Compute the cosines between the vectors of two states.

    dot / sqrt(|a|^2 |b|^2): for a == b the root is exact, so the fidelity of a model to itself
    is exactly 1. Two zero vectors count as 0.
    """
    a32, b32 = a.astype(jnp.float32), b.astype(jnp.float32)
    dot = jnp.sum(a32 * b32, axis=-1)
    squares = jnp.sum(a32 * a32, axis=-1) * jnp.sum(b32 * b32, axis=-1)
    return jnp.where(squares > 0, dot / jnp.sqrt(squares), 0.0)


def token_cosine(a: State, b: State) -> Float[Array, " batch"]:
    """Mean over positions of the cosine between two states (Eq. 3 and 4), prefix included."""
    return jnp.mean(cosine(a, b), axis=-1)


def residual(now: State, before: State) -> Float[Array, " batch"]:
    """Relative change |now - before| / |now| of a whole state (needs no reference)."""
    now32, before32 = now.astype(jnp.float32), before.astype(jnp.float32)
    change = jnp.sqrt(jnp.sum(jnp.square(now32 - before32), axis=(1, 2)))
    return change / jnp.sqrt(jnp.sum(jnp.square(now32), axis=(1, 2)))
