"""Small vector pictures as text: elements, scales, axes, labels that keep clear of each other.

Colours are CSS variables with one value for light and one for dark pages, so a picture follows
the reader's setting inside a page and as a file of its own. Series differ by colour and marker.
"""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from experiments.render.scheme_style import DARK, LIGHT, SERIES, shape_of


def _variables(colours: Sequence[str]) -> str:
    return ";".join(f"--s{i}:{value}" for i, value in enumerate(colours))


ON_WHITE = f"--ink:#222;--soft:#8a8a8a;--grid:#e4e4e4;--halo:#fff;{_variables(LIGHT)}"
ON_DARK = f"--ink:#ddd;--soft:#8f8f8f;--grid:#3a3a3a;--halo:#16181b;{_variables(DARK)}"
STYLE = (
    f".ch{{{ON_WHITE};font:12px system-ui,sans-serif}}"
    ".ch text{fill:var(--ink);stroke:var(--halo);stroke-width:3px;paint-order:stroke;"
    "stroke-linejoin:round}.ch .axis{stroke:var(--soft)}.ch .grid{stroke:var(--grid)}"
    ".ch .mark{stroke:var(--soft);stroke-dasharray:5 4}"
    f"@media (prefers-color-scheme:dark){{.ch{{{ON_DARK}}}}}@media print{{.ch{{{ON_WHITE}}}}}"
)
CHARACTER = 7.2  # mean width of a letter of 12 px in pixels, on the wide side
LINE = 14  # height of a line of text in pixels


Corners = Sequence[tuple[float, float]]


def _star(points: int, outer: float, inner: float) -> Corners:
    """List the corners of a star, its first point up; inner = outer cos(pi/points): a polygon."""
    radii = (outer, inner) * points
    turns = (math.pi * i / points for i in range(2 * points))
    return [(r * math.sin(turn), -r * math.cos(turn)) for r, turn in zip(radii, turns, strict=True)]


_ARM, _END = 1.7, 5.0
PLUS = [
    (-_ARM, -_END),
    (_ARM, -_END),
    (_ARM, -_ARM),
    (_END, -_ARM),
    (_END, _ARM),
    (_ARM, _ARM),
    (_ARM, _END),
    (-_ARM, _END),
    (-_ARM, _ARM),
    (-_END, _ARM),
    (-_END, -_ARM),
    (-_ARM, -_ARM),
]
SHAPES: tuple[Corners | None, ...] = (
    None,
    ((-3.8, -3.8), (3.8, -3.8), (3.8, 3.8), (-3.8, 3.8)),
    ((0, -5), (5, 4), (-5, 4)),
    ((0, -5.4), (5.4, 0), (0, 5.4), (-5.4, 0)),
    ((0, 5), (5, -4), (-5, -4)),
    PLUS,
    [((x - y) * math.sqrt(0.5), (x + y) * math.sqrt(0.5)) for x, y in PLUS],
    _star(5, 5.8, 2.4),
    ((-5, 0), (4, -5), (4, 5)),
    ((5, 0), (-4, -5), (-4, 5)),
    _star(5, 5, 5 * math.cos(math.pi / 5)),
    _star(6, 5, 5 * math.cos(math.pi / 6)),
)
"""Corners of the markers around their middle; None is a circle. Those of figures.MARKERS."""


class Box(NamedTuple):
    """A rectangle in pixels, y downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: "Box") -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )

    def inside(self, other: "Box") -> bool:
        return (
            self.left >= other.left
            and self.right <= other.right
            and self.top >= other.top
            and self.bottom <= other.bottom
        )


class Scale(NamedTuple):
    """From numbers to pixels.

    Attributes:
      low, high: numbers at the ends; start, stop: pixels there.
      log: by the logarithm.
    """

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, value: float) -> float:
        f = math.log if self.log else float
        share = (f(value) - f(self.low)) / (f(self.high) - f(self.low))
        return self.start + share * (self.stop - self.start)


def element(name: str, content: str = "", /, **attributes: object) -> str:
    """Write an element; `content` is markup. Underscores in names of attributes become dashes."""
    text = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_number(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{text}>{content}</{name}>" if content else f"<{name}{text}/>"


def write(x: float, y: float, text: str, anchor: str = "start", **attributes: object) -> str:
    """Write a line of text; (x, y) is on its base line."""
    return element("text", escape(text), x=x, y=y, text_anchor=anchor, **attributes)


def line(x1: float, y1: float, x2: float, y2: float, **attributes: object) -> str:
    """Draw a straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, **attributes)


def colour(index: int) -> str:
    """Name the colour of a series."""
    return f"var(--s{index % SERIES})"


def marker(index: int, x: float, y: float, *, hollow: bool = False, title: str = "") -> str:
    """Draw the marker of a series; hollow ones are somebody else's numbers.

    Args:
      title: what the marker stands for, shown where a reader points at it.
    """
    tip = element("title", escape(title)) if title else ""
    fill = "none" if hollow else colour(index)
    paint = {"fill": fill, "stroke": colour(index), "stroke_width": 1.5, "data_tip": title or None}
    shape = SHAPES[shape_of(index)]
    if shape is None:
        return element("circle", tip, cx=x, cy=y, r=4.2, **paint)
    return _polygon(tip, x, y, shape, paint)


def _polygon(content: str, x: float, y: float, corners: Corners, paint: dict) -> str:
    points = " ".join(f"{_number(x + dx)},{_number(y + dy)}" for dx, dy in corners)
    return element("polygon", content, points=points, **paint)


def text_width(text: str) -> float:
    """Estimate the width of a line in pixels."""
    return CHARACTER * len(text)


def place(
    points: Sequence[tuple[float, float]], names: Sequence[str], frame: Box
) -> list[tuple[float, float, str]]:
    """Find places for names beside points that cover no point and no other name.

    Returns:
      (x, y, anchor) of each base line; where nothing is free, the last place tried.
    """
    taken = [Box(x - 6, y - 6, x + 6, y + 6) for x, y in points]
    spots = []
    for (x, y), name in zip(points, names, strict=True):
        width, spot = text_width(name), (x, y, "start")
        for dy in (4, -7, 15, -20, 28, -33, 41, -46, 54):
            for dx, anchor in ((9, "start"), (-9, "end")):
                left = x + dx - (width if anchor == "end" else 0)
                box = Box(left, y + dy - LINE + 3, left + width, y + dy + 3)
                spot = (x + dx, y + dy, anchor)
                if box.inside(frame) and not any(box.overlaps(other) for other in taken):
                    break
            else:
                continue
            break
        taken.append(box)
        spots.append(spot)
    return spots


def picture(width: float, height: float, parts: Sequence[str], title: str) -> str:
    """Make a whole picture, which describes itself to readers without eyes."""
    return element(
        "svg",
        element("title", escape(title)) + element("style", STYLE) + "".join(parts),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_number(width)} {_number(height)}",
        width=width,
        height=height,
        class_="ch",
        role="img",
    )


def _number(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
