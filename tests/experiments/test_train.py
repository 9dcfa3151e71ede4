"""The training program: segments, resuming after a kill, clear errors."""

import json
from pathlib import Path

import numpy as np
import pytest

from experiments import train
from trm_jax.checkpoint import load_model
from trm_jax.config import preset
from trm_jax.data.format import from_examples, save_dataset
from trm_jax.data.maze_generator import generate_mazes


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty mazes of the size that the small preset takes."""
    root = tmp_path_factory.mktemp("mazes")
    inputs, labels = generate_mazes(20, height=8, width=8, min_path=8)
    save_dataset(from_examples(inputs, labels, vocab_size=6), root / "train")
    return root


def command(data: Path, out: Path, *more: str) -> list[str]:
    """Make a short run of the small maze preset."""
    fixed = ["--preset", "maze-trm-att-mini", "--data", data, "--out", out, "--total-steps", 4]
    pace = ["--batch-size", 2, "--valid", 3, "--log-every", 2, "--save-every", 2]
    return [str(word) for word in (*fixed, *pace, *more)]


def rows(out: Path) -> list[dict[str, float]]:
    """Read the metrics, without the clock."""
    lines = (out / "rows.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


def test_killed_and_resumed_run_is_the_uninterrupted_one(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(command(data, tmp_path / "whole")) == 0
    killed = tmp_path / "killed"
    assert train.main(command(data, killed, "--max-minutes", "0")) == 0
    assert "--resume goes on" in capsys.readouterr().err
    with (killed / "rows.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')  # what a kill in the middle of a row leaves
    assert train.main(command(data, killed)) == 2
    assert "add --resume" in capsys.readouterr().err
    assert train.main(command(data, killed, "--resume", "--log-every", "2")) == 0
    # the first segment stopped after one step: the window of its metrics began anew
    assert rows(killed)[-1]["valid_cell"] == rows(tmp_path / "whole")[-1]["valid_cell"]
    whole, resumed = (load_model(tmp_path / name / "model") for name in ("whole", "killed"))
    assert whole[0] == resumed[0] == preset("maze-trm-att-mini")
    for a, b in zip(
        np.asarray(whole[1].puzzle_emb), np.asarray(resumed[1].puzzle_emb), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    kernels = [w.params["lm_head"]["kernel"] for _, w in (whole, resumed)]
    np.testing.assert_array_equal(*map(np.asarray, kernels))
    assert (killed / "curve.png").stat().st_size > 0
    assert train.main(command(data, killed, "--resume", "--lr", "1")) == 2
    assert "differs from the options given" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--preset", "maze"], "unknown preset 'maze'"),
        (["--preset", "sudoku-hrm-mini"], "the preset needs seq_len=36 vocab_size=8"),
        (["--data", "nowhere"], "nowhere"),
        (["--valid", "20"], "--valid must lie between 1 and 19 puzzles, got 20"),
        (["--start", "nowhere"], "nowhere"),
        (["--augmentation", "blur"], "unknown augmentation 'blur'; known: maze, none"),
        (["--total-steps", "0"], "total_steps must be at least 1"),
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


def test_a_run_that_leaves_the_numbers_stops_with_the_tensor_named(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(command(data, tmp_path / "out", "--lr", "1e38", "--warmup-steps", "0")) == 2
    error = capsys.readouterr().err
    assert "step 2" in error
    assert "not finite" in error or "the loss is" in error
