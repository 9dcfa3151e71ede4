"""A program in one process, and on nodes of which one is killed; what both computed and took."""

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - Ray spells it so
STORE = 80 * 2**20  # bytes of shared memory of a node
TOKEN = "CLUSTER_BENCHMARK"  # in the environment of every process that is counted
FEW = ("--calibration-puzzles", "16")
"""For a recipe whose matrices are measured in minutes."""
ONE_THREAD = {"PJRT_NPROC": "1"}
"""For both: a recipe is refined by the program itself, and last bits follow the threads."""
POLL_S, PATIENCE_S = 0.2, 3600
TIMED = re.compile(rb',"seconds":[^,}]*')
"""What a row says of its time."""


def program_words(args: argparse.Namespace) -> list[str]:
    """Write the command that a comparison is of."""
    task, schemes = ["--task", args.task], ["--schemes", args.schemes]
    own = {
        "sweep": [*task, *schemes],
        "ablate": [*task, "--only", "pruning,truncation"],  # nothing is trained
        "arc": schemes,
        "recipe": [*task, "--budget", "5bits", "--target", "litert", *FEW],
    }
    size = ["--limit", str(args.limit), "--batch-size", str(args.batch_size)]
    return [f"experiments.{args.program}", *own[args.program], *size]


def computed(program: str, folder: Path) -> list[bytes]:
    """Read what a program computed, in order, and nothing of how long that took."""
    if program == "recipe":
        documents = (
            _without(folder / "recipe.json", "notes"),
            _without(folder / "solved.json", "seconds"),
        )
        tables = [(folder / name).read_bytes() for name in ("recipe.md", "front.csv")]
        return [*documents, *(line for table in tables for line in table.splitlines())]
    lines = (folder / "rows.jsonl").read_bytes().splitlines()
    return sorted(TIMED.sub(b"", line) for line in lines)


def _without(file: Path, name: str) -> bytes:
    """Read a document without the entry `name`."""
    values = {k: v for k, v in json.loads(file.read_text()).items() if k != name}
    return json.dumps(values).encode()


class ProgramCost(NamedTuple):
    """What a program took.

    Attributes:
      cpu: seconds of all its processes; wall: by the clock.
    """

    cpu: float
    wall: float


