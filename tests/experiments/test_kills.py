"""kill -9 at any moment loses nothing: training and sweeping go on to the same rows."""

import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.sweep import __main__ as sweep
from experiments.sweep.rows import sweep_folder
from tests.support.compiled import READ_ONLY
from tests.support.programs import environment
from tests.support.tiny import sweep as tiny
from tests.support.tiny.training import command
from trm_jax.checkpoints.model_files import load_model

CLOCK = ("seconds", "samples_per_second", "compile_seconds")
LAST = 400
"""A run that nothing kills makes fewer changes than this."""
SEEDS = (1, 2, 3)
SWEEP = ("--schemes", "int4_naive,int8", "--batch-size", "6", "--depths", "2x1,4")


def chain(seed: int, most: int, out: Path, module: str, words: list[str]) -> None:
    """Run a program again and again, killed earlier and later, until it has run through.

    Args:
      most: changes before the latest kill; fewer than a whole run makes.
    """
    moments = sorted(random.Random(seed).sample(range(1, most), 3))
    numbers = ",".join(map(str, (*moments, LAST)))
    line = [sys.executable, "-m", "tests.support.killed", numbers, str(out), module, *words]
    done = subprocess.run(line, env={**environment(), **READ_ONLY}, capture_output=True, text=True)
    codes = [int(code) for code in done.stdout.splitlines() if code.lstrip("-").isdigit()]
    assert set(codes) <= {0, -signal.SIGKILL}, done.stderr
    assert (len(codes), codes[0], codes[-1]) == (4, -signal.SIGKILL, 0), done.stderr


def metrics(out: Path) -> list[dict[str, float]]:
    lines = (out / "rows.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in CLOCK} for line in lines]


@pytest.fixture(scope="module")
def whole_sweep(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sweep") / "whole"
    assert sweep.main(tiny.arguments(tiny_root, out, *SWEEP)) == 0
    return out


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_a_training_run_loses_nothing(
    seed: int, maze_data: Path, whole_run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    chain(seed, 90, out, "tests.support.tiny.training", command(maze_data, out, "--resume"))
    assert metrics(out) == metrics(whole_run)
    ours, theirs = (load_model(folder / "model")[1] for folder in (out, whole_run))
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    assert not list(out.rglob("*.new"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_a_sweep_loses_nothing(
    seed: int, tiny_root: Path, whole_sweep: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = tiny.arguments(tiny_root, out, *SWEEP, "--resume")
    chain(seed, 16, out, "experiments.sweep", words)
    rows = []
    for folder in (sweep_folder(out), sweep_folder(whole_sweep)):
        rows.append(sorted(folder.read_rows(folder.read_spec()), key=lambda row: row.key))
    assert rows[0] == rows[1]
    assert (out / "summary.md").read_text() == (whole_sweep / "summary.md").read_text()
