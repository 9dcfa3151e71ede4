"""The kinds of figures of the report, as SVG: lines over depth, scatter, dots in rows, levels.

Each takes numbers, names and a width in pixels and returns a picture (svg.py); `draw_both` makes
the two that a page chooses from. A narrow one has its names above lines and rows instead of beside
them. Intervals are bands or whiskers. Hollow markers are the paper's numbers, filled ones ours.
"""

import math
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from experiments.render import svg
from experiments.render.figures import spread
from experiments.render.svg import LINE, Box, Scale, colour, element, line, marker, write
from trm_jax.intervals import Interval

WIDTH, HEIGHT = 632, 380  # two stand side by side on the widest page
NARROW = 350  # a phone's page: it shows text of 12 px as it is
LEFT, RIGHT, TOP, BOTTOM = 62, 36, 30, 48
STEP = 14  # between the lines of a row, in pixels
LINE_ABOVE = 15  # of a name above its dots
SETTLED = 0.02  # of a share: so near to its end a line is told to have arrived
GAP = 0.048  # of the height, between names at the ends of lines


@dataclass(frozen=True)
class Series:
    """One line of a chart.

    Attributes:
      index: of its colour and marker (scheme_style.py has those of schemes).
      xs, values: points; an interval without width draws no band.
      hollow: somebody else's numbers.
    """

    name: str
    index: int
    xs: Sequence[float]
    values: Sequence[Interval]
    hollow: bool = False


@dataclass(frozen=True)
class Dot:
    """One value of a row or a point of a scatter.

    Attributes:
      x: of a point; in a row the number of its line.
      text: shown where a reader points at it; empty: name and value.
    """

    name: str
    index: int
    x: float
    value: Interval
    hollow: bool = False
    text: str = ""

    @property
    def said(self) -> str:
        return self.text or f"{self.name}: {self.value}"


def draw_both(draw: Callable[[int], str]) -> tuple[str, str]:
    """Draw a picture for broad and for narrow pages.

    Args:
      draw: from a width to a picture.
    """
    return draw(WIDTH), draw(NARROW)


def lines(
    title: str, series: Sequence[Series], x_label: str, y_label: str, *, width: int = WIDTH
) -> str:
    """Draw shares (0 to 1) over depths, names at the ends; in a narrow picture above."""
    narrow = width < WIDTH
    right = 14 if narrow else max(svg.text_width(s.name) for s in series) + 26
    key = _Key.of([(s.name, s.index, s.hollow) for s in series] if narrow else [], width)
    heading, top = _heading(title, width)
    base = top + key.height + HEIGHT - TOP - BOTTOM
    xs = sorted({x for s in series for x in s.xs})
    x = Scale(xs[0], xs[-1], LEFT, width - right, log=True)
    y = Scale(0, 1, base, top + key.height)
    ticks = [t for t in xs if math.log2(t).is_integer() or t == xs[-1]] if len(xs) > 6 else xs
    parts = [
        *heading,
        *key.draw(top),
        *_y_axis(y, LEFT, width - right, y_label),
        *_x_ticks(x, base, ticks, [f"{t:g}" for t in ticks]),
    ]
    parts.append(write((x.start + x.stop) / 2, base + BOTTOM - 10, x_label, "middle"))
    for s in series:
        parts += _line(s, x, y)
    if not narrow:
        parts += _names_at_ends(series, x, y)
    return svg.picture(width, base + BOTTOM, parts, title)


def _names_at_ends(series: Sequence[Series], x: Scale, y: Scale) -> list[str]:
    ends = [s.values[-1].value for s in series]
    heights = spread(ends[::-1], GAP)[::-1]
    parts = []
    for s, end, height in zip(series, ends, heights, strict=True):
        at = x.stop + 20
        parts.append(line(x.stop + 6, y(end), at - 4, y(height), stroke=colour(s.index)))
        parts.append(write(at, y(height) + 4, s.name))
    return parts


def tell_ends(series: Sequence[Series], unit: str) -> str:
    """Say what rising lines show, for who does not see them: who ends lowest, and who ends where.

    Args:
      unit: of the axis below, in the plural.
    """
    lowest = min(series, key=lambda s: s.values[-1].value)
    ends = "; ".join(f"{s.name} {s.values[-1].value:.2f}, from {_settled(s):g} on" for s in series)
    what = f"Where each ends, and the {unit} from which it is within {SETTLED:g} of that"
    return f"{lowest.name} ends lowest, at {lowest.values[-1].value:.2f}. {what}: {ends}."


