"""The frame of a program: its exit codes, and the message when something ends it."""

import sys
from collections.abc import Callable

RESUMED = "stopped; finished rows are kept, --resume goes on"
STOPPED = "stopped"
REPEATED = "stopped; what is finished is kept, the same command goes on"


def exit_code(
    action: Callable[[], int | None],
    bad_input: tuple[type[Exception], ...],
    stopped: str = STOPPED,
) -> int:
    """Run a program's work and turn its end into an exit code.

    Args:
      action: the work; what it returns is the exit code, nothing is 0.
      bad_input: errors that carry words for the user; others are ours and pass through.
      stopped: what to say when the user stops it.

    Returns:
      2 for bad input, 130 if stopped.
    """
    try:
        return action() or 0
    except bad_input as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(stopped + "\n")
        return 130
