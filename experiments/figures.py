"""The two figures of a sweep: accuracy against depth, and fidelity against accuracy loss.

Made for print and for dark pages alike: their own white ground, colours that the colour-blind
can tell apart (Okabe and Ito) with markers and dashes beside them, and names at the lines
instead of a legend. Drawn with Agg, no display needed.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator
from matplotlib.transforms import Bbox

from experiments import statistics
from experiments.analysis import Outcome, compare
from experiments.spec import Spec
from experiments.variants import label

COLOURS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#D55E00", "#0072B2", "#CC79A7", "#7F7F7F")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", "-.", ":")
FLOOR = 1e-8  # smallest infidelity drawn: float32 cannot tell less from 0
MARGIN = 6  # pixels kept free around a point's bar
SIDES = [
    (dx, dy, "left" if dx > 0 else "right")
    for dy in (6, -12, 18, -24, 30, -36, 42, -48)
    for dx in (10, -10)
]
"""Where a point's name may stand: offsets in points, nearest first."""
INK = "#222222"
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "axes.facecolor": "white",
    "svg.hashsalt": "sweep",
    "svg.fonttype": "none",
}


def accuracy_figure(spec: Spec, outcomes: Sequence[Outcome]) -> Figure:
    """Draw exact match and cell accuracy against depth, one line per scheme."""
    with mpl.rc_context(STYLE):
        figure = figure_of(9.6, 4.6)
        axes = figure.subplots(1, 2, sharex=True)
        for ax, metric, name in zip(
            axes,
            (Outcome.exact, Outcome.cell),
            ("puzzles", "cells"),
            strict=True,
        ):
            for i, outcome in enumerate(outcomes):
                _line(ax, i, spec.grid.cycles, [metric(outcome, c) for c in spec.grid.cycles])
            _depth_axis(ax, spec.grid.cycles)
            ax.set_ylabel(f"share of {name} right")
            ax.set_title(f"{name.capitalize()} right", loc="left", fontsize=9, fontweight="bold")
            ends = [metric(outcome, spec.grid.cycles[-1]).value for outcome in outcomes]
            names = [label(outcome.scheme, spec.dtype) for outcome in outcomes]
            _label_ends(ax, spec.grid.cycles[-1], names, ends)
        figure.suptitle(
            f"Accuracy against recursion depth, by precision\n{_subject(spec, outcomes)}\n"
            "bands: 95 % intervals",
            x=0.01,
            ha="left",
            fontsize=10,
        )
        return figure


def fidelity_figure(spec: Spec, outcomes: Sequence[Outcome]) -> Figure:
    """Draw each scheme's change of exact match against its one-step fidelity."""
    with mpl.rc_context(STYLE):
        figure = figure_of(7.6, 4.8)
        ax = figure.subplots()
        ax.axhline(0, color="#BBBBBB", linewidth=0.8, zorder=0)
        points = []
        for i, outcome in enumerate(outcomes[1:], start=1):
            lost = 1 - outcome.fidelity(spec.grid.H_cycles).value
            pairs = compare(outcomes[0], outcome, spec.grid.deepest)
            change = statistics.bootstrap_difference(pairs, spec.seed)
            x, (y, low, high) = max(lost, FLOOR), (100 * value for value in change)
            ax.errorbar(
                x,
                y,
                yerr=[[y - low], [high - y]],
                color=colour(i),
                marker=marker(i),
                markersize=7,
                capsize=3,
                linewidth=1.2,
            )
            name = label(outcome.scheme, spec.dtype)
            points.append((x, y, low, high, name, text_colour(i)))
        _fidelity_axis(ax)
        low, high = ax.get_ylim()
        ax.set_ylim(min(low, -2.0), max(high, 2.0))  # noise must not fill the axis
        ax.set_xlabel("carry-trajectory fidelity to full precision after one supervision step")
        ax.set_ylabel("change of exact match, percentage points")
        figure.suptitle(
            f"Fidelity, which needs no labels, against the accuracy it predicts\n"
            f"{_subject(spec, outcomes)}, at T={max(spec.grid.T)}, n={max(spec.grid.n)}\n"
            "bars: 95 % paired bootstrap intervals",
            x=0.01,
            ha="left",
            fontsize=10,
        )
        figure.canvas.draw()
        label_points(ax, points)
        return figure


