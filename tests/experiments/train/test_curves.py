"""Tables of recipes: which runs become one line, what it says, what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from experiments.train import curves
from experiments.train.folder import with_defaults


def save_run(folder: Path, exact: float | None, **changed: Any) -> Path:
    """Write the files of a finished run that was validated once, at step 40."""
    recipe = {"total_steps": 40, "batch_size": 8, "lr": 1e-3, "seed": 0, "lr_min_ratio": 0.1}
    fields = {"preset": "sudoku-trm-mlp-mini", "task": "sudoku", "data": "data/a", "valid": 10}
    fields |= {"augmentation": "none", "start": None}
    spec = with_defaults(fields | {"recipe": recipe})
    for name, value in changed.items():
        (spec["recipe"] if name in spec["recipe"] else spec)[name] = value
    folder.mkdir()
    (folder / "spec.json").write_text(json.dumps({"kind": "training run", **spec}))
    rows = [{"step": 20, "seconds": 1.0, "loss": 1.0, "exact_accuracy": 0.0}]
    if exact is not None:
        valid = {"valid_exact_n1": 0.0, "valid_exact_n16": exact, "valid_cell": exact + 0.1}
        rows.append({"step": 40, "seconds": 2.0, "loss": 0.5, "exact_accuracy": 0.0} | valid)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_runs_that_differ_in_their_seed_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [
        save_run(tmp_path / "a0", 0.25),
        save_run(tmp_path / "a1", 0.75, seed=1),
        save_run(tmp_path / "m0", 0.5, optimizer="muon", lr=2e-3),
        save_run(tmp_path / "s0", 0.125, start="runs/b/model", halt_max_steps=4),
        save_run(tmp_path / "s1", 0.375, start="runs/c/model", halt_max_steps=4, seed=1),
    ]
    assert curves.main([*map(str, runs), "--table"]) == 0
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][2:]
    assert table == [
        "| (reference) | 0, 1 | 40 | 0.500 (0.250 to 0.750) | 0.600 (0.350 to 0.850) |",
        "| lr 0.002, optimizer muon | 0 | 40 | 0.500 (0.500 to 0.500) | 0.600 (0.600 to 0.600) |",
        "| halt_max_steps 4, start a model | 0, 1 | 40 | 0.250 (0.125 to 0.375) |"
        " 0.350 (0.225 to 0.475) |",
    ]


def test_a_run_without_validation_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [save_run(tmp_path / "a", 0.5), save_run(tmp_path / "b", None, seed=1)]
    assert curves.main([str(runs[0]), "--table", "--out", str(tmp_path / "x.png")]) == 2
    assert "leave --out and --after out" in capsys.readouterr().err
    assert curves.main([*map(str, runs), "--table"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert f"{tmp_path / 'b'} has not been validated yet" in said
    assert said.count("\n") == 1
