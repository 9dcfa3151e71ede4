"""The table of a study of text: perplexity, likeliest tokens, answers, and bytes.

Perplexity is exp of the mean of nats; its interval is that of the mean, and the one of the
difference in nats to full precision is of the same tokens in pairs.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console

from experiments.decode.text.rows import TextRow, TextSpec
from experiments.render.tables import (
    Record,
    Table,
    number_text,
    print_tables,
    size_text,
    to_csv,
    to_markdown,
    with_interval,
)
from quant.scheme import label
from trm_jax.intervals import Interval, interval_fields, interval_of, mean, wilson

HEADER = (
    *("scheme", "weights", "KV a token", "perplexity", "nats against fp32"),
    *("same likeliest", "same answer up to", "same answers"),
)


def text_record(row: TextRow, reference: TextRow) -> Record:
    """Make the record of a scheme, beside full precision."""
    nats, exact = np.asarray(row.nats), np.asarray(reference.nats)
    same = np.asarray(row.likeliest) == np.asarray(reference.likeliest)
    perplexity = Interval(*np.exp(_mean(nats)))
    record: Record = {
        "scheme": row.scheme,
        "weight_bytes": row.weight_bytes,
        "cache_bytes": row.cache_bytes,
        **interval_fields("perplexity", perplexity),
        **interval_fields("nats_difference", _mean(nats - exact)),
        **interval_fields("same_likeliest", wilson(int(same.sum()), same.size)),
    }
    common = [common_tokens(*pair) for pair in zip(row.written, reference.written, strict=True)]
    lengths = [len(answer) for answer in reference.written]
    whole = [row.written[i] == answer for i, answer in enumerate(reference.written)]
    return record | {
        "common_tokens": sum(common),
        "reference_tokens": sum(lengths),
        "same_answers": sum(whole),
        "answers": len(whole),
    }


def common_tokens(answer: Sequence[int], reference: Sequence[int]) -> int:
    """Count the tokens before the first that differs."""
    pairs = zip(answer, reference, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(answer), len(reference)))


def _mean(values: np.ndarray) -> Interval:
    return mean(float(values.sum()), float((values * values).sum()), values.size)


def text_table(spec: TextSpec, records: Sequence[Record]) -> Table:
    """Make the table."""

    def cells(record: Record) -> tuple[str, ...]:
        difference = interval_of(record, "nats_difference")
        reference = record["scheme"] == spec.schemes[0]
        asked = record["answers"] > 0
        return (
            label(record["scheme"], "float32"),
            size_text(record["weight_bytes"]),
            size_text(record["cache_bytes"]),
            number_text(interval_of(record, "perplexity"), ".2f"),
            "-" if reference else number_text(difference, "+.3f"),
            with_interval(interval_of(record, "same_likeliest")),
            f"{record['common_tokens']} of {record['reference_tokens']} tokens" if asked else "-",
            f"{record['same_answers']} of {record['answers']}" if asked else "-",
        )

    title = f"{spec.model}: {spec.num_tokens - 1} tokens of a text, {spec.num_questions} answers"
    return Table(title, HEADER, tuple(map(cells, records)), frozenset())


class TextAnswers(NamedTuple):
    """What was asked, and how answers are read."""

    questions: tuple[str, ...]
    decode: Callable[[Sequence[int]], str]

    def table(self, rows: Sequence[TextRow]) -> Table:
        """Write the answers of all schemes, question by question."""
        cells = [
            (question if i == 0 else "", label(row.scheme, "float32"), self._text(row.written[at]))
            for at, question in enumerate(self.questions)
            for i, row in enumerate(rows)
        ]
        first = frozenset(range(0, len(cells), max(len(rows), 1)))
        return Table("Answers", ("question", "scheme", "answer"), tuple(cells), first)

    def _text(self, tokens: Sequence[int]) -> str:
        return " ".join(self.decode(tokens).replace("|", "/").split())


def write_report(
    spec: TextSpec, rows: Sequence[TextRow], answers: TextAnswers, out: Path, console: Console
) -> None:
    """Print the tables and write them as CSV and Markdown; schemes without a row are left out."""
    by_scheme = {row.scheme: row for row in rows}
    reference = by_scheme[spec.schemes[0]]
    shown = [by_scheme[scheme] for scheme in spec.schemes if scheme in by_scheme]
    records = [text_record(row, reference) for row in shown]
    tables = [text_table(spec, records)]
    tables += [answers.table(shown)] if answers.questions else []
    print_tables(tables, console)
    (out / "text.csv").write_text(to_csv(records), encoding="utf-8")
    text = "\n".join(map(to_markdown, tables))
    (out / "text.md").write_text(text, encoding="utf-8")
