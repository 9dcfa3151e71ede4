"""What benchmark programs share before anything is timed: options and the frame.

Nothing here imports jax. Not here: what the options load (subject.py), the clocks (timing.py).
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from trm_jax.command_line import exit_code, positive_int, user_path
from trm_jax.config import PRESETS

BenchmarkFunctions = tuple[Callable[..., Any], Callable[..., None]]
"""(command line, console) -> rows, and (rows, console) -> None, which shows them."""


def add_subject_options(parser: argparse.ArgumentParser, limit: int) -> None:
    """Declare the options that choose a subject.

    Args:
      limit: default number of puzzles.
    """
    parser.add_argument(
        "--task", default="sudoku", metavar="NAME", help="sudoku or maze (%(default)s)"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", metavar="NAME|PATH|hf:...", help="default: the bundled one")
    which.add_argument("--preset", choices=sorted(PRESETS), help="random weights of this size")
    parser.add_argument("--data", type=user_path, metavar="DIR", help="puzzles (default: bundled)")
    parser.add_argument(
        "--limit",
        type=positive_int,
        default=limit,
        metavar="N",
        help="puzzles, one batch (%(default)s)",
    )


def positive_ints(text: str) -> tuple[int, ...]:
    """Read whole numbers from 1, joined by commas; raises argparse.ArgumentTypeError."""
    return tuple(positive_int(part) for part in text.split(","))


def limit_threads(threads: int) -> None:
    """Tell XLA how many threads its pool on a CPU has; it asks once, when JAX first computes."""
    os.environ["PJRT_NPROC"] = str(threads)


def run_benchmark(args: argparse.Namespace, load: Callable[[], BenchmarkFunctions]) -> int:
    """Measure what a command line asks for; the table goes to stderr, rows to stdout as JSON lines.

    Args:
      load: imports the runner, which imports jax.

    Returns:
      The exit code, 2 if the input was at fault.
    """

    def action() -> None:
        from rich.console import Console  # not before there is something to show

        measure, show = load()
        console = Console(stderr=True, markup=False, emoji=False)  # names stand as they are
        rows = measure(args, console)
        show(rows, console)
        sys.stdout.writelines(json.dumps(row) + "\n" for row in rows)

    return exit_code(action, (OSError, ValueError, RuntimeError, ModuleNotFoundError))
