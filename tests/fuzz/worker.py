"""A process that runs cases, and the one that watches it.

    -> KIND                  on the worker's standard input
    <- ["ready"]             on its standard output: the valid input is made and read; or why not
    -> KIND SEED
    <- ["what was changed"]  before the reader begins
    <- ["ending", "what was said or, if it was wrong, read"]

The worker reads the valid input once, then runs case after case in one process, under a limit of
its address space. A case that takes too long is ended with its process from outside, for a loop in
C hears no signal of Python's; the next case gets a new process. Peak memory is what Linux says
(VmHWM, set back before each case).
"""

import contextlib
import json
import os
import resource
import select
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.contract import CaseResult, Ending, InputKind, Reply, judge, read_input
from tests.fuzz.damage import remove

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 300  # importing, making the valid input, reading it once
MIB = 2**20
READY = "ready"
SPACE = 4096  # mebibytes of address space that a case may add: threads reserve what they never use


class BrokenKind(Exception):
    """A kind whose valid input cannot be made or read."""


class Watched:
    """A worker process, started when it is needed and again after it was lost."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.process: subprocess.Popen[bytes] | None = None
        self.ready: set[str] = set()

    def run(self, kind: InputKind, seed: int) -> CaseResult:
        """Run a case."""
        if self.process is None:
            self.start()
        if kind.name not in self.ready:
            self.prepare(kind)
        lines = self.ask(f"{kind.name} {seed}", 2, kind.seconds)
        change = lines[0][0] if lines else ""
        if len(lines) == 2:
            return CaseResult(Ending(lines[1][0]), change, lines[1][1])
        code = self.end()
        if code is None:
            return CaseResult(Ending.HANG, change, f"more than {kind.seconds:.0f} seconds")
        return CaseResult(Ending.TRACEBACK, change, f"the process ended with code {code}")

    def prepare(self, kind: InputKind) -> None:
        """Let the worker make and read the valid input.

        Raises:
          BrokenKind: it cannot; the kind needs mending, no case of it means anything.
        """
        lines = self.ask(kind.name, 1, START_SECONDS)
        if lines != [[READY]]:
            self.end()
            said = lines[0][0].strip().splitlines()[-5:] if lines else ["nothing in time"]
            raise BrokenKind(f"the valid input of {kind.name} is not read: " + " / ".join(said))
        self.ready.add(kind.name)

    def start(self) -> None:
        """Start a process."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker", str(self.root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a crash is told by its exit code
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        )
        self.ready = set()

    def ask(self, line: str, count: int, seconds: float) -> list[list[str]]:
        """Send a line and collect replies; fewer than `count` where they do not come in time."""
        process = self.process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(line.encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            return []
        text, end = b"", time.monotonic() + seconds
        while text.count(b"\n") < count:
            left = end - time.monotonic()
            if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
                break
            part = os.read(process.stdout.fileno(), 65536)
            if not part:
                break
            text += part
        return [json.loads(reply) for reply in text.split(b"\n")[:-1]]

    def end(self) -> int | None:
        """End the process; returns its code if it had ended, or ends, by itself."""
        process, self.process = self.process, None
        if process is None:
            return None
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        try:
            code = process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            code = None
            process.kill()
            process.wait()
        process.stdout.close()
        return code


def run_case(
    kind: InputKind, root: Path, seed: int, valid: Any, announce: Callable[[str], object]
) -> tuple[Ending, str]:
    """Copy the valid input, mutate it, read it and judge what was read.

    Args:
      announce: called with what was changed, before it is read.

    Returns:
      How the case ended, and what was said or, where it was wrong, read.
    """
    folder = root / kind.name / f"case-{os.getpid()}"
    shutil.copytree(root / kind.name / "valid", folder)
    try:
        files = {path.name for path in folder.rglob("*")}
        announce(kind.mutate(folder, np.random.default_rng(seed)))
        files |= {path.name for path in folder.rglob("*")}
        reply, grown = measured(kind, folder)
        if reply is None or grown > kind.mebibytes:
            return Ending.HANG, f"{grown:.0f} MiB; {reply.said[:300] if reply else 'MemoryError'}"
        ending = judge(kind, reply, folder, sorted(files), valid)
        return ending, repr(reply.value)[:400] if ending is Ending.SILENT else reply.said[:1000]
    finally:
        remove(folder)


def measured(kind: InputKind, folder: Path) -> tuple[Reply | None, float]:
    """Read an input under a limit of address space.

    Returns:
      The reply, None where memory did not suffice; and the mebibytes that were added at most.
    """
    before, limits = reset_peak(), _limit(SPACE)
    try:
        reply = read_input(kind, folder)
    except MemoryError:
        reply = None
    finally:
        _set_limit(limits)
    return reply, (peak_bytes() - before) / MIB


def read_valid(kind: InputKind, root: Path) -> Any:
    """Read the valid input, made where it is not there yet."""
    folder = root / kind.name / "valid"
    if not folder.is_dir():
        work = root / kind.name / f"work-{os.getpid()}"
        work.mkdir(parents=True)
        kind.make(work)
        work.rename(folder)
    copy = root / kind.name / f"valid-{os.getpid()}"
    shutil.copytree(folder, copy)
    reply = read_input(kind, copy)
    shutil.rmtree(copy)
    if reply.code != 0:
        raise RuntimeError(f"the valid input of {kind.name} is refused: {reply.said}")
    return reply.value


def reset_peak() -> int:
    """Set the peak of resident memory back; returns what is resident, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def peak_bytes() -> int:
    """Return the peak of resident memory."""
    return _status("VmHWM")


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {name}")


def _limit(mebibytes: int) -> tuple[int, int]:
    """Limit the address space to what is used and some more; returns the limit before."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    _set_limit((_status("VmSize") + mebibytes * MIB, before[1]))
    return before


def _set_limit(limits: tuple[int, int]) -> None:
    resource.setrlimit(resource.RLIMIT_AS, limits)


def serve(root: Path) -> None:
    """Run the cases that come in, until the input ends."""
    from tests.fuzz.kinds import KINDS  # here, for the watching process needs it too

    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print from C must not pass for a reply
    valid: dict[str, Any] = {}

    def reply(*values: str) -> None:
        replies.write(json.dumps(values) + "\n")
        replies.flush()

    for line in sys.stdin:
        name, *seed = line.split()
        kind = KINDS[name]
        if seed:
            ending, said = run_case(kind, root, int(seed[0]), valid[name], reply)
            reply(ending.value, said)
            continue
        try:
            valid[name] = read_valid(kind, root)
            reply(READY)
        except Exception:  # of the kind's own code: nothing can be run
            reply(traceback.format_exc())


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