def save(figure: Figure, path: Path) -> None:
    """Write PATH.png and PATH.svg."""
    with mpl.rc_context(STYLE):
        figure.savefig(path.with_suffix(".png"), dpi=160)
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Move numbers in [0, 1] apart until neighbours differ by `gap`, as little as possible.

    Least squares in the order of the numbers: overlapping neighbours form a block around the
    mean of their wishes (pool adjacent violators).
    """
    order = np.argsort(places, kind="stable")
    wishes = np.asarray(places, float)[order] - gap * np.arange(len(places))
    blocks: list[list[float]] = []  # [sum, count]
    for wish in wishes:
        blocks.append([wish, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            blocks[-1] = [blocks[-1][0] + total, blocks[-1][1] + count]
    flat = np.concatenate([np.full(int(count), total / count) for total, count in blocks])
    flat = np.clip(flat, 0.0, max(0.0, 1.0 - gap * (len(places) - 1)))
    moved = np.empty(len(places))
    moved[order] = flat + gap * np.arange(len(places))
    return moved.tolist()


def figure_of(width: float, height: float) -> Figure:
    """Make an empty figure of a size in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def colour(i: int) -> str:
    """Choose the colour of the i-th line."""
    return COLOURS[i % len(COLOURS)]


def text_colour(i: int) -> tuple[float, ...]:
    """Darken a line's colour until small letters in it can be read on white."""
    return tuple(0.7 * channel for channel in to_rgb(colour(i)))


def marker(i: int) -> str:
    """Choose the marker of the i-th line."""
    return MARKERS[i % len(MARKERS)]


def _subject(spec: Spec, outcomes: Sequence[Outcome]) -> str:
    return f"{spec.model} on {spec.data}, n = {outcomes[0].num_puzzles} puzzles"


def _line(ax: Axes, i: int, cycles: Sequence[int], values: Sequence[statistics.Interval]) -> None:
    value, low, high = np.transpose(values)
    ax.fill_between(cycles, low, high, color=colour(i), alpha=0.08, linewidth=0)
    ax.plot(
        cycles,
        value,
        color=colour(i),
        marker=marker(i),
        markersize=4,
        linewidth=1.4,
        linestyle=DASHES[i % len(DASHES)],
    )


def _depth_axis(ax: Axes, cycles: Sequence[int]) -> None:
    ax.set_xscale("log", base=2)
    ax.set_xticks(cycles, [str(c) for c in cycles])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("depth: T x n H-cycles")
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]) if ax.get_ylim()[0] < 0.1 else None)
    ax.grid(axis="y", color="#EEEEEE", linewidth=0.8)
    ax.set_axisbelow(True)


def _label_ends(ax: Axes, depth: int, names: Sequence[str], ends: Sequence[float]) -> None:
    """Write names to the right of the lines' ends, moved apart, with leaders."""
    low, high = ax.get_ylim()
    fractions = [(end - low) / (high - low) for end in ends]
    heights = spread(fractions[::-1], 0.055)[::-1]  # of equal ends the first stands on top
    for i, (name, end, at) in enumerate(zip(names, ends, heights, strict=True)):
        ax.annotate(
            name,
            (depth, end),
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


def label_points(ax: Axes, points: Sequence[tuple]) -> None:
    """Write a name beside each point, on the first side where it covers no name and no bar."""
    to_pixels = ax.transData.transform
    corners = [to_pixels([(x, low), (x, high)]) for x, _, low, high, *_ in points]
    taken = [Bbox(ends + np.multiply(MARGIN, [[-1, -1], [1, 1]])) for ends in corners]
    for x, y, _, _, name, colour in points:
        for dx, dy, align in SIDES:
            text = ax.annotate(
                name, (x, y), (dx, dy), textcoords="offset points", ha=align, color=colour
            )
            extent = text.get_window_extent()
            inside = all(ax.bbox.contains(*corner) for corner in (extent.min, extent.max))
            if inside and not any(extent.overlaps(other) for other in taken):
                break
            if (dx, dy, align) != SIDES[-1]:
                text.remove()
        taken.append(extent)
