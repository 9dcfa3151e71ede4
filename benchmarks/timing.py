"""Wall time of a function, its spread over repeats, and the threads it may use.

The frame of a benchmark program: help from the docstring, errors, table and rows.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from rich.console import Console

from trm_jax.command_line import exit_code

Rows = Sequence[dict[str, Any]]


def make_parser(prog: str, description: str | None) -> argparse.ArgumentParser:
    """Make a parser that prints a module docstring as it stands."""
    return argparse.ArgumentParser(
        prog=f"python -m {prog}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def report(measure: Callable[[Console], Rows], show: Callable[[Rows, Console], None]) -> int:
    """Measure, then write the table to stderr and the rows to stdout as JSON lines.

    Returns:
      The exit code: 2 if the input was at fault.
    """
    console = Console(stderr=True)

    def action() -> None:
        rows = measure(console)
        show(rows, console)
        sys.stdout.writelines(json.dumps(row) + "\n" for row in rows)

    return exit_code(action, (OSError, ValueError, RuntimeError, ModuleNotFoundError))


class Spread(NamedTuple):
    """Repeated measurements of one quantity."""

    median: float
    min: float
    max: float

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.min:.3g} to {self.max:.3g})"


def spread(values: Sequence[float]) -> Spread:
    """Summarise repeats."""
    return Spread(statistics.median(values), min(values), max(values))


def seconds(function: Callable[[], object]) -> float:
    """Time one call, arrays it returns included."""
    start = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - start


def wall_and_cpu(function: Callable[[], object]) -> tuple[float, float]:
    """Time one call: seconds on the clock, and of all this process's threads."""
    start = time.process_time()
    wall = seconds(function)
    return wall, time.process_time() - start


def num_threads() -> int:
    """Count the cores this process may use, which is what XLA's CPU pool takes.

    `taskset` lowers it; not every system knows affinity.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
