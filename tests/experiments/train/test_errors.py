"""The training program on bad input, numbers that leave the numbers, and too little memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from experiments.train import __main__ as train
from experiments.train import runner
from tests.support.programs import end_of
from tests.support.tiny.training import ROOT, command


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--preset", "maze"], "unknown preset 'maze'"),
        (["--preset", "sudoku-hrm-mini"], "the preset needs seq_len=36 vocab_size=8"),
        (["--data", "nowhere"], "nowhere"),
        (["--valid", "20"], "--valid must lie between 1 and 19 puzzles, got 20"),
        (["--augmentation", "blur"], "unknown augmentation 'blur' of maze 4x4; known: maze, none"),
        (["--total-steps", "0"], "--total-steps must be at least 1, got 0"),
        (["--accumulate", "3"], "batch_size must be a multiple of accumulate"),
        (["--log-every", "0"], "--log-every must be at least 1, got 0"),
        (["--compact-in", "nowhere"], "nowhere is no compact state"),
        (["--compact-in", "nowhere", "--resume"], "not both"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    maze_data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: list[str],
    message: str,
) -> None:
    assert end_of(train.main, command(maze_data, tmp_path / "out", *change)) == 2
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
    maze_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    start = unusable(kind, tmp_path / "start")
    assert train.main(command(maze_data, tmp_path / "out", "--start", start)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert str(start) in error
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_run_that_leaves_the_numbers_names_step_and_tensor_and_keeps_the_last_good_state(
    maze_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    # the weights leave float32 in step 3, which ends no window; the state of step 2 is saved
    wild = ["--lr", "1.5e38", "--warmup-steps", "4", "--weight-decay", "0", "--save-every", "2"]
    assert train.main(command(maze_data, out, *wild, "--log-every", "6")) == 2
    error = capsys.readouterr().err
    step = int(error.split("error: step ")[1].split(":")[0])
    assert " is not finite" in error
    assert any(part in error for part in ("weights/", "gradient/", "optimiser/", "only the loss"))
    kept = [int(path.name) for path in (out / "state").glob("[0-9]*")]
    assert all(saved < step for saved in kept)
    assert not (out / "model").exists()


@pytest.mark.slow
def test_a_batch_that_devices_do_not_divide_is_refused(maze_data: Path, tmp_path: Path) -> None:
    flags = "--xla_force_host_platform_device_count=3"
    line = [sys.executable, "-m", "tests.support.tiny.training"]
    run = subprocess.run(
        [*line, *command(maze_data, tmp_path / "out")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "XLA_FLAGS": flags},
    )
    assert run.returncode == 2
    assert "must be a multiple of the 3 devices" in run.stderr


def test_too_little_memory_says_what_to_do(
    maze_data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(message: str) -> None:
        def run(*_: object, **__: object) -> bool:
            raise jax.errors.JaxRuntimeError(message)

        monkeypatch.setattr(runner, "run", run)

    fail("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes.")
    assert train.main(command(maze_data, tmp_path / "out", "--accumulate", 4)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: RESOURCE_EXHAUSTED")
    assert "--accumulate 8" in error
    fail("INTERNAL: something else")
    with pytest.raises(jax.errors.JaxRuntimeError, match="something else"):
        train.main(command(maze_data, tmp_path / "out"))
