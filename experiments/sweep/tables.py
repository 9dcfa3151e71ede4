"""The report of one sweep: two tables and two figures.

    grid.md, grid.csv         exact match, cell accuracy (and the lenient score) of every scheme at
                              every depth, in the shape of Tables 16-18, with the cost of each cell
    summary.md, summary.csv   one row per scheme at the deepest cell, in the shape of Table 9, with
                              fidelity, stored bytes and the paired comparison with full precision
    halting.md, halting.csv   with --halt: exact match and steps under every rule of halting, paired
                              with full depth of the same scheme
    accuracy.png/.svg         accuracy against depth
    fidelity.png/.svg         fidelity against accuracy loss, where anything is compressed

Not here: how a table or figure is drawn (experiments/render), how a rate is estimated
(trm_jax/intervals.py).
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator
from rich.console import Console

from experiments.measurement.halting import halting_fields
from experiments.render import figures, tables
from experiments.render.figures import (
    DASHES,
    FLOOR,
    STYLE,
    colour,
    figure_of,
    label_points,
    marker,
    spread,
    text_colour,
)
from experiments.render.halting_table import halting_table
from experiments.render.scheme_style import scheme_index, shape_of
from experiments.render.tables import (
    Record,
    Table,
    digits_text,
    p_text,
    points_text,
    size_text,
    with_error,
    with_interval,
)
from experiments.sweep.outcomes import SweepOutcome, compare, outcomes
from experiments.sweep.rows import CompactRow, SweepRow, SweepSpec
from quant.scheme import label
from trm_jax import intervals
from trm_jax.halting import NEVER
from trm_jax.intervals import interval_fields, interval_of
from trm_jax.tasks.table import task_named


def accuracy_figure(spec: SweepSpec, outcomes: Sequence[SweepOutcome]) -> Figure:
    """Draw exact match and cell accuracy against depth, one line per scheme."""
    with mpl.rc_context(STYLE):
        figure = figure_of(9.6, 4.6)
        axes = figure.subplots(1, 2, sharex=True)
        for ax, metric, name in zip(
            axes,
            (SweepOutcome.exact, SweepOutcome.cell),
            ("puzzles", "cells"),
            strict=True,
        ):
            places = _places(spec.grid.cycles, len(outcomes))
            indices = [scheme_index(outcome.scheme) for outcome in outcomes]
            for place, index, outcome in zip(places, indices, outcomes, strict=True):
                values = [metric(outcome, c) for c in spec.grid.cycles]
                if len(values) > 1:
                    _line(ax, index, spec.grid.cycles, values)
                else:
                    _point(ax, index, place, values[0])
            _depth_axis(ax, spec.grid.cycles)
            ax.set_ylabel(f"share of {name} right")
            ax.set_title(f"{name.capitalize()} right", loc="left", fontsize=9, fontweight="bold")
            ends = [metric(outcome, spec.grid.cycles[-1]).value for outcome in outcomes]
            names = [label(outcome.scheme, spec.dtype) for outcome in outcomes]
            _label_ends(ax, places, indices, names, ends)
        figure.suptitle(
            f"Accuracy against recursion depth, by precision\n{_subject(spec, outcomes)}\n"
            f"{'bands' if len(spec.grid.cycles) > 1 else 'bars'}: 95 % intervals",
            x=0.01,
            ha="left",
            fontsize=10,
        )
        return figure


def fidelity_figure(spec: SweepSpec, outcomes: Sequence[SweepOutcome]) -> Figure:
    """Draw each scheme's change of exact match against its one-step fidelity."""
    with mpl.rc_context(STYLE):
        figure = figure_of(7.6, 4.8)
        ax = figure.subplots()
        ax.axhline(0, color="#BBBBBB", linewidth=0.8, zorder=0)
        points = [_damage_point(ax, spec, outcomes[0], outcome) for outcome in outcomes[1:]]
        _fidelity_axis(ax)
        low, high = ax.get_ylim()
        ax.set_ylim(min(low, -2.0), max(high, 2.0))  # noise must not fill the axis
        ax.set_xlabel("carry-trajectory fidelity to full precision after one supervision step")
        ax.set_ylabel("change of exact match, percentage points")
        figure.suptitle(
            f"Fidelity, which needs no labels, against the accuracy it predicts\n"
            f"{_subject(spec, outcomes)}, at T={max(spec.grid.T)}, n={max(spec.grid.n)}\n"
            "bars: 95 % paired intervals",
            x=0.01,
            ha="left",
            fontsize=10,
        )
        figure.canvas.draw()
        label_points(ax, points)
        return figure


