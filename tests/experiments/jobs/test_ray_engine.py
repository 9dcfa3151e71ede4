"""Work on a cluster of three nodes: one is lost in the middle, and every row is there once.

Nodes are processes of this computer (Ray's own `Cluster`), and their work needs no JAX. What a
sweep computes on such nodes is compared bit for bit by `python -m benchmarks.cluster`.
"""

import argparse
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from experiments.jobs.remote_work import Engine, EngineOptions, RemoteWork
from tests.support.local_cluster import LocalCluster, local_cluster
from tests.support.remote_work import LOST, PATIENCE, CountedRow, make_worker

pytest.importorskip("ray", reason="extra [ray] is not installed")

from experiments.jobs.ray_engine import RayEngine, connected

pytestmark = pytest.mark.slow
PARTS = range(8)


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """A head without processors, and two nodes with one each."""
    with local_cluster() as made:
        yield made


@pytest.fixture(scope="module")
def engine(cluster: LocalCluster) -> Iterator[RayEngine]:
    options = EngineOptions(engine=Engine.RAY, ray_address=cluster.address)
    with connected(options) as made:
        yield made


def work_in(folder: Path, *, wait: bool = False, identity: str = "squares") -> RemoteWork:
    args = argparse.Namespace(folder=folder, wait=wait, identity=identity)
    return RemoteWork(make=make_worker, args=args, identity={"work": "squares"}, shared=[1, 2])


def awaited(folder: Path, pattern: str) -> list[Path]:
    """Wait for a file."""
    deadline = time.monotonic() + PATIENCE
    while not (found := list(folder.glob(pattern))) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def numbers(rows: Sequence[CountedRow]) -> list[tuple[int, int, int]]:
    return sorted((row.number, row.square, row.shared) for row in rows)


def test_work_of_a_lost_node_is_done_by_another(
    cluster: LocalCluster, engine: RayEngine, tmp_path: Path
):
    """Three rows are there when the node goes that computes the fourth part."""
    arriving = engine.rows(work_in(tmp_path, wait=True), PARTS)
    rows = [next(arriving) for _ in range(LOST)]
    (begun,) = awaited(tmp_path, f"begun-{LOST}-*")
    cluster.lose(begun.name.rpartition("-")[2])
    rows += arriving
    assert numbers(rows) == [(n, n * n, 3) for n in PARTS]
    assert len(list(tmp_path.glob(f"begun-{LOST}-*"))) == 2
    made = {int(file.name.partition("-")[2]) for file in tmp_path.glob("made-*")}
    assert {row.process for row in rows} <= made
    assert len(made) == 2  # the lost process, and one that was made once for all other parts


def test_what_a_node_refuses_is_said_in_its_words(engine: RayEngine, tmp_path: Path):
    with pytest.raises(ValueError, match=r"^on node .*: no square of -1$"):
        engine.rows(work_in(tmp_path), [-1])


def test_a_node_that_would_compute_other_rows_computes_none(engine: RayEngine, tmp_path: Path):
    with pytest.raises(ValueError, match=r"work is cubes, asked for squares.*the same files"):
        engine.rows(work_in(tmp_path, identity="cubes"), PARTS)
    assert not list(tmp_path.glob("begun-*"))


def test_a_run_notes_the_cluster_and_hands_its_address_on(cluster: LocalCluster, engine: RayEngine):
    assert re.fullmatch(r"Ray [0-9.]+, \d nodes, \d processors", engine.facts["engine"])
    assert cluster.address in engine.words


def test_a_node_that_does_not_start_in_time_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch):
    """As on a crowded machine, where Ray raises an exception of no class of its own."""

    def starts_too_slowly(**_: object) -> None:
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr("experiments.jobs.ray_engine.ray.init", starts_too_slowly)
    options = EngineOptions(engine=Engine.RAY, ray_address="local")
    with (
        pytest.raises(ValueError, match=r"cannot be started on this machine .*timed out"),
        connected(options),
    ):
        raise AssertionError("it is connected")


@pytest.mark.parametrize(
    ("address", "reason"),
    [("127.0.0.1:9", "Connection refused"), ("nowhere", "HOST:PORT"), ("host:", "HOST:PORT")],
)
def test_an_address_where_nobody_listens_is_refused_at_once(address: str, reason: str):
    options = EngineOptions(engine=Engine.RAY, ray_address=address)
    with (
        pytest.raises(ValueError, match=rf"there is no Ray cluster at {address};.*{reason}"),
        connected(options),
    ):
        raise AssertionError("it is connected")
