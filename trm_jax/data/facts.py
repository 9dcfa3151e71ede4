"""What a data set, a model and an export say of their puzzles: task, grid, boxes, identifiers.

None of it can be told from sizes: 6x6 Sudoku has boxes of 2x3 or 3x2 cells, 36 cells are 6x6 or
4x9, a 4x4 maze has as many tokens as a 4x4 Sudoku, and two sets of ARC tasks of the same number
name other rows of a puzzle table. So it is written down where puzzles are made:

    dataset.json    key "puzzles" (trm_jax/data/format.py); the released code ignores it
    config.json     key "puzzles" of a model directory (trm_jax/checkpoints/model_files.py)
    manifest.json   key "puzzles" of an export (export/artifact/manifest.py)

    "puzzles": {"task": "sudoku", "grid": [6, 6], "box": [2, 3], "identifiers_sha256": "..."}

Files of the release and older ones lack the key. `settle_facts` then takes what leaves no choice
(a square grid, the one box shape of 4x4 and 9x9, a single identifier) and asks for the rest;
`python -m trm_jax.tasks.describe` writes it into the file, once.
"""

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from trm_jax.typed_json import read_fields

BLANK_IDENTIFIER = "<blank>"
BOXED = "sudoku"
"""The task whose grids have boxes."""
SQUARE = ("sudoku", "arc")
"""Tasks whose grids are square by their rules."""

SHA256 = re.compile(r"[0-9a-f]{64}")
UNKNOWN = ""
"""Identifiers of which nobody knows the names."""

DESCRIBE = "trm_jax.tasks.describe"
"""The program that writes facts into files that lack them."""
WRITE_IT = (
    f"write it into the file with `python -m {DESCRIBE}` (a PyTorch checkpoint is first made a"
    " model directory by trm_jax.convert)"
)
"""What to do about a file that does not say something, for the end of a message."""

RowsColumns = tuple[int, int]