def _damage_point(
    ax: Axes, spec: SweepSpec, full: SweepOutcome, outcome: SweepOutcome
) -> tuple[float, float, float, float, str, tuple[float, ...]]:
    """Draw what a scheme changes against its one-step fidelity; returns the point to be named."""
    i = scheme_index(outcome.scheme)
    x = max(1 - outcome.fidelity(spec.grid.H_cycles).value, FLOOR)
    change = intervals.paired_difference(compare(full, outcome, spec.grid.deepest))
    y, low, high = (100 * value for value in change)
    reach = [[y - low], [high - y]]
    ax.errorbar(
        x,
        y,
        yerr=reach,
        color=colour(i),
        marker=marker(i),
        markersize=7,
        capsize=3,
        linewidth=1.2,
    )
    return x, y, low, high, label(outcome.scheme, spec.dtype), text_colour(i)


def _subject(spec: SweepSpec, outcomes: Sequence[SweepOutcome]) -> str:
    return f"{spec.model} on {spec.data}, n = {outcomes[0].num_puzzles} puzzles"


def _line(ax: Axes, i: int, cycles: Sequence[int], values: Sequence[intervals.Interval]) -> None:
    value, low, high = (np.asarray(part) for part in zip(*values, strict=True))
    ax.fill_between(cycles, low, high, color=colour(i), alpha=0.08, linewidth=0)
    ax.plot(
        cycles,
        value,
        color=colour(i),
        marker=marker(i),
        markersize=4,
        linewidth=1.4,
        linestyle=DASHES[shape_of(i) % len(DASHES)],
    )


def _places(cycles: Sequence[int], count: int) -> list[float]:
    """Choose where lines end: at the deepest cell; points of a single depth stand side by side."""
    if len(cycles) > 1:
        return [float(cycles[-1])] * count
    return [cycles[0] * 2 ** (0.04 * (i - (count - 1) / 2)) for i in range(count)]


def _point(ax: Axes, i: int, place: float, value: intervals.Interval) -> None:
    """Draw a single depth as a point with its interval."""
    ax.errorbar(
        place,
        value.value,
        yerr=[[value.value - value.low], [value.high - value.value]],
        color=colour(i),
        marker=marker(i),
        markersize=5,
        capsize=3,
        linewidth=1.2,
    )


def _depth_axis(ax: Axes, cycles: Sequence[int]) -> None:
    ax.set_xscale("log", base=2)
    ax.set_xticks(cycles, [str(c) for c in cycles])
    ax.xaxis.set_minor_locator(NullLocator())
    if len(cycles) == 1:
        ax.set_xlim(cycles[0] / 1.6, cycles[0] * 1.6)
    ax.set_xlabel("depth: T x n H-cycles")
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]) if ax.get_ylim()[0] < 0.1 else None)
    ax.grid(axis="y", color="#EEEEEE", linewidth=0.8)
    ax.set_axisbelow(True)


def _label_ends(
    ax: Axes,
    places: Sequence[float],
    indices: Sequence[int],
    names: Sequence[str],
    ends: Sequence[float],
) -> None:
    """Write names to the right of the lines' ends, moved apart, with leaders."""
    low, high = ax.get_ylim()
    fractions = [(end - low) / (high - low) for end in ends]
    heights = spread(fractions[::-1], 0.055)[::-1]  # of equal ends the first stands on top
    for place, i, name, end, at in zip(places, indices, names, ends, heights, strict=True):
        ax.annotate(
            name,
            (place, end),
            (1.05, at),
            xycoords="data",
            textcoords="axes fraction",
            color=text_colour(i),
            va="center",
            fontsize=8,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": colour(i),
                "lw": 0.7,
                "shrinkB": 1,
                "relpos": (0.0, 0.5),
            },
        )


