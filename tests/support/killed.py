"""Runs a program again and again, killed, as by `kill -9`, before its N-th change in a folder.

    python -m tests.support.killed N,N,.. FOLDER MODULE [ARGUMENT ...]

One run for every N, each forked from a process that has imported JAX and touched no device, so that
what a run costs is its work. Prints how each ended: 0, or the signal as a negative number.

Changes are what Python's audit events tell: files opened for writing, folders made, names changed
or removed. So any moment between two changes can be asked for again by its number.
"""

import importlib
import os
import runpy
import signal
import sys
import warnings
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
PACKAGES = ("jax", "flax.linen", "optax", "orbax.checkpoint", "rich.console")
CHANGES = {"os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.truncate", "shutil.rmtree"}


def changes(event: str, arguments: tuple[Any, ...], folder: str) -> bool:
    """Return whether an event changes something in the folder, or the folder itself."""
    if event == "open":
        path, _, flags = arguments
        return bool(flags & WRITING) and str(path).startswith(folder)
    return event in CHANGES and any(str(each).startswith(folder) for each in arguments[:2])


def run_and_kill(left: int, folder: str, words: list[str]) -> None:
    """Run a program in this process, which ends before the change number `left`."""

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if (event == "open" or event in CHANGES) and changes(event, arguments, folder):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.argv = words
    sys.addaudithook(watch)
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)


def main() -> None:
    """Run the program that the command line names, once for every number."""
    numbers, folder, *words = sys.argv[1:]
    for package in PACKAGES:
        importlib.import_module(package)
    warnings.filterwarnings(
        "ignore", "os.fork", RuntimeWarning
    )  # JAX's threads start with a device
    for number in numbers.split(","):
        child = os.fork()
        if not child:
            run_and_kill(int(number), folder, words)
            return
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
