"""Mazes as a task: walls, one start, one goal, a shortest path between them.

A maze may have several shortest paths of which the label marks one, so mazes have a second,
lenient score beside exact match: any shortest path counts.

As text: row by row; # wall, space or . free, S start, G goal; rows end at line breaks or /.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from trm_jax.data.facts import PuzzleFacts
from trm_jax.data.maze import symmetry
from trm_jax.data.maze.generator import generate_mazes
from trm_jax.data.maze.solver import FREE, GOAL, PATH, START, WALL, shortest_path
from trm_jax.tasks.task import (
    NamedAugmentation,
    PuzzleGenerator,
    Task,
    TextForm,
    TokenPairs,
    read_cells,
    tuple_options,
)
from trm_jax.tasks.tokens.form import TokenForm
from trm_jax.tasks.tokens.maze import make_maze_tokens

if TYPE_CHECKING:
    from trm_jax.evaluators import Lenient
    from trm_jax.training.augment import Augment
else:  # both need JAX, which is not imported here
    Lenient = Augment = Any

ALPHABET = {**symmetry.SYMBOLS, ".": FREE}
TOKENS = "Mazes: wall 1, free 2, start 3, goal 4, path 5; 0 is padding."
SHOWN = {0: "? ", WALL: "██", FREE: "  ", START: "S ", GOAL: "G ", PATH: "· "}


def vocab_size(facts: PuzzleFacts) -> int:
    """Count the tokens: pad and "# SGo", whatever the shape."""
    del facts
    return symmetry.VOCAB_SIZE


def any_shortest_path(facts: PuzzleFacts) -> Lenient:
    """Make the score that accepts every shortest path."""
    from trm_jax.evaluators import any_shortest_path as make

    return make(*facts.grid)


def augmentation(facts: PuzzleFacts) -> NamedAugmentation:
    """Name the symmetries: turns and mirror images, of which a maze that is not square has four."""
    return NamedAugmentation("maze", partial(_symmetries, *facts.grid))


def generator(facts: PuzzleFacts) -> PuzzleGenerator:
    """Make the generator; mazes are new up to turns and mirror images."""
    return PuzzleGenerator(_generate, partial(symmetry.new_classes, shape=facts.grid))


def token_form(facts: PuzzleFacts) -> TokenForm:
    """Make the form that decoders read and write."""
    return make_maze_tokens(facts.grid)


def image_ids(mazes: np.ndarray, facts: PuzzleFacts) -> np.ndarray:
    """Name mazes so that turned and mirrored ones share their name."""
    return np.array(symmetry.least_images(mazes, facts.grid), object)


def read_text(text: str, facts: PuzzleFacts) -> np.ndarray:
    """Read one maze.

    Raises:
      ValueError: another size, a symbol that is not of the alphabet, or not one start and goal.
    """
    cells = text.replace("\r", "").strip("\n").replace("\n", "").replace("/", "")
    maze = read_cells(cells, facts, ALPHABET)
    for token, name in ((START, "S"), (GOAL, "G")):
        if (count := int((maze == token).sum())) != 1:
            raise ValueError(f"a maze has one {name}, this has {count}")
    return maze


def show_text(maze: np.ndarray, facts: PuzzleFacts) -> str:
    """Draw a maze or answer inside a frame of walls."""
    edge = SHOWN[WALL] * (facts.grid[1] + 2)
    rows = ("".join(SHOWN[int(token)] for token in row) for row in maze.reshape(facts.grid))
    return "\n".join([edge, *(f"{SHOWN[WALL]}{row}{SHOWN[WALL]}" for row in rows), edge])


def fault(maze: np.ndarray, facts: PuzzleFacts) -> str | None:
    """Say why a maze has no answer: no path leads from S to G."""
    try:
        shortest_path(maze.reshape(facts.grid))
    except ValueError as error:
        return f"no answer exists: {error}"
    return None


def is_right(maze: np.ndarray, answer: np.ndarray, facts: PuzzleFacts) -> bool:
    """Check that an answer keeps the maze and marks one of the shortest paths to the goal."""
    columns = facts.grid[1]
    fixed = maze != FREE
    if any(np.count_nonzero(maze == token) != 1 for token in (START, GOAL)):
        return False
    if (answer[fixed] != maze[fixed]).any():
        return False
    cells = {divmod(int(i), columns) for i in np.flatnonzero((answer == PATH) | (answer == GOAL))}
    length = len(cells)
    at = divmod(int(np.flatnonzero(maze == START)[0]), columns)
    goal = divmod(int(np.flatnonzero(maze == GOAL)[0]), columns)
    while at != goal:
        y, x = at
        near = cells & {(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)}
        if len(near) != 1:
            return False
        at = near.pop()
        cells.remove(at)
    return not cells and length == len(shortest_path(maze.reshape(facts.grid))) - 1


def _symmetries(rows: int, columns: int) -> Augment:
    from trm_jax.training.augment import maze_augmentation

    return maze_augmentation(rows, columns)


def _generate(num: int, **options: Any) -> TokenPairs:
    return generate_mazes(num, **tuple_options(options, "wall_prob"))


MAZE = Task(
    name="maze",
    vocab_size=vocab_size,
    lenient=any_shortest_path,
    augmentation=augmentation,
    generator=generator,
    image_ids=image_ids,
    text=TextForm(read_text, show_text, fault, is_right, TOKENS),
    tokens=token_form,
    data_command="trm_jax.data.maze",
)
