"""What a report is made of: folders of results, recognised by their files and read.

    sweep       spec.json, spec-K.json            experiments.sweep (several hosts: several folders)
    ablation    ablation.json                     experiments.ablate
    votes       votes.json                        experiments.arc
    footprint   footprint.jsonl                   experiments.footprint
    comparison  decode.json                       experiments.decode
    study       study.json                        experiments.decode.studies
    recipe      solved.json (or recipe.json)      experiments.recipe
    viewer      watch.html                        experiments.watch
    deployment  deployment.json (or summary.csv)  experiments.deploy, all targets

Folders of one sweep are joined; everything else stands for itself. What is read are rows and
records; tables are laid out by the programs' own functions.

Not here: measuring (jobs.py); sections of the page (sections/).
"""

import enum
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import NamedTuple

from experiments.ablate import tables as ablate_tables
from experiments.ablate.tables import Ablation
from experiments.arc import outcomes as arc_outcomes
from experiments.decode import tables as decode_tables
from experiments.decode.studies import outcomes as study_outcomes
from experiments.deploy.aihub import tables as aihub_tables
from experiments.deploy.cortex_m import rows as cortex_m_rows
from experiments.deploy.cortex_m import tables as cortex_m_tables
from experiments.deploy.ethos_u import tables as ethos_u_tables
from experiments.deploy.host import tables as host_tables
from experiments.footprint import job as footprint_job
from experiments.footprint import rows as footprint_rows
from experiments.measurement.row_files import read_document
from experiments.recipe import rows as recipe_rows
from experiments.recipe.rows import SearchRecord
from experiments.render.tables import Record, Table
from experiments.report.advice.paces import DevicePace, read_paces
from experiments.report.provenance import Run, read_runs
from experiments.sweep.outcomes import Sweep, read_sweeps
from export.footprint.estimate import estimate_footprint
from export.targets import Target
from quant.scheme import parse
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
    COMPARISON = "experiments.decode"
    STUDY = "experiments.decode.studies"
    RECIPE = "experiments.recipe"
    VIEWER = "experiments.watch"


DEPLOYMENT_FILE, VIEWER_FILE = "deployment.json", "watch.html"
VIEWER_TITLE = re.compile(r"<title>((\S+) on [^<]+)</title>")
VIEWER_DATA = '<script type="application/json" id="data">'
MARKS = {
    RunKind.ABLATION: ("ablation.json",),
    RunKind.VOTES: ("votes.json",),
    RunKind.FOOTPRINT: ("footprint.jsonl",),
    RunKind.COMPARISON: ("decode.json",),
    RunKind.STUDY: ("study.json",),
    RunKind.RECIPE: (recipe_rows.FILE, "recipe.json"),
    RunKind.VIEWER: (VIEWER_FILE,),
    RunKind.SWEEP: ("spec*.json",),
    RunKind.DEPLOYMENT: (DEPLOYMENT_FILE, "summary.csv"),
}
"""Files that the kinds above do not have; the first match counts."""
WITHOUT_RUNS = {RunKind.FOOTPRINT, RunKind.RECIPE, RunKind.STUDY, RunKind.VIEWER}
"""Kinds whose files note no starts of their programs."""
DEPLOYED: dict[str, Callable[[Path], list[Table]]] = {
    Target.AI_HUB.value: aihub_tables.read_tables,
    cortex_m_rows.TARGET: cortex_m_tables.read_tables,
    Target.ETHOS_U.value: ethos_u_tables.read_tables,
}
"""Target -> the tables of a folder; others are runtimes of this computer."""
PUBLISHED: dict[tuple[str, str], Config] = {
    ("sudoku", "TRM-MLP"): SUDOKU_TRM_MLP,
    ("sudoku", "TRM-Att"): SUDOKU_TRM_ATT,
    ("sudoku", "HRM"): SUDOKU_HRM,
    ("maze", "TRM-Att"): MAZE_TRM_ATT,
    ("maze", "HRM"): MAZE_HRM,
    ("arc", "TRM-Att"): ARC_TRM_ATT,
}
"""The published configuration of a task and architecture."""


class WatchedPage(NamedTuple):
    """A page of experiments.watch.

    Attributes:
      page: its HTML.
    """

    title: str
    model: str
    page: str


class Results(NamedTuple):
    """All that was read.

    Attributes:
      footprints: rows of the published configurations if no folder of footprints was given:
        they follow from shapes, in a second.
      runs: every start of a program that made one of the folders.
      paces: of the devices that were deployed to.
      deployments, votes, comparisons, studies: the tables of every folder, one after the other.
    """

    sweeps: list[Sweep]
    ablations: list[Ablation]
    footprints: list[Record]
    deployments: list[Table]
    votes: list[Table]
    comparisons: Sequence[Table] = ()
    studies: Sequence[Table] = ()
    searches: Sequence[SearchRecord] = ()
    runs: Sequence[Run] = ()
    paces: Sequence[DevicePace] = ()
    viewers: Sequence[WatchedPage] = ()

    def records_of(self, study: str) -> list[Record]:
        """Collect the records of one study of every ablation, its task and model added."""
        return [
            {"task": ablation.spec.task, "model": ablation.spec.model, **record}
            for ablation in self.ablations
            for record in ablate_tables.records(ablation)
            if record["study"] == study
        ]


