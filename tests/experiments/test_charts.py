"""Pictures: well-formed, inside their frame, names clear of each other."""

import itertools
import xml.etree.ElementTree as ET

import pytest

from experiments.render import charts, figures, svg
from experiments.render.charts import Dot, Series
from experiments.render.scheme_style import (
    DARK,
    LIGHT,
    SERIES,
    SHAPES,
    scheme_index,
    shape_of,
)
from experiments.render.svg import Box, Scale
from experiments.report import jobs
from quant.scheme import METHOD_SUFFIXES, NAMED_SCHEMES, parse
from trm_jax.intervals import Interval

NS = "{http://www.w3.org/2000/svg}"
FULL = Interval(0.95, 0.9, 0.97)


def texts(picture: str) -> list[ET.Element]:
    """Find the lines of text of a picture."""
    return list(ET.fromstring(picture).iter(f"{NS}text"))


def box(text: ET.Element) -> Box:
    """Estimate where a line stands, as the layout does."""
    x, y = float(text.get("x", 0)), float(text.get("y", 0))
    width = svg.text_width(text.text or "")
    left = x - {"start": 0, "middle": width / 2, "end": width}[text.get("text-anchor", "start")]
    return Box(left, y - svg.LINE + 3, left + width, y + 3)


def eight_equal_lines() -> str:
    """Draw the worst case: eight lines that end in one point."""
    series = [Series(f"scheme-{i}", i, (1, 2, 4), (FULL,) * 3) for i in range(8)]
    return charts.lines("title", series, "depth", "share")


def crowded_scatter() -> str:
    """Draw points that nearly coincide."""
    dots = [Dot(f"scheme-{i}", i, 1e5 * (1 + i / 50), FULL) for i in range(6)]
    ticks = ((1e4, 1e5, 1e6), ("10", "100", "1000"))
    return charts.scatter("title", dots, "size", "share", x_ticks=ticks, labelled=True)


@pytest.mark.parametrize("draw", [eight_equal_lines, crowded_scatter])
def test_names_do_not_overlap(draw):
    names = [t for t in texts(draw()) if (t.text or "").startswith("scheme-")]
    assert len(names) >= 6
    clashes = [
        (a.text, b.text) for a, b in itertools.combinations(names, 2) if box(a).overlaps(box(b))
    ]
    assert clashes == []


PICTURES = {
    "lines": eight_equal_lines,
    "scatter": crowded_scatter,
    "rows": lambda: charts.rows("t", [("a & b", [Dot("x<y", 0, 0, FULL, hollow=True)])], "share"),
    "levels": lambda: charts.levels(
        "t", [("a", 3.0, "3", 0), ("b", 120.0, "120", 9)], [(4.0, "4 MB"), (8.0, "8 MB")], "MiB"
    ),
}


WIDE_NAMES = ("int4_calibrated, paper", "int4_naive, paper", "int8, paper", "fp32")
AXIS = ("axis", "share")
NARROW = {
    "lines": lambda width: charts.lines(
        "A title that is longer than a phone is broad, by a word or two",
        [Series(name, i, (1, 2, 3, 48), (FULL,) * 4) for i, name in enumerate(WIDE_NAMES)],
        *AXIS,
        width=width,
    ),
    "scatter": lambda width: charts.scatter(
        "title",
        [Dot(name, i, 1e5 * (1 + i), FULL) for i, name in enumerate(WIDE_NAMES)],
        *AXIS,
        x_ticks=([1e4 * 1.6**i for i in range(10)], [f"{i}00 kB" for i in range(10)]),
        labelled=True,
        width=width,
    ),
    "rows": lambda width: charts.rows(
        "title",
        [("sudoku-trm-att-mini", [Dot(name, i, i, FULL) for i, name in enumerate(WIDE_NAMES)])],
        "share",
        width=width,
    ),
    "levels": lambda width: charts.levels(
        "title",
        [(name, 3.0, "3.00", 0) for name in WIDE_NAMES],
        [(4.0, "4 MB")],
        "MiB",
        width=width,
    ),
}


@pytest.mark.parametrize("draw", NARROW.values(), ids=NARROW)
def test_a_narrow_picture_fits_a_phone_and_says_as_much(draw):
    broad, narrow = (ET.fromstring(picture) for picture in charts.draw_both(draw))
    assert float(narrow.get("width", 0)) <= 390 - 2 * 11  # the page's margins
    frame = Box(-1, -1, *(float(narrow.get(side, 0)) + 1 for side in ("width", "height")))
    upright = [t for t in narrow.iter(f"{NS}text") if t.get("transform") is None]
    assert [t.text for t in upright if not box(t).inside(frame)] == []
    clashes = [
        (a.text, b.text) for a, b in itertools.combinations(upright, 2) if box(a).overlaps(box(b))
    ]
    assert clashes == []
    assert {t.text for t in upright} >= set(WIDE_NAMES)
    tips = [
        [e.get("data-tip") for e in root.iter() if e.get("data-tip")] for root in (broad, narrow)
    ]
    assert tips[0] == tips[1] != []