def _settled(s: Series) -> float:
    """Find from where on a line stays near its end."""
    near = len(s.xs)
    while near and abs(s.values[near - 1].value - s.values[-1].value) <= SETTLED:
        near -= 1
    return s.xs[near]


def tell_order(series: Sequence[Series], unit: str) -> str:
    """Say which lines are highest where they differ first, at the least that two of them share."""
    shared = Counter(x for s in series for x in s.xs)
    at = min((x for x, lines in shared.items() if lines > 1), default=min(shared))
    values = [(dict(zip(s.xs, s.values, strict=True)).get(at), s.name) for s in series]
    there = sorted(((v.value, name) for v, name in values if v), reverse=True)
    return f"At {at:g} {unit}, best first: {', '.join(f'{name} {v:.2f}' for v, name in there)}."


def scatter(
    title: str,
    dots: Sequence[Dot],
    x_label: str,
    y_label: str,
    *,
    x_ticks: tuple[Sequence[float], Sequence[str]],
    labelled: bool,
    front: Sequence[tuple[float, float]] = (),
    width: int = WIDTH,
) -> str:
    """Draw points over a logarithmic axis.

    Args:
      labelled: write names beside the points of a broad picture; otherwise names are those of a
        legend.
      front: corners of a staircase behind the points.
    """
    labelled = labelled and width >= WIDTH
    key = _Key.of([] if labelled else _names(dots), width)
    heading, start = _heading(title, width)
    top = start + key.height
    base = top + HEIGHT - TOP - BOTTOM
    values = [end for d in dots for end in d.value if not math.isnan(end)]
    low, high = min([0.0, *values]), max([0.05, *values])
    room = 0.06 * (high - low)
    x = Scale(min(x_ticks[0]), max(x_ticks[0]), LEFT, width - RIGHT, log=True)
    y = Scale(low - room, high + room, base, top)
    ticks = x_ticks if width >= WIDTH else _sparse(x, *x_ticks)
    parts = [*heading, *_y_axis(y, LEFT, width - RIGHT, y_label), *_x_ticks(x, base, *ticks)]
    parts.append(write((x.start + x.stop) / 2, base + BOTTOM - 10, x_label, "middle"))
    parts.append(_staircase(front, x, y))
    spots = [(x(d.x), y(d.value.value)) for d in dots]
    for d, spot in zip(dots, spots, strict=True):
        parts += _whiskered(d, spot, y)
    if labelled:
        frame = Box(LEFT, top - 12, width, base)
        placed = svg.place(spots, [d.name for d in dots], frame)
        parts += [write(*spot[:2], d.name, spot[2]) for d, spot in zip(dots, placed, strict=True)]
    return svg.picture(width, base + BOTTOM, [*parts, *key.draw(start)], title)


def _sparse(
    x: Scale, ticks: Sequence[float], texts: Sequence[str]
) -> tuple[Sequence[float], Sequence[str]]:
    """Leave out the ticks whose text would touch the one before."""
    kept: list[tuple[float, str]] = []
    for tick, text in zip(ticks, texts, strict=True):
        if not kept or abs(x(tick) - x(kept[-1][0])) > svg.text_width(text + kept[-1][1]) / 2 + 4:
            kept.append((tick, text))
    return [tick for tick, _ in kept], [text for _, text in kept]


