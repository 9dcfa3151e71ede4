"""The frame of a benchmark program: help from the docstring, errors, table and rows."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console

from trm_jax.command_line import exit_code

Rows = Sequence[dict[str, Any]]


def make_parser(prog: str, description: str | None) -> argparse.ArgumentParser:
    """Make a parser that prints a module docstring as it stands."""
    return argparse.ArgumentParser(
        prog=f"python -m {prog}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def report(measure: Callable[[Console], Rows], show: Callable[[Rows, Console], None]) -> int:
    """Measure, then write the table to stderr and the rows to stdout as JSON lines.

    Returns:
      The exit code: 2 if the input was at fault.
    """
    console = Console(stderr=True)

    def action() -> None:
        rows = measure(console)
        show(rows, console)
        sys.stdout.writelines(json.dumps(row) + "\n" for row in rows)

    return exit_code(action, (OSError, ValueError, RuntimeError, ModuleNotFoundError))
