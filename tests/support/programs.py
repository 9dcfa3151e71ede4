"""Programs by the name that `python -m` takes: a module, or a package with a __main__."""

import importlib
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("trm_jax", "quant", "export", "experiments", "benchmarks")
MAIN = ".__main__"
WORKERS = {"export.runtimes.worker"}
"""Modules that run in a process of their own but are started by others, not by people."""


def programs() -> list[str]:
    """Find the modules that can be run."""
    files = (file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py")))
    found = (
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(MAIN)
        for file in files
        if 'if __name__ == "__main__":' in file.read_text()
    )
    return [name for name in found if name not in WORKERS]


def load_program(name: str) -> ModuleType:
    """Import what `python -m NAME` runs."""
    module = importlib.import_module(name)
    return importlib.import_module(name + MAIN) if hasattr(module, "__path__") else module
