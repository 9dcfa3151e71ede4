"""From the rows of a deployment through AI Hub to its table and files.

    record(row)     numbers with their intervals, and Table 11's where the paper has the device
    table(...)      the columns of Table 11, and the depths; where a rule of halting is asked for,
                    its table stands beside; `read_tables` gives both to the report
    perf_yaml, csv_text, layers_text    the files beside the table

Table 11 of the paper (experiments/paper/tables.py) is read by AI Hub's own names. Its models are
the published ones (5 to 7 million weights); smaller ones are not comparable in milliseconds, only
in how precisions compare with each other.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from experiments.deploy.aihub.rows import AiHubRow, AiHubSpec, aihub_folder
from experiments.measurement.halting import halting_fields, join_halted
from experiments.measurement.row_files import merge_folders
from experiments.measurement.shards import from_hex
from experiments.paper import tables
from experiments.render import tables as render_tables
from experiments.render.halting_table import halting_table
from experiments.render.tables import Table
from export.aihub.devices import DEVICES, Precision
from trm_jax import intervals

SCHEMES = {Precision.FLOAT: "fp32", Precision.W8A8: "int8"}
FULL, SHALLOW = (3, 16), (1, 8)
DEPTHS = {("arc", "int8"): SHALLOW, ("maze", "int8"): SHALLOW}
"""(T, n) of a task and scheme, where it is not FULL."""
HEADER = (
    "Variant",
    "Device",
    "T",
    "n",
    "Step, ms\n(p90)",
    "Puzzle, ms",
    "Peak mem.",
    "Size",
    "PExact",
    "Layers",
    "Fidelity\nto simul.",
    "Equal\ncells",
    "Here, ms",
    "Paper: T n\nstep, ms",
)


class PaperMeasurement(NamedTuple):
    """A row of Table 11: T H-cycles in each of n steps."""

    T: int
    n: int
    step_ms: float
    puzzle_ms: float
    peak_mb: float
    size_mb: float
    exact: float


def paper_row(task: str, precision: Precision, device: str) -> PaperMeasurement | None:
    """Look up what the paper measured; None where it measured nothing like it."""
    described, scheme = DEVICES.get(device), SCHEMES.get(precision)
    if described is None or scheme is None:
        return None
    printed = tables.DEVICES.rows.get((task, scheme, described.paper_name))
    if printed is None:
        return None
    measured = (value for value in printed if value is not None)  # it has no dashes
    return PaperMeasurement(*DEPTHS.get((task, scheme), FULL), *measured)


def record(row: AiHubRow, halting: str = "") -> dict[str, Any]:
    """List a row's numbers, with their intervals and the paper's.

    Args:
      halting: name of the rule that the row halts by; empty: by none.
    """
    solved = int(from_hex(row.exact, row.puzzles).sum())
    fidelity = intervals.one_minus_mean([row.infidelity], row.puzzles, floor=-1.0)
    paper = paper_row(row.task, Precision(row.precision), row.device)
    runs = row.all_ms or (row.step_ms,)
    return {
        "scheme": row.label,
        "device": row.device,
        "route": row.route,
        "precision": row.precision,
        "T": row.H_cycles,
        "n": row.steps,
        "step_ms": row.step_ms,
        "step_ms_p90": float(np.percentile(runs, 90)),
        "runs": len(row.all_ms),
        "puzzle_ms": row.puzzle_ms,
        "host_ms": row.host_ms,
        "peak_bytes": row.peak_bytes,
        "file_bytes": row.file_bytes,
        **{f"layers_{unit.lower()}": count for unit, count in sorted(row.units.items())},
        "loop": row.loop,
        "puzzles": row.puzzles,
        **intervals.interval_fields("exact", intervals.wilson(solved, row.puzzles)),
        "equal_cells": intervals.share(row.equal_cells, row.cells),
        **intervals.interval_fields("fidelity", fidelity),
        "here": row.here,
        "here_ms": row.here_ms,
        **({f"paper_{k}": v for k, v in paper._asdict().items()} if paper else {}),
        **{f"job_{kind}": id for kind, id in row.jobs.items()},
        **_halting(row, halting),
    }


def _halting(row: AiHubRow, halting: str) -> dict[str, Any]:
    if row.halted is None:
        return {}
    outcome = join_halted([row.halted])
    mean, late = outcome.mean_steps.value, outcome.late_steps
    return {
        **halting_fields(halting, outcome, from_hex(row.exact, row.puzzles)),
        "mean_puzzle_ms": row.milliseconds(mean),
        "late_puzzle_ms": row.milliseconds(late),
    }


def table(title: str, rows: Sequence[AiHubRow]) -> Table:
    """Lay rows out in the order of Table 11's columns."""
    lines = []
    for row in rows:
        r = record(row)
        paper = f"{r['paper_T']} {r['paper_n']}\n{r['paper_step_ms']:.2f}" if "paper_T" in r else ""
        exact = f"{r['exact']:.3f}\n[{r['exact_low']:.3f}, {r['exact_high']:.3f}]"
        error = r["fidelity"] - r["fidelity_low"]
        lines.append(
            (
                f"{row.label}\n{row.precision}, {row.route}",
                row.device,
                str(row.H_cycles),
                str(row.steps),
                f"{row.step_ms:.2f}\n({r['step_ms_p90']:.2f})",
                f"{row.puzzle_ms:.1f}",
                render_tables.size_text(row.peak_bytes) if row.peak_bytes is not None else "-",
                render_tables.size_text(row.file_bytes),
                exact,
                "\n".join(f"{unit} {count}" for unit, count in sorted(row.units.items())),
                f"{r['fidelity']:.4f}\n+-{error:.4f}",
                f"{r['equal_cells']:.4f}",
                f"{row.here_ms:.2f}\n{row.here}",
                paper,
            )
        )
    return Table(title, HEADER, tuple(lines), frozenset())


