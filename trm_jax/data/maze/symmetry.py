"""Mazes as tokens, and their turns and mirror images."""

import numpy as np
from jaxtyping import Bool, Integer

from trm_jax.data.grids import NUM_TRANSFORMS, dihedral_transform
from trm_jax.data.maze.solver import CHARSET

VOCAB_SIZE = 6
SYMBOLS = {symbol: token + 1 for token, symbol in enumerate(CHARSET)}

Shape = tuple[int, int]
TokenRows = Integer[np.ndarray, "_ seq"]


def symmetries(shape: Shape) -> tuple[int, ...]:
    """List the dihedral transforms that keep the shape: all 8, or 4 where it is not square."""
    return tuple(range(NUM_TRANSFORMS)) if shape[0] == shape[1] else (0, 2, 4, 5)


def transform_rows(tokens: TokenRows, shape: Shape, transform: int) -> TokenRows:
    """Turn or mirror flattened mazes."""
    return dihedral_transform(tokens.reshape(-1, *shape), transform).reshape(tokens.shape)


def augment_maze(
    rng: np.random.Generator, inputs: TokenRows, labels: TokenRows, shape: Shape
) -> tuple[TokenRows, TokenRows]:
    """Turn or mirror each maze at random, and its answer likewise.

    Args:
      rng: source of chance.
      inputs: tokens of the mazes; labels may hold ignored (negative) entries.
      labels: tokens of the answers.
      shape: height and width.

    Returns:
      New inputs and labels of the same types.
    """
    choice = rng.choice(symmetries(shape), len(inputs))
    new_inputs, new_labels = inputs.copy(), labels.copy()
    for transform in symmetries(shape):
        rows = choice == transform
        new_inputs[rows] = transform_rows(inputs[rows], shape, transform)
        new_labels[rows] = transform_rows(labels[rows], shape, transform)
    return new_inputs, new_labels


def least_images(mazes: TokenRows, shape: Shape) -> list[bytes]:
    """Name mazes so that turned and mirrored ones share their name."""
    images = [transform_rows(mazes.astype(np.uint8), shape, t) for t in symmetries(shape)]
    return [min(image[row].tobytes() for image in images) for row in range(len(mazes))]


def new_classes(candidates: TokenRows, known: TokenRows, shape: Shape) -> Bool[np.ndarray, " _"]:
    """Mark the candidates that are no image of a known maze or of an earlier candidate."""
    seen = set(least_images(known, shape))
    marks = np.zeros(len(candidates), bool)
    for i, image in enumerate(least_images(candidates, shape)):
        marks[i] = image not in seen
        seen.add(image)
    return marks
