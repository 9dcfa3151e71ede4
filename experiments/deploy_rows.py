"""Rows of a deployment on disk: append-only and resumable.

    OUT/rows.jsonl      one `Row` per line: one scheme on one group of puzzles
    OUT/probes.jsonl    one `Probe` per line: latency and memory of one export
    OUT/exports/NAME    the exports themselves

A line is complete or absent: a last line without its newline was cut off by a kill and is
dropped. Rows of another digest (model, puzzles, target, batch, steps) are refused.
"""

import dataclasses
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from experiments.results import Moments

Line = TypeVar("Line")


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
    with file.open("ab") as out:
        out.write((json.dumps(dataclasses.asdict(line)) + "\n").encode())
        out.flush()
        os.fsync(out.fileno())


def read(file: Path, digest: str, make: Callable[[dict[str, Any]], Line]) -> list[Line]:
    """Read the lines of a file and cut off one that a kill left unfinished.

    Raises:
      ValueError: a line is damaged, or of another deployment.
    """
    if not file.exists():
        return []
    content = file.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(file, whole)
    lines = []
    for number, text in enumerate(content[:whole].splitlines(), start=1):
        try:
            line = make(json.loads(text))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{file}, line {number} is damaged ({error!r}); delete it") from error
        if line.digest != digest:  # type: ignore[attr-defined]
            raise ValueError(
                f"{file}, line {number} is of another deployment (other model, puzzles, target,"
                " batch or steps); choose another --out"
            )
        lines.append(line)
    return lines