def read_tables(folder: Path) -> list[Table]:
    """Lay out the tables of a folder.

    Raises:
      FileNotFoundError: it holds no deployment.
      ValueError: it is damaged, or nothing is finished.
    """
    spec, rows = merge_folders([aihub_folder(folder)])
    finished = {row.key: row for row in rows}
    shown = [finished[key] for key in spec.work_keys() if key in finished]
    if not shown:
        raise ValueError(f"{folder} is not finished: it has no rows; run its command again")
    return deployment_tables(spec, shown)


def deployment_tables(spec: AiHubSpec, rows: Sequence[AiHubRow]) -> list[Table]:
    """Lay out the table, and halting beside it where a rule was asked for."""
    drawn = [table(spec.title, rows)]
    if spec.halting:
        listed = [record(row, spec.halting) for row in rows]
        extra = {
            "Device": lambda r: r["device"],
            "Puzzle, ms\nmean": lambda r: f"{r['mean_puzzle_ms']:.1f}",
            "Puzzle, ms\n95th percentile": lambda r: f"{r['late_puzzle_ms']:.1f}",
        }
        title = f"Halting within n={spec.steps}: {spec.title}"
        drawn.append(halting_table(title, listed, extra=extra))
    return drawn


def perf_yaml(rows: Sequence[AiHubRow]) -> str:
    """Write rows as AI Hub's model pages do: by precision, device and runtime."""
    models: dict[str, Any] = {}
    for row in rows:
        entry = {
            "inference_metrics": {
                "inference_job_id": row.jobs.get("inference", ""),
                "job_status": "Passed",
                "inference_time_milliseconds": round(row.step_ms, 3),
                "estimated_peak_memory_bytes": row.peak_bytes,
                "layer_counts": {
                    "total": sum(row.units.values()),
                    **{u.lower(): n for u, n in sorted(row.units.items())},
                },
            },
            "puzzle_milliseconds": round(row.puzzle_ms, 3),
            "fallbacks": [f"{name} ({kind}): {unit}" for name, kind, unit in fallbacks(row)],
        }
        runtimes = models.setdefault(row.variant, {}).setdefault(row.device, {})
        runtimes[row.route] = entry
    out = io.StringIO()
    yaml.safe_dump({"precisions": models}, out, sort_keys=False)
    return out.getvalue()


def fallbacks(row: AiHubRow) -> list[tuple[str, str, str]]:
    """List the layers that did not run on the NPU."""
    return [layer for layer in row.layers if layer[2] != "NPU"]


def unit_text(row: AiHubRow) -> str:
    """Write where the layers ran, and name those that fell back, by type."""
    total, away = sum(row.units.values()), fallbacks(row)
    if not away:
        return f"{row.label} on {row.device}: all {total} layers on the NPU"
    kinds: dict[tuple[str, str], int] = {}
    for _, kind, unit in away:
        kinds[kind, unit] = kinds.get((kind, unit), 0) + 1
    listed = ", ".join(f"{n} {kind} on {unit}" for (kind, unit), n in sorted(kinds.items()))
    return f"{row.label} on {row.device}: {len(away)} of {total} layers NOT on the NPU: {listed}"


def layers_text(rows: Sequence[AiHubRow]) -> str:
    """Write the unit of every layer as CSV, in the order in which they ran."""
    return render_tables.to_csv(
        [
            {"scheme": row.label, "device": row.device, "layer": name, "type": kind, "unit": unit}
            for row in rows
            for name, kind, unit in row.layers
        ]
    )


def csv_text(spec: AiHubSpec, rows: Sequence[AiHubRow]) -> str:
    """Write all records; a field that one row lacks is empty there."""
    records = [record(row, spec.halting) for row in rows]
    names = dict.fromkeys(name for r in records for name in r)
    return render_tables.to_csv([{name: r.get(name) for name in names} for r in records])
