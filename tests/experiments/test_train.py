"""The training program: segments, resuming to the last bit, kills, NaN, clear errors."""

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

from experiments import train
from experiments.segment import Pace
from experiments.train import continuation
from experiments.window import Window
from tests.compiled import READ_ONLY
from tests.experiments.tiny_training import command, save_mazes
from trm_jax.checkpoint import load_metadata, load_model
from trm_jax.types import Weights

ROOT = Path(__file__).resolve().parents[2]
CLOCK = ("seconds", "samples_per_second", "compile_seconds")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty mazes of the size that the tiny preset takes."""
    return save_mazes(tmp_path_factory.mktemp("mazes"))


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupts."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert train.main(command(data, out)) == 0
    return out


def rows(out: Path) -> list[dict[str, float]]:
    """Read the metrics, without what the clock says."""
    lines = (out / "rows.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in CLOCK} for line in lines]


def weights(out: Path) -> Weights:
    """Read the averaged weights of a run."""
    return load_model(out / "model")[1]


def same(a: Weights, b: Weights) -> None:
    jax.tree.map(np.testing.assert_array_equal, a, b)


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


@pytest.mark.parametrize("stops", [(1, 4), (3, 2)], ids=["1+4+1", "3+2+1"])
def test_resumed_run_is_the_uninterrupted_one_to_the_last_bit(
    data: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    stops: tuple[int, ...],
) -> None:  # fmt: skip
    out = tmp_path / "run"
    assert train.main(command(data, out, "--max-steps", stops[0])) == 0
    said = capsys.readouterr().err
    assert continuation(command(data, out, "--max-steps", stops[0])) in said
    with (out / "rows.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')  # what a kill in the middle of a row leaves
    assert train.main(command(data, out, "--resume", "--max-steps", stops[1])) == 0
    assert len(rows(out)) == sum(stops) // 2
    assert train.main(command(data, out, "--resume")) == 0
    assert rows(out) == rows(whole)  # every loss, though segments ended inside windows
    same(weights(out), weights(whole))


def test_the_printed_command_goes_on(data: Path, whole: Path, tmp_path: Path) -> None:
    given = ["--compact-in", "a b", "--out", "r", "--compact-in=c", "--lr", "1"]
    assert continuation(given) == "python -m experiments.train --out r --lr 1 --resume"
    out = tmp_path / "run with a blank"
    assert train.main(command(data, out, "--max-minutes", 0)) == 0
    line = continuation(command(data, out))
    assert train.main(shlex.split(line)[3:]) == 0
    same(weights(out), weights(whole))


def test_a_compact_state_goes_on_elsewhere(
    data: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    carried, there = tmp_path / "carried", tmp_path / "there"
    first = ["--max-steps", 4, "--compact-out", carried]
    assert train.main(command(data, tmp_path / "here", *first)) == 0
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
    assert train.main(command(data, tmp_path / "new", *begin, "--lr", 1)) == 2
    assert "recipe lr: 0.0001 there, 1.0 now" in capsys.readouterr().err
    assert train.main(command(save_mazes(tmp_path / "o", 19), tmp_path / "o2", *begin)) == 2
    assert "data_sha256" in capsys.readouterr().err


def test_a_run_is_not_overwritten_or_mixed(
    data: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(command(data, whole)) == 2
    assert "add --resume" in capsys.readouterr().err
    other = save_mazes(tmp_path / "other", num=19)
    for change in (["--lr", "1"], ["--data", str(other)], ["--optimizer", "adamw"]):
        assert train.main(command(data, whole, "--resume", *change)) == 2
        error = capsys.readouterr().err
        assert "differs from the options given" in error
        assert change[0].lstrip("-") in error


def test_a_killed_run_leaves_a_state_to_go_on_from(data: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    line = [sys.executable, "-m", "tests.experiments.tiny_training"]
    line += command(data, out, "--total-steps", 100_000, "--log-every", 50, "--save-every", 50)
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
    assert train.main(command(data, out, *more, "--max-steps", 50, "--resume")) == 0
    assert [row["step"] for row in rows(out)] == list(range(50, before + 51, 50))


def test_stop_signal_ends_a_segment_cleanly(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "stopped"
    line = [sys.executable, "-m", "tests.experiments.tiny_training"]
    line += command(data, out, "--total-steps", 100_000, "--log-every", 1)
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--preset", "maze"], "unknown preset 'maze'"),
        (["--preset", "sudoku-hrm-mini"], "the preset needs seq_len=36 vocab_size=8"),
        (["--data", "nowhere"], "nowhere"),
        (["--valid", "20"], "--valid must lie between 1 and 19 puzzles, got 20"),
        (["--augmentation", "blur"], "unknown augmentation 'blur'; known: maze, none"),
        (["--total-steps", "0"], "total_steps must be at least 1"),
        (["--accumulate", "3"], "batch_size must be a multiple of accumulate"),
        (["--log-every", "0"], "log_every must be at least 1, got log_every=0"),
        (["--compact-in", "nowhere"], "nowhere is no compact state"),
        (["--compact-in", "nowhere", "--resume"], "not both"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    change: list[str], message: str,
) -> None:  # fmt: skip
    assert train.main(command(data, tmp_path / "out", *change)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "out" / "rows.jsonl").exists()


def unusable(kind: str, folder: Path) -> Path:
    """Make something that is no model."""
    folder.mkdir()
    if kind == "a file":
        (folder / "model").write_text("x")
        return folder / "model"
    if kind == "binary":
        (folder / "config.json").write_bytes(bytes(range(256)))
    if kind == "a list":
        (folder / "config.json").write_text("[1]")
    if kind == "no weights":
        config = {"architecture": "trm", "vocab_size": 6, "seq_len": 16}
        document = {"format": 1, "config": config, "metadata": {}}
        (folder / "config.json").write_text(json.dumps(document))
    if kind == "torn weights":
        unusable("no weights", folder / "inner")
        (folder / "inner" / "config.json").rename(folder / "config.json")
        (folder / "model.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{}")
    return folder


@pytest.mark.parametrize(
    "kind", ["empty", "a file", "binary", "a list", "no weights", "torn weights"]
)
def test_start_from_an_unusable_folder_is_code_2(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    start = unusable(kind, tmp_path / "start")
    assert train.main(command(data, tmp_path / "out", "--start", start)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert str(start) in error
    assert not (tmp_path / "out").exists()


def test_start_takes_the_weights_of_a_run(data: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    start = ["--start", whole / "model", "--dtype", "bfloat16", "--lr", 0, "--max-steps", 1]
    assert train.main(command(data, out, *start)) == 0
    # nothing moves at a learning rate of 0, in either dtype
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6),
        weights(out).params, weights(whole).params,
    )  # fmt: skip
    assert load_model(out / "model")[0].forward_dtype == "bfloat16"


def test_a_run_that_leaves_the_numbers_names_step_and_tensor_and_keeps_the_last_good_state(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    # the weights leave float32 in step 3, which ends no window; the state of step 2 is saved
    wild = ["--lr", "1.5e38", "--warmup-steps", "4", "--weight-decay", "0", "--save-every", "2"]
    assert train.main(command(data, out, *wild, "--log-every", "6")) == 2
    error = capsys.readouterr().err
    step = int(error.split("error: step ")[1].split(":")[0])
    assert " is not finite" in error
    assert any(part in error for part in ("weights/", "gradient/", "optimiser/", "only the loss"))
    kept = [int(path.name) for path in (out / "state").glob("[0-9]*")]
    assert all(saved < step for saved in kept)
    assert not (out / "model").exists()


def test_window_names_the_first_bad_step_and_tensor() -> None:
    window = Window(["gradient/a", "weights/b"])
    good = {"loss": jnp.float32(1), "not_finite": jnp.float32(0), "count": jnp.float32(1)}
    window.add(7, good)
    window.add(8, good | {"not_finite": jnp.float32(2)})
    window.add(9, good | {"not_finite": jnp.float32(1), "loss": jnp.float32(np.nan)})
    with pytest.raises(FloatingPointError, match="step 8: weights/b is not finite, the loss is 1"):
        window.settle()
    window.add(1, good | {"loss": jnp.float32(np.inf)})
    with pytest.raises(FloatingPointError, match="step 1: only the loss is not finite"):
        window.settle()


def test_window_survives_json() -> None:
    values = np.random.default_rng(0).random((6, 2)).astype(np.float32) / 3
    whole, first, second = Window([]), Window([]), Window([])
    for step, (loss, count) in enumerate(values):
        metrics = {"loss": jnp.float32(loss), "count": jnp.float32(count)}
        metrics["not_finite"] = jnp.float32(0)
        whole.add(step, metrics)
        (first if step < 3 else second).add(step, metrics)
    first.settle()
    second.from_json(json.loads(json.dumps(first.to_json())))
    whole.settle()
    second.settle()
    assert second.row() == whole.row()


def test_pace_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="save_every must be at least 1, got save_every=-1"):
        Pace(save_every=-1)


def test_devices_share_a_run(data: Path, whole: Path, tmp_path: Path) -> None:
    """Train on eight simulated devices, in a process of its own."""
    out = tmp_path / "eight"
    flags = "--xla_force_host_platform_device_count=8"
    line = [sys.executable, "-m", "tests.experiments.tiny_training", *command(data, out)]
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


def test_a_batch_that_devices_do_not_divide_is_refused(data: Path, tmp_path: Path) -> None:
    flags = "--xla_force_host_platform_device_count=3"
    line = [sys.executable, "-m", "tests.experiments.tiny_training"]
    run = subprocess.run(
        [*line, *command(data, tmp_path / "out")], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "XLA_FLAGS": flags},
    )  # fmt: skip
    assert run.returncode == 2
    assert "must be a multiple of the 3 devices" in run.stderr