def hash_identifiers(names: Iterable[str]) -> str:
    """Hash the names of puzzle identifiers in order: SHA-256 of one line of JSON for each."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(json.dumps(name).encode() + b"\n")
    return digest.hexdigest()


ONE_BLANK = hash_identifiers([BLANK_IDENTIFIER])
"""Of data sets without identifiers: Sudoku and mazes."""


@dataclass(frozen=True, kw_only=True)
class PuzzleFacts:
    """What is known of puzzles beyond their tokens.

    Attributes:
      task: a name of trm_jax.tasks.
      grid: rows and columns; tokens are laid out row by row.
      box: rows and columns of a Sudoku's box; None for other tasks.
      identifiers_sha256: `hash_identifiers` of the names of the puzzle table's rows; empty where
        nobody knows them.

    Raises:
      ValueError: a grid without cells, boxes that do not tile it, boxes where the task has none.
    """

    task: str
    grid: RowsColumns
    box: RowsColumns | None
    identifiers_sha256: str

    def __post_init__(self) -> None:
        if not self.task:
            raise ValueError("puzzles.task must be the name of a task, got ''")
        rows, columns = self.grid
        if min(self.grid) < 1:
            raise ValueError(f"puzzles.grid must have rows and columns, got {list(self.grid)}")
        if self.task in SQUARE and rows != columns:
            raise ValueError(f"puzzles.grid of {self.task} must be square, got {list(self.grid)}")
        if (self.box is not None) != (self.task == BOXED):
            rule = "rows and columns" if self.task == BOXED else "null"
            raise ValueError(f"puzzles.box of {self.task} must be {rule}, got {self.box}")
        if self.box is not None and (min(self.box) < 2 or math.prod(self.box) != rows):
            raise ValueError(
                f"puzzles.box must have 2 rows and columns or more and {rows} cells, as a row of"
                f" the grid has, got {list(self.box)}"
            )
        if self.identifiers_sha256 != UNKNOWN and not SHA256.fullmatch(self.identifiers_sha256):
            raise ValueError(
                "puzzles.identifiers_sha256 must be 64 hexadecimal digits or empty, got"
                f" {self.identifiers_sha256[:80]!r}"
            )

    @property
    def cells(self) -> int:
        """Number of cells."""
        return math.prod(self.grid)

    @property
    def title(self) -> str:
        """Task and shapes, for headings and messages."""
        boxes = "" if self.box is None else f" with boxes {by(self.box)}"
        return f"{self.task} {by(self.grid)}{boxes}"

    def to_json(self) -> dict[str, Any]:
        """Give the value of the key "puzzles"."""
        return dataclasses.asdict(self)


def by(shape: RowsColumns) -> str:
    """Write a shape: 2x3 is two rows of three."""
    return f"{shape[0]}x{shape[1]}"


def parse_by(text: str, what: str) -> RowsColumns:
    """Read a shape such as 2x3.

    Args:
      what: an option, for the message.

    Raises:
      ValueError: another form.
    """
    if not (match := re.fullmatch(r"([0-9]{1,4})x([0-9]{1,4})", text.strip())):
        raise ValueError(f"{what} reads ROWSxCOLUMNS, e.g. 2x3 or 30x30, got {text[:40]!r}")
    return int(match[1]), int(match[2])


def read_facts(values: Any, where: str) -> PuzzleFacts:
    """Read the value of the key "puzzles".

    Args:
      where: the file, for the message.

    Raises:
      ValueError: a field is missing, unknown, of another type or contradicts another.
    """
    try:
        return read_fields(PuzzleFacts, values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def boxes_of(side: int) -> list[RowsColumns]:
    """List the box shapes of a side, degenerate ones (a row, a column) left out."""
    return [(rows, side // rows) for rows in range(2, side // 2 + 1) if side % rows == 0]


def settle_facts(
    task: str,
    cells: int,
    what: str,
    *,
    num_identifiers: int = 1,
    identifiers: Iterable[str] | None = None,
    grid: RowsColumns | None = None,
    box: RowsColumns | None = None,
) -> PuzzleFacts:
    """Complete what a file does not say, where there is no choice.

    Args:
      cells: of a puzzle.
      what: the data set, model or export, for the message.
      num_identifiers: rows of the puzzle table.
      identifiers: their names; None: not known, which is the blank alone where it is one.
      grid, box: as the user says them.

    Raises:
      ValueError: a shape that must be said, or one that does not fit.
    """
    grid = grid or _square(cells, what)
    if math.prod(grid) != cells:
        raise ValueError(f"{what} has {cells} cells, not {by(grid)}; name the grid with --grid")
    if task == BOXED and box is None:
        box = _only_box(grid[0], what)
    if identifiers is not None:
        digest = hash_identifiers(identifiers)
    else:
        digest = ONE_BLANK if num_identifiers == 1 else UNKNOWN
    try:
        return PuzzleFacts(task=task, grid=grid, box=box, identifiers_sha256=digest)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from error


def _square(cells: int, what: str) -> RowsColumns:
    side = math.isqrt(cells)
    if side * side != cells:
        raise ValueError(
            f"{what} has {cells} cells, no square, and does not say its rows and columns;"
            f" {WRITE_IT}, e.g. --grid {_example(cells)}"
        )
    return side, side


def _example(cells: int) -> str:
    rows = max(r for r in range(1, math.isqrt(max(cells, 1)) + 1) if cells % r == 0)
    return by((rows, cells // rows))


def _only_box(side: int, what: str) -> RowsColumns:
    shapes = boxes_of(side)
    if len(shapes) == 1:
        return shapes[0]
    if not shapes:
        raise ValueError(
            f"{what}: Sudoku of side {side} has no boxes of 2 rows and columns or more"
        )
    listed = ", ".join(map(by, shapes))
    raise ValueError(
        f"{what} is Sudoku of side {side} and does not say the shape of its boxes ({listed});"
        f" {WRITE_IT}, e.g. --box {by(shapes[0])}"
    )


def check_agreement(
    ours: PuzzleFacts, our_name: str, theirs: PuzzleFacts, their_name: str, *, remedy: str
) -> None:
    """Check that a model (or export) and puzzles are of one kind, names of identifiers included.

    Args:
      our_name, their_name: for the message, e.g. "model NAME" and "data FOLDER".
      remedy: what to do, for the end of the message.

    Raises:
      ValueError: task, grid or boxes differ; or the names of the rows of the puzzle table do, or
        nobody knows them on one side.
    """
    for field, show in (("task", str), ("grid", by), ("box", by)):
        mine, other = getattr(ours, field), getattr(theirs, field)
        if mine != other:
            raise ValueError(
                f"{our_name} and {their_name} do not fit: {our_name} is for"
                f" {field} {show(mine)}, {their_name} has {field} {show(other)}; {remedy}"
            )
    check_identifiers(ours, our_name, theirs, their_name, remedy=remedy)


def check_identifiers(
    ours: PuzzleFacts, our_name: str, theirs: PuzzleFacts, their_name: str, *, remedy: str
) -> None:
    """Check that both sides name the rows of a puzzle table alike.

    Raises:
      ValueError: they do not, or one side does not know.
    """
    mine, other = ours.identifiers_sha256, theirs.identifiers_sha256
    if UNKNOWN in (mine, other):
        name = our_name if mine == UNKNOWN else their_name
        raise ValueError(
            f"{name} does not say which puzzles the rows of its puzzle table belong to;"
            f" {WRITE_IT}, --identifiers IDENTIFIERS.JSON"
        )
    if mine != other:
        raise ValueError(
            f"{our_name} and {their_name} do not fit: their puzzle identifiers are other names, or"
            f" in another order (SHA-256 {mine[:12]}... and {other[:12]}...); {remedy}"
        )
