"""kill -9 at any moment loses nothing: training and sweeping go on to the same rows."""

import json
import os
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
from experiments.train import __main__ as train
from tests.support.compiled import READ_ONLY
from tests.support.programs import environment
from tests.support.tiny import sweep as tiny
from tests.support.tiny.training import command
from trm_jax.checkpoints.model_files import load_model

CLOCK = ("seconds", "samples_per_second", "compile_seconds")
LAST = 400
"""A run that nothing kills makes fewer changes than this."""
SEEDS = (1, 2, 3)


def run(number: int, out: Path, module: str, words: list[str]) -> int:
    line = [sys.executable, "-m", "tests.support.killed", str(number), str(out), module, *words]
    env = {**environment(), **os.environ, **READ_ONLY}
    done = subprocess.run(line, env=env, capture_output=True, text=True)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


def chain(seed: int, most: int, out: Path, module: str, words: list[str]) -> None:
    """Run a program again and again, killed earlier and later, until it has run through.

    Args:
      most: changes before the latest kill; fewer than a whole run makes.
    """
    moments = sorted(random.Random(seed).sample(range(1, most), 3))
    codes = [run(number, out, module, words) for number in (*moments, LAST)]
    assert codes[0] == -signal.SIGKILL
    assert codes[-1] == 0


def metrics(out: Path) -> list[dict[str, float]]:
    lines = (out / "rows.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in CLOCK} for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_a_training_run_loses_nothing(seed: int, maze_data: Path, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert train.main(command(maze_data, whole)) == 0
    chain(seed, 90, out, "tests.support.tiny.training", command(maze_data, out, "--resume"))
    assert metrics(out) == metrics(whole)
    ours, theirs = (load_model(folder / "model")[1] for folder in (out, whole))
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    assert not list(out.rglob("*.new"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_a_sweep_loses_nothing(seed: int, tiny_root: Path, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    options = ("--schemes", "int4_naive,int8", "--batch-size", "6", "--depths", "2x1,4")
    assert sweep.main(tiny.arguments(tiny_root, whole, *options)) == 0
    words = tiny.arguments(tiny_root, out, *options, "--resume")
    chain(seed, 16, out, "experiments.sweep", words)
    rows = []
    for folder in (sweep_folder(out), sweep_folder(whole)):
        rows.append(sorted(folder.read_rows(folder.read_spec()), key=lambda row: row.key))
    assert rows[0] == rows[1]
    assert (out / "summary.md").read_text() == (whole / "summary.md").read_text()
