"""Tables on terminals of any width: columns below each other, no number ever broken."""

import io
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from rich.console import Console

from experiments.render import figures
from experiments.render.console import make_console
from experiments.render.tables import (
    EDGES,
    GAP,
    Table,
    column_widths,
    digits_text,
    fit,
    print_tables,
    to_csv,
    to_markdown,
    to_rich,
    with_error,
)
from trm_jax.intervals import mean

SUMMARY = Table(
    "T=2, n=16: a-model on some-puzzles, 200 puzzles",
    ("scheme", "exact match", "cell accuracy", "fidelity, one step", "lost, points", "p", "size"),
    tuple(
        (
            name,
            "0.8731\n[0.8164, 0.9140]",
            "0.961284\n+-0.000123",
            "0.999999\n+-0.000001",
            "-12.5\n[-15.0, -10.1]",
            "<0.001",
            "123.45 MB",
        )
        for name in ("fp32", "w4c-asym_a8da_carrybf16", "int3_calibrated")
    ),
    frozenset({1}),
)


def shown(table: Table, width: int) -> str:
    out = io.StringIO()
    print_tables([table], Console(file=out, width=width))
    return out.getvalue()


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 140, 200])
def test_no_cell_is_broken_or_dropped(width: int) -> None:
    text = shown(SUMMARY, width)
    for row in SUMMARY.rows:
        for cell in row:
            for line in cell.split("\n"):
                repeats = sum(line in c.split("\n") for r in SUMMARY.rows for c in r)
                assert text.count(line) >= repeats
    assert "…" not in text


@pytest.mark.parametrize("width", [50, 80, 100, 140])
def test_lines_stay_within_the_width(width: int) -> None:
    assert max(map(len, shown(SUMMARY, width).splitlines())) <= width


def test_every_part_names_its_rows() -> None:
    parts = fit(SUMMARY, 80)
    assert parts is not None
    assert len(parts) > 1
    names = [row[0] for row in SUMMARY.rows]
    for part in parts:
        assert [row[0] for row in part.rows] == names
    headers = [name for part in parts for name in part.header[1:]]
    assert headers == list(SUMMARY.header[1:])


def test_a_table_that_fits_stays_whole() -> None:
    assert fit(SUMMARY, 500) == [SUMMARY]
    assert fit(Table("t", ("only",), (("a" * 99,),), frozenset()), 40) is not None


def test_the_widths_are_those_that_rich_draws() -> None:
    drawn = Console(width=500).measure(to_rich(SUMMARY)).maximum
    widths = column_widths(SUMMARY)
    assert drawn == sum(widths) + GAP * (len(widths) - 1) + EDGES


def test_a_terminal_narrower_than_two_columns_gets_a_list() -> None:
    lines = shown(SUMMARY, 30).splitlines()
    assert "w4c-asym_a8da_carrybf16" in lines
    assert "  exact match:" in lines
    assert "    [0.8164, 0.9140]" in lines


ODD = "runs/try[bold]/[/red]:x:"
"""A path with what would be a style, the end of one that was not begun, and an emoji."""


def test_texts_are_printed_as_they_stand(capsys: pytest.CaptureFixture[str]) -> None:
    make_console().print(f"rows and tables: {ODD}", soft_wrap=True)
    assert capsys.readouterr().out == f"rows and tables: {ODD}\n"
    text = shown(Table(ODD, ("a", f"b {ODD}"), (("fp32", ODD),), frozenset()), 200)
    assert text.count(ODD) == 3


def test_a_bar_is_no_column_of_markdown() -> None:
    text = to_markdown(Table("t", ("a", "b"), (("x|y", "1\n[0, 2]"),), frozenset()))
    assert text.splitlines()[-1] == "| x\\|y | 1 [0, 2] |"


def test_a_mean_of_one_puzzle_has_no_error() -> None:
    assert with_error(mean(0.5, 0.25, 1)) == "0.5000"
    assert with_error(mean(1.0, 0.5, 2)) == "0.5000\n+-.000"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.012345, "0.0123"), (12.3, "12.3"), (999.4, "999"), (999.6, "1,000"), (3820.6, "3,821")],
)
def test_large_numbers_have_all_their_digits(value: float, text: str) -> None:
    assert digits_text(value) == text


def test_a_figure_has_the_name_that_was_asked_for(tmp_path: Path) -> None:
    figures.save(Figure(), tmp_path / "int8.v1")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["int8.v1.png", "int8.v1.svg"]


def test_a_number_that_is_missing_is_an_empty_field() -> None:
    records = [{"scheme": "a", "p": float("nan"), "low": None}, {"scheme": "b", "p": 0.5, "low": 0}]
    assert to_csv(records) == "scheme,p,low\na,,\nb,0.5,0\n"
