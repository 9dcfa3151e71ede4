"""The two tables of a sweep, on screen, in Markdown and as CSV.

    grid      exact match, cell accuracy (and the lenient score) of every scheme at every depth,
              in the shape of Tables 16-18, with the cost of each cell
    summary   one row per scheme at the deepest cell, in the shape of Table 9, with fidelity,
              stored bytes and the paired comparison with full precision

On screen and in Markdown a 95 % interval stands below or behind its value, in brackets (Wilson,
bootstrap) or as +- (means over puzzles); CSV files hold one number per field.
"""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from experiments import statistics
from experiments.analysis import Outcome, compare
from experiments.spec import Spec
from experiments.statistics import Interval
from experiments.tasks import LENIENT, Task
from experiments.variants import label

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


def grid_records(spec: Spec, outcomes: Sequence[Outcome]) -> list[Record]:
    """List every cell of the grid for every scheme, one record each."""
    return [
        {
            "scheme": label(outcome.scheme, spec.dtype),
            "T": t,
            "n": n,
            "h_cycles": t * n,
            "gflops": t * n * spec.gflops_per_cycle,
            "puzzles": outcome.num_puzzles,
            **fields("exact", outcome.exact(t * n)),
            **fields("lenient", outcome.lenient(t * n)),
            **fields("cell", outcome.cell(t * n)),
            **fields("fidelity", outcome.fidelity(t * n)),
            **fields("similarity", outcome.similarity(t * n)),
            **fields("residual", outcome.residual(t * n)),
        }
        for outcome in outcomes
        for t in reversed(spec.grid.T)
        for n in spec.grid.n
    ]


def summary_records(spec: Spec, outcomes: Sequence[Outcome]) -> list[Record]:
    """List one record per scheme at the deepest cell."""
    deepest, one_step = spec.grid.deepest, spec.grid.H_cycles
    sizes = dict(zip(spec.schemes, spec.bytes, strict=True))
    records = []
    for outcome in outcomes:
        pairs = compare(outcomes[0], outcome, deepest)
        difference = statistics.bootstrap_difference(pairs, spec.seed)
        records.append(
            {
                "scheme": label(outcome.scheme, spec.dtype),
                "bytes": sizes[outcome.scheme],
                "h_cycles": deepest,
                "puzzles": outcome.num_puzzles,
                **fields("exact", outcome.exact(deepest)),
                **fields("lenient", outcome.lenient(deepest)),
                **fields("cell", outcome.cell(deepest)),
                **fields("fidelity_one_step", outcome.fidelity(one_step)),
                **fields("fidelity", outcome.fidelity(deepest)),
                **fields("consecutive_similarity", outcome.call_similarity),
                **fields("exact_difference", difference),
                "lost": pairs.lost,
                "gained": pairs.gained,
                "mcnemar_p": statistics.mcnemar(pairs),
            }
        )
    return records


def grid_table(spec: Spec, outcomes: Sequence[Outcome]) -> Table:
    """Lay the grid out as Tables 16-18 do."""
    T, n = spec.grid.T[::-1], spec.grid.n
    metrics: dict[str, Callable[[Outcome, int], str]] = {
        "Exact": lambda outcome, cycles: with_interval(outcome.exact(cycles)),
        "Lenient": lambda outcome, cycles: with_interval(outcome.lenient(cycles)),
        "Cell": lambda outcome, cycles: with_error(outcome.cell(cycles)),
    }
    if LENIENT[Task(spec.task)] is None:
        del metrics["Lenient"]
    rows, sections = [], set()
    for t in T:
        costs = (f"{t * k * spec.gflops_per_cycle:.3g}" for k in n)
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


def summary_table(spec: Spec, outcomes: Sequence[Outcome]) -> Table:
    """Lay the comparison of schemes out as Table 9 does, and beyond."""
    lenient = LENIENT[Task(spec.task)] is not None
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


def heading(spec: Spec, outcomes: Sequence[Outcome]) -> str:
    """Say what was measured on what, and how often."""
    return f"{spec.model} on {spec.data}, {outcomes[0].num_puzzles} puzzles"


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


def print_tables(made: Iterable[Table], console: Console) -> None:
    """Print tables under their titles."""
    for table in made:
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
    reach = f"{interval.value - interval.low:.3f}".replace("0.", ".", 1)
    return f"{interval.value:.4f}\n+-{reach}"


def with_interval(interval: Interval) -> str:
    """Write a rate, and its interval on a second line."""
    low, high = (f"{x:.3f}".replace("0.", ".", 1) for x in interval[1:])
    return f"{interval.value:.4f}\n[{low}, {high}]"


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


def fields(name: str, interval: Interval) -> Record:
    """Make the three fields of a record that hold a number and its interval."""
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}


def interval_of(record: Record, name: str) -> Interval:
    """Read the fields that `fields` made."""
    return Interval(record[name], record[f"{name}_low"], record[f"{name}_high"])
