"""Table 11 of the paper (experiments/paper.py) by AI Hub's own names, with the depths behind it.

Its models are the published ones (5 to 7 million weights); smaller ones are not comparable in
milliseconds, only in how precisions compare with each other.
"""

from typing import NamedTuple

from experiments import paper
from export.aihub.devices import DEVICES, Precision


class Measured(NamedTuple):
    """A row of Table 11: T H-cycles in each of n steps."""

    T: int
    n: int
    step_ms: float
    puzzle_ms: float
    peak_mb: float
    size_mb: float
    exact: float


SCHEMES = {Precision.FLOAT: "fp32", Precision.W8A8: "int8"}
FULL, SHALLOW = (3, 16), (1, 8)
DEPTHS = {("arc", "int8"): SHALLOW, ("maze", "int8"): SHALLOW}
"""(T, n) of a task and scheme, where it is not FULL."""


def paper_row(task: str, precision: Precision, device: str) -> Measured | None:
    """Look up what the paper measured; None where it measured nothing like it."""
    known, scheme = DEVICES.get(device), SCHEMES.get(precision)
    if known is None or scheme is None:
        return None
    printed = paper.DEVICES.rows.get((task, scheme, known.paper_name))
    if printed is None:
        return None
    measured = (value for value in printed if value is not None)  # it has no dashes
    return Measured(*DEPTHS.get((task, scheme), FULL), *measured)