@pytest.mark.parametrize("draw", PICTURES.values(), ids=PICTURES)
def test_pictures_are_well_formed_and_keep_inside(draw):
    root = ET.fromstring(draw())
    _, _, width, height = map(float, root.get("viewBox", "").split())
    frame = Box(-1, -1, width + 1, height + 1)
    upright = [t for t in root.iter(f"{NS}text") if t.get("transform") is None]
    assert [t.text for t in upright if not box(t).inside(frame)] == []
    assert root.find(f"{NS}title") is not None


def test_colours_follow_the_reader_and_print():
    picture = eight_equal_lines()
    assert "prefers-color-scheme:dark" in picture
    assert "@media print" in picture
    assert "#" not in picture.replace(svg.STYLE, "").replace("&#", "")  # variables only


def test_a_scheme_has_one_colour_wherever_it_is_drawn():
    """Colours tell what is stored apart, markers how the integers were chosen."""
    assert len({scheme_index(name) for name in ("fp32", "bf16", "fp16")}) == 3
    names = ("fp32", "bf16", "int8", "int4_naive", "int4_calibrated", "int3_naive")
    papers = [scheme_index(name) % SERIES for name in (*names, "int3_calibrated")]
    assert len(set(papers)) == len(papers)
    assert scheme_index("w4t-sym") == scheme_index("int4_naive")
    better = scheme_index("w4t-sym-gptq")
    assert svg.colour(better) == svg.colour(scheme_index("int4_naive"))
    assert figures.colour(better) == figures.colour(scheme_index("int4_naive"))
    assert svg.marker(better, 0, 0) != svg.marker(scheme_index("int4_naive"), 0, 0)
    assert figures.marker(better) != figures.marker(scheme_index("int4_naive"))
    assert len(figures.MARKERS) == len(svg.SHAPES) == SHAPES
    assert len(DARK) == SERIES
    assert f"--s{SERIES - 1}:{LIGHT[-1]}" in svg.STYLE  # one palette for both kinds of figures


def test_schemes_that_a_report_shows_differ_in_colour_or_marker():
    """Grids differ in colour; on one grid methods, inputs and arithmetic differ in marker."""
    grids = [f"w{bits}{scales}-sym" for bits in range(2, 9) for scales in "tc"]
    stored = {scheme_index(name) % SERIES for name in (*grids, "fp32", "fp16", "bf16")}
    assert len(stored) == len(grids) + 3
    assert len({LIGHT[i] for i in stored}) == len({DARK[i] for i in stored}) == len(stored)
    swept = f"{jobs.WEIGHTS},{jobs.LOOP_AWARE},{jobs.INPUTS},{jobs.INTEGERS}".split(",")
    methods = [f"w4t-{grid}{suffix}" for grid in ("sym", "asym") for suffix in METHOD_SUFFIXES]
    names = {parse(name).name for name in (*NAMED_SCHEMES, *swept, *methods)}
    looks = {(scheme_index(n) % SERIES, shape_of(scheme_index(n))) for n in names}
    assert len(looks) == len(names)


@pytest.mark.parametrize(("colours", "ground"), [(LIGHT, "#ffffff"), (DARK, "#16181b")])
def test_every_colour_is_seen_on_its_ground(colours: tuple[str, ...], ground: str):
    """WCAG 2.2, 1.4.11: a picture's marks have a contrast of 3 to their ground."""

    def luminance(colour: str) -> float:
        parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05

    behind = luminance(ground)
    contrasts = {c: max(luminance(c), behind) / min(luminance(c), behind) for c in colours}
    assert {c: k for c, k in contrasts.items() if k < 3} == {}


def test_levels_have_no_bars_and_values_are_shown_where_a_reader_points():
    root = ET.fromstring(PICTURES["levels"]())
    assert root.find(f".//{NS}rect") is None
    tips = [element.get("data-tip") for element in root.iter() if element.get("data-tip")]
    assert tips == ["a: 3 MiB", "b: 120 MiB"]


def test_scales():
    linear, log = Scale(0, 2, 100, 0), Scale(1, 100, 0, 10, log=True)
    assert [linear(v) for v in (0, 1, 2)] == [100, 50, 0]
    assert log(10) == pytest.approx(5)


def test_text_is_escaped():
    assert (
        svg.write(0, 0, "a<b & c") == '<text x="0" y="0" text-anchor="start">a&lt;b &amp; c</text>'
    )
    assert svg.element("p", title='"x"') == '<p title="&quot;x&quot;"/>'
