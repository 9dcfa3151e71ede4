"""Folders of rows of every program, read by the report; and by the predictor.

What was read is right if it is what json reads from the file, and if rows that are those of the
valid folder give the same page. A row given twice counts once; a row given in two forms is refused.
"""

import dataclasses
import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fuzz import oracles
from tests.fuzz.contract import InputKind, Unreadable, run_program
from tests.fuzz.damage import Draw, files_of
from tests.fuzz.documents import mutate_folder

ROWS = "rows.jsonl"
KEYS = ("scheme", "study", "variant", "device", "model", "start", "stop")
"""Fields that name a row among those of its file."""

PROGRAMS = {
    "sweep": ("experiments.sweep.rows", "sweep_folder", "spec.json"),
    "ablation": ("experiments.ablate.rows", "ablation_folder", "ablation.json"),
    "votes": ("experiments.arc.rows", "vote_folder", "votes.json"),
    "host": ("experiments.deploy.host.rows", "host_folder", "deployment.json"),
    "board": ("experiments.deploy.cortex_m.rows", "board_folder", "deployment.json"),
    "aihub": ("experiments.deploy.aihub.rows", "aihub_folder", "deployment.json"),
}
"""Kind -> module, function that names the folder's files, file of the spec."""


def maker(kind: str) -> Callable[[Path], None]:
    """Make a folder of a program's rows."""

    def make(folder: Path) -> None:
        from tests.support import result_rows

        (folder / "run").mkdir()
        getattr(result_rows, f"write_{kind}")(folder / "run")

    return make


def mutate_rows(folder: Path, rng: Draw) -> str:
    """Mutate what the report reads of a folder; figures and exported graphs it does not."""
    read = [f.name for f in files_of(folder / "run") if f.suffix in (".json", ".jsonl")]
    return mutate_folder(folder / "run", rng, read, documents=0.8)


def reader(kind: str) -> Callable[[Path], Any]:
    """Make the reader: the report's page, and the rows by the program's own class."""
    module, function, _ = PROGRAMS[kind]

    def read(folder: Path) -> Any:
        from trm_jax.typed_json import encode

        page = report(folder)
        opened = getattr(importlib.import_module(module), function)(folder / "run")
        spec = opened.read_spec()
        rows = [dataclasses.asdict(row) for row in opened.read_rows(spec)]
        if kind == "host":
            rows += [dataclasses.asdict(probe) for probe in read_probes(folder, spec)]
        whole = json.loads(json.dumps([dataclasses.asdict(spec), once(rows)], default=encode))
        return (*whole, page)

    return read


def read_probes(folder: Path, spec: Any) -> Any:
    """Read the second file of rows that a deployment on this computer has."""
    from experiments.deploy.host.rows import probe_folder

    return probe_folder(folder / "run").read_rows(spec)


def report(folder: Path) -> str:
    """Write a page of a folder; returns its text without the folder's name."""
    from experiments.report.__main__ import main

    page = folder / "page" / "report.html"
    run_program(main, [folder / "run", "--out", page])
    return page.with_suffix(".md").read_text().replace(str(folder), "")


def once(rows: list[Any]) -> list[Any]:
    """Leave out rows that are there already."""
    kept: list[Any] = []
    for row in rows:
        if row not in kept:
            kept.append(row)
    return kept


def says(kind: str) -> Callable[[Path], Any]:
    """Make the oracle."""
    spec_file = PROGRAMS[kind][2]
    valid: list[Any] = []  # what is read from the valid folder, once

    def say(folder: Path) -> Any:
        if not valid:
            valid.extend(reader(kind)(folder.parent / "valid"))
            shutil.rmtree(folder.parent / "valid" / "page")
        document = oracles.document(folder, f"run/{spec_file}")
        rows = lines(folder / "run" / ROWS, valid[1])
        if kind == "host":
            rows += lines(folder / "run" / "probes.jsonl", valid[1][-1:])
        rows = once(rows)
        keys = [tuple(str(row.get(key)) for key in KEYS) for row in rows]
        if len(set(keys)) != len(keys):
            raise Unreadable("a row in two forms")
        try:
            spec = document["spec"]
        except (TypeError, KeyError) as error:
            raise Unreadable(str(error)) from error
        same = [spec, rows] == valid[:2]
        page = valid[2] if same else report_again(folder)
        return spec, rows, page

    return say


def report_again(folder: Path) -> str:
    """Read the page that was written: of other rows the oracle knows no page."""
    return (folder / "page" / "report.md").read_text().replace(str(folder), "")


def lines(file: Path, valid: list[Any]) -> list[Any]:
    """Read the whole lines of a file by json; rows have the types of the valid one's."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Unreadable(str(error)) from error
    rows = [oracles.strict_json(line) for line in content.split(b"\n")[:-1]]
    for row in rows:
        oracles.check_types(row, valid[0])
    return rows


def read_footprint(folder: Path) -> Any:
    from experiments.footprint.rows import read_rows

    report(folder)
    return read_rows(folder / "run")


def footprint_says(folder: Path) -> Any:
    """Read all lines: the file is replaced in one piece, so that its last line may lack its end."""
    rows = []
    for root in (folder.parent / "valid", folder):
        try:
            content = (root / "run" / "footprint.jsonl").read_bytes()
        except OSError as error:
            raise Unreadable(str(error)) from error
        rows.append([oracles.strict_json(line) for line in content.splitlines() if line])
    for row in rows[1]:
        oracles.check_types(row, dict.fromkeys(rows[0][0], 0.5) | TEXTS)
    return rows[1]


def read_predictor(folder: Path) -> Any:
    """Judge a sweep as a predictor, then read it as the report does."""
    from experiments.predictor.__main__ import main

    run_program(main, [folder / "run", "--out", folder / "out"])
    return reader("sweep")(folder)


TEXTS = {"config": "", "scheme": "", **dict.fromkeys(("fits 4 MB MCU", "fits 8 MB SoC"))}

WORDS = ("line ", "field", "rows", "scheme", "variant", "finished")

RESULTS = (
    *(
        InputKind(
            name=f"rows-{kind}",
            right="spec and rows are what json reads; the same rows give the same page",
            make=maker(kind),
            mutate=mutate_rows,
            read=reader(kind),
            says=says(kind),
            names=WORDS,
            share=0.2,
        )
        for kind in PROGRAMS
    ),
    InputKind(
        name="predictor",
        right="spec and rows are what json reads",
        make=maker("sweep"),
        mutate=mutate_rows,
        read=read_predictor,
        says=says("sweep"),
        names=WORDS,
        share=0.1,
    ),
    InputKind(
        name="rows-footprint",
        right="records are what json reads",
        make=maker("footprints"),
        mutate=mutate_rows,
        read=read_footprint,
        says=footprint_says,
        names=WORDS,
        share=0.3,
    ),
)
