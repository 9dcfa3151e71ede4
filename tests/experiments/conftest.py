"""The tiny model and its puzzles, made once."""

from pathlib import Path

import pytest

from tests.experiments import tiny


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model/ and data/ (see tiny.py)."""
    root = tmp_path_factory.mktemp("tiny")
    tiny.write(root)
    return root