def measure(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    """Run the program both ways and compare the rows.

    Raises:
      RuntimeError: a run failed, or their rows differ.
    """
    with tempfile.TemporaryDirectory(prefix="cluster-") as name:
        one, many = Path(name) / "one", Path(name) / "many"
        console.print("one process ...")
        with counted() as alone:
            _wait(_start(args, one, ONE_THREAD))
        console.print(f"{args.nodes} nodes ...")
        with counted() as together, _cluster(args.nodes) as cluster:
            words = ("--engine", "ray", "--ray-address", cluster.address)
            running = _start(args, many, ONE_THREAD, *words)
            lost = 0 if args.no_kill else _lose_a_node(cluster, args.program, many, running)
            _wait(running)
        lines = [computed(args.program, out) for out in (one, many)]
    if lines[0] != lines[1]:
        raise RuntimeError("the rows of the cluster are not those of one process")
    return [
        {
            "program": args.program,
            "rows": len(lines[0]),
            "rows_at_loss": lost,
            "puzzles": args.limit,
            "nodes": args.nodes,
            "one_process_cpu_s": round(alone[0].cpu, 1),
            "cluster_cpu_s": round(together[0].cpu, 1),
            "one_process_wall_s": round(alone[0].wall, 1),
            "cluster_wall_s": round(together[0].wall, 1),
        }
    ]


def show(rows: list[dict[str, Any]], console: Console) -> None:
    """Print what was measured."""
    table = Table("", "one process", "cluster", title="the same rows, byte for byte")
    for row in rows:
        lost = f"lost after {row['rows_at_loss']}" if row["rows_at_loss"] else "none lost"
        table.add_row("rows", str(row["rows"]), f"{row['rows']}, {row['nodes']} nodes, {lost}")
        cpu = row["one_process_cpu_s"], row["cluster_cpu_s"]
        table.add_row("processor seconds", f"{cpu[0]}", f"{cpu[1]} ({cpu[1] / cpu[0]:.2f} times)")
        table.add_row("seconds", str(row["one_process_wall_s"]), str(row["cluster_wall_s"]))
    console.print(table)


class ProcessorTime(threading.Thread):
    """Watches the processor time of all processes that have a token in their environment.

    Ray's nodes ignore the end of their processes, so that the system adds their time to nobody's:
    each is looked at while it lives. What one does after the last look (POLL_S) is lost.
    """

    def __init__(self, token: str) -> None:
        super().__init__(daemon=True)
        self.token = f"{TOKEN}={token}".encode()
        self.ended = threading.Event()
        self.seconds: dict[int, float] = {}
        self.others: set[int] = set()

    def run(self) -> None:
        while not self.ended.wait(POLL_S):
            self.look()

    def look(self) -> None:
        """Read the time of every process."""
        for place in Path("/proc").iterdir():
            if place.name.isdecimal() and int(place.name) not in self.others:
                with contextlib.suppress(OSError):
                    self._look_at(int(place.name), place)

    def _look_at(self, number: int, place: Path) -> None:
        if number not in self.seconds and self.token not in (place / "environ").read_bytes():
            self.others.add(number)
            return
        fields = (place / "stat").read_text().rpartition(")")[2].split()
        self.seconds[number] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def counted() -> Iterator[list[ProgramCost]]:
    """Count what all processes take that the block starts."""
    costs: list[ProgramCost] = []
    os.environ[TOKEN] = token = uuid.uuid4().hex
    watch, began = ProcessorTime(token), time.monotonic()
    watch.start()
    try:
        yield costs
    finally:
        wall = time.monotonic() - began
        watch.ended.set()
        watch.join()
    costs.append(ProgramCost(sum(watch.seconds.values()), wall))


def _start(
    args: argparse.Namespace, out: Path, environment: dict[str, str], *words: str
) -> subprocess.Popen:
    """Start a program whose tables nobody reads."""
    environment = {"JAX_ENABLE_COMPILATION_CACHE": "false", **environment}  # each compiles
    command = [sys.executable, "-m", *program_words(args), "--out", str(out), *words]
    return subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def _wait(running: subprocess.Popen) -> None:
    _, errors = running.communicate(timeout=PATIENCE_S)
    if running.returncode:
        raise RuntimeError(f"the program failed: {errors.decode().strip().splitlines()[-1]}")


@contextlib.contextmanager
def _cluster(nodes: int) -> Iterator[Any]:
    """Start nodes of one processor each; of several the first only gives out work."""
    from ray.cluster_utils import Cluster  # an extra

    head = {
        "num_cpus": int(nodes == 1),
        "include_dashboard": False,
        "object_store_memory": STORE,
    }
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(nodes - 1):
            cluster.add_node(num_cpus=1, object_store_memory=STORE)
        yield cluster
    finally:
        cluster.shutdown()


def _lose_a_node(cluster: Any, program: str, folder: Path, running: subprocess.Popen) -> int:
    """Kill a node once a part of the work is done; returns how many parts were.

    Args:
      folder: of the program.

    Raises:
      RuntimeError: there is no node to lose, or nothing was done before the end.
    """
    if len(cluster.worker_nodes) < 2:
        raise RuntimeError("a node can be lost of three or more; raise --nodes, or --no-kill")
    with _counting(cluster, program, folder) as count_done:
        while running.poll() is None and not (done := count_done()):
            time.sleep(POLL_S)
    if running.poll() is not None:
        _wait(running)
        raise RuntimeError("the program ended before a node was killed; raise --limit")
    # whoever is connected to the cluster would print the last words of the node
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    return done


@contextlib.contextmanager
def _counting(cluster: Any, program: str, folder: Path) -> Iterator[Callable[[], int]]:
    """Give a function that counts what is done: rows, or matrices of a recipe, which has none."""
    if program != "recipe":
        rows = folder / "rows.jsonl"
        yield lambda: rows.read_bytes().count(b"\n") if rows.exists() else 0
        return
    import ray  # an extra

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    ray.init(address=cluster.address, **quiet)
    try:
        yield lambda: count_executed(ray.timeline() or [])
    finally:
        ray.shutdown()


def count_executed(events: Sequence[Mapping[str, Any]]) -> int:
    """Count the tasks that nodes have finished, in what Ray tells of its time."""
    return sum(event["name"] == "task:execute" for event in events)
