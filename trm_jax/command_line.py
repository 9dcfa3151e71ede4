"""The frame of a program: how it parses, shows progress and ends.

A program's module declares its options with light imports, and imports its work inside the action
that `exit_code` runs: jax, flax and matplotlib take seconds to import, and --help or a mistyped
option needs none of them (tests/test_startup.py). Not here: the options of a program.
"""

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Protocol

RESUMED = "stopped; finished rows are kept, --resume goes on"
STOPPED = "stopped"
REPEATED = "stopped; what is finished is kept, the same command goes on"


class Advance(Protocol):
    """Moves a bar: steps done so far, and what is being done if that changed."""

    def __call__(self, done: int, title: str = "") -> None: ...


def make_parser(
    program: str, description: str | None, *parents: argparse.ArgumentParser
) -> argparse.ArgumentParser:
    """Make a parser that prints a module's docstring as it stands.

    Args:
      program: dotted name, as `python -m` takes it.
      parents: options that the program shares with others.
    """
    return argparse.ArgumentParser(
        prog=f"python -m {program}",
        description=description,
        parents=parents,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


@contextlib.contextmanager
def progress_bar(title: str, total: int | None = None) -> Iterator[Advance]:
    """Show a bar on standard error while the block runs; nothing where that is no terminal."""
    from rich.console import Console  # not before there is something to show
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    hidden = not console.is_terminal  # a log file would get a blank line
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True, disable=hidden
    ) as bar:
        task = bar.add_task(title, total=total)

        def advance(done: int, title: str = "") -> None:
            bar.update(task, completed=done, description=title or None)

        yield advance


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
