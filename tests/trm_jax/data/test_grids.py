"""The eight symmetries against the released function's output and against each other."""

import numpy as np
import pytest

from trm_jax.data.grids import dihedral_transform, inverse_dihedral_transform

GRID = np.arange(6).reshape(2, 3)  # 0 1 2 / 3 4 5
IMAGES = [  # drawn by hand from the names of the transforms
    [[0, 1, 2], [3, 4, 5]],
    [[2, 5], [1, 4], [0, 3]],
    [[5, 4, 3], [2, 1, 0]],
    [[3, 0], [4, 1], [5, 2]],
    [[2, 1, 0], [5, 4, 3]],
    [[3, 4, 5], [0, 1, 2]],
    [[0, 3], [1, 4], [2, 5]],
    [[5, 2], [4, 1], [3, 0]],
]


@pytest.mark.parametrize("transform", range(8))
def test_images(transform):
    np.testing.assert_array_equal(dihedral_transform(GRID, transform), IMAGES[transform])


@pytest.mark.parametrize("transform", range(8))
def test_inverse(transform):
    image = dihedral_transform(GRID, transform)
    np.testing.assert_array_equal(inverse_dihedral_transform(image, transform), GRID)


@pytest.mark.parametrize("transform", range(8))
def test_equals_the_released_function(golden, transform):
    with np.load(golden / "dihedral.npz") as stored:
        ours = dihedral_transform(stored["g"], transform)
        np.testing.assert_array_equal(ours, stored[f"t{transform}"])


def test_acts_on_the_last_two_axes():
    stack = np.stack([GRID, GRID + 10])
    np.testing.assert_array_equal(dihedral_transform(stack, 1)[1], np.array(IMAGES[1]) + 10)


@pytest.mark.parametrize("function", [dihedral_transform, inverse_dihedral_transform])
def test_refuses_other_numbers(function):
    with pytest.raises(ValueError, match="transform must be 0 to 7, got 8"):
        function(GRID, 8)
