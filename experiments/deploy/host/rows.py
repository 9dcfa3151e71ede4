"""Rows of a deployment on disk: append-only and resumable.

    OUT/rows.jsonl      one `Row` per line: one scheme on one group of puzzles
    OUT/probes.jsonl    one `Probe` per line: latency and memory of one export
    OUT/exports/NAME    the exports themselves

What a kill leaves, row_files.py says. Rows of another digest (model, puzzles, target, batch, steps)
are refused.
"""

from dataclasses import dataclass
from typing import Any

from experiments.measurement.shards import Moments


@dataclass(frozen=True, kw_only=True)
class HostRow:
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


def row_from_dict(values: dict[str, Any]) -> HostRow:
    """Rebuild a row."""
    moments = {name: Moments(*values[name]) for name in ("infidelity", "disagreement")}
    return HostRow(**{**values, **moments})


def probe_from_dict(values: dict[str, Any]) -> Probe:
    """Rebuild a probe."""
    return Probe(**{**values, "step_ms": tuple(values["step_ms"])})
