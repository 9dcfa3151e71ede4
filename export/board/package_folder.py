"""A package as `export.micro` wrote it, read back and checked.

Not here: making one (export/cortex_m/package.py).
"""

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path

from export.artifact.open import Export
from export.cortex_m.flash_contents import make_row_file
from export.cortex_m.package import PackageFacts, hash_graphs, write_board_graphs
from export.cortex_m.row_file import RowFile, read_rows, write_rows
from export.cortex_m.test_vectors import Vector, read_vectors
from trm_jax.data.facts import PuzzleFacts
from trm_jax.tasks.table import task_named
from trm_jax.tasks.task import Task, TextForm
from trm_jax.typed_json import read_complete, read_json

FACTS, FLASH = "package.json", "flash.bin"
AGAIN = "make the package again with `python -m export.micro`"


@dataclass(frozen=True, kw_only=True)
class PackageFolder:
    """A package on disk.

    Attributes:
      puzzles: what they are.
      vectors: of its self-test; none where the export expects no answers.
      crc: CRC-32 of its rows but the puzzle rows, as the firmware says it.
    """

    folder: Path
    facts: PackageFacts
    puzzles: PuzzleFacts
    rows: RowFile
    vectors: tuple[Vector, ...]
    crc: int

    @property
    def flash(self) -> Path:
        return self.folder / FLASH

    @property
    def task(self) -> Task:
        return task_named(self.puzzles.task)

    @property
    def form(self) -> TextForm:
        """How people write its puzzles."""
        return self.task.need_text()


def read_package(folder: Path) -> PackageFolder:
    """Read a package.

    Raises:
      FileNotFoundError: no package, or a file of it is missing.
      ValueError: a file is damaged, belongs to another package, or is of another version; its
        puzzles have no text form, or it does not say what they are.
    """
    if not (folder / FACTS).is_file():
        raise FileNotFoundError(f"no package in {folder}: `python -m export.micro` writes one")
    try:
        facts = read_complete(PackageFacts, read_json(folder / FACTS))
    except ValueError as error:
        raise ValueError(f"{folder / FACTS}: {error}; {AGAIN}") from error
    if facts.puzzles is None:
        raise ValueError(f"{folder} does not say what its puzzles are; export again, and {AGAIN}")
    data = (folder / FLASH).read_bytes()
    if hashlib.sha256(data).hexdigest() != facts.flash_sha256:
        raise ValueError(f"{folder / FLASH} is not the one of {FACTS}: it changed; {AGAIN}")
    rows = read_rows(data)
    written = write_rows(rows)
    vectors = read_vectors(data[len(written) :]).vectors if len(data) > len(written) else ()
    package = PackageFolder(
        folder=folder,
        facts=facts,
        puzzles=facts.puzzles,
        rows=rows,
        vectors=tuple(vectors),
        crc=int.from_bytes(written[12:16], "little"),
    )
    package.task.need_text()
    if package.puzzles.cells != rows.seq:
        raise ValueError(
            f"{folder} has rows of {rows.seq} cells, its puzzles {facts.puzzles.title}"
        )
    return package


def check_export(package: PackageFolder, export: Export) -> None:
    """Check that a package was made from an export.

    Raises:
      ValueError: it has other graphs or other rows.
    """
    name = f"export {export.manifest.model} as {export.manifest.scheme}"
    if hash_graphs(write_board_graphs(export)) != package.facts.graphs:
        raise ValueError(f"{package.folder} was not made from {name}: its graphs differ")
    rows = make_row_file(export, package.rows.model_id)
    if write_rows(dataclasses.replace(rows, depth=package.rows.depth)) != write_rows(package.rows):
        raise ValueError(f"{package.folder} was not made from {name}: its rows differ")
