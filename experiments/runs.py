"""Recognise the folders that programs write, each by a file of its own, and read them.

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

from experiments import results
from experiments.analysis import Outcome, outcomes
from experiments.spec import Spec
from experiments.tables import Table


class Kind(enum.Enum):
    """What a folder holds; the value is the program that makes it."""

    SWEEP = "experiments.sweep"
    ABLATION = "experiments.ablate"
    VOTES = "experiments.arc"
    DEPLOYMENT = "experiments.deploy"
    FOOTPRINT = "experiments.footprint"


MARKS = {
    Kind.ABLATION: "ablation.json",
    Kind.VOTES: "votes.json",
    Kind.FOOTPRINT: "footprint.jsonl",
    Kind.SWEEP: "spec*.json",
    Kind.DEPLOYMENT: "summary.csv",
}
"""A file that the kinds above do not have; the first match counts."""


class Sweep(NamedTuple):
    """A sweep and what each scheme did, full precision first."""

    spec: Spec
    outcomes: list[Outcome]

    @property
    def reference(self) -> Outcome:
        return self.outcomes[0]

    def scheme(self, name: str) -> Outcome | None:
        """Find a scheme by its long name."""
        return next((o for o in self.outcomes if o.scheme == name), None)


def kind_of(folder: Path) -> Kind:
    """Recognise a folder.

    Raises:
      FileNotFoundError: it is missing, or nothing that a program of these writes.
    """
    for kind, mark in MARKS.items():
        if any(file.is_file() for file in folder.glob(mark)):
            return kind
    made = ", ".join(sorted(kind.value for kind in Kind))
    raise FileNotFoundError(f"{folder} is no folder of results; they are made by {made}")


def sorted_by_kind(folders: Sequence[Path]) -> dict[Kind, list[Path]]:
    """Recognise folders.

    Raises:
      FileNotFoundError: as `kind_of`.
    """
    found: dict[Kind, list[Path]] = {kind: [] for kind in Kind}
    for folder in folders:
        found[kind_of(folder)].append(folder)
    return found


def read_sweeps(folders: Sequence[Path]) -> list[Sweep]:
    """Read sweeps, joining the folders of one.

    Raises:
      ValueError: a folder is damaged, or no shard of a sweep is finished for every scheme.
      FileNotFoundError: a folder holds none.
    """
    groups: dict[str, list[Path]] = {}
    for folder in folders:
        spec, _ = results.merge([folder])
        groups.setdefault(spec.digest, []).append(folder)
    found = []
    for group in groups.values():
        spec, rows = results.merge(group)
        found.append(Sweep(spec, outcomes(spec, rows)))
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