def _fidelity_axis(ax: Axes) -> None:
    """Scale by -log(1 - fidelity), high fidelity to the right, and print fidelities."""

    def text(lost: float, _: int) -> str:
        if lost <= FLOOR:
            return "1"
        return f"{1 - lost:.4g}" if lost > 5e-5 else f"1 - 1e{round(np.log10(lost))}"

    ax.set_xscale("log")
    low, high = ax.get_xlim()
    ax.set_xlim(max(high, 1.0) * 1.5, min(low, 1e-3) / 4)
    ax.xaxis.set_major_formatter(FuncFormatter(text))
    ax.xaxis.set_minor_locator(NullLocator())


def grid_records(spec: SweepSpec, outcomes: Sequence[SweepOutcome]) -> list[Record]:
    """List every cell of the grid for every scheme, one record each."""
    return [
        {
            "scheme": label(outcome.scheme, spec.dtype),
            "T": t,
            "n": n,
            "h_cycles": t * n,
            "gflops": t * n * spec.gflops_per_cycle,
            "puzzles": outcome.num_puzzles,
            **interval_fields("exact", outcome.exact(t * n)),
            **interval_fields("lenient", outcome.lenient(t * n)),
            **interval_fields("cell", outcome.cell(t * n)),
            **interval_fields("fidelity", outcome.fidelity(t * n)),
            **interval_fields("similarity", outcome.similarity(t * n)),
            **interval_fields("residual", outcome.residual(t * n)),
        }
        for outcome in outcomes
        for t in reversed(spec.grid.T)
        for n in spec.grid.n
    ]


def summary_records(spec: SweepSpec, outcomes: Sequence[SweepOutcome]) -> list[Record]:
    """List one record per scheme at the deepest cell."""
    deepest, one_step = spec.grid.deepest, spec.grid.H_cycles
    sizes = dict(zip(spec.schemes, spec.bytes, strict=True))
    records = []
    for outcome in outcomes:
        pairs = compare(outcomes[0], outcome, deepest)
        records.append(
            {
                "scheme": label(outcome.scheme, spec.dtype),
                "bytes": sizes[outcome.scheme],
                "h_cycles": deepest,
                "puzzles": outcome.num_puzzles,
                **interval_fields("exact", outcome.exact(deepest)),
                **interval_fields("lenient", outcome.lenient(deepest)),
                **interval_fields("cell", outcome.cell(deepest)),
                **interval_fields("fidelity_one_step", outcome.fidelity(one_step)),
                **interval_fields("fidelity", outcome.fidelity(deepest)),
                **interval_fields("consecutive_similarity", outcome.call_similarity),
                **interval_fields("exact_difference", _change(pairs, outcome is outcomes[0])),
                "lost": pairs.lost,
                "gained": pairs.gained,
                "mcnemar_p": intervals.mcnemar(pairs),
            }
        )
    return records


def grid_table(spec: SweepSpec, outcomes: Sequence[SweepOutcome]) -> Table:
    """Lay the grid out as Tables 16-18 do."""
    T, n = spec.grid.T[::-1], spec.grid.n
    metrics: dict[str, Callable[[SweepOutcome, int], str]] = {
        "Exact": lambda outcome, cycles: with_interval(outcome.exact(cycles)),
        "Lenient": lambda outcome, cycles: with_interval(outcome.lenient(cycles)),
        "Cell": lambda outcome, cycles: with_error(outcome.cell(cycles)),
    }
    if not task_named(spec.task).has_second_score:
        del metrics["Lenient"]
    rows, sections = [], set()
    for t in T:
        costs = (digits_text(t * k * spec.gflops_per_cycle) for k in n)
        rows.append(("", str(t), "GFLOPs", *costs))
    for outcome in outcomes:
        sections.add(len(rows))
        for t in T:
            for name, metric in metrics.items():
                first = (label(outcome.scheme, spec.dtype), str(t)) if name == "Exact" else ("", "")
                cells = (metric(outcome, t * k) for k in n)
                rows.append((first[0] if t == T[0] else "", first[1], name, *cells))
    header = ("Precision", "T", "Metric", *(f"n={k}" for k in n))
    title = f"Depth x precision: {heading(spec, outcomes)}"
    return Table(title, header, tuple(rows), frozenset(sections))


