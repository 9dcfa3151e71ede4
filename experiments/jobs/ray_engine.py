"""Parts of work as tasks of a Ray cluster.

A part is a task. Ray gives it to a node with room for it, and again to another one where the node
is lost. A process of a node loads the model and compiles once, for its first part, and is kept for
the next ones. Rows come back to the program that asked, which alone writes them.

What decides numbers is compared before a process computes its first row: the digest of the rows,
and versions of this project and of what computes. Nodes need this project installed, and the files
that the command line names under the same paths.

Ray's statistics of usage are off for what is started here. Not here: options (engine.py).
"""

import contextlib
import os
import pickle
import socket
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

NO_STATISTICS = "RAY_USAGE_STATS_ENABLED"
os.environ[NO_STATISTICS] = "0"  # before Ray is imported; processes that it starts inherit it

import ray  # noqa: E402
import ray.exceptions  # noqa: E402

from experiments.jobs.remote_work import (  # noqa: E402
    CLUSTER,
    OWN,
    EngineOptions,
    RemoteWork,
    Worker,
)
from experiments.measurement.versions import read_commit, read_version  # noqa: E402
from trm_jax.command_line.allocator import keep_freed_memory  # noqa: E402
from trm_jax.command_line.compiled import keep_compiled  # noqa: E402
from trm_jax.command_line.ending import explain  # noqa: E402

RETRIES = 8
"""Times that a part is given out again; a part that ends every process it is in stops the run."""
KNOCK_S = 10.0
AHEAD = 64
"""Parts that wait for room, at least: an autoscaler starts nodes for what waits."""
THREADS = "PJRT_NPROC"
"""Threads of XLA on a CPU. It would take all processors, of which a task has a few."""
PLATFORMS = "JAX_PLATFORMS"
COMPUTING = ("trm-jax-edge", "jax", "jaxlib", "flax", "numpy", "aqtp")
"""Packages that decide the last bits of a number."""
EXPLAINED = (OSError, ValueError, ModuleNotFoundError, FloatingPointError)


class PartResult(NamedTuple):
    """What a node answers.

    Attributes:
      refusal: why there are no rows; empty where there are.
    """

    rows: list[Any]
    refusal: str = ""


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What every task of a run is given beside its part.

    Attributes:
      token: of the run; a process keeps its worker as long as it is the same.
      work: a pickle, as parts are: to read one imports the program's modules, and with them JAX,
        which must find its environment.
      folder: of the program; a process goes there if it can, for relative paths.
      environment: variables that are set before JAX is imported.
      versions: of the program's machine.
    """

    token: str
    work: bytes
    folder: str
    environment: Mapping[str, str]
    versions: Mapping[str, str]


class RayEngine:
    """Computes parts on the nodes of the cluster that this process is connected to."""

    def __init__(self, options: EngineOptions) -> None:
        self.options = options

    @property
    def facts(self) -> dict[str, Any]:
        """Name the cluster, for the notes of a run."""
        alive = [node for node in ray.nodes() if node["Alive"]]
        processors = sum(node["Resources"].get("CPU", 0) for node in alive)
        text = f"Ray {ray.__version__}, {len(alive)} nodes, {processors:g} processors"
        return {"engine": text}

    @property
    def words(self) -> tuple[str, ...]:
        """Write the options by which another program of this machine uses the same cluster."""
        options = self.options
        own = options.ray_address == OWN
        address = ray.get_runtime_context().gcs_address if own else options.ray_address
        return (
            *("--engine", options.engine.value, "--ray-address", address),
            *("--num-cpus-per-task", str(options.num_cpus_per_task)),
            *("--num-gpus-per-task", str(options.num_gpus_per_task)),
        )

    def rows(self, work: RemoteWork, parts: Sequence[Any]) -> Iterator[Any]:
        """Compute parts and give the rows of each as soon as it is finished, in any order.

        The first part is awaited before anything is given, so that a program that cannot be run
        elsewhere has written nothing.

        Raises:
          ValueError: a node refuses the work; the message says why.
          OSError: the cluster is lost, or a part ended every process it was in.
        """
        answers = self._answers(work, parts)
        first = next(answers, [])

        def every() -> Iterator[Any]:
            yield from first
            for rows in answers:
                yield from rows

        return every()

    def _answers(self, work: RemoteWork, parts: Sequence[Any]) -> Iterator[list[Any]]:
        if wait := self._lack():
            sys.stderr.write(f"{wait}\n")
        assignment = _assign(work, self.options)
        shared = ray.put(work.shared)
        task = ray.remote(compute_part).options(
            num_cpus=self.options.num_cpus_per_task,
            num_gpus=self.options.num_gpus_per_task,
            max_retries=RETRIES,
            scheduling_strategy="SPREAD",
        )
        left, waiting = iter(parts), {}
        while True:
            for part in left:
                waiting[task.remote(assignment, shared, pickle.dumps(part))] = part
                if len(waiting) >= self._ahead():
                    break
            if not waiting:
                return
            (done,), _ = ray.wait(list(waiting))
            yield _fetched(done, waiting.pop(done))

    def _ahead(self) -> int:
        """Choose how many parts are given out at a time: twice as many as there is room for."""
        rooms = ray.cluster_resources().get("CPU", 0) / self.options.num_cpus_per_task
        return max(AHEAD, int(2 * rooms))

    def _lack(self) -> str:
        """Say what no node has, which a task asks for; empty where one has it all.

        Raises:
          ValueError: the cluster is this machine's own, and gets no other node.
        """
        asked = {"CPU": self.options.num_cpus_per_task, "GPU": self.options.num_gpus_per_task}
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if any(all(has.get(k, 0) >= n for k, n in asked.items()) for has in nodes):
            return ""
        most = {kind: max((has.get(kind, 0) for has in nodes), default=0) for kind in asked}
        text = (
            f"no node has {asked['CPU']} processors and {asked['GPU']} accelerators for a task"
            f" (at most {most['CPU']:g} and {most['GPU']:g})"
        )
        if self.options.ray_address == OWN:
            raise ValueError(f"{text}; lower --num-cpus-per-task or --num-gpus-per-task")
        return f"{text}; waiting for one"


@contextlib.contextmanager
def connected(options: EngineOptions) -> Iterator[RayEngine]:
    """Connect to a cluster, and leave it at the end; tasks that are not finished end with it.

    Raises:
      ValueError: there is none at the address, or one of this machine's own does not start.
    """
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    own: dict[str, Any] = {"include_dashboard": False} if options.ray_address == OWN else {}
    try:
        _knock(options.ray_address)
        ray.init(address=options.ray_address, **quiet, **own)
    except Exception as error:  # Ray has no class for a node that is too slow to start
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{_no_cluster(options.ray_address)} ({reason})") from error
    try:
        yield RayEngine(options)
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Find out whether anybody listens at an address: Ray itself would try for minutes.

    Raises:
      OSError, ValueError: nobody does, or it is no address.
    """
    if address in (CLUSTER, OWN):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError("an address is HOST:PORT or ray://HOST:PORT")
    socket.create_connection((host, int(port)), KNOCK_S).close()


