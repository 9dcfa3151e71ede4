"""Runs a program and kills it, as `kill -9` does, before its N-th change in a folder.

    python -m tests.support.killed N FOLDER MODULE [ARGUMENT ...]

Changes are what Python's audit events tell: files opened for writing, folders made, names changed
or removed. So any moment between two changes can be asked for again by its number.
"""

import os
import runpy
import signal
import sys
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {"os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.truncate", "shutil.rmtree"}


def changes(event: str, arguments: tuple[Any, ...], folder: str) -> bool:
    """Return whether an event changes something in the folder, or the folder itself."""
    if event == "open":
        path, _, flags = arguments
        return bool(flags & WRITING) and str(path).startswith(folder)
    return event in CHANGES and any(str(each).startswith(folder) for each in arguments[:2])


def main() -> None:
    """Run the program that the command line names."""
    left, folder = int(sys.argv[1]), sys.argv[2]
    sys.argv = sys.argv[3:]

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if (event == "open" or event in CHANGES) and changes(event, arguments, folder):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