def rows(
    title: str,
    groups: Sequence[tuple[str, Sequence[Dot]]],
    x_label: str,
    ticks: Sequence[float] = (0, 0.2, 0.4, 0.6, 0.8, 1),
    *,
    width: int = WIDTH,
) -> str:
    """Draw one row per group, its dots on lines below each other, with whiskers; a legend above.

    Args:
      ticks: of the axis, which they span.
      width: of the picture; in a narrow one the name of a row stands above its dots.
    """
    narrow = width < WIDTH
    left = 18 if narrow else max(svg.text_width(name) for name, _ in groups) + 16
    key = _Key.of(_names([d for _, dots in groups for d in dots]), width)
    heading, start = _heading(title, width)
    top, above = start + key.height, LINE_ABOVE if narrow else 0
    heights = [STEP * (1 + max(int(d.x) for d in dots)) + 12 + above for _, dots in groups]
    bottom = top + sum(heights)
    x = Scale(ticks[0], ticks[-1], left, width - (18 if narrow else RIGHT))
    parts = [*heading, *key.draw(start)]
    for tick in ticks:
        parts.append(line(x(tick), top, x(tick), bottom, class_="grid"))
    for tick, text in zip(*_sparse(x, ticks, [f"{tick:g}" for tick in ticks]), strict=True):
        parts.append(write(x(tick), bottom + 16, text, "middle"))
    at = top
    for (name, dots), size in zip(groups, heights, strict=True):
        beside = write(left - 8, at + size / 2 + 4, name, "end")
        parts.append(write(4, at + LINE_ABOVE, name) if narrow else beside)
        for d in dots:
            parts += _row_dot(d, x, at + above + 12 + STEP * int(d.x))
        at += size
        parts.append(line(x.start, at, x.stop, at, class_="grid"))
    parts.append(write((x.start + x.stop) / 2, bottom + BOTTOM - 10, x_label, "middle"))
    return svg.picture(width, bottom + BOTTOM, parts, title)


def _row_dot(d: Dot, x: Scale, py: float) -> list[str]:
    low, high = max(d.value.low, x.low), min(d.value.high, x.high)
    ends = (x(low), py, x(high), py)
    whisker = [line(*ends, stroke=colour(d.index), stroke_width=1.5)] if low < high else []
    return [*whisker, marker(d.index, x(d.value.value), py, hollow=d.hollow, title=d.said)]


def levels(
    title: str,
    values: Sequence[tuple[str, float, str, int]],
    marks: Sequence[tuple[float, str]],
    x_label: str,
    *,
    width: int = WIDTH,
) -> str:
    """Draw a dot per name over a logarithmic axis with marked limits; a bar has no length there.

    Args:
      values: name, number, what is written beside the dot, and index of the series.
      marks: limits with names.
      width: of the picture; in a narrow one the name stands above its dot.
    """
    narrow = width < WIDTH
    left = 18 if narrow else max(svg.text_width(name) for name, *_ in values) + 16
    right = max(svg.text_width(text) for _, _, text, _ in values) + 14
    x = Scale(*_decades(values, marks), left, width - right, log=True)
    heading, start = _heading(title, width)
    top, step = start + 20, 36 if narrow else 22
    bottom = top + step * len(values) + 6
    ticks = [m * 10.0**e for e in range(-4, 6) for m in (1, 3) if x.low <= m * 10.0**e <= x.high]
    parts = list(heading)
    for tick in ticks:
        parts.append(line(x(tick), top, x(tick), bottom, class_="grid"))
        parts.append(write(x(tick), bottom + 16, f"{tick:g}", "middle"))
    for i, (name, number, text, index) in enumerate(values):
        above = top + step * i + LINE_ABOVE
        py = above + 12 if narrow else top + step * i + 12
        parts.append(write(4, above, name) if narrow else write(left - 8, py + 4, name, "end"))
        parts.append(line(left, py, width - right, py, class_="grid"))
        parts.append(marker(index, x(number), py, title=f"{name}: {text} {x_label}"))
        parts.append(write(x(number) + 10, py + 4, text))
    for i, (limit, name) in enumerate(marks):  # names of neighbours lean away from each other
        parts.append(line(x(limit), top - 4, x(limit), bottom, class_="mark", stroke_width=1.5))
        parts.append(write(x(limit), top - 8, name, "start" if i else "end"))
    parts.append(write((left + width - right) / 2, bottom + 36, x_label, "middle"))
    return svg.picture(width, bottom + 46, parts, title)


def _decades(
    values: Sequence[tuple[str, float, str, int]], marks: Sequence[tuple[float, str]]
) -> tuple[float, float]:
    """Choose the ends of a logarithmic axis."""
    numbers = [number for _, number, *_ in values] + [limit for limit, _ in marks]
    return 10 ** math.floor(math.log10(min(numbers))), max(numbers) * 1.15


def _heading(title: str, width: int) -> tuple[list[str], float]:
    """Write a title in as many lines as it needs; says where the picture below begins."""
    texts = textwrap.wrap(title, int((width - 8) / svg.CHARACTER)) or [""]
    parts = [write(4, 16 + LINE * i, text, font_weight="bold") for i, text in enumerate(texts)]
    return parts, TOP + LINE * (len(texts) - 1)


