"""The folder of a page: exports, runtime, the page's own files and site.json.

DIR/index.html, demo.css, *.js        experiments/demo/page, as they are
DIR/runtime/                          ONNX Runtime for browsers
DIR/models/MODEL/SCHEME/              exports, as export.onnx writes them
DIR/site.json                         what the page offers; a page without it is unfinished
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from experiments.demo.job import DemoJob, DemoModel
from experiments.demo.runtime import VERSION
from experiments.measurement.folders import DEMO
from export.pipeline import export_model
from export.targets import Target
from quant.precision_plan import parse_plan
from quant.scheme import short_name
from trm_jax.command_line import progress_bar
from trm_jax.data.facts import PuzzleFacts
from trm_jax.data.sudoku.tokens import DIGITS
from trm_jax.output.folder import writing_whole
from trm_jax.output.staging import staged

PAGE = Path(__file__).parent / "page"
SITE = "site.json"


def write_site(job: DemoJob, out: Path) -> None:
    """Export and write a page in one piece, and say what it holds.

    Raises:
      ValueError, OSError, RuntimeError: an export is refused, or the folder cannot be written.
    """
    with writing_whole(out, DEMO), staged(out) as work:
        total = len(job.models) * len(job.schemes)
        with progress_bar("exporting", total) as advance:
            entries = []
            for each in job.models:
                exports = []
                for scheme in job.schemes:
                    advance(len(entries) * len(job.schemes) + len(exports), short_name(scheme))
                    exports.append(export_one(each, scheme, work))
                entries.append(describe_model(each, job.examples) | {"exports": exports})
        write_files(work, job, entries)
        size = sum(file.stat().st_size for file in work.rglob("*") if file.is_file())
    exports_made = "1 export" if total == 1 else f"{total} exports"
    print(f"{exports_made} and ONNX Runtime {VERSION} for browsers: {size / 1e6:.1f} MB in {out}")
    print(f"next: python -m http.server --directory {out}")


def export_one(each: DemoModel, scheme: str, work: Path) -> dict[str, Any]:
    """Export a model under a scheme, and say where and how large it is.

    Raises:
      ValueError, RuntimeError: as `export_model`.
    """
    place = f"models/{folder_name(each.model.name)}/{folder_name(short_name(scheme))}"
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
    model, facts = each.model, each.puzzles.facts
    shown = each.puzzles.ordered.inputs[:examples]
    return {
        "name": model.name,
        "title": f"{facts.title} ({model.name})",
        "architecture": model.architecture,
        "parameters": model.num_parameters,
        "steps": model.config.halt_max_steps,
        "task": facts.task,
        "grid": facts.grid,
        "box": facts.box,
        "puzzles": [write_puzzle(row, facts) for row in np.asarray(shown)],
    }


def write_puzzle(tokens: np.ndarray, facts: PuzzleFacts) -> str:
    """Write a puzzle as its task reads it, row by row in one piece."""
    letters = "?#.SGo" if facts.task == "maze" else "?." + DIGITS
    return "".join(letters[int(token)] for token in tokens)


def folder_name(name: str) -> str:
    """Make a name of letters that an address may have."""
    return re.sub(r"[^\w.-]+", "-", name)


def write_files(work: Path, job: DemoJob, entries: list[dict[str, Any]]) -> None:
    """Write what stands beside the exports."""
    for file in sorted(PAGE.iterdir()):
        (work / file.name).write_bytes(file.read_bytes())
    (work / "runtime").mkdir()
    for name, content in job.runtime.items():
        (work / "runtime" / name).write_bytes(content)
    document = {"runtime": VERSION, "models": entries}
    (work / SITE).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
