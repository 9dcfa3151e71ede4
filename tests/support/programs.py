"""Programs by the name that `python -m` takes: a module, or a package with a __main__."""

import importlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

from benchmarks.structure import find_modules, find_programs

ROOT = Path(__file__).resolve().parents[2]
MAIN = ".__main__"
WORKERS = {"export.runtimes.worker", "experiments.jobs.child"}
"""Modules that run in a process of their own but are started by others, not by people."""


def programs() -> list[str]:
    """Find the modules that can be run."""
    return [name for name in find_programs(find_modules()) if name not in WORKERS]


def load_program(name: str) -> ModuleType:
    """Import what `python -m NAME` runs."""
    module = importlib.import_module(name)
    return importlib.import_module(name + MAIN) if hasattr(module, "__path__") else module


def environment() -> dict[str, str]:
    """Make the environment of a process that imports this checkout from any folder."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def end_of(main: Callable[[list[str]], int], words: Sequence[str]) -> int:
    """Run a program in this process; returns its exit code, also where parsing ends it."""
    try:
        return main(list(words))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
