"""What matplotlib figures of all programs share: style, colours, labels that do not overlap.

Made for print and for dark pages alike: their own white ground, the colours of the report's
pictures with markers and dashes beside them, and names at the lines instead of a legend. Drawn with
Agg, no display needed.

Not here: which figures there are (tables.py of each program); the report's pictures (charts.py).
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
from matplotlib.transforms import Bbox

from experiments.render.scheme_style import LIGHT, SERIES, shape_of

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p", "h")
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


def save(figure: Figure, path: Path) -> None:
    """Write PATH.png and PATH.svg."""
    with mpl.rc_context(STYLE):
        figure.savefig(path.with_name(f"{path.name}.png"), dpi=160)  # a name may have dots
        figure.savefig(path.with_name(f"{path.name}.svg"), metadata={"Date": None})


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
    return LIGHT[i % SERIES]


def text_colour(i: int) -> tuple[float, ...]:
    """Darken a line's colour until small letters in it can be read on white."""
    return tuple(0.7 * channel for channel in to_rgb(colour(i)))


def marker(i: int) -> str:
    """Choose the marker of the i-th line; indices of schemes go beyond the colours."""
    return MARKERS[shape_of(i)]


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
