"""Run the jobs of a report one after the other, and remember which are done.

    DIR/jobs.jsonl    one line per finished job: its command, its seconds, those of its processors
    DIR/NAME          its folder
    DIR/NAME.log      what it printed

A job whose line is there is not run again; a job that a kill cut off goes on by its program's own
--resume. A job that fails does not keep others from running: what is missing is named.

A job ends with the process that started it, whatever ends that: Ctrl-C and SIGTERM are passed on
to its process group, and after kill -9 it notices by itself (child.py).
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from experiments.jobs.child import GRACE
from experiments.measurement.row_files import append_row, drop_torn_line, read_lines
from experiments.render.console import progress


@dataclass(frozen=True, kw_only=True)
class CommandJob:
    """One program to run.

    Attributes:
      name: of its folder.
      module: to run with `python -m`; arguments: without --out.
      where: options that say where it computes. They change no number, so that a job that was
        finished elsewhere is finished.
    """

    name: str
    module: str
    arguments: tuple[str, ...]
    where: tuple[str, ...] = ()

    def command(self, folder: Path) -> list[str]:
        """Write the command line after `python -m`."""
        return [self.module, *self.arguments, "--out", str(folder / self.name)]


@dataclass(frozen=True, kw_only=True)
class FinishedJob:
    """A line of jobs.jsonl.

    Attributes:
      command: what ran after `python -m`.
      seconds: by the clock; cpu_seconds: of all processors together.
    """

    command: tuple[str, ...]
    seconds: float
    cpu_seconds: float

    def __post_init__(self) -> None:
        for name in ("seconds", "cpu_seconds"):
            if not 0 <= getattr(self, name) <= MOST_SECONDS:
                raise ValueError(f"field {name} must be 0 or more, got {getattr(self, name)}")


class Failure(NamedTuple):
    """A job that ended with an error.

    Attributes:
      message: the last line that it printed.
    """

    job: CommandJob
    message: str


class Spent(NamedTuple):
    """What all finished jobs took.

    Attributes:
      seconds: by the clock; cpu_seconds: of all processors together.
    """

    seconds: float
    cpu_seconds: float


MOST_SECONDS = 1e9
FILE, CURE = "jobs.jsonl", "delete the line, and its job runs again"


def run_all(jobs: Sequence[CommandJob], folder: Path) -> list[Failure]:
    """Run what is not done yet.

    Raises:
      OSError: the folder cannot be written.
      ValueError: jobs.jsonl is damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    finished = {job.command for job in read_finished(folder)}
    (folder / FILE).touch()  # by it the folder is known for a report's
    drop_torn_line(folder / FILE)
    left = [job for job in jobs if tuple(job.command(folder)) not in finished]
    failures = []
    with progress("report", len(jobs), len(jobs) - len(left)) as show, stopped_by_sigterm():
        for i, job in enumerate(left, start=len(jobs) - len(left)):
            show(i, job.name)
            if message := run_job(job, folder):
                failures.append(Failure(job, message))
        show(len(jobs), "")
    return failures


def run_job(job: CommandJob, folder: Path) -> str:
    """Run one job; returns what went wrong, or nothing."""
    started, before = time.monotonic(), _cpu_seconds()
    command, log = job.command(folder), folder / f"{job.name}.log"
    code = run_child([*command, *job.where], log)
    if code:
        lines = [line for line in log.read_text(encoding="utf-8").splitlines() if line.strip()]
        return lines[-1] if lines else f"exit code {code}, and nothing was printed; see {log}"
    finished = FinishedJob(
        command=tuple(command),
        seconds=round(time.monotonic() - started, 2),
        cpu_seconds=round(_cpu_seconds() - before, 2),
    )
    append_row(folder / FILE, finished)
    return ""


def run_child(command: Sequence[str], log: Path) -> int:
    """Run a program in a process group of its own, which ends when this process does.

    Args:
      command: what stands after `python -m`.
      log: gets what is printed.

    Returns:
      Its exit code.
    """
    words = [sys.executable, "-m", "experiments.jobs.child", *command]
    with (
        log.open("w", encoding="utf-8") as out,
        subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT, process_group=0
        ) as child,
    ):
        try:
            return child.wait()
        except BaseException:
            end(child)
            raise


def end(child: subprocess.Popen) -> None:
    """End a child and what it has started: gently, then for good."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE)
            break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)  # what it has started and left behind


@contextlib.contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does, so that children are ended first."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def read_finished(folder: Path) -> list[FinishedJob]:
    """List the jobs that were finished.

    Raises:
      ValueError: a line is damaged.
    """
    return [job for _, job in read_lines(folder / FILE, FinishedJob, CURE)]


def sum_spent(folder: Path) -> Spent:
    """Sum over all finished jobs."""
    jobs = read_finished(folder)
    return Spent(sum(job.seconds for job in jobs), sum(job.cpu_seconds for job in jobs))


def _cpu_seconds() -> float:
    """Read the processor seconds of all children that have ended."""
    times = os.times()
    return times.children_user + times.children_system
