"""The whole command, small, where only jax, flax, optax, orbax-checkpoint and numpy are."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.full_size import __main__ as program
from experiments.full_size import luggage, runner
from experiments.full_size.job import REHEARSAL, FullSizeJob
from experiments.sweep.outcomes import read_sweeps
from experiments.train.metric_rows import read_rows
from tests.support.bare_python import ROOT, bare_packages
from trm_jax.checkpoints.compact_state import read_facts
from trm_jax.checkpoints.model_files import load_model


@pytest.mark.slow
def test_rehearsal_does_every_step_without_optional_packages(tmp_path: Path) -> None:
    packages, out = bare_packages(tmp_path / "packages"), tmp_path / "out"
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{packages}", "JAX_PLATFORMS": "cpu"}
    line = [sys.executable, "-S", "-m", "experiments.full_size", "--rehearse", "--out", str(out)]
    run = subprocess.run(line, env=env, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    facts = json.loads((out / "full_size.json").read_text())
    assert facts["updates"] == facts["planned"] == REHEARSAL.most_updates
    assert facts["aqtp"] == "not installed"
    assert read_rows(out / "training" / "rows.jsonl")[-1]["step"] == REHEARSAL.most_updates
    (sweep,) = read_sweeps([out / "sweep"])
    assert len(sweep.outcomes) == len(REHEARSAL.schemes)
    assert sweep.reference.num_puzzles == REHEARSAL.limit
    for outcome in sweep.outcomes:
        assert f"| {outcome.num_puzzles}" in run.stdout or "exact, n = 32" in run.stdout
    files = [file for file in (out / "luggage").rglob("*") if file.is_file()]
    luggage.check_files(files)
    assert read_facts(out / "luggage" / "state")["preset"] == REHEARSAL.preset
    config, _ = load_model(luggage.unpack(out / "luggage", tmp_path / "back"))
    assert config.halt_max_steps == REHEARSAL.supervision_steps
    card = (out / "README.md").read_text()
    assert "30 of 30 planned" in card
    assert "w4t-auto-gptq-norm" in card


def test_a_failed_step_leaves_what_the_others_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"

    def fails(*_: object) -> None:
        raise FloatingPointError("step 3: weights/params/x is not finite, the loss is nan")

    monkeypatch.setattr(runner.FullSizeRun, "prepare", lambda self, data: (None, None, None))
    monkeypatch.setattr(runner.FullSizeRun, "train", fails)
    assert program.main(["--rehearse", "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert "error: 2 of the steps failed (training: step 3: weights/params/x is not finite" in said
    assert "evaluation: training saved no model to evaluate" in said
    assert "Traceback" not in said
    card = (out / "README.md").read_text()
    assert "nothing is known of this model's accuracy" in card
    assert "- training: step 3" in card
    assert (out / "luggage" / "results.zip").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--minutes", "9"], "--data is missing"),
        (["--data", "x"], "--minutes is missing"),
        (["--rehearse", "--data", "x"], "--rehearse makes puzzles of its own"),
        (["--minutes", "9", "--data", "x", "--evaluation-share", "1.5"], "must be less than 1"),
        (["--minutes", "9", "--data", "missing.csv"], "missing.csv"),
        (["--rehearse", "--carried", "nowhere/state"], "nowhere/state"),
    ],
)
def test_bad_input_is_told_in_a_line(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main([*words, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert message in said[-1]
    assert said[-1].startswith("error: ")
    assert not (tmp_path / "out").exists()  # the next try may use it


def test_a_used_folder_is_refused_without_an_option_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full_size.json").write_text("{}")
    assert program.main(["--rehearse", "--out", str(tmp_path)]) == 2
    assert f"{tmp_path} is not empty: choose another --out" in capsys.readouterr().err


def test_a_data_set_without_held_out_puzzles_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data" / "train").mkdir(parents=True)
    (tmp_path / "data" / "train" / "dataset.json").write_text("{}")
    job = FullSizeJob(out=tmp_path / "out", minutes=9, data=(str(tmp_path / "data"),))
    with pytest.raises(FileNotFoundError, match=r"it has no test/dataset\.json"):
        runner.prepare_data(job)


def test_a_data_set_says_itself_what_is_held_out(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for part in ("train", "test"):
        (data / part).mkdir(parents=True)
        (data / part / "dataset.json").write_text("{}")
    job = FullSizeJob(out=tmp_path / "out", minutes=9, data=(str(data),))
    assert runner.find_data_set(job) == data
    with pytest.raises(ValueError, match=rf"--hold-out is of CSV files: {data} is a data set"):
        runner.find_data_set(dataclasses.replace(job, hold_out=8))
