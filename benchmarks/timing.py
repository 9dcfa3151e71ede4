"""Wall and CPU time of a function, and their spread over repeats."""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax

from experiments.render.tables import digits_text


class Spread(NamedTuple):
    """Repeated measurements of one quantity."""

    median: float
    min: float
    max: float

    def __str__(self) -> str:
        middle, least, most = map(digits_text, self)
        return f"{middle} ({least} to {most})"


def spread(values: Sequence[float]) -> Spread:
    """Summarise repeats."""
    return Spread(statistics.median(values), min(values), max(values))


def seconds(function: Callable[[], object]) -> float:
    """Time one call, arrays it returns included."""
    start = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - start


def cpu_with_children() -> float:
    """Read the CPU seconds of this process and of those it has started and not ended.

    Children are counted in steps of 10 ms, and only on Linux.
    """
    total = time.process_time()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()  # behind the program's name
        except OSError:  # ended meanwhile
            continue
        if int(fields[1]) == os.getpid():
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def wall_and_cpu(function: Callable[[], object]) -> tuple[float, float]:
    """Time one call: seconds on the clock, and of all this process's threads."""
    start = time.process_time()
    wall = seconds(function)
    return wall, time.process_time() - start
