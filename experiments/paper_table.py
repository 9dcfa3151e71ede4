"""A table of the paper as data: numbers with the units in which they are printed."""

import enum
from dataclasses import dataclass


class Unit(enum.Enum):
    """Unit of a column as printed; the value is the suffix."""

    PERCENT = "%"
    FRACTION = ""
    MB = "MB"
    GFLOPS = "GFLOPs"
    MS = "ms"
    MJ = "mJ"
    COUNT = " "


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """One table of the paper.

    Attributes:
      number: "9", or the appendix where numbers stand in the text.
      columns: names with their units.
      rows: by key (first words of the row), one number per column, None where a dash is printed.
      notes: errata and readings.
    """

    number: str
    title: str
    columns: dict[str, Unit]
    rows: dict[tuple[str, ...], tuple[float | None, ...]]
    notes: tuple[str, ...] = ()

    def value(self, row: tuple[str, ...], column: str) -> float | None:
        """Look a printed number up.

        Raises:
          KeyError: the table has no such row or column.
        """
        return self.rows[row][list(self.columns).index(column)]

    def fraction(self, row: tuple[str, ...], column: str) -> float | None:
        """Look a share up, as a number in [0, 1] however it is printed."""
        value = self.value(row, column)
        return value / 100 if value is not None and self.columns[column] is Unit.PERCENT else value
