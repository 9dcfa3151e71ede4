"""Where rows are computed: in this process, or by the nodes of a Ray cluster.

    --engine local | ray
    --ray-address auto | local | HOST:PORT | ray://HOST:PORT
    --num-cpus-per-task N, --num-gpus-per-task N

A program describes its work once, in parts (as a rule the keys of a shard). `compute_rows` takes
the rows of parts from whichever engine was asked for; the program appends them, so that rows of
both engines mix, and a run goes on with either.

Options are declared before jax or Ray are imported. Ray itself is known to ray_engine.py alone.
"""

import argparse
import contextlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from experiments.jobs.remote_work import (
    CLUSTER,
    Compute,
    Engine,
    EngineOptions,
    PartT,
    RemoteEngine,
    RemoteWork,
    RowT,
)
from trm_jax.command_line import natural_int, positive_int


def add_engine(p: argparse.ArgumentParser) -> None:
    """Declare the options of the engine."""
    group = p.add_argument_group("many machines (docs/many-machines.md)")
    group.add_argument(
        "--engine",
        choices=[engine.value for engine in Engine],
        default=Engine.LOCAL.value,
        help="ray: on the nodes of a Ray cluster, with extra [ray] (default: %(default)s)",
    )
    group.add_argument(
        "--ray-address",
        metavar="ADDRESS",
        help=(
            "auto: the cluster of this machine; local: starts one here; HOST:PORT or"
            f" ray://HOST:PORT of another (default: {CLUSTER})"
        ),
    )
    group.add_argument(
        "--num-cpus-per-task",
        type=positive_int,
        metavar="N",
        help="processors, and threads, of a task of Ray (default: 1)",
    )
    group.add_argument(
        "--num-gpus-per-task",
        type=natural_int,
        metavar="N",
        help="accelerators of a task of Ray; 0 computes on processors (default: 0)",
    )


def read_engine(args: argparse.Namespace) -> EngineOptions:
    """Take the engine out of a parsed command line.

    Raises:
      ValueError: an option of Ray without it.
    """
    names = ("ray_address", "num_cpus_per_task", "num_gpus_per_task")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    engine = Engine(args.engine)
    if given and engine is not Engine.RAY:
        option = "--" + next(iter(given)).replace("_", "-")
        raise ValueError(f"{option} is of Ray; add --engine ray, or leave it out")
    return EngineOptions(engine=engine, **given)


@contextlib.contextmanager
def opened_engine(args: argparse.Namespace) -> Iterator[RemoteEngine | None]:
    """Connect to the engine that a command line names; None computes in this process.

    Raises:
      ValueError: contradicting options, or no such cluster.
      ModuleNotFoundError: Ray is not installed.
    """
    options = read_engine(args)
    if options.engine is Engine.LOCAL:
        yield None
        return
    from experiments.jobs.ray_engine import connected  # an extra

    with connected(options) as engine:
        yield engine


def engine_facts(engine: RemoteEngine | None) -> dict[str, Any]:
    """Say what an engine is, for the notes of a run; nothing of this process."""
    return {} if engine is None else dict(engine.facts)


def settled(args: argparse.Namespace, **chosen: Any) -> argparse.Namespace:
    """Copy a command line with what was chosen where it was silent, for processes elsewhere."""
    return argparse.Namespace(**(vars(args) | chosen))


def compute_rows(
    engine: RemoteEngine | None,
    work: RemoteWork[PartT, RowT],
    parts: Sequence[PartT],
    here: Compute[PartT, RowT] | None,
) -> Iterator[RowT]:
    """Compute parts and give every row as it is finished.

    Args:
      engine: None computes here.
      here: computes in this process, with what it has loaded; needed without an engine.
    """
    if engine is not None:
        return engine.rows(work, parts)
    assert here is not None
    return itertools.chain.from_iterable(map(here, parts))
