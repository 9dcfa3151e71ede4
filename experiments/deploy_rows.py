"""Rows of a deployment on disk: append-only and resumable.

    OUT/rows.jsonl      one `Row` per line: one scheme on one group of puzzles
    OUT/probes.jsonl    one `Probe` per line: latency and memory of one export
    OUT/exports/NAME    the exports themselves

What a kill leaves, row_files.py says. Rows of another digest (model, puzzles, target, batch, steps)
are refused.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from experiments.results import Moments
from experiments.row_files import append_line, drop_torn_line, read_lines


class Digested(Protocol):
    """A line that says what decided its numbers."""

    @property
    def digest(self) -> str: ...


Line = TypeVar("Line", bound=Digested)


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one export did on one group of puzzles, beside its simulation.

    Attributes:
      digest: of what decides the numbers.
      exact, simulated_exact, lenient: one bit per puzzle, hex (results.to_hex).
      cells, correct, equal_cells: scored cells; right ones; cells that equal the simulation's.
      infidelity: 1 - cosine of the last state to full precision.
      disagreement: 1 - cosine of the last state to the simulation's.
    """

    digest: str
    scheme: str
    start: int
    stop: int
    exact: str
    simulated_exact: str
    lenient: str
    cells: int
    correct: int
    equal_cells: int
    infidelity: Moments
    disagreement: Moments


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Cost of an export in a process of its own.

    Attributes:
      step_ms: wall times of one supervision step of a full batch, warm.
      memory_bytes: peak resident memory that runtime and model added to the process.
    """

    digest: str
    scheme: str
    step_ms: tuple[float, ...]
    memory_bytes: int


def row_from_dict(values: dict[str, Any]) -> Row:
    """Rebuild a row."""
    moments = {name: Moments(*values[name]) for name in ("infidelity", "disagreement")}
    return Row(**{**values, **moments})


def probe_from_dict(values: dict[str, Any]) -> Probe:
    """Rebuild a probe."""
    return Probe(**{**values, "step_ms": tuple(values["step_ms"])})


def append(file: Path, line: Any) -> None:
    """Write a line and wait until it is on the disk."""
    append_line(file, dataclasses.asdict(line))


def read(file: Path, digest: str, make: Callable[[dict[str, Any]], Line]) -> list[Line]:
    """Read the lines of a file and cut off one that a kill left unfinished.

    Raises:
      ValueError: a line is damaged, or of another deployment.
    """
    drop_torn_line(file)
    lines = []
    for place, line in read_lines(file, make, "delete it"):
        if line.digest != digest:
            raise ValueError(
                f"{place} is of another deployment (other model, puzzles, target,"
                " batch or steps); choose another --out"
            )
        lines.append(line)
    return lines
