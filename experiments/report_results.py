"""What the one report is made of: every folder it was given, read."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from experiments import ablation_tables, footprint_rows
from experiments.ablation_tables import Ablation
from experiments.runs import Kind, Sweep, read_sweeps, read_tables, sorted_by_kind
from experiments.tables import Record, Table
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

PUBLISHED: dict[tuple[str, str], Config] = {
    ("sudoku", "TRM-MLP"): SUDOKU_TRM_MLP,
    ("sudoku", "TRM-Att"): SUDOKU_TRM_ATT,
    ("sudoku", "HRM"): SUDOKU_HRM,
    ("maze", "TRM-Att"): MAZE_TRM_ATT,
    ("maze", "HRM"): MAZE_HRM,
    ("arc", "TRM-Att"): ARC_TRM_ATT,
}
"""The published configuration of a task and architecture."""


class Printed(NamedTuple):
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
    deployments: list[Printed]
    votes: list[Printed]

    def records_of(self, study: str) -> list[Record]:
        """Collect the records of one study of every ablation, its task added."""
        return [
            {"task": ablation.spec.task, **record}
            for ablation in self.ablations
            for record in ablation_tables.records(ablation)
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
    rows = [row for folder in found[Kind.FOOTPRINT] for row in footprint_rows.read(folder)]
    if not rows:
        configs = {name: PRESETS[name] for name in footprint_rows.PUBLISHED}
        rows = footprint_rows.records(configs, footprint_rows.SCHEMES)
    return Results(
        sweeps=read_sweeps(found[Kind.SWEEP]),
        ablations=[ablation_tables.read(folder) for folder in found[Kind.ABLATION]],
        footprints=rows,
        deployments=[Printed(f.name, read_tables(f)) for f in found[Kind.DEPLOYMENT]],
        votes=[Printed(f.name, read_tables(f)) for f in found[Kind.VOTES]],
    )
