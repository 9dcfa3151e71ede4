"""Table 11 of the paper: what it measured on the same devices through AI Hub.

Its models are the published ones (5 to 7 million weights); smaller ones are not comparable in
milliseconds, only in how precisions compare with each other.
"""

from typing import NamedTuple

from export.aihub_devices import DEVICES, Precision


class Measured(NamedTuple):
    """A row of Table 11: T H-cycles in each of n steps."""

    T: int
    n: int
    step_ms: float
    puzzle_ms: float
    peak_mb: float
    size_mb: float
    exact: float


S24, S22, RB3 = (device.paper_name for device in DEVICES.values())
FLOAT, INT8 = Precision.FLOAT, Precision.W8A8

TABLE_11 = {
    ("arc", FLOAT, S24): Measured(3, 16, 40.20, 643.18, 185.24, 27.56, 0.355),
    ("arc", FLOAT, S22): Measured(3, 16, 85.32, 1365.18, 180.73, 27.56, 0.355),
    ("arc", FLOAT, RB3): Measured(3, 16, 1737.80, 27804.82, 127.11, 27.56, 0.355),
    ("arc", INT8, S24): Measured(1, 8, 25.69, 205.53, 173.96, 6.91, 0.260),
    ("arc", INT8, S22): Measured(1, 8, 55.59, 444.69, 226.49, 6.91, 0.260),
    ("arc", INT8, RB3): Measured(1, 8, 672.89, 5383.10, 115.48, 6.91, 0.260),
    ("maze", FLOAT, S24): Measured(3, 16, 119.83, 1917.25, 229.97, 28.41, 0.870),
    ("maze", FLOAT, S22): Measured(3, 16, 224.45, 3591.18, 189.69, 28.41, 0.870),
    ("maze", FLOAT, RB3): Measured(3, 16, 5239.83, 83837.22, 132.36, 28.41, 0.870),
    ("maze", INT8, S24): Measured(1, 8, 25.71, 205.72, 170.73, 6.90, 0.850),
    ("maze", INT8, S22): Measured(1, 8, 55.25, 441.98, 222.51, 6.90, 0.850),
    ("maze", INT8, RB3): Measured(1, 8, 669.16, 5353.26, 112.21, 6.90, 0.850),
    ("sudoku", FLOAT, S24): Measured(3, 16, 11.38, 182.05, 154.41, 20.47, 0.717),
    ("sudoku", FLOAT, S22): Measured(3, 16, 30.17, 482.75, 179.78, 20.47, 0.717),
    ("sudoku", FLOAT, RB3): Measured(3, 16, 606.02, 9696.40, 58.64, 20.47, 0.717),
    ("sudoku", INT8, S24): Measured(3, 16, 27.23, 435.60, 160.41, 5.10, 0.699),
    ("sudoku", INT8, S22): Measured(3, 16, 79.68, 1274.86, 210.44, 5.10, 0.699),
    ("sudoku", INT8, RB3): Measured(3, 16, 334.68, 5354.94, 57.25, 5.10, 0.699),
}  # fmt: skip


def paper_row(task: str, precision: Precision, device: str) -> Measured | None:
    """Look up what the paper measured; None where it measured nothing like it."""
    known = DEVICES.get(device)
    return TABLE_11.get((task, precision, known.paper_name)) if known else None
