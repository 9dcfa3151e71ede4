"""`experiments.train --attention`: what runs is what was asked for and said, or code 2."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from experiments.train import __main__ as train
from experiments.train import runner
from experiments.train.job import Pace
from experiments.train.loop import Parts
from experiments.train.runner import attention_text
from tests.support.rerouted import reroute
from tests.support.tiny.training import NAME, command
from trm_jax.config import PRESETS, AttentionKernel
from trm_jax.training.step import TrainState


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[Any, dict[str, Any]]]]:
    """Pretend a GPU with cuDNN; XLA computes what cuDNN is asked for."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    with jax.numpy_dtype_promotion("standard"):  # jax's XLA implementation, backward, counts on it
        yield reroute(monkeypatch)


def traced(parts: Parts, total: int, pace: Pace, state: TrainState, *_: object) -> TrainState:
    """Trace the update of a segment instead of running it."""
    del total, pace
    jax.eval_shape(parts.update, state, parts.puzzles)
    return state


@pytest.mark.slow
def test_a_run_attends_by_cudnn_and_goes_on_without(
    maze_data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    gpu: list[Any],
) -> None:
    monkeypatch.setattr(runner, "run_segment", traced)
    monkeypatch.setattr(runner, "draw_curve", lambda *_: None)  # there is no row
    line = command(maze_data, tmp_path / "run", "--dtype", "bfloat16")
    assert train.main([*line, "--attention", "cudnn"]) == 0
    said = capsys.readouterr().err
    assert ", attention cudnn\n" in said
    assert "--attention cudnn" in said.split("this goes on with it:")[1]
    assert {options["implementation"] for _, options in gpu} == {"cudnn"}
    assert {asked.dtype for asked, _ in gpu} == {jnp.dtype(jnp.bfloat16)}
    assert {asked.shape[0] for asked, _ in gpu} == {1, 8}  # the check's, and the batch
    assert "cudnn" not in (tmp_path / "run" / "spec.json").read_text()
    gpu.clear()
    assert train.main([*line, "--resume"]) == 0  # as on another machine
    assert ", attention xla (--attention cudnn can be had)\n" in capsys.readouterr().err
    assert {asked.shape[0] for asked, _ in gpu} == {1}  # whether it can be had is all


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ([], "cuDNN needs an NVIDIA GPU and jax for CUDA, this process computes on cpu"),
        (["--preset", "sudoku-trm-mlp"], "no softmax attention in a model with mixer=mlp"),
    ],
)
def test_cudnn_that_cannot_be_had_is_code_2(
    maze_data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: list[str],
    message: str,
) -> None:
    line = command(maze_data, tmp_path / "out", "--attention", "cudnn", *change)
    assert train.main(line) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "take attention=xla" in error
    assert not (tmp_path / "out").exists()


def test_cudnn_in_float32_is_code_2(
    maze_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], gpu: list[Any]
) -> None:
    low = ["--dtype", "float32", "--attention", "cudnn"]
    assert train.main(command(maze_data, tmp_path / "out", *low)) == 2
    assert "cuDNN attends in bfloat16 or float16" in capsys.readouterr().err
    assert not gpu


def test_the_first_line_says_what_attends() -> None:
    assert attention_text(PRESETS[NAME], AttentionKernel.XLA) == "attention xla"
    mlp = PRESETS["sudoku-trm-mlp"]
    assert attention_text(mlp, AttentionKernel.XLA) == "no softmax attention"
