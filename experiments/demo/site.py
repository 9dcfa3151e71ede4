"""The folder of a page: exports, runtime, the page's own files and site.json.

DIR/index.html, demo.css, *.js        experiments/demo/page, as they are
DIR/runtime/                          ONNX Runtime for browsers
DIR/models/MODEL/SCHEME/              exports, as export.onnx writes them
DIR/site.json                         what the page offers; a page without it is unfinished
"""

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.demo.job import DemoJob, DemoModel
from experiments.demo.runtime import VERSION
from experiments.measurement.folders import DEMO
from export.pipeline import export_model
from export.targets import Target
from quant.precision_plan import parse_plan
from quant.scheme import parse, short_name
from quant.simulation import simulate
from trm_jax.command_line import progress_bar
from trm_jax.data.facts import PuzzleFacts
from trm_jax.data.sudoku.tokens import DIGITS
from trm_jax.loading import Puzzles
from trm_jax.output.folder import writing_whole
from trm_jax.output.staging import staged
from trm_jax.scores import evaluate

PAGE = Path(__file__).parent / "page"
SITE = "site.json"
LOOKED, TOGETHER = 32, 16
"""Puzzles among which the first example is looked for, and that are answered together."""


def write_site(job: DemoJob, out: Path) -> None:
    """Export and write a page in one piece, and say what it holds.

    Raises:
      ValueError, OSError, RuntimeError: an export is refused, or the folder cannot be written.
    """
    with writing_whole(out, DEMO), staged(out) as work:
        total = len(job.models) * len(job.schemes)
        with progress_bar("exporting", total) as advance:
            entries = []
            places = name_folders([each.model.name for each in job.models])
            schemes = [short_name(scheme) for scheme in job.schemes]
            for each, place in zip(job.models, places, strict=True):
                exports = []
                for scheme, end in zip(job.schemes, name_folders(schemes), strict=True):
                    advance(len(entries) * len(job.schemes) + len(exports), short_name(scheme))
                    exports.append(export_one(each, scheme, work, f"models/{place}/{end}"))
                entries.append(describe_model(each, job.examples) | {"exports": exports})
        write_files(work, job, entries)
        size = sum(file.stat().st_size for file in work.rglob("*") if file.is_file())
    exports_made = "1 export" if total == 1 else f"{total} exports"
    print(f"{exports_made} and ONNX Runtime {VERSION} for browsers: {size / 1e6:.1f} MB in {out}")
    print(f"next: python -m http.server --directory {shlex.quote(str(out))}")


def export_one(each: DemoModel, scheme: str, work: Path, place: str) -> dict[str, Any]:
    """Export a model under a scheme, and say where and how large it is.

    Args:
      place: of the export, within `work`.

    Raises:
      ValueError, RuntimeError: as `export_model`.
    """
    manifest = export_model(
        each.model,
        parse_plan(scheme),
        work / place,
        target=Target.ONNX,
        puzzles=each.puzzles,
        batch=1,
    )
    return {"name": short_name(scheme), "folder": place, "bytes": manifest.total_bytes}


def describe_model(each: DemoModel, examples: int) -> dict[str, Any]:
    """Collect what the page says of a model, and puzzles to choose from."""
    model, puzzles, facts = each.model, each.puzzles, each.puzzles.facts
    solved = find_solved(each)
    first = 0 if solved is None else solved
    order = [first, *(i for i in range(len(puzzles)) if i != first)][:examples]
    return {
        "name": model.name,
        "title": f"{facts.title} ({model.name})",
        "architecture": model.architecture,
        "parameters": model.num_parameters,
        "steps": model.config.halt_max_steps,
        "task": facts.task,
        "grid": facts.grid,
        "box": facts.box,
        "puzzles": [write_puzzle(row, facts) for row in puzzles.ordered.inputs[order]],
        "chosen": say_chosen(puzzles, solved),
    }


def write_puzzle(tokens: np.ndarray, facts: PuzzleFacts) -> str:
    """Write a puzzle as its task reads it, row by row in one piece."""
    letters = "?#.SGo" if facts.task == "maze" else "?." + DIGITS
    return "".join(letters[int(token)] for token in tokens)


def find_solved(each: DemoModel) -> int | None:
    """Find the first puzzle that full precision solves: its answer after the last step is right.

    Returns:
      Its place in the order of measurement; None: none of the first LOOKED.
    """
    model = simulate(each.model, parse("fp32"))
    solved = evaluate(model, each.puzzles, limit=LOOKED, batch_size=TOGETHER).solved
    return int(np.argmax(solved)) if solved.any() else None


def say_chosen(puzzles: Puzzles, solved: int | None) -> str:
    """Say how the examples were chosen."""
    if solved is None:
        looked = min(LOOKED, len(puzzles))
        return f"Examples: the first of {puzzles.name}; full precision solves none of {looked}"
    return (
        f"Example 1: puzzle {solved} of {puzzles.name}, the first that full precision solves; then"
        " the others from 0"
    )


def name_folders(names: Sequence[str]) -> list[str]:
    """Make a folder's name of every model or scheme, of letters that an address may have.

    Returns:
      Names that differ, on file systems that know no capitals too.
    """
    folders: list[str] = []
    for name in names:
        base = folder = re.sub(r"[^\w.-]+", "-", name).strip(".-") or "unnamed"
        number = 1
        while folder.lower() in [other.lower() for other in folders]:
            number += 1
            folder = f"{base}-{number}"
        folders.append(folder)
    return folders


def write_files(work: Path, job: DemoJob, entries: list[dict[str, Any]]) -> None:
    """Write what stands beside the exports."""
    for file in sorted(PAGE.iterdir()):
        (work / file.name).write_bytes(file.read_bytes())
    (work / "runtime").mkdir()
    for name, content in job.runtime.items():
        (work / "runtime" / name).write_bytes(content)
    document = {"runtime": VERSION, "models": entries}
    (work / SITE).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
