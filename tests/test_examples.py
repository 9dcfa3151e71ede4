"""The examples run as they stand: from a model's name to a puzzle that an exported file solved."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.programs import environment

ROOT = Path(__file__).resolve().parent.parent
QUICKSTART = ROOT / "examples" / "quickstart.py"
NOTEBOOK = ROOT / "examples" / "bring_your_own_checkpoint.ipynb"


def test_quickstart_is_short() -> None:
    lines = QUICKSTART.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 12
    assert sum(line.startswith(("import ", "from ")) for line in lines) == 1


@pytest.mark.slow
def test_quickstart_evaluates_exports_and_answers(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, str(QUICKSTART)],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    scores, *grid = result.stdout.splitlines()
    rates = [float(value) for value in re.findall(r"(?:match|cells|fidelity) (\d\.\d+)", scores)]
    # int4_calibrated solves .949 [.915, .970] of 256 puzzles (README): far from both ends
    assert len(rates) == 3
    assert 0.85 < rates[0] < rates[1] < 1
    assert 0.97 < rates[2] < 1
    assert "100 puzzles" in scores
    assert sorted(re.findall(r"\d", "".join(grid))) == sorted("123456" * 6)
    assert (tmp_path / "runs" / "quickstart" / "model.tflite").is_file()


@pytest.mark.slow
def test_notebook_runs_from_the_first_cell_to_the_last(tmp_path: Path) -> None:
    """Its cells run one after the other in a new process, without Jupyter."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    result = subprocess.run(
        [sys.executable, "-c", "\n\n".join(code)],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "256,002 weights" in result.stdout
    assert result.stdout.count("exact match") == 4
    assert result.stdout.rstrip().endswith("right")
