"""Training of decoders: the same folder as a recursive run, resumed to the last bit."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.train import __main__ as train
from tests.support.programs import end_of
from tests.support.tiny.decoder_training import NAME, decoder_command, save_mazes
from tests.support.tiny.training import command
from trm_jax.decoder.config import TraceOrder
from trm_jax.decoder.model_folder import load_puzzle_decoder

CLOCK = ("seconds", "samples_per_second")


@pytest.fixture(scope="module")
def mazes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_mazes(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def whole(mazes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupts."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert train.main(decoder_command(mazes, out)) == 0
    return out


def rows(out: Path) -> list[dict[str, float]]:
    """Read the metrics, without what the clock says."""
    lines = (out / "rows.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in CLOCK} for line in lines]


@pytest.mark.slow
def test_a_run_leaves_rows_a_curve_and_a_model_that_says_what_it_is(whole: Path) -> None:
    lines = rows(whole)
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert {"accuracy", "exact_accuracy", "lr", "tokens"} <= lines[0].keys()
    validated = {"valid_loss", "valid_accuracy", "valid_exact", "valid_cell", "valid_tokens"}
    assert validated <= lines[-1].keys()
    assert (whole / "curve.png").read_bytes().startswith(b"\x89PNG")
    model = load_puzzle_decoder(whole / "model")
    assert (model.order, model.puzzles.title) == (TraceOrder.SCAN, "maze 4x4")
    assert model.metadata["step"] == 6


@pytest.mark.slow
def test_a_resumed_run_is_the_uninterrupted_one_to_the_last_bit(
    mazes: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert train.main(decoder_command(mazes, out, "--max-steps", 3)) == 0
    said = capsys.readouterr().err
    assert "segment ended; this goes on with it:" in said
    assert load_puzzle_decoder(out / "model").metadata["step"] == 3
    assert train.main(decoder_command(mazes, out, "--resume")) == 0
    assert rows(out) == rows(whole)
    weights = (load_puzzle_decoder(each / "model").params for each in (out, whole))
    jax.tree.map(np.testing.assert_array_equal, *weights)


@pytest.mark.slow
def test_a_run_starts_from_the_weights_of_another(
    mazes: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = ["--start", whole / "model", "--total-steps", 1, "--lr", 0, "--ema", 0]
    assert train.main(decoder_command(mazes, tmp_path / "out", *start)) == 0
    weights = (load_puzzle_decoder(each / "model").params for each in (tmp_path / "out", whole))
    jax.tree.map(np.testing.assert_array_equal, *weights)  # a learning rate of 0 moves nothing
    capsys.readouterr()
    assert train.main(decoder_command(mazes, tmp_path / "b", "--start", tmp_path / "none")) == 2
    assert "no config.json in it" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_is_not_mixed_with_another(
    mazes: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for change, message in (
        (["--order", "solver"], "order: 'scan' there, 'solver' now"),
        (["--seed", 5], "recipe seed: 0 there, 5 now"),
        (["--data", save_mazes(tmp_path / "other", 19)], "data_sha256"),
    ):
        assert train.main(decoder_command(mazes, whole, "--resume", *change)) == 2
        assert message in capsys.readouterr().err
    assert train.main(command(mazes, whole, "--resume")) == 2
    assert "it is of a decoder's training; name its preset" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--halt-max-steps", 3], f"--halt-max-steps is for recursive models; {NAME} is a decoder"),
        (["--attention", "cudnn"], "--attention is for recursive models"),
        (["--q-weight", 2], "--q-weight is for recursive models"),
        (["--compact-out", "x"], "--compact-out is for recursive models"),
        (["--order", "backwards"], "order"),
        (["--valid", 20], "--valid must lie between 1 and 19 puzzles, got 20"),
        (["--preset", "maze-ar-mini"], "vocab_size=579, but maze 4x4 is written with 147 tokens"),
        (["--preset", "sudoku-ar-mini"], "but sudoku 4x4 with boxes 2x2 is written with 136"),
        (["--data", "nowhere"], "nowhere"),
        (["--augmentation", "blur"], "unknown augmentation 'blur' of maze 4x4; known: maze, none"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    mazes: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: list[object],
    message: str,
) -> None:
    assert end_of(train.main, decoder_command(mazes, tmp_path / "out", *change)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_an_order_is_for_decoders(
    mazes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(command(mazes, tmp_path / "out", "--order", "scan")) == 2
    assert "--order is for decoders (sudoku-ar-mini, maze-ar-mini" in capsys.readouterr().err
