"""Numbers of policies on the same puzzles: accuracy, length, hard caps, and their tables."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from experiments.decode.studies.folder import AnswerRow
from experiments.render.tables import (
    Record,
    Table,
    print_tables,
    to_csv,
    to_markdown,
    with_error,
    with_interval,
)
from trm_jax.intervals import Interval, interval_fields, mean, paired_difference, pairs, wilson
from trm_jax.output.staging import replace_text

CAPS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384)
"""Tokens at which answers are cut."""


def exact(row: AnswerRow) -> Interval:
    """Estimate the share of right answers."""
    return wilson(int(row.solved.sum()), row.solved.size)


def mean_of(values: np.ndarray) -> Interval:
    """Estimate a mean over puzzles."""
    numbers = np.asarray(values, np.float64)
    return mean(float(numbers.sum()), float(np.square(numbers).sum()), numbers.size)


def under_cap(row: AnswerRow, cap: int) -> Interval:
    """Estimate the share of right answers if all are cut: one that is not finished is wrong."""
    return wilson(int((row.solved & (row.lengths <= cap)).sum()), row.solved.size)


def difference(reference: AnswerRow, row: AnswerRow) -> Interval:
    """Estimate what a policy gains on a reference, in pairs."""
    return paired_difference(pairs(reference.solved, row.solved))


def answer_record(row: AnswerRow, reference: AnswerRow) -> Record:
    """Lay out the numbers of a policy."""
    shorter = reference.lengths.mean() / row.lengths.mean()
    return {
        "policy": row.stage,
        "puzzles": row.solved.size,
        **interval_fields("exact", exact(row)),
        **interval_fields("gained", difference(reference, row)),
        **interval_fields("tokens", mean_of(row.lengths)),
        "median": float(np.median(row.lengths)),
        "shorter": float(shorter),
    }


def answer_table(title: str, rows: Sequence[AnswerRow]) -> tuple[Table, list[Record]]:
    """Compare policies with the first of them."""
    records = [answer_record(row, rows[0]) for row in rows]
    header = ("policy", "exact", "against the first", "tokens", "median", "times shorter")
    cells = [
        (
            row.stage,
            with_interval(exact(row)),
            "" if row is rows[0] else with_interval(difference(rows[0], row)),
            with_error(mean_of(row.lengths)),
            f"{record['median']:.0f}",
            f"{record['shorter']:.2f}",
        )
        for row, record in zip(rows, records, strict=True)
    ]
    count = rows[0].solved.size
    return Table(f"{title}, {count} puzzles, 95 % intervals", header, tuple(cells), frozenset()), (
        records
    )


def cap_table(rows: Sequence[AnswerRow]) -> Table:
    """Show accuracy under hard caps, up to the longest answer."""
    longest = max(int(row.lengths[row.solved].max(initial=0)) for row in rows)
    caps = [cap for cap in CAPS if cap < longest] + [longest]
    header = ("policy", *(f"{cap} tokens" for cap in caps))
    cells = tuple(
        (row.stage, *(with_interval(under_cap(row, cap)) for cap in caps)) for row in rows
    )
    return Table("Exact match under hard caps (cut answers are wrong)", header, cells, frozenset())


def write_tables(
    out: Path, name: str, tables: Sequence[Table], records: Sequence[Record], console: Console
) -> None:
    """Print tables, and write them into a folder."""
    print_tables(tables, console)
    replace_text(out / f"{name}.md", "\n".join(map(to_markdown, tables)))
    replace_text(out / f"{name}.csv", to_csv(records))
