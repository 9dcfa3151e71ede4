"""Programs by the name that `python -m` takes: a module, or a package with a __main__."""

import importlib
from types import ModuleType

MAIN = ".__main__"


def load_program(name: str) -> ModuleType:
    """Import what `python -m NAME` runs."""
    module = importlib.import_module(name)
    return importlib.import_module(name + MAIN) if hasattr(module, "__path__") else module
