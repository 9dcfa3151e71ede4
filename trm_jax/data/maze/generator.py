"""Generate mazes by the published recipe: random walls, shortest path longer than a bound.

Maze-Hard has 30x30 cells and shortest paths of more than 110 moves. Uniform pairs of start and
goal almost never lie that far apart among random walls, so one end is taken as far as possible
from a random cell and the other uniformly from the cells beyond the bound; which of both is the
start is a coin toss. Walls that leave no such pair are drawn anew.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trm_jax.data.grids import bits_of
from trm_jax.data.maze.solver import (
    FREE,
    GOAL,
    START,
    WALL,
    Grid,
    free_cells,
    has_one_shortest_path,
    solve_maze,
)

ATTEMPTS = 200_000  # random walls tried for one maze; Maze-Hard needs about 300
MAX_SIDE = 1000


@dataclass(frozen=True, kw_only=True)
class MazeSpec:
    """What to generate.

    Attributes:
      height: rows of the maze.
      width: columns of the maze.
      min_path: least number of moves from start to goal (111 for Maze-Hard).
      wall_prob: share of walls, or a range from which each maze draws its share.
      one_path: only mazes with a single shortest path, whose label is no matter of ties (of
        8x8 mazes with paths of 12 moves or more one in nine has). Not so in Maze-Hard.

    Raises:
      ValueError: a size, bound or probability outside its range.
    """

    height: int = 30
    width: int = 30
    min_path: int = 111
    wall_prob: float | tuple[float, float] = (0.3, 0.5)
    one_path: bool = False

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            if not 1 <= getattr(self, name) <= MAX_SIDE:
                raise ValueError(f"{name} must be 1 to {MAX_SIDE}, got {getattr(self, name)}")
        if not 1 <= self.min_path < self.height * self.width:
            raise ValueError(
                f"min_path must be 1 to {self.height * self.width - 1} moves in a maze of"
                f" {self.height}x{self.width}, got {self.min_path}"
            )
        low, high = self.wall_range
        if not 0 <= low <= high < 1:
            raise ValueError(f"wall_prob must lie in 0 to 1, low before high, got {low, high}")

    @property
    def wall_range(self) -> tuple[float, float]:
        """Least and greatest share of walls."""
        if isinstance(self.wall_prob, tuple):
            return self.wall_prob
        return self.wall_prob, self.wall_prob


def _pick(cells: int, rng: np.random.Generator) -> int:
    """Draw one of the set bits."""
    options = list(bits_of(cells))
    return options[rng.integers(len(options))]


def _try_walls(spec: MazeSpec, rng: np.random.Generator) -> Grid | None:
    """Draw walls and place start and goal, or give up when no pair is far enough apart."""
    free = rng.random((spec.height, spec.width)) >= rng.uniform(*spec.wall_range)
    places = np.argwhere(free)
    if len(places) <= spec.min_path:
        return None
    maze = free_cells(free)
    row, column = places[rng.integers(len(places))]
    end = _pick(maze.layers(1 << int(row) * maze.stride + int(column))[-1], rng)
    far = 0
    for layer in maze.layers(end)[spec.min_path :]:
        far |= layer
    if not far:
        return None
    ends = [maze.position(end), maze.position(_pick(far, rng))]
    start, goal = ends if rng.random() < 0.5 else ends[::-1]
    tokens = np.where(free, FREE, WALL).astype(np.int8)
    tokens[start], tokens[goal] = START, GOAL
    return tokens


def generate_one(spec: MazeSpec, rng: np.random.Generator) -> Grid:
    """Draw one maze.

    Raises:
      ValueError: no random walls had a pair of cells far enough apart.
    """
    for _ in range(ATTEMPTS):
        tokens = _try_walls(spec, rng)
        if tokens is not None and (not spec.one_path or has_one_shortest_path(tokens)):
            return tokens
    raise ValueError(
        f"no maze of {spec.height}x{spec.width} with a shortest path of {spec.min_path} moves or"
        f" more in {ATTEMPTS} draws at wall_prob={spec.wall_prob}; lower min_path (paths are"
        " longest at wall_prob near 0.37)"
    )


def generate_mazes(
    num: int,
    *,
    height: int = 30,
    width: int = 30,
    min_path: int = 111,
    seed: int = 0,
    wall_prob: float | tuple[float, float] = (0.3, 0.5),
    one_path: bool = False,
    start: int = 0,
    progress: Callable[[int], object] = lambda done: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Generate mazes and mark one shortest path in each (ties: see solver.py).

    Maze k depends on (seed, k) alone, so that ranges made by several processes (`start`) join
    to the same set.

    Args:
      num: number of mazes.
      height: rows of a maze.
      width: columns of a maze.
      min_path: least number of moves from start to goal (111 for Maze-Hard: more than 110).
      seed: of the whole set.
      wall_prob: share of walls, or a range from which each maze draws its share.
      one_path: only mazes with a single shortest path.
      start: index of the first maze in the set.
      progress: called with the number of mazes made so far.

    Returns:
      Mazes and solved mazes, one row of tokens per maze (wall 1, free 2, start 3, goal 4,
      path 5), int8.

    Raises:
      ValueError: see `MazeSpec` and `generate_one`.
    """
    spec = MazeSpec(
        height=height, width=width, min_path=min_path, wall_prob=wall_prob, one_path=one_path
    )
    inputs = np.empty((num, height * width), np.int8)
    labels = np.empty((num, height * width), np.int8)
    for k in range(num):
        tokens = generate_one(spec, np.random.default_rng([seed, start + k]))
        inputs[k] = tokens.ravel()
        labels[k] = solve_maze(tokens).ravel()
        progress(k + 1)
    return inputs, labels
