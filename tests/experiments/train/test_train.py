"""The training program: segments, resuming to the last bit, kills, devices."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.train import __main__ as train
from experiments.train.__main__ import continuation
from tests.support.compiled import READ_ONLY
from tests.support.tiny.training import ROOT, command, save_mazes
from trm_jax.checkpoints.model_files import load_metadata, load_model
from trm_jax.types import Weights

CLOCK = ("seconds", "samples_per_second", "compile_seconds")


@pytest.fixture(scope="module")
def whole(whole_run: Path) -> Path:
    """A run that nothing interrupts."""
    return whole_run


def rows(out: Path) -> list[dict[str, float]]:
    """Read the metrics, without what the clock says."""
    lines = (out / "rows.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in CLOCK} for line in lines]


def weights(out: Path) -> Weights:
    """Read the averaged weights of a run."""
    return load_model(out / "model")[1]


def same(a: Weights, b: Weights) -> None:
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.slow
def test_rows_say_what_a_run_did(whole: Path) -> None:
    lines = [json.loads(line) for line in (whole / "rows.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert lines[0]["compile_seconds"] > 0
    assert all(line["samples_per_second"] > 0 for line in lines)
    assert {"loss", "exact_accuracy", "lr"} <= lines[0].keys()
    assert {"valid_exact_n1", "valid_exact_n4", "valid_cell"} <= lines[-1].keys()
    png = (whole / "curve.png").read_bytes()
    assert png.startswith(b"\x89PNG")
    assert load_metadata(whole / "model")["step"] == 6


@pytest.mark.slow
@pytest.mark.parametrize("stops", [(1, 4), (3, 2)], ids=["1+4+1", "3+2+1"])
def test_resumed_run_is_the_uninterrupted_one_to_the_last_bit(
    maze_data: Path,
    whole: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    stops: tuple[int, ...],
) -> None:
    out = tmp_path / "run"
    assert train.main(command(maze_data, out, "--max-steps", stops[0])) == 0
    said = capsys.readouterr().err
    assert continuation(command(maze_data, out, "--max-steps", stops[0])) in said
    with (out / "rows.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')  # what a kill in the middle of a row leaves
    assert train.main(command(maze_data, out, "--resume", "--max-steps", stops[1])) == 0
    assert len(rows(out)) == sum(stops) // 2
    assert train.main(command(maze_data, out, "--resume")) == 0
    assert rows(out) == rows(whole)  # every loss, though segments ended inside windows
    same(weights(out), weights(whole))


@pytest.mark.slow
def test_the_printed_command_goes_on(maze_data: Path, whole: Path, tmp_path: Path) -> None:
    given = ["--compact-in", "a b", "--out", "r", "--compact-in=c", "--lr", "1"]
    assert continuation(given) == "python -m experiments.train --out r --lr 1 --resume"
    out = tmp_path / "run with a blank"
    minutes = 0.001  # compiling takes longer, and counts: the first step is the last
    assert train.main(command(maze_data, out, "--max-minutes", minutes)) == 0
    assert load_metadata(out / "model")["step"] == 1
    line = continuation(command(maze_data, out))
    assert train.main(shlex.split(line)[3:]) == 0
    same(weights(out), weights(whole))


@pytest.mark.slow
def test_a_compact_state_goes_on_elsewhere(
    maze_data: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    carried, there = tmp_path / "carried", tmp_path / "there"
    first = ["--max-steps", 4, "--compact-out", carried]
    assert train.main(command(maze_data, tmp_path / "here", *first)) == 0
    assert f"{carried}: 0.1 MiB" in capsys.readouterr().err
    elsewhere = save_mazes(tmp_path / "elsewhere")  # the same puzzles under another path
    begin = ["--compact-in", carried, "--max-steps", 1]
    assert train.main(command(elsewhere, there, *begin)) == 0
    assert rows(there) == rows(whole)[:2]  # the log came along
    before = weights(tmp_path / "here")
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), weights(there), before)
    # one step of the average, 1e-3 of the way to parameters that five steps have moved by at most
    # 5 lr (pi/2 + |p|), |p| = 5 for a bias of q_head; and an ulp of that 5
    assert max(jax.tree.leaves(moved._replace(puzzle_emb=0.0))) < 1e-3 * 5e-4 * 6.6 + 5e-7
    assert train.main(command(elsewhere, there, "--resume")) == 0
    assert [row["step"] for row in rows(there)] == [2, 4, 6]
    assert train.main(command(maze_data, tmp_path / "new", *begin, "--lr", 1)) == 2
    assert "recipe lr: 0.0001 there, 1.0 now" in capsys.readouterr().err
    assert train.main(command(save_mazes(tmp_path / "o", 19), tmp_path / "o2", *begin)) == 2
    assert "data_sha256" in capsys.readouterr().err


def test_a_run_is_not_overwritten_or_mixed(
    maze_data: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(command(maze_data, whole)) == 2
    assert "add --resume" in capsys.readouterr().err
    other = save_mazes(tmp_path / "other", num=19)
    for change in (["--lr", "1"], ["--data", str(other)], ["--optimizer", "adamw"]):
        assert train.main(command(maze_data, whole, "--resume", *change)) == 2
        error = capsys.readouterr().err
        assert "differs from the options given" in error
        assert change[0].lstrip("-") in error


@pytest.mark.slow
def test_a_killed_run_leaves_a_state_to_go_on_from(
    maze_data: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    line = [sys.executable, "-m", "tests.support.tiny.training"]
    line += command(maze_data, out, "--total-steps", 100_000, "--log-every", 50, "--save-every", 50)
    env = {**os.environ, **READ_ONLY}
    run = subprocess.Popen(line, cwd=ROOT, stderr=subprocess.DEVNULL, env=env)
    try:
        patience = time.monotonic() + 600
        while not list(out.glob("state/[0-9]*0")) and time.monotonic() < patience:
            assert run.poll() is None
            time.sleep(0.02)
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert not (out / "model").exists()
    before = max(int(path.name) for path in out.glob("state/[0-9]*0"))
    more = ["--total-steps", 100_000, "--log-every", 50, "--save-every", 50]
    assert train.main(command(maze_data, out, *more, "--max-steps", 50, "--resume")) == 0
    assert [row["step"] for row in rows(out)] == list(range(50, before + 51, 50))


@pytest.mark.slow
def test_stop_signal_ends_a_segment_cleanly(maze_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "stopped"
    line = [sys.executable, "-m", "tests.support.tiny.training"]
    line += command(maze_data, out, "--total-steps", 100_000, "--log-every", 1)
    env = {**os.environ, **READ_ONLY}
    run = subprocess.Popen(line, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=env)
    try:
        patience = time.monotonic() + 600
        while not (out / "rows.jsonl").exists() or not (out / "rows.jsonl").read_text():
            assert run.poll() is None
            assert time.monotonic() < patience
            time.sleep(0.02)
        run.terminate()
        error = run.communicate(timeout=600)[1]
    finally:
        run.kill()
    assert run.returncode == 0
    assert "--resume" in error
    assert load_metadata(out / "model")["step"] == len(rows(out))


@pytest.mark.slow
def test_start_takes_the_weights_of_a_run(maze_data: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    start = ["--start", whole / "model", "--dtype", "bfloat16", "--lr", 0, "--max-steps", 1]
    assert train.main(command(maze_data, out, *start)) == 0
    # nothing moves at a learning rate of 0, in either dtype
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6),
        weights(out).params,
        weights(whole).params,
    )
    assert load_model(out / "model")[0].forward_dtype == "bfloat16"


@pytest.mark.slow
def test_devices_share_a_run(maze_data: Path, whole: Path, tmp_path: Path) -> None:
    """Train on eight simulated devices, in a process of its own."""
    out = tmp_path / "eight"
    flags = "--xla_force_host_platform_device_count=8"
    line = [sys.executable, "-m", "tests.support.tiny.training", *command(maze_data, out)]
    run = subprocess.run(
        line, cwd=ROOT, env={**os.environ, "XLA_FLAGS": flags}, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert "8 x cpu" in run.stderr
    # losses are sums of 128 cells' float32 terms in another order: 128 half ulps of 6e-8 to
    # begin with. AdamATan2 turns a gradient whose sign is rounding noise into a full step, so
    # that weights may differ by 2 lr = 2e-4 a step, of weights about 0.25: up to 1e-3 in a loss
    losses = [[row["loss"] for row in rows(folder)] for folder in (out, whole)]
    np.testing.assert_allclose(losses[0][:1], losses[1][:1], rtol=128 * 6e-8 * 4)
    np.testing.assert_allclose(*losses, rtol=1e-3)
