"""Metrics against plain loops and against mazes drawn by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from trm_jax import metrics
from trm_jax.types import IGNORE_LABEL

SYMBOLS = {"#": 1, " ": 2, "S": 3, "G": 4, "o": 5}


def maze(text: str) -> jnp.ndarray:
    """Read a maze, its rows separated by slashes."""
    return jnp.asarray([[SYMBOLS[c] for c in text.replace("/", "")]], jnp.int32)


def test_cell_counts_equal_a_loop() -> None:
    rng = np.random.default_rng(0)
    predicted, labels = rng.integers(0, 3, (2, 7, 11))
    labels[rng.random(labels.shape) < 0.3] = IGNORE_LABEL
    labels[0], labels[1, :] = IGNORE_LABEL, predicted[1]
    p, y = jnp.asarray(predicted, jnp.int32), jnp.asarray(labels, jnp.int32)
    for i in range(7):
        pairs = [(a, b) for a, b in zip(predicted[i], labels[i], strict=True) if b != IGNORE_LABEL]
        right = sum(a == b for a, b in pairs)
        assert metrics.scored_cells(y)[i] == len(pairs)
        assert metrics.correct_cells(p, y)[i] == right
        assert bool(metrics.puzzle_exact(p, y)[i]) == (right == len(pairs))


INPUT = maze("S  /# #/  G")
LABEL = maze("Soo/#o#/ oG") * 0 + maze("So /#o#/ oG")


@pytest.mark.parametrize(
    ("answer", "solved"),
    [
        ("So /#o#/ oG", True),  # the label itself
        ("##S/#o#/GoS", False),  # the path cells alone do not reach from S: one is missing
        ("So#/#o#/#oG", True),  # cells beside the path may say anything
        ("Soo/#o#/ oG", False),  # one path cell too many
        ("S  /# #/  G", False),  # no path
        ("So /oo#/  G", False),  # as long as the label, through a wall
        ("So /# #/ooG", False),  # as many cells, but not joined
    ],
)
def test_lenient_maze_score(answer: str, solved: bool) -> None:
    assert bool(metrics.maze_solved(maze(answer), INPUT, LABEL, (3, 3))[0]) is solved


def test_lenient_maze_score_takes_any_shortest_path() -> None:
    question, label = maze("S  /   /  G"), maze("Soo/  o/  G")
    assert bool(metrics.maze_solved(maze("S  /o  /ooG"), question, label, (3, 3))[0])
    assert bool(metrics.maze_solved(maze("So /oo /  G"), question, label, (3, 3))[0]) is False


def test_cosine_against_numpy_and_exactly_one_to_itself() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 3, 5, 8)).astype(np.float32)
    a64, b64 = a.astype(np.float64), b.astype(np.float64)
    cosine = (a64 * b64).sum(-1) / np.linalg.norm(a64, axis=-1) / np.linalg.norm(b64, axis=-1)
    found = metrics.token_cosine(jnp.asarray(a), jnp.asarray(b))
    # sums of 8 products and a mean of 5: fewer than 32 float32 roundings of numbers below 1
    np.testing.assert_allclose(found, cosine.mean(-1), atol=32 * 2**-24)
    assert (metrics.token_cosine(jnp.asarray(a), jnp.asarray(a)) == 1.0).all()


def test_cosine_of_zero_states_is_zero() -> None:
    zero = jnp.zeros((1, 2, 3))
    assert metrics.token_cosine(zero, zero)[0] == 0.0


def test_residual_by_hand() -> None:
    now, before = jnp.asarray([[[3.0, 4.0]]]), jnp.asarray([[[3.0, 1.0]]])
    assert float(metrics.residual(now, before)[0]) == pytest.approx(3 / 5, rel=1e-6)
