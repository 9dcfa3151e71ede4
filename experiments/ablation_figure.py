"""The figure of an ablation: cells right against puzzles right, for every intervention.

One line per variant, grouped by study: a ring for cell accuracy, a dot for exact match, both
with 95 % intervals, and the gap between them. Where local prediction survives and global
reasoning does not (section 4.6), the gap is wide. Made for print and dark pages (figures.py).
"""

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.ablation_spec import AblationSpec
from experiments.figures import STYLE, colour, figure_of
from experiments.tables import Record, interval_of

ROW = 0.19  # inches of a variant
GAP = 1.1  # rows between two studies
PUZZLES, CELLS = colour(4), colour(5)


def split_figure(spec: AblationSpec, listed: Sequence[Record]) -> Figure:
    """Draw cells and puzzles right of every variant."""
    with mpl.rc_context(STYLE):
        places = row_places([record["study"] for record in listed])
        figure = figure_of(8.4, 1.5 + ROW * max(places))
        ax = figure.subplots()
        for place, record in zip(places, listed, strict=True):
            _draw(ax, place, record)
        _name_rows(ax, places, listed)
        figure.suptitle(
            f"Cells right and puzzles right, intervention by intervention\n"
            f"{spec.model} on {spec.data}, n = {listed[0]['puzzles']} puzzles\n"
            "bars: 95 % intervals; bold: what a study compares with",
            x=0.01,
            ha="left",
            fontsize=10,
        )
        return figure


def row_places(studies: Sequence[str]) -> list[float]:
    """Place rows from the top, with a gap before each new study."""
    places, place = [], 0.0
    for i, study in enumerate(studies):
        place += 1 + (GAP if i == 0 or study != studies[i - 1] else 0)
        places.append(place)
    return places


def _draw(ax: Axes, place: float, record: Record) -> None:
    cell, exact = interval_of(record, "cell"), interval_of(record, "exact")
    ax.plot([exact.value, cell.value], [place] * 2, color="#CCCCCC", linewidth=1.2, zorder=1)
    for interval, ink, face, name in (
        (cell, CELLS, "white", "cells right"),
        (exact, PUZZLES, PUZZLES, "puzzles right"),
    ):
        reach = [[interval.value - interval.low], [interval.high - interval.value]]
        ax.errorbar(
            interval.value,
            place,
            xerr=reach,
            color=ink,
            marker="o",
            markersize=5,
            markerfacecolor=face,
            linewidth=1.0,
            zorder=2,
            label=name if place == 1 + GAP else None,
        )


def _name_rows(ax: Axes, places: Sequence[float], listed: Sequence[Record]) -> None:
    ax.set_ylim(max(places) + 0.8, 0.2)
    ax.set_xlim(-0.02, 1.02)
    ax.set_yticks(places, [record["variant"] for record in listed], fontsize=7)
    for tick, record in zip(ax.get_yticklabels(), listed, strict=True):
        tick.set_fontweight("bold" if record["variant"] == record["reference"] else "normal")
    for place, record, before in zip(places, listed, [None, *listed], strict=False):
        if before is None or record["study"] != before["study"]:
            ax.text(-0.01, place - 0.75, record["study"], fontsize=8, style="italic")
    ax.set_xlabel("share right")
    ax.grid(axis="x", color="#EEEEEE", linewidth=0.8)
    ax.set_axisbelow(True)
    legend = ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)
    for text, ink in zip(legend.get_texts(), (CELLS, PUZZLES), strict=True):
        text.set_color(ink)
