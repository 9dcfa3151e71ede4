"""Tables as text: on screen, in Markdown and as CSV, and how a number is written in a cell.

On screen and in Markdown a 95 % interval stands below or behind its value, in brackets (Wilson,
bootstrap) or as +- (means over puzzles); CSV files hold one number per field.

Not here: which tables there are (tables.py of each program).
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from trm_jax.intervals import Interval, short_number

Record = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """A table as text. A cell may have a second line (its interval).

    Attributes:
      sections: indices of rows that begin a new group.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    sections: frozenset[int]


def to_rich(table: Table) -> RichTable:
    """Draw a table for the terminal, without its title."""
    drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(table.header):
        drawn.add_column(name, justify="left" if i == 0 else "right", overflow="fold")
    for i, row in enumerate(table.rows):
        if i in table.sections:
            drawn.add_section()
        drawn.add_row(*map(escape, row))  # brackets are intervals, not styles
    return drawn


def print_tables(tables: Iterable[Table], console: Console) -> None:
    """Print tables under their titles."""
    for table in tables:
        console.print(f"[bold]{table.title}[/bold]")
        console.print(to_rich(table))


def to_markdown(table: Table) -> str:
    """Write a table in Markdown, its title above."""
    lines = [f"**{table.title}**", ""]
    for row in (table.header, ("---",) * len(table.header), *table.rows):
        lines.append("| " + " | ".join(cell.replace("\n", " ") for cell in row) + " |")
    return "\n".join(lines) + "\n"


def to_csv(records: Sequence[Record]) -> str:
    """Write records as CSV."""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue()


def with_error(interval: Interval) -> str:
    """Write a mean, and the reach of its (symmetric) interval on a second line."""
    return f"{interval.value:.4f}\n+-{short_number(interval.value - interval.low)}"


def with_interval(interval: Interval) -> str:
    """Write a rate, and its interval on a second line."""
    return str(interval).replace(" ", "\n", 1)


def points_text(difference: Interval) -> str:
    """Write a difference of rates in percentage points, and its interval on a second line."""
    value, low, high = (f"{100 * x:+.1f}" for x in difference)
    return f"{value}\n[{low}, {high}]"


def size_text(size: int) -> str:
    """Write bytes with a decimal unit."""
    return f"{size / 1e6:.2f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def p_text(p: float) -> str:
    """Write a p-value."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"
