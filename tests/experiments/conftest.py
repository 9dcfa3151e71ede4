"""Tiny models' puzzles and a run that trains on them, made once."""

from pathlib import Path

import pytest

from tests.support.tiny import sweep as tiny
from tests.support.tiny import training as tiny_training


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model/ and data/ (see tiny.py)."""
    root = tmp_path_factory.mktemp("tiny")
    tiny.write(root)
    return root


@pytest.fixture(scope="session")
def maze_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty mazes of the size that the tiny preset of training takes."""
    return tiny_training.save_mazes(tmp_path_factory.mktemp("mazes"))


@pytest.fixture(scope="session")
def whole_run(maze_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training run of six steps that nothing interrupted; to be read only."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert tiny_training.train.main(tiny_training.command(maze_data, out)) == 0
    return out