def _no_cluster(address: str) -> str:
    if address == OWN:
        return "Ray cannot be started on this machine"
    where = "that this machine belongs to" if address == CLUSTER else f"at {address}"
    return (
        f"there is no Ray cluster {where}; start one with `ray start --head"
        " --disable-usage-stats`, or give --ray-address local"
    )


def _assign(work: RemoteWork, options: EngineOptions) -> Assignment:
    environment = {THREADS: str(options.num_cpus_per_task), NO_STATISTICS: "0"}
    if not options.num_gpus_per_task:
        environment[PLATFORMS] = "cpu"
    return Assignment(
        token=uuid.uuid4().hex,
        work=pickle.dumps(replace(work, shared=None)),
        folder=os.getcwd(),
        environment=environment,
        versions=read_versions(),
    )


def _fetched(done: Any, part: Any) -> list[Any]:
    """Take the rows of a finished task.

    Raises:
      ValueError, OSError: there are none.
    """
    try:
        result: PartResult = ray.get(done)
    except ray.exceptions.RayTaskError:
        raise  # an error of ours, with its traceback
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[0]
        raise OSError(
            f"{_name(part)} was given out {RETRIES + 1} times and ended every process that"
            f" computed it ({reason}); finished rows are kept"
        ) from error
    if result.refusal:
        raise ValueError(result.refusal)
    return result.rows


def _name(part: Any) -> str:
    """Name a part by its first key."""
    first = part[0] if isinstance(part, Sequence) and part else part
    return " ".join(map(str, first)) if isinstance(first, tuple) else str(first)


# What a node runs

_kept: dict[str, Worker] = {}
"""The worker of the run that this process computes for; one at most."""


def compute_part(assignment: Assignment, shared: Any, part: bytes) -> PartResult:
    """Compute a part, which is a pickle, in a process of a node."""
    try:
        worker = _worker(assignment, shared)
        return PartResult(list(worker.compute(pickle.loads(part))))
    except Exception as error:
        text = explain(error, EXPLAINED)
        if text is None:
            raise
        return PartResult([], f"on node {socket.gethostname()}: {text}")


def _worker(assignment: Assignment, shared: Any) -> Worker:
    """Load everything that a run needs, once in this process.

    Raises:
      ValueError: this node has other versions, or another model or other puzzles.
    """
    if assignment.token not in _kept:
        _kept.clear()
        os.environ.update(assignment.environment)
        keep_freed_memory()
        keep_compiled()
        with contextlib.suppress(OSError):
            os.chdir(assignment.folder)
        _check_equal("versions", assignment.versions, read_versions())
        work: RemoteWork = pickle.loads(assignment.work)
        worker = work.make(work.args, shared)
        _check_equal("work", work.identity, worker.identity)
        _kept[assignment.token] = worker
    return _kept[assignment.token]


def _check_equal(what: str, asked: Mapping[str, str], own: Mapping[str, str]) -> None:
    """Refuse to compute rows that would not be those of the program.

    Raises:
      ValueError: names what differs.
    """
    other = {k: own.get(k, "") for k, v in asked.items() if own.get(k, "") != v}
    listed = [f"{k} is {value}, asked for {asked[k]}" for k, value in other.items()]
    if listed:
        raise ValueError(
            f"other {what} than where the program was started ({'; '.join(listed)}); every node"
            " needs the same versions and the same files"
        )


def read_versions() -> dict[str, str]:
    """Tell what decides the last bits of a number here."""
    return {"commit": read_commit()} | {name: read_version(name) for name in COMPUTING}
