"""ARC-like tasks for small models: one simple rule per task, on small grids.

A rule is named after what it does and decodes itself: `recolour-3-5`, `turn-1` (a dihedral
transform), `gravity-down`, `fill-4`. Black (0) is background for all of them. ARC's
augmentation applies: turned or repainted, each rule is another one as simple.

As in ARC a task is known from its demonstrations, and what is held out are its questions. No
question looks like a demonstration, or like another question, of any task, not even turned or
repainted. Tasks of both subsets differ in rule, colour or direction; under augmentation two tasks
may be the same (`fill-3` repainted is `fill-4`), as nothing simple enough would be left otherwise.
"""

import functools
import itertools
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from trm_jax.data.arc.task_files import MAX_SIDE, NUM_COLOURS, TEST, TRAIN, ArcTask, Grid, Pair
from trm_jax.data.grids import NUM_TRANSFORMS, dihedral_transform, inverse_dihedral_transform
from trm_jax.names import did_you_mean

COLOURS = range(1, NUM_COLOURS)
TURN_DOWN = {"down": 0, "up": 5, "left": 1, "right": 3}
"""The dihedral transform after which "down" is where the name says."""

ATTEMPTS = 2000  # grids tried for one pair before a rule counts as exhausted
MIN_SIDE = 3


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


@dataclass(frozen=True, kw_only=True)
class ArcSpec:
    """What to generate.

    Attributes:
      num_training: tasks all of whose pairs are trained on.
      num_evaluation: tasks whose questions are held out.
      demonstrations: of each task.
      questions: of each task.
      canvas: cells in a row of the largest grid, 6 to 30.
      families: rules to choose from, see `FAMILIES`.

    Raises:
      ValueError: a number out of range, an unknown family, or more tasks than rules.
    """

    num_training: int = 40
    num_evaluation: int = 20
    demonstrations: int = 4
    questions: int = 2
    canvas: int = 10
    families: tuple[str, ...] = tuple(FAMILIES)

    def __post_init__(self) -> None:
        for name in ("num_evaluation", "demonstrations", "questions"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.num_training < 0:
            raise ValueError(f"num_training must be 0 or more, got {self.num_training}")
        if not 2 * MIN_SIDE <= self.canvas <= MAX_SIDE:
            raise ValueError(
                f"canvas must be {2 * MIN_SIDE} to {MAX_SIDE} cells wide, got {self.canvas}"
            )
        unknown = [name for name in self.families if name not in FAMILIES]
        if unknown or not self.families:
            asked = did_you_mean(unknown[0], FAMILIES) if unknown else ""
            raise ValueError(
                f"families must be among {list(FAMILIES)}, got {self.families}"
                + (asked and f";{asked}")
            )
        rules = sum(len(FAMILIES[name]) for name in set(self.families))
        if self.num_training + self.num_evaluation > rules:
            raise ValueError(
                f"{rules} different tasks can be made from {list(self.families)}, asked for"
                f" {self.num_training} + {self.num_evaluation}"
            )


def choose_rules(spec: ArcSpec, rng: np.random.Generator) -> list[Rule]:
    """Draw different rules, from all families as evenly as they allow."""
    decks = [
        [FAMILIES[name][i] for i in rng.permutation(len(FAMILIES[name]))]
        for name in sorted(set(spec.families))
    ]
    rounds = [
        deck[turn] for turn in range(max(map(len, decks))) for deck in decks if turn < len(deck)
    ]
    chosen = rounds[: spec.num_training + spec.num_evaluation]
    return [chosen[i] for i in rng.permutation(len(chosen))]


def random_grid(side: int, rng: np.random.Generator) -> Grid:
    """Draw scattered cells of one to four colours and, mostly, the outline of a box."""
    rows, columns = rng.integers(MIN_SIDE, side + 1, 2)
    paints = rng.choice(COLOURS, rng.integers(1, 5), replace=False)
    grid = rng.choice(paints, (rows, columns))
    grid = np.where(rng.random((rows, columns)) < rng.uniform(0.05, 0.4), grid, 0)
    if rng.random() < 0.7:
        top, left = rng.integers(0, rows - 2), rng.integers(0, columns - 2)
        bottom, right = rng.integers(top + 2, rows), rng.integers(left + 2, columns)
        box = grid[top : bottom + 1, left : right + 1]
        box[1:-1, 1:-1] *= rng.random(box[1:-1, 1:-1].shape) < 0.3
        box[[0, -1]] = box[:, [0, -1]] = rng.choice(paints)
    return grid.astype(np.uint8)


def least_image(grid: Grid) -> bytes:
    """Name what grids look like: the same for all turned and repainted images (black stays)."""
    return min(_image(dihedral_transform(grid, t)) for t in range(NUM_TRANSFORMS))


def _image(grid: Grid) -> bytes:
    """Number the colours in the order in which they come."""
    colours, first = np.unique(grid[grid != 0], return_index=True)
    numbers = np.zeros(256, np.uint8)
    numbers[colours[np.argsort(first)]] = np.arange(1, len(colours) + 1)
    return bytes(grid.shape) + numbers[grid].tobytes()


def _draw_pair(
    rule: Rule, kind: str, spec: ArcSpec, taken: Collection[bytes], rng: np.random.Generator
) -> Pair:
    """Draw a pair whose output differs from its input and whose input is a new image."""
    for _ in range(ATTEMPTS):
        grid = random_grid(spec.canvas // rule.growth, rng)
        output = np.ascontiguousarray(rule.apply(grid))
        if not np.array_equal(output, grid) and output.any() and least_image(grid) not in taken:
            return Pair(kind, grid, output)
    raise ValueError(
        f"no new pair for the rule {rule.name} in {ATTEMPTS} draws on a canvas of {spec.canvas};"
        " choose a larger canvas or fewer pairs"
    )


def generate_tasks(
    spec: ArcSpec, *, seed: int = 0
) -> tuple[tuple[ArcTask, ...], tuple[ArcTask, ...]]:
    """Generate the tasks of the subsets training and evaluation.

    Args:
      spec: what to generate.
      seed: of everything.

    Raises:
      ValueError: a rule has too few different inputs on the canvas.
    """
    rng = np.random.default_rng(seed)
    taken: set[bytes] = set()
    tasks = []
    for rule in choose_rules(spec, rng):
        kinds = [TRAIN] * spec.demonstrations + [TEST] * spec.questions
        pairs = []
        for kind in kinds:
            pairs.append(_draw_pair(rule, kind, spec, taken, rng))
            taken.add(least_image(pairs[-1].input))
        tasks.append(ArcTask(rule.name, tuple(pairs)))
    return tuple(tasks[: spec.num_training]), tuple(tasks[spec.num_training :])
