"""The training program where only jax, flax, optax, orbax-checkpoint and numpy are installed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.train.stand_ins import jaxtyping as stand_in
from tests.support.bare_python import ABSENT, ROOT, bare_packages
from tests.support.tiny.training import command, save_mazes


@pytest.mark.slow
def test_training_runs_without_optional_packages(tmp_path: Path) -> None:
    packages, out = bare_packages(tmp_path / "packages"), tmp_path / "out"
    data = save_mazes(tmp_path / "data")
    probe = "import importlib.util as u, sys; print([n for n in sys.argv[1:] if u.find_spec(n)])"
    # -S: no site-packages but the ones linked here
    python = [sys.executable, "-S"]
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{packages}", "JAX_PLATFORMS": "cpu"}
    found = subprocess.run(
        [*python, "-c", probe, *ABSENT], env=env, cwd=tmp_path, capture_output=True, text=True
    )
    assert found.stdout.strip() == "[]", found.stderr
    more = ["--max-steps", 2, "--compact-out", tmp_path / "carried"]
    line = [*python, "-m", "tests.support.tiny.training", *command(data, out, *more)]
    run = subprocess.run(line, env=env, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "matplotlib is not installed" in run.stderr
    assert "goes on with it" in run.stderr
    assert (out / "model" / "model.safetensors").exists()
    assert (tmp_path / "carried" / "manifest.json").exists()
    assert not (out / "curve.png").exists()


def test_stand_in_keeps_the_array_type() -> None:
    assert stand_in.Float[np.ndarray, "a b"] is np.ndarray
    assert (stand_in.Int[np.ndarray, ""] | None) == (np.ndarray | None)


def test_stand_in_has_every_name_that_is_imported() -> None:
    text = "\n".join(
        file.read_text()
        for package in ("trm_jax", "quant", "experiments")
        for file in sorted((ROOT / package).rglob("*.py"))
    )
    lines = re.findall(r"^from jaxtyping import (.+)$", text, re.MULTILINE)
    names = {name.strip() for line in lines for name in line.split(",")}
    assert len(names) > 5
    assert sorted(name for name in names if not hasattr(stand_in, name)) == []
