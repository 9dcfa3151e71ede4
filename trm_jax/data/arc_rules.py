"""Simple transformations of small grids: the rules behind the generated ARC-like tasks.

A rule is named after what it does and decodes itself: `recolour-3-5`, `turn-1` (a dihedral
transform), `gravity-down`, `fill-4`. Black (0) is background for all of them. ARC's
augmentation applies: turned or repainted, each rule is another one as simple.
"""

import functools
import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from trm_jax.data.arc_tasks import NUM_COLOURS, Grid
from trm_jax.data.dihedral import NUM_TRANSFORMS, dihedral_transform, inverse_dihedral_transform

COLOURS = range(1, NUM_COLOURS)
TURN_DOWN = {"down": 0, "up": 5, "left": 1, "right": 3}
"""The dihedral transform after which "down" is where the name says."""


class Rule(NamedTuple):
    """A transformation.

    Attributes:
      name: says what it does.
      apply: input grid to output grid.
      growth: how many times rows and columns grow at most.
    """

    name: str
    apply: Callable[[Grid], Grid]
    growth: int = 1


def recolour(grid: Grid, old: int, new: int) -> Grid:
    """Paint cells of one colour in another."""
    return np.where(grid == old, new, grid).astype(np.uint8)


def keep(grid: Grid, colour: int) -> Grid:
    """Blacken all cells but those of one colour."""
    return np.where(grid == colour, grid, 0).astype(np.uint8)


def fall(grid: Grid) -> Grid:
    """Let coloured cells fall to the bottom of their columns, in order."""
    order = np.argsort(grid != 0, axis=0, kind="stable")
    return np.take_along_axis(grid, order, axis=0)


def gravity(grid: Grid, direction: str) -> Grid:
    """Let coloured cells fall up, down, left or right."""
    transform = TURN_DOWN[direction]
    return inverse_dihedral_transform(fall(dihedral_transform(grid, transform)), transform)


def outside(grid: Grid) -> np.ndarray:
    """Mark the black cells from which black cells lead to the edge."""
    black = np.pad(grid == 0, 1, constant_values=True)
    reached = np.zeros_like(black)
    reached[0, 0] = True
    while True:
        grown = reached.copy()
        grown[1:] |= reached[:-1]
        grown[:-1] |= reached[1:]
        grown[:, 1:] |= reached[:, :-1]
        grown[:, :-1] |= reached[:, 1:]
        grown &= black
        if (grown == reached).all():
            return reached[1:-1, 1:-1]
        reached = grown


def fill(grid: Grid, colour: int) -> Grid:
    """Paint the black cells that coloured ones enclose (corners do not leak)."""
    enclosed = (grid == 0) & ~outside(grid)
    return np.where(enclosed, colour, grid).astype(np.uint8)


def border(grid: Grid, colour: int) -> Grid:
    """Paint the outermost cells."""
    framed = grid.copy()
    framed[[0, -1]] = colour
    framed[:, [0, -1]] = colour
    return framed


def bounding_box(grid: Grid) -> Grid:
    """Cut out the smallest rectangle that holds all coloured cells."""
    rows, columns = np.flatnonzero(grid.any(axis=1)), np.flatnonzero(grid.any(axis=0))
    if not len(rows):
        return grid
    return grid[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def double(grid: Grid) -> Grid:
    """Make each cell a block of 2 x 2."""
    return np.repeat(np.repeat(grid, 2, axis=0), 2, axis=1)


def reflect(grid: Grid, axis: int) -> Grid:
    """Put the mirror image below (axis 0) or to the right (axis 1)."""
    return np.concatenate([grid, np.flip(grid, axis)], axis=axis)


FAMILIES: dict[str, tuple[Rule, ...]] = {
    "recolour": tuple(
        Rule(f"recolour-{a}-{b}", functools.partial(recolour, old=a, new=b))
        for a, b in itertools.permutations(COLOURS, 2)
    ),
    "keep": tuple(Rule(f"keep-{c}", functools.partial(keep, colour=c)) for c in COLOURS),
    "turn": tuple(
        Rule(f"turn-{t}", functools.partial(dihedral_transform, transform=t))
        for t in range(1, NUM_TRANSFORMS)
    ),
    "gravity": tuple(
        Rule(f"gravity-{d}", functools.partial(gravity, direction=d)) for d in TURN_DOWN
    ),
    "fill": tuple(Rule(f"fill-{c}", functools.partial(fill, colour=c)) for c in COLOURS),
    "border": tuple(Rule(f"border-{c}", functools.partial(border, colour=c)) for c in COLOURS),
    "box": (Rule("box", bounding_box),),
    "double": (Rule("double", double, growth=2),),
    "reflect": tuple(
        Rule(f"reflect-{name}", functools.partial(reflect, axis=axis), growth=2)
        for axis, name in enumerate(("below", "right"))
    ),
}
"""All rules by family; which colours and directions a rule takes makes it another task."""
