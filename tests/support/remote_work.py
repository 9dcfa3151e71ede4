"""Work for a cluster that needs no JAX: rows that say who computed them, and a part that waits."""

import argparse
import functools
import os
import time
from pathlib import Path
from typing import NamedTuple

from experiments.jobs.remote_work import Worker

LOST = 3
"""The part whose first process waits to be killed."""
PATIENCE = 120  # seconds that it waits


class CountedRow(NamedTuple):
    """A row: a part's number, its square, what was shared, and the process."""

    number: int
    square: int
    shared: int
    process: int


@functools.cache
def node_name() -> str:
    """Name the node that this process belongs to."""
    import ray  # an extra

    return ray.get_runtime_context().get_node_id()


def make_worker(args: argparse.Namespace, shared: list[int]) -> Worker[int, CountedRow]:
    """Make a worker that notes in `args.folder` that it was made, and what it begins."""
    folder = Path(args.folder)
    (folder / f"made-{os.getpid()}").touch()

    def compute(number: int) -> list[CountedRow]:
        first = not list(folder.glob(f"begun-{number}-*"))
        (folder / f"begun-{number}-{node_name()}").touch()
        if args.wait and first and number == LOST:
            time.sleep(PATIENCE)
        if number < 0:
            raise ValueError(f"no square of {number}")
        return [CountedRow(number, number**2, sum(shared), os.getpid())]

    return Worker(identity={"work": args.identity}, compute=compute)
