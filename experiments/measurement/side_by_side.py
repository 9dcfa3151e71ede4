"""Compute several rows at once in threads, and yield them in their order.

A program of XLA on CPU divides single products among the cores. What lies between them, tracing,
compiling and the host's own work keep one core busy; two rows at once fill those gaps, most where
other programs use the cores too (docs/benchmarks.md). XLA runs them on one pool of threads, so that
no core is asked for twice. Numbers do not depend on it: a row is computed by the same program,
whoever asks. On accelerators programs queue, and one thread is enough.
"""

import collections
import os
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import jax

from trm_jax.command_line import usable_processors

Item = TypeVar("Item")
Result = TypeVar("Result")

RESERVED = "PJRT_NPROC"  # threads of XLA's pool, where not every core is this process's
MOST_THREADS = 4  # each holds a trajectory of a shard in memory


def num_threads() -> int:
    """Choose how many rows are computed at once: on CPU one a core, up to `MOST_THREADS`."""
    if jax.default_backend() != "cpu":
        return 1
    cores = usable_processors()
    reserved = os.environ.get(RESERVED, "")  # of a task of a cluster: XLA heeds it too
    return min(int(reserved) if reserved.isdecimal() else cores, cores, MOST_THREADS)


def in_order(
    compute: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Generator[Result]:
    """Compute items in threads and yield the results in the order of the items.

    At most `threads` items are under way. What is finished is given before another item is taken,
    which may take long. An exception is raised in its item's place; items behind it may have been
    computed, and are dropped.

    Args:
      threads: 1: everything is computed here, one after the other.
    """
    if threads == 1:
        yield from map(compute, items)
        return
    rest, waiting = iter(items), collections.deque[Future[Result]]()
    with ThreadPoolExecutor(threads) as pool:
        try:
            while True:
                while waiting and (len(waiting) == threads or waiting[0].done()):
                    yield waiting.popleft().result()
                try:
                    item = next(rest)
                except StopIteration:
                    break
                except Exception:
                    yield from (each.result() for each in waiting)
                    raise
                waiting.append(pool.submit(compute, item))
            yield from (each.result() for each in waiting)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class Once(Generic[Result]):
    """A value that the first who asks computes; others who ask meanwhile wait for it."""

    def __init__(self, make: Callable[[], Result]) -> None:
        self.make = make
        self.lock = threading.Lock()
        self.values: list[Result] = []

    def __call__(self) -> Result:
        with self.lock:
            if not self.values:
                self.values.append(self.make())
            return self.values[0]
