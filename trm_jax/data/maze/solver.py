"""Shortest paths in grid mazes by bit-parallel flooding.

A set of cells is one Python integer; row r, column c has bit `r * (width + 1) + c`. The spare
column is never free, so that a shift by one cannot wrap into the next row and one flooding step
over the whole maze is four shifts. Of several shortest paths `shortest_path` returns the one
that, walking from start to goal, takes the first possible move in the order up, left, right,
down: a label must be one path, and this one is a function of the maze alone. Published mazes
mark an arbitrary one; the lenient maze score accepts any.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Integer

PAD, WALL, FREE, START, GOAL, PATH = range(6)
CHARSET = "# SGo"
"""Symbols of tokens 1 to 5 in files: wall, free, start, goal, path."""

Grid = Integer[np.ndarray, "height width"]
"""Tokens of a maze."""


@dataclass(frozen=True)
class FreeCells:
    """Free cells of a maze as bits, `stride` bits per row."""

    bits: int
    stride: int

    def neighbours(self, cells: int) -> int:
        """Mark the free cells one move away from any of `cells`."""
        reached = cells << 1 | cells >> 1 | cells << self.stride | cells >> self.stride
        return reached & self.bits

    def layers(self, source: int) -> list[int]:
        """Flood from a cell: entry d holds the cells at distance d."""
        fronts, unseen = [source], self.bits & ~source
        while front := self.neighbours(fronts[-1]) & unseen:
            unseen ^= front
            fronts.append(front)
        return fronts

    def position(self, cell: int) -> tuple[int, int]:
        """Row and column of a single bit."""
        return divmod(cell.bit_length() - 1, self.stride)


def free_cells(free: Bool[np.ndarray, "height width"]) -> FreeCells:
    """Pack a mask of free cells."""
    padded = np.pad(free, ((0, 0), (0, 1)))
    packed = np.packbits(padded.ravel(), bitorder="little").tobytes()
    return FreeCells(int.from_bytes(packed, "little"), padded.shape[1])


def _only(tokens: Grid, token: int) -> tuple[int, int]:
    places = np.argwhere(tokens == token)
    if len(places) != 1:
        raise ValueError(f"a maze has exactly one {CHARSET[token - 1]!r}, got {len(places)}")
    return int(places[0, 0]), int(places[0, 1])


def shortest_path(tokens: Grid) -> list[tuple[int, int]]:
    """Find the shortest path from start to goal (ties: see the file's docstring).

    Args:
      tokens: a maze; cells of an older path count as free.

    Returns:
      Cells from start to goal, both included; one more than the number of moves.

    Raises:
      ValueError: not exactly one start and one goal, or no path between them.
    """
    maze = free_cells((tokens != WALL) & (tokens != PAD))
    here, there = (1 << r * maze.stride + c for r, c in (_only(tokens, t) for t in (START, GOAL)))
    layers = maze.layers(there)
    distance = next((d for d, cells in enumerate(layers) if cells & here), None)
    if distance is None:
        raise ValueError("no path leads from start to goal")
    path = [here]
    for layer in reversed(layers[:distance]):
        moves = (here >> maze.stride, here >> 1, here << 1, here << maze.stride)
        here = next(cell for cell in moves if cell & layer)
        path.append(here)
    return [maze.position(cell) for cell in path]


def has_one_shortest_path(tokens: Grid) -> bool:
    """Return whether only one shortest path leads from start to goal.

    It does if at every distance just one cell lies on shortest paths: d moves from the start
    and the rest from the goal.

    Raises:
      ValueError: see `shortest_path`.
    """
    distance = len(shortest_path(tokens)) - 1
    maze = free_cells((tokens != WALL) & (tokens != PAD))
    here, there = (1 << r * maze.stride + c for r, c in (_only(tokens, t) for t in (START, GOAL)))
    ahead, back = maze.layers(here)[: distance + 1], maze.layers(there)[distance::-1]
    return all((a & b).bit_count() == 1 for a, b in zip(ahead, back, strict=True))


def solve_maze(tokens: Grid) -> Grid:
    """Mark the shortest path; start and goal keep their tokens.

    Raises:
      ValueError: see `shortest_path`.
    """
    labels = np.where(tokens == PATH, FREE, tokens).astype(tokens.dtype)
    for row, column in shortest_path(tokens)[1:-1]:
        labels[row, column] = PATH
    return labels
