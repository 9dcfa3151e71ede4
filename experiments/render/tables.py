"""Tables as text: on screen, in Markdown and as CSV, and how a number is written in a cell.

On screen and in Markdown a 95 % interval stands below or behind its value, in brackets (rates
and differences of rates) or as +- (means over puzzles); CSV files hold one number per field.

Not here: which tables there are (tables.py of each program).
"""

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from trm_jax.intervals import Interval, short_number

Record = dict[str, Any]
GAP, EDGES = 3, 2  # columns between two columns of a drawn table, and at its sides


@dataclass(frozen=True)
class Table:
    """A table as text. A cell may have a second line (its interval).

    Attributes:
      sections: indices of rows that begin a new group.
      model: whose numbers they are; empty: of no single model.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    sections: frozenset[int]
    model: str = ""


def to_rich(table: Table) -> RichTable:
    """Draw a table for the terminal, without its title; `fit` cuts one that is too wide."""
    drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(table.header):
        drawn.add_column(Text(name), justify="left" if i == 0 else "right", overflow="fold")
    for i, row in enumerate(table.rows):
        if i in table.sections:
            drawn.add_section()
        drawn.add_row(*map(Text, row))  # brackets are intervals, not styles
    return drawn


def fit(table: Table, width: int) -> list[Table] | None:
    """Cut a table that is too wide into tables below each other, each with the first column.

    Args:
      width: of the terminal, in columns.

    Returns:
      The parts, in order; None if the first column and another one do not fit side by side.
    """
    widths = column_widths(table)
    parts: list[list[int]] = []
    left = 0
    for column, needed in enumerate(widths[1:], 1):
        if left < needed + GAP:
            if widths[0] + GAP + needed + EDGES > width:
                return None
            parts.append([])
            left = width - widths[0] - EDGES
        parts[-1].append(column)
        left -= needed + GAP
    return [_columns(table, [0, *columns]) for columns in parts] or [table]


def column_widths(table: Table) -> list[int]:
    """Measure the widest line of every column, its heading included."""
    columns = zip(table.header, *table.rows, strict=True)
    return [max(cell_len(line) for cell in c for line in cell.split("\n")) for c in columns]


def _columns(table: Table, columns: Sequence[int]) -> Table:
    def take(cells: Sequence[str]) -> tuple[str, ...]:
        return tuple(cells[column] for column in columns)

    return replace(table, header=take(table.header), rows=tuple(map(take, table.rows)))


def to_list(table: Table) -> str:
    """Write a table as a list, for terminals too narrow for two columns: one line per cell."""
    lines = []
    for row in table.rows:
        lines.append(row[0].replace("\n", " "))
        pairs = zip(table.header[1:], row[1:], strict=True)
        for name, cell in pairs:
            shown = " ".join(name.split())
            lines += [f"  {shown}:", *(f"    {line}" for line in cell.split("\n"))]
    return "\n".join(lines)


def print_table(table: Table, console: Console) -> None:
    """Print a table, without its title, in the width of the console."""
    parts = fit(table, console.width)
    if parts is None:
        console.print(to_list(table), soft_wrap=True, markup=False, highlight=False)
    for part in parts or ():
        console.print(to_rich(part))


def print_tables(tables: Iterable[Table], console: Console) -> None:
    """Print tables under their titles."""
    for table in tables:
        console.print(Text(table.title, style="bold"))
        print_table(table, console)


def to_markdown(table: Table) -> str:
    """Write a table in Markdown, its title above."""
    lines = [f"**{table.title}**", ""]
    for row in (table.header, ("---",) * len(table.header), *table.rows):
        lines.append("| " + " | ".join(_markdown_cell(cell) for cell in row) + " |")
    return "\n".join(lines) + "\n"


def _markdown_cell(text: str) -> str:
    return text.replace("\n", " ").replace("|", "\\|")


def to_csv(records: Sequence[Record]) -> str:
    """Write records as CSV; a number that is missing (None, NaN) is an empty field."""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(records[0]), lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerow({name: "" if v is None or v != v else v for name, v in record.items()})
    return out.getvalue()


INTERVAL = re.compile(r"\[(\S+), (\S+)\]")
ERROR = re.compile(r"\+-(\S+)")


def cells_to_csv(table: Table) -> str:
    """Write a table's cells as CSV, one number per field.

    An interval below a value goes into columns of its own, named after the column: its ends behind
    "low" and "high", a reach behind "+-".
    """
    parts: list[dict[str, str]] = [{} for _ in table.rows]
    fields: list[str] = []
    for at, heading in enumerate(table.header):
        name = heading.replace("\n", " ")
        while name in fields:  # two columns of one heading stay two columns
            name += "'"
        found = [_split_cell(name, row[at]) for row in table.rows]
        fields += list(dict.fromkeys([name, *(key for cell in found for key in cell)]))
        for part, cell in zip(parts, found, strict=True):
            part.update(cell)
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=fields, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(parts)
    return out.getvalue()


def _split_cell(name: str, cell: str) -> dict[str, str]:
    value, _, below = cell.partition("\n")
    if ends := INTERVAL.fullmatch(below):
        return {name: value, f"{name}, low": ends[1], f"{name}, high": ends[2]}
    if reach := ERROR.fullmatch(below):
        return {name: value, f"{name}, +-": reach[1]}
    return {name: cell.replace("\n", " ")}


def with_error(interval: Interval) -> str:
    """Write a mean, and the reach of its (symmetric) interval on a second line.

    Of one puzzle no reach is known (`trm_jax.intervals.mean`), and none is written.
    """
    if math.isnan(interval.low):
        return f"{interval.value:.4f}"
    return f"{interval.value:.4f}\n+-{short_number(interval.value - interval.low)}"


def with_interval(interval: Interval) -> str:
    """Write a rate, and its interval on a second line."""
    return str(interval).replace(" ", "\n", 1)


def number_text(value: Interval, form: str) -> str:
    """Write a number in a form, and its interval, where one is known, on a second line."""
    if math.isnan(value.low):
        return format(value.value, form)
    low, high = (format(end, form) for end in value[1:])
    return f"{value.value:{form}}\n[{low}, {high}]"


def points_text(difference: Interval) -> str:
    """Write a difference of rates in percentage points, and its interval on a second line."""
    value, low, high = (f"{100 * x:+.1f}" for x in difference)
    return f"{value}\n[{low}, {high}]"


def digits_text(value: float, digits: int = 3) -> str:
    """Write a number with so many digits, a larger one with all it has: 3,820, not 3.82e+03."""
    text = f"{value:.{digits}g}"
    return f"{value:,.0f}" if "e+" in text else text


def percent_text(share: float) -> str:
    """Write a share in percent, an eighth as 12.5 %."""
    return f"{100 * share:.3g} %"


def size_text(size: int) -> str:
    """Write bytes with a decimal unit."""
    return f"{size / 1e6:.2f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def p_text(p: float) -> str:
    """Write a p-value."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"
