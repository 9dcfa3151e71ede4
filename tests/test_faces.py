"""Faces: every public name of a package is found, documented and known to type checkers."""

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("trm_jax", "quant", "export", "experiments", "benchmarks")
FACES = sorted(
    ".".join(file.parent.relative_to(ROOT).parts)
    for package in PACKAGES
    for file in (ROOT / package).rglob("__init__.py")
)
PUBLIC = [face for face in FACES if hasattr(importlib.import_module(face), "__all__")]


def declared(face: str) -> set[str]:
    """Collect the names that a face imports for type checkers, or for everyone."""
    tree = ast.parse(Path(str(importlib.import_module(face).__file__)).read_text(encoding="utf-8"))
    nodes = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    names = {alias.asname or alias.name for n in nodes for alias in n.names}
    return names - {"TYPE_CHECKING", "lazy_names"}


@pytest.mark.parametrize("face", FACES)
def test_a_package_says_what_it_is(face: str) -> None:
    assert importlib.import_module(face).__doc__


@pytest.mark.parametrize("face", PUBLIC)
def test_public_names_are_found_and_are_those_that_type_checkers_see(face: str) -> None:
    module = importlib.import_module(face)
    assert set(module.__all__) == declared(face)
    assert set(module.__all__) <= set(dir(module))
    for name in module.__all__:
        assert getattr(module, name).__doc__, f"{face}.{name} has no docstring"


@pytest.mark.parametrize("face", PUBLIC)
def test_unknown_names_are_refused_with_the_known_ones(face: str) -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        importlib.import_module(face).no_such_name  # noqa: B018 - looked up for its error
