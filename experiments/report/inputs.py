"""What the one report is made of: every folder it was given, read.

Recognise the folders that programs write, each by a file of its own, and read them.

    sweep       spec.json, spec-K.json   experiments.sweep (several hosts: several folders)
    ablation    ablation.json            experiments.ablate
    votes       votes.json               experiments.arc
    footprint   footprint.jsonl          experiments.footprint
    deployment  summary.csv              experiments.deploy, all targets

Folders of one sweep are joined; everything else stands for itself. Nothing is computed.
"""

import enum
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.ablate import tables
from experiments.ablate.tables import Ablation
from experiments.footprint import job as footprint_job
from experiments.footprint import rows as footprint_rows
from experiments.render.tables import Record, Table
from experiments.sweep.outcomes import Sweep, read_sweeps
from trm_jax.config import (
    ARC_TRM_ATT,
    MAZE_HRM,
    MAZE_TRM_ATT,
    PRESETS,
    SUDOKU_HRM,
    SUDOKU_TRM_ATT,
    SUDOKU_TRM_MLP,
    Config,
)


class RunKind(enum.Enum):
    """What a folder holds; the value is the program that makes it."""

    SWEEP = "experiments.sweep"
    ABLATION = "experiments.ablate"
    VOTES = "experiments.arc"
    DEPLOYMENT = "experiments.deploy"
    FOOTPRINT = "experiments.footprint"


MARKS = {
    RunKind.ABLATION: "ablation.json",
    RunKind.VOTES: "votes.json",
    RunKind.FOOTPRINT: "footprint.jsonl",
    RunKind.SWEEP: "spec*.json",
    RunKind.DEPLOYMENT: "summary.csv",
}
"""A file that the kinds above do not have; the first match counts."""


def kind_of(folder: Path) -> RunKind:
    """Recognise a folder.

    Raises:
      FileNotFoundError: it is missing, or nothing that a program of these writes.
    """
    for kind, mark in MARKS.items():
        if any(file.is_file() for file in folder.glob(mark)):
            return kind
    made = ", ".join(sorted(kind.value for kind in RunKind))
    raise FileNotFoundError(f"{folder} is no folder of results; they are made by {made}")


def sorted_by_kind(folders: Sequence[Path]) -> dict[RunKind, list[Path]]:
    """Recognise folders.

    Raises:
      FileNotFoundError: as `kind_of`.
    """
    found: dict[RunKind, list[Path]] = {kind: [] for kind in RunKind}
    for folder in folders:
        found[kind_of(folder)].append(folder)
    return found


def read_tables(folder: Path) -> list[Table]:
    """Read back the tables that a program printed as Markdown (`tables.to_markdown`).

    Raises:
      FileNotFoundError: the folder has none.
    """
    files = sorted(folder.glob("*.md"))
    if not files:
        raise FileNotFoundError(f"{folder} is not finished: it has no tables; run it again")
    return [table for file in files for table in _tables(file)]


def _tables(file: Path) -> list[Table]:
    found, title = [], file.stem
    lines = file.read_text(encoding="utf-8").splitlines()
    for i, line in enumerate(lines):
        if line.startswith("**"):
            title = line.strip("*")
        if line.startswith("| ---"):
            body = itertools.takewhile(lambda text: text.startswith("|"), lines[i + 1 :])
            rows = tuple(map(_cells, body))
            found.append(Table(title, _cells(lines[i - 1]), rows, frozenset()))
    return found


def _cells(line: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in line.strip().strip("|").split("|"))


PUBLISHED: dict[tuple[str, str], Config] = {
    ("sudoku", "TRM-MLP"): SUDOKU_TRM_MLP,
    ("sudoku", "TRM-Att"): SUDOKU_TRM_ATT,
    ("sudoku", "HRM"): SUDOKU_HRM,
    ("maze", "TRM-Att"): MAZE_TRM_ATT,
    ("maze", "HRM"): MAZE_HRM,
    ("arc", "TRM-Att"): ARC_TRM_ATT,
}
"""The published configuration of a task and architecture."""


class PrintedTables(NamedTuple):
    """Tables of a program whose rows the report does not need one by one."""

    name: str
    tables: list[Table]


class Results(NamedTuple):
    """All that was read.

    Attributes:
      footprints: rows of the published configurations if no folder of footprints was given:
        they follow from shapes, in a second.
      deployments, votes: tables as printed.
    """

    sweeps: list[Sweep]
    ablations: list[Ablation]
    footprints: list[Record]
    deployments: list[PrintedTables]
    votes: list[PrintedTables]

    def records_of(self, study: str) -> list[Record]:
        """Collect the records of one study of every ablation, its task added."""
        return [
            {"task": ablation.spec.task, **record}
            for ablation in self.ablations
            for record in tables.records(ablation)
            if record["study"] == study
        ]


def architecture_of(sweep: Sweep) -> str:
    """Name an architecture as the paper does; older sweeps are known by their bundled model."""
    text = sweep.spec.architecture
    config = PRESETS.get(sweep.spec.model)
    if not text and config is not None:
        text = f"{type(config).__name__.removesuffix('Config')} ({config.mixer.value})"
    names = {"TRM (mlp)": "TRM-MLP", "TRM (attention)": "TRM-Att", "HRM (attention)": "HRM"}
    return names.get(text, text or "unknown")


def read_results(folders: Sequence[Path]) -> Results:
    """Read folders of any kind.

    Raises:
      FileNotFoundError: a folder is missing or holds nothing known.
      ValueError: one is damaged or not finished.
    """
    found = sorted_by_kind(folders)
    rows = [row for folder in found[RunKind.FOOTPRINT] for row in footprint_rows.read(folder)]
    if not rows:
        configs = {name: PRESETS[name] for name in footprint_job.PUBLISHED}
        rows = footprint_rows.records(configs, footprint_job.SCHEMES)
    return Results(
        sweeps=read_sweeps(found[RunKind.SWEEP]),
        ablations=[tables.read(folder) for folder in found[RunKind.ABLATION]],
        footprints=rows,
        deployments=[PrintedTables(f.name, read_tables(f)) for f in found[RunKind.DEPLOYMENT]],
        votes=[PrintedTables(f.name, read_tables(f)) for f in found[RunKind.VOTES]],
    )
