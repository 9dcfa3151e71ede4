"""Runs a program as `python -m` does, and ends with the process that started it.

    python -m experiments.jobs.child MODULE [ARGUMENT ...]

The starter keeps the other end of standard input open and never writes to it. However it ends
(Ctrl-C, SIGTERM, kill -9), the system closes that end, and this process sends SIGTERM to its
process group: itself and what it has started. Who does not end within GRACE seconds is killed.

Not for people; jobs/runner.py starts it.
"""

import os
import runpy
import signal
import sys
import threading
import time

GRACE = 20.0  # seconds; a training finishes its step and saves its state


def end_with_starter() -> None:
    """Wait until the starter is gone, then end the process group."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    end_group(signal.SIGTERM)
    time.sleep(GRACE)
    end_group(signal.SIGKILL)


def end_group(number: signal.Signals) -> None:
    """Send a signal to the process group; to this process alone where it leads none."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, number)
    else:
        os.kill(os.getpid(), number)


def main() -> None:
    """Run the program that the command line names."""
    sys.argv = sys.argv[1:]
    threading.Thread(target=end_with_starter, daemon=True).start()
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
