"""Mazes as tokens: cells that are open, cells that are reached, cells of the path.

    separator, stop   as everywhere (form.py)
    free r1c2, start r1c2, goal r1c2
                      an open cell of the puzzle; walls are not written
    from r1c2         the search goes on from this cell
    reach r1c3 >      a cell is reached by a move: ^ up, < left, > right, v down
    path r1c3         a cell of the answer, start and goal left out

A prompt is the open cells in reading order. The orders of a trace:

    reading   the cells of the path in reading order
    solver    the cells of the path from start to goal, move by move
    scan      a breadth-first search: `from` each cell in the order in which the cells were reached,
              then the open cells beside it that were not reached before, in the order up, left,
              right, down. It ends when the goal is reached. Then the path back from the goal, each
              cell by the move that reached the one before.

Every token of a scan depends on few earlier ones. Where a maze has several shortest paths the
search may find another one than the label has; the bundled mazes have one.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Integer

from trm_jax.data.facts import RowsColumns
from trm_jax.data.maze.solver import FREE, GOAL, PAD, PATH, START, WALL
from trm_jax.tasks.tokens.form import (
    SEPARATOR,
    SPECIAL,
    STOP,
    Cells,
    RowWriter,
    TokenForm,
    TokenGrid,
    TokenRows,
    TraceOrder,
    before_stop,
    write_rest,
)

OPEN = {FREE: "free", START: "start", GOAL: "goal"}
MOVES = {"^": (-1, 0), "<": (0, -1), ">": (0, 1), "v": (1, 0)}
NO_CELL = -1


@dataclass(frozen=True)
class MazeVocabulary:
    """Numbers of the tokens of mazes of one shape.

    Attributes:
      shape: rows and columns.
    """

    shape: RowsColumns

    @property
    def cells(self) -> int:
        """Cells of a maze."""
        return self.shape[0] * self.shape[1]

    def open_cell(self, kind: np.ndarray, cell: np.ndarray | int) -> np.ndarray:
        """Number open cells; kinds are the tokens of the recursive models."""
        return len(SPECIAL) + (kind - FREE) * self.cells + cell

    @property
    def first_from(self) -> int:
        """Cells that the search goes on from follow the open cells."""
        return len(SPECIAL) + len(OPEN) * self.cells

    def reach(self, cell: np.ndarray, move: int) -> np.ndarray:
        """Number reached cells; moves count in the order of `MOVES`."""
        return self.first_from + self.cells * (1 + move) + cell

    @property
    def first_path(self) -> int:
        """Cells of the path are the last tokens."""
        return self.first_from + self.cells * (1 + len(MOVES))

    def names(self) -> tuple[str, ...]:
        """Name all tokens in order."""
        rows, columns = self.shape
        cells = [f"r{r + 1}c{c + 1}" for r in range(rows) for c in range(columns)]
        return (
            *SPECIAL,
            *(f"{kind} {cell}" for kind in OPEN.values() for cell in cells),
            *(f"from {cell}" for cell in cells),
            *(f"reach {cell} {move}" for move in MOVES for cell in cells),
            *(f"path {cell}" for cell in cells),
        )

    def neighbours(self) -> Integer[np.ndarray, "moves cells"]:
        """Give the cell that each move leads to, `NO_CELL` where it leaves the maze."""
        rows, columns = self.shape
        row, column = np.divmod(np.arange(self.cells), columns)
        found = []
        for down, right in MOVES.values():
            r, c = row + down, column + right
            inside = (r >= 0) & (r < rows) & (c >= 0) & (c < columns)
            found.append(np.where(inside, r * columns + c, NO_CELL))
        return np.stack(found)


def place_of(mazes: Cells, token: int) -> Integer[np.ndarray, " puzzles"]:
    """Find the one cell of a kind in every maze.

    Raises:
      ValueError: a maze has none or several.
    """
    found = mazes == token
    if (wrong := np.flatnonzero(found.sum(axis=1) != 1)).size:
        raise ValueError(
            f"maze {wrong[0]} must have one {OPEN[token]}, got {found[wrong[0]].sum()}"
        )
    return found.argmax(axis=1)


class MazeSearch:
    """Searches many mazes at once, breadth first.

    Attributes:
      came: cell that each cell was reached from; `NO_CELL` where it was not.
      queue: cells in the order in which they were reached; `NO_CELL` behind the last.
    """

    def __init__(self, vocabulary: MazeVocabulary, mazes: Cells) -> None:
        self.start, self.goal = place_of(mazes, START), place_of(mazes, GOAL)
        self.blocked = (mazes == WALL) | (mazes == PAD)
        self.vocabulary = vocabulary
        every = np.arange(len(mazes))
        self.came = np.full(mazes.shape, NO_CELL)
        self.came[every, self.start] = self.start
        self.queue = np.full(mazes.shape, NO_CELL)
        self.queue[:, 0] = self.start
        self.reached = np.ones(len(mazes), int)

    def run(self, writer: RowWriter) -> None:
        """Search until every goal is reached, and write the search.

        Raises:
          ValueError: a goal cannot be reached.
        """
        every = np.arange(len(self.start))
        neighbours = self.vocabulary.neighbours()
        for turn in range(self.vocabulary.cells):
            rows = every[self.came[every, self.goal] == NO_CELL]
            if not rows.size:
                return
            here = self.queue[rows, turn]
            if (wrong := rows[here == NO_CELL]).size:
                raise ValueError(f"no path leads from start to goal in maze {wrong[0]}")
            writer.write(rows, self.vocabulary.first_from + here)
            for move, beside in enumerate(neighbours):
                self._reach(rows, here, beside[here], move, writer)

    def _reach(
        self, rows: np.ndarray, here: np.ndarray, there: np.ndarray, move: int, writer: RowWriter
    ) -> None:
        """Reach the cells beside some cells by one move, where they are open and new."""
        new = (there != NO_CELL) & ~self.blocked[rows, there]
        new &= (self.came[rows, there] == NO_CELL) & (self.came[rows, self.goal[rows]] == NO_CELL)
        rows, here, there = rows[new], here[new], there[new]
        self.came[rows, there] = here
        self.queue[rows, self.reached[rows]] = there
        self.reached[rows] += 1
        writer.write(rows, self.vocabulary.reach(there, move))

    def walk_back(self, writer: RowWriter) -> None:
        """Write the path from the cell before the goal to the one behind the start."""
        rows = np.arange(len(self.start))
        at = self.came[rows, self.goal]
        while (rows := rows[on := at != self.start[rows]]).size:
            at = at[on]
            writer.write(rows, self.vocabulary.first_path + at)
            at = self.came[rows, at]


def write_moves(
    vocabulary: MazeVocabulary, mazes: Cells, path: Bool[np.ndarray, "_ cells"], writer: RowWriter
) -> None:
    """Write the cells of marked paths from start to goal.

    Raises:
      ValueError: the marks are no path from start to goal.
    """
    neighbours = vocabulary.neighbours()
    rows, goal = np.arange(len(mazes)), place_of(mazes, GOAL)
    at, left = place_of(mazes, START), path.copy()
    while rows.size:
        beside = neighbours[:, at].T
        ahead = (beside != NO_CELL) & left[rows[:, None], beside]
        arrived = (beside == goal[rows][:, None]).any(axis=1) & ~left[rows].any(axis=1)
        if (wrong := rows[~arrived & (ahead.sum(axis=1) != 1)]).size:
            raise ValueError(f"the label of maze {wrong[0]} marks no path from start to goal")
        rows, at = rows[~arrived], beside[~arrived, ahead[~arrived].argmax(axis=1)]
        writer.write(rows, vocabulary.first_path + at)
        left[rows, at] = False


def dead_ends(vocabulary: MazeVocabulary, traces: TokenGrid) -> TokenGrid:
    """Measure the excursion that each token of a search belongs to: what hangs on the path.

    Args:
      traces: scans, with their paths.

    Returns:
      Cells that are reached by way of the same cell beside the path, for `from` and `reach` of such
      cells; 0 for all other tokens.
    """
    every, cells = np.arange(len(traces)), vocabulary.cells
    kind, cell = np.divmod(traces - vocabulary.first_from, cells)
    reached = (kind >= 1) & (kind <= len(MOVES))
    searched = reached | (kind == 0)
    on_path = np.zeros((len(traces), cells), bool)
    row, column = np.nonzero(traces >= vocabulary.first_path)
    on_path[row, cell[row, column]] = True
    last = traces.shape[1] - 1 - reached[:, ::-1].argmax(axis=1)
    on_path[every, cell[every, last]] = True  # the goal
    on_path[every, cell[every, searched.argmax(axis=1)]] = True  # the start, searched from first
    opposite = vocabulary.neighbours()[::-1]
    root = np.full((len(traces), cells), NO_CELL)
    for column in range(traces.shape[1]):
        rows = every[reached[:, column]]
        here = cell[rows, column]
        came = opposite[kind[rows, column] - 1, here]
        beside = np.where(root[rows, came] == NO_CELL, here, root[rows, came])
        root[rows, here] = np.where(on_path[rows, here], NO_CELL, beside)
    sizes = (root[:, :, None] == np.arange(cells)).sum(axis=1)
    of_token = np.where(searched, cell, 0)
    roots = np.take_along_axis(root, of_token, axis=1)
    measured = np.take_along_axis(sizes, np.maximum(roots, 0), axis=1)
    return np.where(searched & (roots != NO_CELL), measured, 0)


def make_maze_tokens(shape: RowsColumns) -> TokenForm:
    """Make the token form of mazes of a shape."""
    vocabulary = MazeVocabulary(shape)
    every_cell = np.arange(vocabulary.cells)

    def prompts(inputs: Cells) -> TokenRows:
        writer = RowWriter(len(inputs))
        is_open = np.isin(inputs, list(OPEN))
        write_rest(writer, vocabulary.open_cell(inputs.astype(np.int64), every_cell), is_open)
        writer.write(np.arange(len(inputs)), SEPARATOR)
        return writer.finish()

    def traces(inputs: Cells, labels: Cells, order: TraceOrder) -> TokenRows:
        writer = RowWriter(len(inputs), capacity=128)
        if order is TraceOrder.READING:
            write_rest(writer, vocabulary.first_path + every_cell, labels == PATH)
        elif order is TraceOrder.SOLVER:
            write_moves(vocabulary, inputs, labels == PATH, writer)
        else:
            search = MazeSearch(vocabulary, inputs)
            search.run(writer)
            search.walk_back(writer)
        writer.write(np.arange(len(inputs)), STOP)
        return writer.finish()

    def answers(inputs: Cells, generated: np.ndarray) -> Cells:
        cells = inputs.copy()
        row, column = np.nonzero(before_stop(generated) & (generated >= vocabulary.first_path))
        at = generated[row, column] - vocabulary.first_path
        inner = ~np.isin(inputs[row, at], (START, GOAL))
        cells[row[inner], at[inner]] = PATH
        return cells

    return TokenForm(
        vocabulary=vocabulary.names(),
        prompts=prompts,
        traces=traces,
        answers=answers,
        excursions=partial(dead_ends, vocabulary),
    )
