"""Work that other machines can take up, cut into parts, and what computes it.

    RemoteWork     how a process elsewhere makes a `Worker`, and what its rows must be equal in
    Worker         a process that has loaded everything and computes parts
    RemoteEngine   gives parts to workers

A light module: nothing here imports jax or Ray. Not here: options (engine.py); Ray (ray_engine.py).
"""

import argparse
import enum
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

PartT = TypeVar("PartT")
RowT = TypeVar("RowT")
Compute = Callable[[PartT], Iterable[RowT]]
"""Computes the rows of a part."""

CLUSTER = "auto"
"""The cluster that this machine belongs to."""
OWN = "local"
"""A cluster of this machine alone, which ends with the program."""


class Engine(enum.Enum):
    """Where rows are computed; the value is the name on the command line."""

    LOCAL = "local"
    RAY = "ray"


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """What a command line says of the engine.

    Attributes:
      ray_address: of the cluster.
      num_cpus_per_task, num_gpus_per_task: that a part takes of a node.
    """

    engine: Engine = Engine.LOCAL
    ray_address: str = CLUSTER
    num_cpus_per_task: int = 1
    num_gpus_per_task: int = 0


@dataclass(frozen=True, kw_only=True)
class Worker(Generic[PartT, RowT]):
    """A process that has loaded everything and computes parts.

    Attributes:
      identity: what decides the numbers of its rows; must be the program's own.
    """

    identity: Mapping[str, str]
    compute: Compute[PartT, RowT]


@dataclass(frozen=True, kw_only=True)
class RemoteWork(Generic[PartT, RowT]):
    """Work as another machine takes it up.

    Attributes:
      make: a function of a module, which loads everything again from the command line and what is
        shared; called once in a process, however many parts it computes.
      args: the command line, with what the program chose where it was silent.
      shared: arrays that only this process has; sent to every node once.
      identity: what decides the numbers of the rows here.
    """

    make: Callable[[argparse.Namespace, Any], Worker[PartT, RowT]]
    args: argparse.Namespace
    identity: Mapping[str, str] = field(default_factory=dict)
    shared: Any = None


class RemoteEngine(Protocol):
    """Computes parts elsewhere."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What it is, for the notes of a run."""
        ...

    @property
    def words(self) -> tuple[str, ...]:
        """Options by which another program of this machine uses it."""
        ...

    def rows(self, work: RemoteWork[PartT, RowT], parts: Sequence[PartT]) -> Iterator[RowT]:
        """Compute parts and give the rows of each as soon as it is finished, in any order."""
        ...
