"""The table, files and figure of a deployment (experiments.deploy)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from rich.console import Console

from experiments.deploy.host.rows import HostRow, Probe
from experiments.measurement import intervals
from experiments.measurement.intervals import Interval, pareto
from experiments.measurement.shards import Moments, from_hex
from experiments.render import figures, tables
from experiments.render.tables import Table
from export.artifact.manifest import Manifest
from quant.scheme import paper_name, parse

SEED = 0  # of the bootstrap


def records(
    manifests: Mapping[str, Manifest], rows: Sequence[HostRow], probes: Sequence[Probe], limit: int
) -> list[dict[str, Any]]:
    """List one record per export; the first is full precision."""
    costs = {probe.scheme: probe for probe in probes}
    found = []
    for scheme, manifest in manifests.items():
        mine = sorted(
            (r for r in rows if r.scheme == scheme and r.stop <= limit), key=lambda r: r.start
        )
        solved, simulated = _flags(mine, "exact"), _flags(mine, "simulated_exact")
        pairs = intervals.pairs(simulated, solved)
        difference = intervals.bootstrap_difference(pairs, SEED)
        lenient = int(_flags(mine, "lenient").sum())
        low, middle, high = np.percentile(costs[scheme].step_ms, [10, 50, 90])
        cells = sum(r.cells for r in mine)
        seq_len = manifest.config.seq_len
        found.append(
            {
                "scheme": paper_name(parse(scheme)) or scheme,
                "plan": manifest.plan,
                "file_bytes": manifest.model_bytes,
                "weight_bytes": manifest.weight_bytes,
                "total_bytes": manifest.total_bytes,
                "memory_bytes": costs[scheme].memory_bytes,
                "step_ms": middle,
                "step_ms_p10": low,
                "step_ms_p90": high,
                "puzzles": solved.size,
                **_fields("exact", intervals.wilson(int(solved.sum()), solved.size)),
                **_fields("lenient", intervals.wilson(lenient, solved.size)),
                "cell": sum(r.correct for r in mine) / cells,
                "simulated_exact": simulated.mean(),
                **_fields("exact_difference", difference),
                "lost": pairs.lost,
                "gained": pairs.gained,
                "mcnemar_p": intervals.mcnemar(pairs),
                "equal_cells": sum(r.equal_cells for r in mine) / (seq_len * solved.size),
                **_fields("fidelity", _fidelity([r.infidelity for r in mine], solved.size)),
                **_fields("agreement", _fidelity([r.disagreement for r in mine], solved.size)),
            }
        )
    return found


def table(title: str, found: Sequence[Mapping[str, Any]]) -> Table:
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
    for r in found:
        rows.append(
            (
                r["scheme"],
                tables.size_text(r["file_bytes"]),
                f"{r['step_ms']:.2f}\n[{r['step_ms_p10']:.2f}, {r['step_ms_p90']:.2f}]",
                tables.size_text(r["memory_bytes"]),
                tables.with_interval(_interval(r, "exact")),
                f"{r['simulated_exact']:.4f}",
                tables.points_text(_interval(r, "exact_difference")),
                tables.p_text(r["mcnemar_p"]),
                f"{r['cell']:.4f}",
                tables.with_error(_interval(r, "fidelity")),
                f"{r['equal_cells']:.4f}",
                tables.with_error(_interval(r, "agreement")),
            )
        )
    return Table(title, header, tuple(rows), frozenset())


def pareto_figure(title: str, found: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw exact match against bytes; the staircase joins what nothing beats in both."""
    with mpl.rc_context(figures.STYLE):
        figure = figures.figure_of(7.6, 4.8)
        ax = figure.subplots()
        front = pareto([(r["file_bytes"], r["exact"]) for r in found])
        front.append((max(r["file_bytes"] for r in found), front[-1][1]))  # on to the largest
        ax.step(*np.transpose(front), where="post", color="#BBBBBB", linewidth=1.2, zorder=0)
        points = []
        for i, r in enumerate(found):
            x, (y, low, high) = r["file_bytes"], _interval(r, "exact")
            colour = figures.colour(i)
            ax.errorbar(
                x,
                y,
                yerr=[[y - low], [high - y]],
                color=colour,
                capsize=3,
                marker=figures.marker(i),
                markersize=7,
                linewidth=1.2,
            )
            points.append((x, y, low, high, r["scheme"], figures.text_colour(i)))
        ax.set_xscale("log")
        left, right = ax.get_xlim()
        ax.set_xlim(left / 1.6, right * 1.6)  # room for names
        sizes = sorted({r["file_bytes"] for r in found})
        kept = [s for i, s in enumerate(sizes) if i == 0 or s > 1.25 * sizes[i - 1]]
        ax.set_xticks(kept, [tables.size_text(s) for s in kept])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xlabel("size of the .tflite file")
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


def report(
    title: str,
    out: Path,
    manifests: Mapping[str, Manifest],
    rows: Sequence[HostRow],
    probes: Sequence[Probe],
    limit: int,
    console: Console,
) -> None:
    """Print the table and write all files."""
    found = records(manifests, rows, probes, limit)
    made = table(title, found)
    console.print(f"[bold]{title}[/bold]")
    console.print(tables.to_rich(made))
    (out / "summary.md").write_text(tables.to_markdown(made), encoding="utf-8")
    (out / "summary.csv").write_text(tables.to_csv(found), encoding="utf-8")
    figures.save(pareto_figure(title, found), out / "pareto")
    console.print(f"rows, exports, table and figure: {out}", soft_wrap=True)


def _flags(rows: Sequence[HostRow], name: str) -> np.ndarray:
    return np.concatenate([from_hex(getattr(r, name), r.stop - r.start) for r in rows])


def _fidelity(parts: Sequence[Moments], count: int) -> Interval:
    total, squares = (float(sum(column)) for column in zip(*parts, strict=True))
    found = intervals.complement(intervals.mean(total, squares, count))
    return Interval(*(min(end, 1.0) for end in found))  # float32 cosines may end above 1


def _fields(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}


def _interval(record: Mapping[str, Any], name: str) -> Interval:
    return Interval(record[name], record[f"{name}_low"], record[f"{name}_high"])
