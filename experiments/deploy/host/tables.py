"""From the rows of a deployment on this computer to its table, figure and files.

    read_deployment(folder)   spec, rows, probes and the facts of the exports
    records(deployment)       one flat record per scheme: intervals, paired tests, costs (CSV)
    table(...)                all schemes; where a rule of halting is asked for, its table stands
                              beside; `read_tables` gives both to the report
    report(folder)            all of it on screen and as files in the folder

Only here are sums divided. A scheme that is not finished (refused by the target, or cut off by a
kill) has no record.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from rich.console import Console

from experiments.deploy.host.rows import (
    FULL,
    HostRow,
    HostSpec,
    Probe,
    export_folder,
    host_folder,
    probe_folder,
)
from experiments.measurement.halting import halting_fields, join_halted
from experiments.measurement.row_files import merge_folders
from experiments.measurement.shards import flags_of
from experiments.measurement.spec import pending
from experiments.render import figures, tables
from experiments.render.halting_table import halting_table
from experiments.render.scheme_style import scheme_index
from experiments.render.tables import Record, Table
from export.artifact.manifest import Manifest, read_manifest
from quant.scheme import short_name
from trm_jax import intervals
from trm_jax.intervals import interval_fields, interval_of, one_minus_mean, share


class FinishedScheme(NamedTuple):
    """What is known of one scheme: the facts of its export, its rows in order, its cost."""

    manifest: Manifest
    rows: list[HostRow]
    probe: Probe


class HostDeployment(NamedTuple):
    """What a folder holds: its spec, and its finished schemes by name, full precision first."""

    spec: HostSpec
    schemes: dict[str, FinishedScheme]


def read_deployment(folder: Path) -> HostDeployment:
    """Read a folder of results.

    Raises:
      FileNotFoundError: it holds no deployment.
      ValueError: it is damaged, or full precision is not finished.
    """
    spec, rows = merge_folders([host_folder(folder)])
    by_key = {row.key: row for row in rows}
    probes = {probe.scheme: probe for probe in probe_folder(folder).read_rows(spec)}
    schemes = {
        scheme: FinishedScheme(
            manifest=read_manifest(export_folder(folder, scheme)),
            rows=[by_key[key] for key in spec.work_keys(scheme)],
            probe=probes[scheme],
        )
        for scheme in spec.schemes
        if scheme in probes and not pending(spec.work_keys(scheme), rows)
    }
    if FULL not in schemes:
        raise ValueError(f"{folder} is not finished: {FULL} is missing; run its command again")
    return HostDeployment(spec, schemes)


def records(deployment: HostDeployment) -> list[Record]:
    """List one record per scheme; the first is full precision."""
    halting = deployment.spec.halting
    return [record(scheme, each, halting) for scheme, each in deployment.schemes.items()]


def record(scheme: str, finished: FinishedScheme, halting: str) -> Record:
    """Flatten what is known of one scheme.

    Args:
      halting: name of the rule that its rows halt by; empty: by none.
    """
    manifest, rows, probe = finished
    solved, simulated = flags_of(rows, "exact"), flags_of(rows, "simulated_exact")
    num, lenient = solved.size, int(flags_of(rows, "lenient").sum())
    pairs = intervals.pairs(simulated, solved)
    low, middle, high = np.percentile(probe.step_ms, [10, 50, 90])
    fidelity = one_minus_mean((row.infidelity for row in rows), num, floor=-1.0)
    agreement = one_minus_mean((row.disagreement for row in rows), num, floor=-1.0)
    return {
        "scheme": short_name(scheme),
        "plan": manifest.plan,
        "file_bytes": manifest.model_bytes,
        "weight_bytes": manifest.weight_bytes,
        "total_bytes": manifest.total_bytes,
        "memory_bytes": probe.memory_bytes,
        "step_ms": middle,
        "step_ms_p10": low,
        "step_ms_p90": high,
        "puzzles": num,
        **interval_fields("exact", intervals.wilson(int(solved.sum()), num)),
        **interval_fields("lenient", intervals.wilson(lenient, num)),
        "cell": share(sum(row.correct for row in rows), sum(row.cells for row in rows)),
        "simulated_exact": share(simulated.sum(), num),
        **interval_fields("exact_difference", intervals.paired_difference(pairs)),
        "lost": pairs.lost,
        "gained": pairs.gained,
        "mcnemar_p": intervals.mcnemar(pairs),
        "equal_cells": share(sum(row.equal_cells for row in rows), manifest.config.seq_len * num),
        **interval_fields("fidelity", fidelity),
        **interval_fields("agreement", agreement),
        **(_halting(halting, rows, solved) if halting else {}),
    }


def _halting(halting: str, rows: Sequence[HostRow], full: np.ndarray) -> Record:
    shards = [row.halted for row in rows if row.halted is not None]
    return halting_fields(halting, join_halted(shards), full)


def table(title: str, listed: Sequence[Record]) -> Table:
    """Lay the records out."""
    header = (
        "Variant",
        "File",
        "Step, ms\n[p10, p90]",
        "Memory",
        "PExact",
        "Simul.\nPExact",
        "Diff., pp",
        "McNemar\np",
        "Cell",
        "Fidelity\nto fp32",
        "Equal\ncells",
        "Fidelity\nto simul.",
    )
    rows = []
    for r in listed:
        rows.append(
            (
                r["scheme"],
                tables.size_text(r["file_bytes"]),
                f"{r['step_ms']:.2f}\n[{r['step_ms_p10']:.2f}, {r['step_ms_p90']:.2f}]",
                tables.size_text(r["memory_bytes"]),
                tables.with_interval(interval_of(r, "exact")),
                f"{r['simulated_exact']:.4f}",
                tables.points_text(interval_of(r, "exact_difference")),
                tables.p_text(r["mcnemar_p"]),
                f"{r['cell']:.4f}",
                tables.with_error(interval_of(r, "fidelity")),
                f"{r['equal_cells']:.4f}",
                tables.with_error(interval_of(r, "agreement")),
            )
        )
    return Table(title, header, tuple(rows), frozenset())


def read_tables(folder: Path) -> list[Table]:
    """Lay out the tables of a folder.

    Raises:
      FileNotFoundError, ValueError: as `read_deployment`.
    """
    deployment = read_deployment(folder)
    return deployment_tables(deployment.spec, records(deployment))


def deployment_tables(spec: HostSpec, listed: Sequence[Record]) -> list[Table]:
    """Lay out the table, and halting beside it where a rule was asked for."""
    drawn = [table(spec.title, listed)]
    if spec.halting:
        drawn.append(halting_table(f"Halting within n={spec.steps}: {spec.title}", listed))
    return drawn


def pareto_figure(title: str, listed: Sequence[Record]) -> Figure:
    """Draw exact match against bytes; the staircase joins what nothing beats in both."""
    with mpl.rc_context(figures.STYLE):
        figure = figures.figure_of(7.6, 4.8)
        ax = figure.subplots()
        front = intervals.pareto([(r["file_bytes"], r["exact"]) for r in listed])
        front.append((max(r["file_bytes"] for r in listed), front[-1][1]))  # on to the largest
        ax.step(*np.transpose(front), where="post", color="#BBBBBB", linewidth=1.2, zorder=0)
        points = [_draw(ax, r) for r in listed]
        _size_axis(ax, sorted({r["file_bytes"] for r in listed}))
        ax.set_ylabel("share of puzzles solved exactly, on the runtime")
        ax.grid(axis="y", color="#EEEEEE", linewidth=0.8)
        figure.suptitle(
            f"What a byte buys: exact match against file size\n{title}\nbars: 95 % intervals;"
            " grey: no other file is both smaller and better",
            x=0.01,
            ha="left",
            fontsize=10,
        )
        figure.canvas.draw()
        figures.label_points(ax, points)
        return figure


def report(folder: Path, console: Console) -> None:
    """Print the tables of a folder and write all files into it.

    Raises:
      FileNotFoundError, ValueError: as `read_deployment`.
    """
    deployment = read_deployment(folder)
    title, listed = deployment.spec.title, records(deployment)
    drawn = deployment_tables(deployment.spec, listed)
    tables.print_tables(drawn, console)
    text = "\n".join(map(tables.to_markdown, drawn))
    (folder / "summary.md").write_text(text, encoding="utf-8")
    (folder / "summary.csv").write_text(tables.to_csv(listed), encoding="utf-8")
    figures.save(pareto_figure(title, listed), folder / "pareto")
    console.print(f"rows, exports, table and figure: {folder}", soft_wrap=True)


def _draw(ax: Axes, record: Mapping[str, Any]) -> tuple[Any, ...]:
    """Draw one scheme; returns its point and name for `figures.label_points`."""
    x, (y, low, high) = record["file_bytes"], interval_of(record, "exact")
    i = scheme_index(record["scheme"])
    ax.errorbar(
        x,
        y,
        yerr=[[y - low], [high - y]],
        color=figures.colour(i),
        capsize=3,
        marker=figures.marker(i),
        markersize=7,
        linewidth=1.2,
    )
    return (x, y, low, high, record["scheme"], figures.text_colour(i))


def _size_axis(ax: Axes, sizes: Sequence[int]) -> None:
    """Scale by the logarithm of bytes, with ticks at the files and room for names."""
    ax.set_xscale("log")
    left, right = ax.get_xlim()
    ax.set_xlim(left / 1.6, right * 1.6)
    ticks = [s for i, s in enumerate(sizes) if i == 0 or s > 1.25 * sizes[i - 1]]
    ax.set_xticks(ticks, [tables.size_text(s) for s in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("size of the .tflite file")
