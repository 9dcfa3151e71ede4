"""Jobs end with the process that started them, whatever ends it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.jobs import runner
from experiments.jobs.runner import CommandJob
from tests.support.programs import environment

SLOW = CommandJob(name="slow", module="tests.support.sleeper", arguments=())
START = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored
from pathlib import Path
from experiments.jobs.runner import CommandJob, run_all
from trm_jax.command_line import REPEATED, exit_code
job = CommandJob(name="slow", module="tests.support.sleeper", arguments=())
sys.exit(exit_code(lambda: len(run_all([job], Path(sys.argv[1]))), (OSError,), REPEATED))
"""
PATIENCE = 60.0


def wait_for(condition, what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Return whether a process runs; one that waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see processes")
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_children_end_with_who_started_them(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", START, str(tmp_path)]
    starter = subprocess.Popen(
        command, env=environment(), stderr=subprocess.PIPE, text=True, process_group=0
    )
    pids: list[int] = []
    try:
        file = tmp_path / "slow" / "pids.json"
        wait_for(lambda: file.exists() or starter.poll() is not None, "the job did not start")
        pids = json.loads(file.read_text())
        assert all(map(is_running, pids))
        starter.send_signal(number)
        _, said = starter.communicate(timeout=PATIENCE)
        wait_for(lambda: not any(map(is_running, pids)), "children outlive their starter")
    finally:
        starter.kill()
        for pid in filter(is_running, pids):
            os.kill(pid, signal.SIGKILL)
    if number is not signal.SIGKILL:
        assert starter.returncode == 130
        assert said.endswith("stopped; what is finished is kept, the same command goes on\n")
    assert (tmp_path / runner.FILE).read_text() == ""  # known for a report's, nothing finished


@pytest.mark.slow
def test_a_child_that_does_not_listen_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "GRACE", 0.5)
    deaf = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True)"
    child = subprocess.Popen(
        [sys.executable, "-c", f"{deaf}; time.sleep(600)"], stdout=subprocess.PIPE, process_group=0
    )
    assert child.stdout is not None
    child.stdout.readline()
    runner.end(child)
    child.stdout.close()
    assert child.returncode == -signal.SIGKILL


def test_what_a_job_prints_and_returns_is_its_own(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert runner.run_child(["json.tool", "--help"], log) == 0
    assert log.read_text().startswith("usage:")
    assert runner.run_child(["json.tool", "no-such-file"], log) == 2
    assert runner.run_child(["no_such_module"], log) == 1


def test_a_damaged_line_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / runner.FILE
    for line in (
        '{"command":[],"seconds":-1,"cpu_seconds":0}\n',
        '{"command":"x","seconds":1,"cpu_seconds":0}\n',
        '{"command":[],"seconds":1e300,"cpu_seconds":0}\n',
    ):
        file.write_text(line + '{"comm')
        with pytest.raises(ValueError, match=r"jobs\.jsonl, line 1 is damaged"):
            runner.run_all([SLOW], tmp_path)
        assert file.read_text() == line + '{"comm'
