"""The eight symmetries of a rectangle's grid, in the released order (REFERENCE 1.6).

0 identity, 1 to 3 quarter turns anticlockwise, 4 mirror left-right, 5 mirror top-bottom,
6 transpose, 7 transpose along the other diagonal. They act on the last two axes; 1, 3, 6 and 7
swap height and width.
"""

from collections.abc import Iterator

import numpy as np

NUM_TRANSFORMS = 8
DIHEDRAL_INVERSE = (0, 3, 2, 1, 4, 5, 6, 7)


def dihedral_transform(grids: np.ndarray, transform: int) -> np.ndarray:
    """Turn or mirror grids.

    Args:
      grids: height and width in the last two axes.
      transform: 0 to 7.

    Raises:
      ValueError: no such transform.
    """
    if not 0 <= transform < NUM_TRANSFORMS:
        raise ValueError(f"transform must be 0 to {NUM_TRANSFORMS - 1}, got {transform}")
    if transform < 4:
        return np.rot90(grids, transform, axes=(-2, -1))
    if transform == 4:
        return grids[..., ::-1]
    if transform == 5:
        return grids[..., ::-1, :]
    swapped = np.swapaxes(grids, -2, -1)
    return swapped if transform == 6 else swapped[..., ::-1, ::-1]


def inverse_dihedral_transform(grids: np.ndarray, transform: int) -> np.ndarray:
    """Undo `dihedral_transform`.

    Raises:
      ValueError: no such transform.
    """
    if not 0 <= transform < NUM_TRANSFORMS:
        raise ValueError(f"transform must be 0 to {NUM_TRANSFORMS - 1}, got {transform}")
    return dihedral_transform(grids, DIHEDRAL_INVERSE[transform])


def bits_of(mask: int) -> Iterator[int]:
    """Yield the set bits, lowest first."""
    while mask:
        bit = mask & -mask
        yield bit
        mask ^= bit
