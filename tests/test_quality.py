"""Format, lint and types are tests, so that one command gives the whole verdict."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.slow import slow_except

ROOT = Path(__file__).resolve().parent.parent
CHECKS = {
    "format": ("ruff", "format", "--check", "."),
    "lint": ("ruff", "check", "."),
    "types": ("pyright", "--pythonpath", sys.executable),
}


@pytest.mark.parametrize("check", slow_except(CHECKS, "format", "lint"))
def test_tree_passes(check: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", *CHECKS[check]], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
