"""Several devices, several processes, and a real kill: the same rows come out."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from experiments.sweep import __main__ as sweep
from experiments.sweep.rows import SweepRow, sweep_folder
from tests.support.compiled import READ_ONLY
from tests.support.tiny import sweep as tiny

ROOT = Path(__file__).resolve().parents[2]
BATCH = 6
OPTIONS = ("--schemes", "fp32,int4_naive", "--depths", "1,2x1", "--batch-size", str(BATCH))
LIMIT_S = 400  # a loaded machine compiles slowly


@pytest.fixture(scope="module")
def alone(tiny_root, tmp_path_factory) -> Path:
    """The sweep in this process, on one device."""
    out = tmp_path_factory.mktemp("alone") / "out"
    assert sweep.main(tiny.arguments(tiny_root, out, *OPTIONS)) == 0
    return out


def start(arguments: list[str], devices: int = 1, **env: str) -> subprocess.Popen:
    """Start a sweep in a process of its own, on simulated devices."""
    flags = f"--xla_force_host_platform_device_count={devices}"
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "experiments.sweep", *arguments],
        env={
            **os.environ,
            "XLA_FLAGS": flags,
            "JAX_PLATFORMS": "cpu",
            "PYTHONPATH": str(ROOT),
            **env,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen) -> str:
    """Wait for a sweep to succeed; return what it printed."""
    out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, err
    return out


def rows_of(out: Path) -> list[SweepRow]:
    folder = sweep_folder(out)
    return sorted(folder.read_rows(folder.read_spec()), key=lambda row: row.key)


def assert_same(ours: Path, theirs: Path) -> None:
    """Check equal counts and bits, and sums equal up to the order of float32 additions."""
    for a, b in zip(rows_of(ours), rows_of(theirs), strict=True):
        assert a.key == b.key
        assert (a.correct_cells, a.exact, a.lenient) == (b.correct_cells, b.exact, b.lenient)
        for name in tiny.MOMENTS:
            # XLA may split the products of other batch sizes otherwise
            limit = BATCH * tiny.COSINE_ERROR
            np.testing.assert_allclose(getattr(a, name), getattr(b, name), atol=limit)


@pytest.mark.slow
def test_eight_devices_give_the_rows_of_one(alone, tiny_root, tmp_path):
    """Shards of 6 puzzles on 8 devices: padded, so some devices see only padding."""
    out = tmp_path / "out"
    printed = finish(start(tiny.arguments(tiny_root, out, *OPTIONS), devices=8))
    assert "8 x cpu" in printed
    assert_same(alone, out)


@pytest.mark.slow
def test_two_processes_share_the_work_and_one_reports(alone, tiny_root, tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    out = tmp_path / "out"
    together = ("--coordinator", address, "--num-processes", "2", "--process-id")
    both = [start(tiny.arguments(tiny_root, out, *OPTIONS, *together, str(k))) for k in range(2)]
    printed = [finish(process) for process in both]
    assert "22 puzzles" in printed[0]
    assert "puzzles" not in printed[1]
    files = [out / f"rows-{k}.jsonl" for k in range(2)]
    assert [len(file.read_text().splitlines()) for file in files] == [4, 4]
    assert_same(alone, out)
    for name in ("grid.md", "summary.md"):
        assert (out / name).read_text() == (alone / name).read_text()


@pytest.mark.slow
def test_a_killed_sweep_resumes(alone, tiny_root, tmp_path):
    out = tmp_path / "out"
    process = start(tiny.arguments(tiny_root, out, *OPTIONS), **READ_ONLY)
    deadline = time.monotonic() + LIMIT_S
    while not (out / "rows.jsonl").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(rows_of(out)) < len(rows_of(alone))
    assert sweep.main(tiny.arguments(tiny_root, out, *OPTIONS, "--resume")) == 0
    assert_same(alone, out)
