"""Rows of metrics of a training run, typed and checked when they are read; no jax here.

A row has the step, seconds since the run began, averages over the updates since the row before
(`trm_jax/training/running_metrics.py`), and scores of the validated puzzles where it was their
turn. The names of metrics are the training step's.

Not here: how lines are written and read (measurement/row_files.py).
"""

import re
from collections.abc import Iterable
from pathlib import Path

from experiments.measurement.row_files import read_lines
from trm_jax.typed_json import parse_json, read_fields

MetricRow = dict[str, float]
MetricRows = list[MetricRow]

NEEDED = ("step", "seconds", "loss", "exact_accuracy")
CURE = "nothing was changed: correct the line, or delete it, and that row is lost"
RATE = re.compile(
    r"valid_exact(?:_n\d+)?|valid_cell|valid_accuracy|accuracy|exact_accuracy|q_halt_accuracy"
)
DEPTH = re.compile(r"valid_exact_n([1-9]\d{0,5})")


def check_row(row: MetricRow) -> None:
    """Check one row.

    Raises:
      ValueError: a metric is missing, or a value is none that it can have.
    """
    if missing := [name for name in NEEDED if name not in row]:
        raise ValueError(f"field {missing[0]} is missing")
    if not (isinstance(row["step"], int) and row["step"] >= 1):
        raise ValueError(f"field step must be a whole number of at least 1, got {row['step']}")
    if row["seconds"] < 0:
        raise ValueError(f"field seconds must be 0 or more, got {row['seconds']}")
    for name, value in row.items():
        if RATE.fullmatch(name) and not 0 <= value <= 1 + 1e-6:  # sums of float32, divided
            raise ValueError(f"field {name} must be 0 to 1, got {value}")
        if name.startswith("valid_exact_n") and not DEPTH.fullmatch(name):
            raise ValueError(f"field {name} names no depth")


def read_rows(file: Path) -> MetricRows:
    """Read the rows of a file, a cut-off last line left out; no file has none.

    Raises:
      ValueError: a line is damaged; the message names it.
    """
    return _check_all(read_lines(file, MetricRow, CURE))


def parse_rows(text: str, origin: str) -> MetricRows:
    """Read rows that came in another file.

    Args:
      origin: where they stood, for messages.

    Raises:
      ValueError: a line is damaged.
    """
    rows = []
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        try:
            row = read_fields(MetricRow, parse_json(line))
        except ValueError as error:
            raise ValueError(f"{origin}, line {number} is damaged ({error})") from error
        rows.append((f"{origin}, line {number}", row))
    return _check_all(rows)


def _check_all(placed: Iterable[tuple[str, MetricRow]]) -> MetricRows:
    rows: MetricRows = []
    for place, row in placed:
        try:
            check_row(row)
            if rows and row["step"] <= rows[-1]["step"]:
                raise ValueError(f"step {row['step']} comes after step {rows[-1]['step']}")
        except ValueError as error:
            raise ValueError(f"{place} is damaged ({error}); {CURE}") from error
        rows.append(row)
    return rows
