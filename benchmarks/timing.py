"""Wall time of a function, and its spread over repeats."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax


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