def _y_axis(y: Scale, left: float, right: float, name: str) -> list[str]:
    step = _step(y.high - y.low)
    ticks = [i * step for i in range(math.ceil(y.low / step), math.floor(y.high / step) + 1)]
    parts = [line(left, y(t), right, y(t), class_="grid") for t in ticks]
    parts += [write(left - 8, y(t) + 4, f"{round(t, 6):g}", "end") for t in ticks]
    middle = (y.start + y.stop) / 2
    turn = f"rotate(-90 14 {middle:.1f})"
    return [*parts, write(14, middle, name, "middle", transform=turn)]


def _step(extent: float) -> float:
    rough = extent / 7
    scale = 10 ** math.floor(math.log10(rough))
    return next(m * scale for m in (1, 2, 5, 10) if m * scale >= rough)


def _x_ticks(x: Scale, base: float, ticks: Sequence[float], texts: Sequence[str]) -> list[str]:
    parts = [line(x.start, base, x.stop, base, class_="axis")]
    for tick, text in zip(ticks, texts, strict=True):
        parts.append(line(x(tick), base, x(tick), base + 4, class_="axis"))
        parts.append(write(x(tick), base + 18, text, "middle"))
    return parts


def _line(s: Series, x: Scale, y: Scale) -> list[str]:
    over = [f"{x(at):.1f},{y(v.high):.1f}" for at, v in zip(s.xs, s.values, strict=True)]
    under = [f"{x(at):.1f},{y(v.low):.1f}" for at, v in zip(s.xs, s.values, strict=True)]
    middle = [f"{x(at):.1f},{y(v.value):.1f}" for at, v in zip(s.xs, s.values, strict=True)]
    around = " ".join(over + under[::-1])
    band = element("polygon", points=around, fill=colour(s.index), opacity=0.1)
    path = element(
        "polyline",
        points=" ".join(middle),
        fill="none",
        stroke=colour(s.index),
        stroke_width=1.6,
        stroke_dasharray="6 3" if s.hollow else None,
    )
    dots = [
        marker(s.index, x(at), y(v.value), hollow=s.hollow, title=f"{s.name} at {at:g}: {v}")
        for at, v in zip(s.xs, s.values, strict=True)
    ]
    return [band, path, *dots]


def _whiskered(d: Dot, spot: tuple[float, float], y: Scale) -> list[str]:
    px, py = spot
    parts = [marker(d.index, px, py, hollow=d.hollow, title=d.said)]
    if d.value.low < d.value.high:
        ends = (px, y(d.value.low), px, y(d.value.high))
        parts.insert(0, line(*ends, stroke=colour(d.index), opacity=0.6))
    return parts


@dataclass(frozen=True)
class _Key:
    """A legend: names with their markers, in as many columns as the longest name leaves."""

    names: Sequence[tuple[str, int, bool]]
    width: int
    columns: int

    @classmethod
    def of(cls, names: Sequence[tuple[str, int, bool]], width: int) -> "_Key":
        """Choose the columns."""
        longest = max((svg.text_width(name) for name, *_ in names), default=0)
        return cls(names, width, min(3, max(1, int((width - 20) // (longest + 18)))))

    @property
    def height(self) -> int:
        """Height with the room below it; 0 without names."""
        return 18 * -(-len(self.names) // self.columns) + (8 if self.names else 0)

    def draw(self, top: float) -> list[str]:
        parts = []
        for i, (name, index, hollow) in enumerate(self.names):
            row, column = divmod(i, self.columns)
            px, py = 14 + column * (self.width - 20) / self.columns, top + 6 + 18 * row
            parts += [marker(index, px, py, hollow=hollow), write(px + 10, py + 4, name)]
        return parts


def _names(dots: Sequence[Dot]) -> list[tuple[str, int, bool]]:
    return list(dict.fromkeys((d.name, d.index, d.hollow) for d in dots))


def _staircase(front: Sequence[tuple[float, float]], x: Scale, y: Scale) -> str:
    if not front:
        return ""
    corners = []
    for (px, py), (_, before) in zip(front, [(0, front[0][1]), *front], strict=False):
        corners += [f"{x(px):.1f},{y(before):.1f}", f"{x(px):.1f},{y(py):.1f}"]
    corners.append(f"{x.stop:.1f},{y(front[-1][1]):.1f}")
    return element("polyline", points=" ".join(corners), fill="none", class_="mark")
