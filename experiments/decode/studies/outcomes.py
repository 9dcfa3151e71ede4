"""Numbers of policies on the same puzzles: accuracy, length, hard caps; their tables and figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console

from experiments.decode.studies.folder import SETTINGS_FILE, AnswerRow, read_answers
from experiments.render.figures import DASHES, STYLE, colour, figure_of
from experiments.render.tables import (
    Record,
    Table,
    digits_text,
    print_tables,
    size_text,
    to_csv,
    to_markdown,
    with_error,
    with_interval,
)
from trm_jax.intervals import (
    Interval,
    interval_fields,
    mcnemar,
    mean,
    paired_difference,
    pairs,
    wilson,
)
from trm_jax.output.staging import replace_text
from trm_jax.typed_json import read_json

CAPS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384)
"""Tokens at which answers are cut."""
DRAWN_CAPS, BINS = 80, 40
"""Points of a curve over caps at most, and of a distribution of lengths."""


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


def order_table(title: str, rows: Sequence[AnswerRow]) -> tuple[Table, list[Record]]:
    """Lay orders out one below the other."""
    records = [
        {
            "order": row.stage,
            "puzzles": row.solved.size,
            **interval_fields("exact", exact(row)),
            **interval_fields("tokens", mean_of(row.lengths)),
            **row.values,
        }
        for row in rows
    ]
    header = ("order", "exact", "cells", "tokens", "GFLOPs", "weights read", "learned from, tokens")
    cells = tuple(
        (
            row.stage,
            with_interval(exact(row)),
            f"{row.values['cells']:.4f}",
            with_error(mean_of(row.lengths)),
            digits_text(row.values["gflops"]),
            size_text(round(row.values["bytes_read"])),
            f"{row.values['taught']:,.0f}" if row.values["taught"] else "",
        )
        for row in rows
    )
    count = rows[0].solved.size
    return Table(f"{title}, {count} puzzles, 95 % intervals", header, cells, frozenset()), records


def pair_table(title: str, compared: Sequence[tuple[AnswerRow, AnswerRow]]) -> Table:
    """Compare policies two by two on the same puzzles."""
    rows = tuple(
        (
            before.stage,
            after.stage,
            with_interval(difference(before, after)),
            f"{mcnemar(pairs(before.solved, after.solved)):.2g}",
        )
        for before, after in compared
    )
    return Table(title, ("from", "to", "gained", "McNemar's p"), rows, frozenset())


def cap_table(rows: Sequence[AnswerRow]) -> Table:
    """Show accuracy under hard caps, up to the longest answer."""
    longest = max(int(row.lengths[row.solved].max(initial=0)) for row in rows)
    caps = [cap for cap in CAPS if cap < longest] + [longest]
    header = ("policy", *(f"{cap} tokens" for cap in caps))
    cells = tuple(
        (row.stage, *(with_interval(under_cap(row, cap)) for cap in caps)) for row in rows
    )
    return Table("Exact match under hard caps (cut answers are wrong)", header, cells, frozenset())


def cap_figure(title: str, rows: Sequence[AnswerRow]) -> Figure:
    """Draw accuracy under every hard cap, and how long answers are, policy by policy."""
    longest = max(int(row.lengths.max()) for row in rows)
    caps = np.unique(np.linspace(0, longest, DRAWN_CAPS).astype(int))
    bins = np.unique(np.linspace(0, longest + 1, BINS).astype(int))
    with mpl.rc_context(STYLE):
        figure = figure_of(9.6, 4.2)
        left, right = figure.subplots(1, 2)
        for i, row in enumerate(rows):
            rates = [under_cap(row, int(cap)) for cap in caps]
            line: dict[str, Any] = {"color": colour(i), "linestyle": DASHES[i % len(DASHES)]}
            left.plot(caps, [rate.value for rate in rates], label=row.stage, **line)
            reach = [rate.low for rate in rates], [rate.high for rate in rates]
            left.fill_between(caps, *reach, color=colour(i), alpha=0.15, linewidth=0)
            right.hist(row.lengths, bins=bins, histtype="step", **line)
        left.set_xlabel("Tokens at which an unfinished answer is cut")
        left.set_ylabel("Puzzles without a wrong cell")
        left.set_ylim(0, 1.02)
        right.set_xlabel("Tokens written")
        right.set_ylabel("Puzzles")
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3)
        figure.suptitle(f"{title}, {rows[0].solved.size} puzzles")
    return figure


TITLES = {
    "order": "Orders of writing",
    "budget": "Budget forcing",
    "parallel": "Votes of parallel samples",
    "switch": "Direct answers and traces",
    "lora": "Adapters",
}
"""What a study is called where its numbers are read back."""
CAPPED = ("order", "budget")
"""Studies whose answers are looked at under hard caps."""
APART = (", validation", ", to choose")
"""Ends of the names of stages whose puzzles were not evaluated."""
BASE = "base"
"""The stage that others are compared with, where it was not the first to finish."""


def read_tables(folder: Path) -> list[Table]:
    """Lay out the answers of a study from its rows.

    Raises:
      ValueError: a file is damaged, or no stage is finished.
    """
    document = read_json(folder / SETTINGS_FILE)
    settings = document.get("settings") if isinstance(document, dict) else None
    study = settings.get("study") if isinstance(settings, dict) else None
    if study not in TITLES:
        raise ValueError(f"{folder / SETTINGS_FILE} is damaged: it names no study")
    rows = [row for row in read_answers(folder) if not row.stage.endswith(APART)]
    if not rows:
        raise ValueError(f"{folder} has no finished stage; go on with the study's --resume")
    rows.sort(key=lambda row: row.stage != BASE)
    title = f"{TITLES[study]} ({folder.resolve().name})"
    lay_out = order_table if study == "order" else answer_table
    return [lay_out(title, rows)[0], *([cap_table(rows)] if study in CAPPED else [])]


def write_tables(
    out: Path, name: str, tables: Sequence[Table], records: Sequence[Record], console: Console
) -> None:
    """Print tables, and write them into a folder."""
    print_tables(tables, console)
    replace_text(out / f"{name}.md", "\n".join(map(to_markdown, tables)))
    replace_text(out / f"{name}.csv", to_csv(records))
