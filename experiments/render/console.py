"""Progress of a long program: a bar on a terminal, a line per report in a log."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator

from rich.console import Console

PIPE_WIDTH = 500  # columns where there is no terminal: whole lines, for other programs
Show = Callable[[int, str], None]
"""(steps done, what there is to say; empty: only move on)."""


@contextlib.contextmanager
def progress(title: str, total: int, done: int) -> Iterator[Show]:
    """Show progress on standard error while the block runs.

    Args:
      total: steps at the end.
      done: steps before the block.
    """
    if not sys.stderr.isatty():

        def write(step: int, text: str) -> None:
            if text:
                sys.stderr.write(f"{title} {step}/{total}  {text}\n")

        yield write
        return
    from rich.console import Console  # flax brings rich; a log does without it
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total, completed=done)

        def show(step: int, text: str) -> None:
            bar.update(task, completed=step, description=text or None)

        yield show


def make_console() -> Console:
    """Make the console of standard output; COLUMNS says its width, a terminal, or neither.

    Texts are printed as they stand: brackets and colons of a path are no styles and no emoji.
    """
    known = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()
    width = None if known else PIPE_WIDTH
    return Console(width=width, highlight=False, markup=False, emoji=False)