def summary_table(spec: SweepSpec, outcomes: Sequence[SweepOutcome]) -> Table:
    """Lay the comparison of schemes out as Table 9 does, and beyond."""
    lenient = task_named(spec.task).has_second_score
    header = [
        "Variant",
        "Size",
        "PExact",
        "Lenient",
        "Cell",
        "Fidelity\n1 step",
        "Fidelity\nfull depth",
        "Consec.\nsimilarity",
        "PExact - full\nprecision, pp",
        "McNemar p",
    ]
    rows = []
    for i, record in enumerate(summary_records(spec, outcomes)):
        rows.append(
            [
                record["scheme"],
                size_text(record["bytes"]),
                with_interval(interval_of(record, "exact")),
                with_interval(interval_of(record, "lenient")),
                with_error(interval_of(record, "cell")),
                with_error(interval_of(record, "fidelity_one_step")),
                with_error(interval_of(record, "fidelity")),
                f"{record['consecutive_similarity']:.3f}",
                "" if i == 0 else points_text(interval_of(record, "exact_difference")),
                "" if i == 0 else p_text(record["mcnemar_p"]),
            ]
        )
    if not lenient:
        for row in (header, *rows):
            del row[3]
    grid = spec.grid
    title = f"T={max(grid.T)}, n={max(grid.n)}: {heading(spec, outcomes)}"
    return Table(title, tuple(header), tuple(map(tuple, rows)), frozenset())


def halting_records(spec: SweepSpec, outcomes: Sequence[SweepOutcome]) -> list[Record]:
    """List one record per scheme and rule of halting."""
    records = []
    for outcome in outcomes:
        full = outcome.halted(NEVER.name).solved
        for rule in spec.halting:
            fields = halting_fields(rule, outcome.halted(rule), full, prefix="")
            records.append(
                {
                    "scheme": label(outcome.scheme, spec.dtype),
                    "puzzles": outcome.num_puzzles,
                    **fields,
                }
            )
    return records


def halting_of(spec: SweepSpec, outcomes: Sequence[SweepOutcome]) -> Table:
    """Lay out what every rule of halting saves, and what it costs against full depth."""
    listed = halting_records(spec, outcomes)
    title = f"Halting within n={spec.grid.steps}: {heading(spec, outcomes)}"
    breaks = frozenset(range(0, len(listed), len(spec.halting)))
    return halting_table(title, listed, breaks, prefix="")


def _change(pairs: intervals.Pairs, is_reference: bool) -> intervals.Interval:
    return intervals.UNCHANGED if is_reference else intervals.paired_difference(pairs)


def heading(spec: SweepSpec, outcomes: Sequence[SweepOutcome]) -> str:
    """Say what was measured on what, and how often."""
    return f"{spec.model} on {spec.data}, {outcomes[0].num_puzzles} puzzles"


def write_report(
    spec: SweepSpec, rows: Iterable[SweepRow | CompactRow], out: Path, console: Console
) -> None:
    """Print both tables and write all files of a report.

    Raises:
      ValueError: no shard is finished for every scheme.
    """
    measured = outcomes(spec, rows)
    grid, summary = grid_table(spec, measured), summary_table(spec, measured)
    halting = halting_of(spec, measured) if spec.halting else None
    tables.print_tables((grid, summary, *([halting] if halting else [])), console)
    if measured[0].num_puzzles < spec.num_puzzles:
        left = spec.num_puzzles - measured[0].num_puzzles
        console.print(
            f"{left} of {spec.num_puzzles} puzzles are not finished here: --resume goes on;"
            " rows of other folders join with experiments.report"
        )
    out.mkdir(parents=True, exist_ok=True)
    files = {
        "grid.md": tables.to_markdown(grid),
        "summary.md": tables.to_markdown(summary),
        "grid.csv": tables.to_csv(grid_records(spec, measured)),
        "summary.csv": tables.to_csv(summary_records(spec, measured)),
    }
    if halting is not None:
        files["halting.md"] = tables.to_markdown(halting)
        files["halting.csv"] = tables.to_csv(halting_records(spec, measured))
    for name, text in files.items():
        (out / name).write_text(text, encoding="utf-8")
    figures.save(accuracy_figure(spec, measured), out / "accuracy")
    if len(measured) > 1:  # full precision alone has nothing to lose
        figures.save(fidelity_figure(spec, measured), out / "fidelity")
    console.print(f"rows, tables and figures: {out}", soft_wrap=True)
