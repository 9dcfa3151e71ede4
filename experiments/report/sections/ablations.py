"""Sections on interventions beside precision (Tables 1, 12-14, App. J, Sec. 3.7, 4.2, 4.6).

Each study's own table, then ours beside the paper's where a variant has a row there.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from experiments.ablate import tables as ablate_tables
from experiments.paper import tables
from experiments.paper.tables import PaperTable
from experiments.render.document import Block, Command, Paragraph, Section
from experiments.render.tables import Record, Table, with_error, with_interval
from experiments.report.cells import number
from experiments.report.inputs import Results
from trm_jax.intervals import interval_of

Numbers = tuple[float | None, float | None]
"""Exact match and cell accuracy as the paper prints them, as shares."""


class Known(NamedTuple):
    """A study that the paper has a table of.

    Attributes:
      find: (task, variant) -> the paper's numbers, or None.
    """

    table: PaperTable
    find: Callable[[str, str], Numbers | None]


def _of_task(table: PaperTable, task: str, row: str) -> Numbers | None:
    columns = [f"{task} {name}" for name in ("PExact", "CellAcc")]
    if (row,) not in table.rows or columns[0] not in table.columns:
        return None
    exact, cell = (table.fraction((row,), column) for column in columns)
    return exact, cell


def _pruning(task: str, variant: str) -> Numbers | None:
    """The paper pruned every linear layer, the heads too."""
    rows = {"fp32": "0%", "25% of all linears": "25%", "50% of all linears": "50%"}
    return _of_task(tables.PRUNING, task, rows[variant]) if variant in rows else None


def _truncation(task: str, variant: str) -> Numbers | None:
    share = re.match(r"(\d+)% context, n=1$", variant)
    if not share or task not in tables.TRUNCATION.columns:
        return None
    row = (f"{share[1]}%",)
    return (tables.TRUNCATION.fraction(row, task), None) if row in tables.TRUNCATION.rows else None


def _distillation(task: str, variant: str) -> Numbers | None:
    table = tables.DISTILLATION
    if not variant.startswith("student") or (task,) not in table.rows:
        return None
    return table.fraction((task,), "PExact"), table.fraction((task,), "CellAcc")


def _linear_attention(task: str, variant: str) -> Numbers | None:
    """The paper's baseline has taken one supervision step."""
    rows = {
        "fp32, n=1": "softmax",
        "linear, zero-shot, n=1": "zero-shot",
        "linear, retrained, n=1": "retrained",
    }
    if task != "maze" or variant not in rows:
        return None
    table, row = tables.LINEAR_ATTENTION, (rows[variant],)
    return table.fraction(row, "PExact"), table.fraction(row, "CellAcc")


def _qat(task: str, variant: str) -> Numbers | None:
    return (0.0, 0.0) if "int4" in variant and "no gradient" in variant else None


def _activations(task: str, variant: str) -> Numbers | None:
    table = tables.STATIC
    static = variant == "w8c-sym_a8s, states too" and (task,) in table.rows
    return (table.fraction((task,), "PExact"), None) if static else None


KNOWN = {
    "activations": Known(tables.STATIC, _activations),
    "truncation": Known(tables.TRUNCATION, _truncation),
    "pruning": Known(tables.PRUNING, _pruning),
    "distillation": Known(tables.DISTILLATION, _distillation),
    "linear_attention": Known(tables.LINEAR_ATTENTION, _linear_attention),
    "qat": Known(tables.QAT, _qat),
}
"""Studies whose variants have rows in the paper."""


def ablation_section(results: Results) -> Section:
    """Show every study, and beside the paper where it can be."""
    blocks: list[Block] = [
        Paragraph(
            "The paper's pattern: cells stay right, puzzles fall to zero, whatever the"
            " intervention. Every variant is paired with its reference on the same puzzles."
        )
    ]
    for ablation in results.ablations:
        blocks += [replace(t, model=ablation.spec.model) for t in ablate_tables.tables(ablation)]
    for study, published in KNOWN.items():
        records = results.records_of(study)
        if table := comparison(published, records):
            blocks.append(table)
        elif not records:
            text = f"{published.table.title} ({_where(published.table)}) was not measured; with:"
            task = "maze" if study == "linear_attention" else "sudoku"
            line = f"python -m experiments.ablate --task {task} --only {study}"
            blocks.append(Command(text, line))
    title = "Other interventions (Tables 1, 12-14, App. J, Sec. 3.7, 4.2)"
    return Section("interventions", title, tuple(blocks))


def comparison(published: Known, records: Sequence[Record]) -> Table | None:
    """Lay variants that the paper has beside its numbers; None if there is none."""
    body = []
    for record in records:
        theirs = published.find(record["task"], record["variant"])
        if theirs is not None:
            body.append(
                (
                    record["task"],
                    record["variant"],
                    with_interval(interval_of(record, "exact")),
                    number(theirs[0]),
                    with_error(interval_of(record, "cell")),
                    number(theirs[1]),
                )
            )
    header = ("Task", "Variant", "Exact", "Exact,\npaper", "Cell", "Cell,\npaper")
    title = f"{_where(published.table)}, ours and the paper's: {published.table.title}"
    return Table(title, header, tuple(body), frozenset()) if body else None


def vote_section(results: Results) -> Section:
    """Show ARC with augment-and-vote."""
    blocks: list[Block] = [*results.votes]
    if not blocks:
        blocks.append(
            Command(
                "ARC with augment-and-vote was not measured; with:",
                "python -m experiments.arc --limit 20",
            )
        )
    return Section("arc", "ARC with augment-and-vote (Tables 3, 4, 16)", tuple(blocks))


def _where(table: PaperTable) -> str:
    return f"Table {table.number}" if table.number.isdecimal() else table.number