def read_results(folders: Sequence[Path]) -> Results:
    """Read folders of any kind.

    Raises:
      FileNotFoundError: a folder is missing, or holds nothing known, or no rows.
      ValueError: one is damaged or not finished.
    """
    sorted_folders = sort_by_kind(folders)
    rows = [r for f in sorted_folders[RunKind.FOOTPRINT] for r in footprint_rows.read_rows(f)]
    if not rows:
        configs = {name: PRESETS[name] for name in footprint_job.PUBLISHED}
        rows = footprint_rows.records(configs, footprint_job.SCHEMES)
    deployments = sorted_folders[RunKind.DEPLOYMENT]
    votes = sorted_folders[RunKind.VOTES]
    return Results(
        sweeps=read_sweeps(sorted_folders[RunKind.SWEEP]),
        ablations=[ablate_tables.read_ablation(f) for f in sorted_folders[RunKind.ABLATION]],
        footprints=rows,
        deployments=[table for folder in deployments for table in read_deployment(folder)],
        votes=[table for folder in votes for table in arc_outcomes.read_tables(folder)],
        comparisons=[
            table
            for folder in sorted_folders[RunKind.COMPARISON]
            for table in decode_tables.read_tables(folder)
        ],
        studies=[
            table
            for folder in sorted_folders[RunKind.STUDY]
            for table in study_outcomes.read_tables(folder)
        ],
        searches=[recipe_rows.read_search(f) for f in sorted_folders[RunKind.RECIPE]],
        viewers=[read_viewer(folder) for folder in sorted_folders[RunKind.VIEWER]],
        paces=[pace for folder in deployments for pace in paces_of(folder)],
        runs=[
            run
            for kind, some in sorted_folders.items()
            if kind not in WITHOUT_RUNS
            for folder in some
            for run in read_runs(folder, MARKS[kind])
        ],
    )


def kind_of(folder: Path) -> RunKind:
    """Recognise a folder.

    Raises:
      FileNotFoundError: it is missing, or nothing that a program of these writes.
    """
    if not folder.exists():
        raise FileNotFoundError(f"there is no folder {folder}")
    for kind, marks in MARKS.items():
        if any(file.is_file() for mark in marks for file in folder.glob(mark)):
            return kind
    programs = ", ".join(sorted(kind.value for kind in RunKind))
    raise FileNotFoundError(f"{folder} is no folder of results; they are made by {programs}")


def sort_by_kind(folders: Sequence[Path]) -> dict[RunKind, list[Path]]:
    """Recognise folders.

    Raises:
      FileNotFoundError: as `kind_of`.
    """
    by_kind: dict[RunKind, list[Path]] = {kind: [] for kind in RunKind}
    for folder in folders:
        by_kind[kind_of(folder)].append(folder)
    return by_kind


def read_deployment(folder: Path) -> list[Table]:
    """Lay out the tables of a deployment on any target, from its rows.

    Raises:
      FileNotFoundError: the folder is of an earlier version, or was never finished.
      ValueError: it is damaged or not finished.
    """
    file = folder / DEPLOYMENT_FILE
    if not file.is_file():
        raise FileNotFoundError(
            f"{folder} has no {DEPLOYMENT_FILE}: run its `python -m experiments.deploy` command"
            " again (finished rows are kept)"
        )
    spec = read_document(file, "a deployment").spec
    read = DEPLOYED.get(str(spec.get("target")), host_tables.read_tables)
    return [replace(table, model=str(spec.get("model", ""))) for table in read(folder)]


def read_viewer(folder: Path) -> WatchedPage:
    """Read the page of a folder of experiments.watch.

    Raises:
      ValueError: it is no such page.
    """
    file = folder / VIEWER_FILE
    page = file.read_bytes().decode("utf-8", errors="replace")
    found = VIEWER_TITLE.search(page)
    if found is None or VIEWER_DATA not in page or not page.rstrip().endswith("</html>"):
        raise ValueError(
            f"{file} is no whole page of experiments.watch; run its command again, elsewhere"
        )
    return WatchedPage(unescape(found[1]), unescape(found[2]), page)


def paces_of(folder: Path) -> list[DevicePace]:
    """Read how fast a device was; raises as `read_deployment`."""
    spec = read_document(folder / DEPLOYMENT_FILE, "a deployment").spec
    target, model = (str(spec.get(name)) for name in ("target", "model"))
    return read_paces(folder, target, model, int(spec["steps"]))


def times_published(sweep: Sweep) -> float | None:
    """Tell how many times as many weights the published size of a sweep's kind has."""
    config = PUBLISHED.get((sweep.spec.task, architecture_of(sweep)))
    if config is None:
        return None
    return estimate_footprint(config, parse("fp32")).num_parameters / sweep.spec.num_parameters


def architecture_of(sweep: Sweep) -> str:
    """Name an architecture as the paper does; older sweeps are known by their bundled model."""
    text = sweep.spec.architecture
    config = PRESETS.get(sweep.spec.model)
    if not text and config is not None:
        text = f"{type(config).__name__.removesuffix('Config')} ({config.mixer.value})"
    names = {"TRM (mlp)": "TRM-MLP", "TRM (attention)": "TRM-Att", "HRM (attention)": "HRM"}
    return names.get(text, text or "unknown")
