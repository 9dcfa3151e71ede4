"""Cells of the report's tables: ours with an interval, the paper's with what is known of it."""

from typing import NamedTuple

from experiments.paper import tables
from experiments.paper.grids import GRIDS
from trm_jax import intervals
from trm_jax.intervals import short_number

NONE = "-"
TABLE_9_TOTAL = 256  # puzzles of Tables 9 and 10


class PaperNumbers(NamedTuple):
    """What the paper prints of a scheme, shares in [0, 1].

    Attributes:
      total: puzzles behind `exact`.
      source: its tables.
    """

    exact: float | None
    cell: float | None
    fidelity: float | None
    total: int
    source: str


def printed(task: str, architecture: str, scheme: str) -> PaperNumbers | None:
    """Find the paper's numbers at full depth for a scheme named as the paper names it."""
    if task == "sudoku" and architecture in ("TRM-Att", "HRM"):
        return _table_10(architecture, scheme)
    if task == "sudoku" and architecture == "TRM-MLP":
        return _table_9(scheme)
    return _grid(task, scheme) if architecture == "TRM-Att" else None


def _table_9(scheme: str) -> PaperNumbers | None:
    table = tables.SUDOKU_SCHEMES
    if (scheme,) not in table.rows:
        return None
    exact, cell, fidelity = (table.fraction((scheme,), name) for name in table.columns)
    return PaperNumbers(exact, cell, fidelity, TABLE_9_TOTAL, "Table 9")


def _table_10(architecture: str, scheme: str) -> PaperNumbers | None:
    table = tables.ARCHITECTURES
    if scheme not in table.columns:
        return None
    fidelity = 1.0 if scheme == "fp32" else table.value((architecture,), "Fidelity")
    exact = table.fraction((architecture,), scheme)
    return PaperNumbers(exact, None, fidelity, TABLE_9_TOTAL, "Table 10")


def _grid(task: str, scheme: str) -> PaperNumbers | None:
    grid = GRIDS.get(task)
    if grid is None:
        return None
    exact, cell = (grid.at(scheme, 48, metric) for metric in ("exact", "cell"))
    has_fidelity = (scheme,) in tables.FIDELITY.rows
    fidelity = tables.FIDELITY.value((scheme,), task) if has_fidelity else None
    if exact is None and fidelity is None:
        return None
    return PaperNumbers(exact, cell, fidelity, grid.total, f"Tables {grid.number}, 8")


def rate(value: float | None, total: int) -> str:
    """Write a rate of the paper, with the interval that its n implies."""
    if value is None:
        return NONE
    interval = intervals.wilson(round(value * total), total)
    return f"{value:.3f}\n[{short_number(interval.low)}, {short_number(interval.high)}]"


def number(value: float | None, digits: int = 3) -> str:
    """Write a number of the paper."""
    return NONE if value is None else f"{value:.{digits}f}"


def point_number(value: float | None, other: float | None) -> str:
    """Write the difference of two rates of the paper in percentage points."""
    return NONE if value is None or other is None else f"{100 * (value - other):+.1f}"
