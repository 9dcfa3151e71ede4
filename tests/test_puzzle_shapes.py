"""Puzzles of every shape go through the whole chain: made, trained on, swept, exported, solved.

What a puzzle is must arrive at the end as it was said at the beginning; sizes alone would make 2x3
boxes of 3x2 and a square of everything.
"""

from pathlib import Path

import numpy as np
import pytest

import tests.support.tiny.training  # noqa: F401 - first: annotations without jaxtyping
from experiments.sweep import __main__ as sweep
from experiments.train import __main__ as train
from export import solve, tflite, verify
from export.artifact.manifest import read_manifest
from tests.support.tiny.training import NAME
from trm_jax.checkpoints.model_files import load_facts
from trm_jax.data.facts import PuzzleFacts
from trm_jax.data.format import load_dataset
from trm_jax.data.maze import __main__ as maze
from trm_jax.data.sudoku import __main__ as sudoku
from trm_jax.data.sudoku.tokens import DIGITS

SHAPES = {
    "sudoku 3x2": ("sudoku", (6, 6), (3, 2)),
    "sudoku 4x2": ("sudoku", (8, 8), (4, 2)),
    "maze 8x6": ("maze", (8, 6), None),
    "maze 3x7": ("maze", (3, 7), None),
}
SYMBOLS = {"sudoku": "?." + DIGITS, "maze": "?#.SGo"}


def generate(task: str, grid: tuple[int, int], box: tuple[int, int] | None, out: Path) -> None:
    """Make a few puzzles with the task's own command."""
    number = ["--num-train", "24", "--num-test", "6", "--workers", "1", "--out", str(out)]
    if box is not None:
        clues = str(grid[0] ** 2 * 2 // 3)
        words = ["--box", f"{box[0]}x{box[1]}", "--clues", clues]
        assert sudoku.main(["generate", *number, *words]) == 0
    else:
        words = ["--shape", f"{grid[0]}x{grid[1]}", "--min-path", "4", "--walls", "0.3"]
        assert maze.main(["generate", *number, *words]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_goes_through_the_whole_chain(
    shape: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task, grid, box = SHAPES[shape]
    data, run, out = (tmp_path / name for name in ("data", "run", "out"))
    generate(task, grid, box, data)
    words = ["--preset", NAME, "--data", data, "--out", run, "--total-steps", 2, "--task", task]
    words += ["--batch-size", 4, "--valid", 3, "--warmup-steps", 1, "--fit-data"]
    monkeypatch.setitem(train_presets(), NAME, task)
    assert train.main([str(word) for word in words]) == 0
    facts = load_facts(run / "model")
    assert facts == load_dataset(data / "train").metadata.puzzles
    assert facts is not None
    assert (facts.task, facts.grid, facts.box) == (task, grid, box)
    common = ["--model", str(run / "model"), "--data", str(data)]
    swept = ["--task", task, "--schemes", "fp32,int8", "--limit", "4", "--batch-size", "4"]
    assert sweep.main([*common, *swept, "--out", str(tmp_path / "sweep")]) == 0
    export = ["--scheme", "int8", "--batch-size", "2", "--out", str(out)]
    assert tflite.main([*common, *export]) == 0
    assert read_manifest(out).puzzles == facts
    assert verify.main([str(out), "--data", str(data), "--limit", "4"]) == 0
    check_solve(out, data, facts, capsys)


def train_presets() -> dict[str, str]:
    """Return the table of the presets' tasks: the tiny preset trains any."""
    from trm_jax.config import PRESET_TASKS

    return PRESET_TASKS


def check_solve(
    out: Path, data: Path, facts: PuzzleFacts, capsys: pytest.CaptureFixture[str]
) -> None:
    """Solve a puzzle written as text: it is read and drawn in its own shape."""
    puzzle = np.asarray(load_dataset(data / "test").inputs[0])
    text = "".join(SYMBOLS[facts.task][token] for token in puzzle)
    capsys.readouterr()
    assert solve.main([str(out), text]) == 0
    printed = capsys.readouterr().out
    lines = printed.split("\n\n")[0].splitlines()
    boxes = 0 if facts.box is None else facts.grid[0] // facts.box[0] + 1
    frame = 2 if facts.box is None else boxes
    assert len(lines) == facts.grid[0] + frame
    assert "no answer exists" not in printed
    assert "several answers" not in printed
