"""The main program from command line to files: whole, resumed, refused."""

import re
import shutil

import pytest

from experiments.sweep import __main__ as sweep
from experiments.sweep import runner
from experiments.sweep.job import prepare
from quant.simulation import simulate
from tests.support.programs import end_of
from tests.support.tiny import sweep as tiny
from trm_jax import zoo
from trm_jax.convert.name_table import to_torch
from trm_jax.convert.torch_files import write_torch

SMALL = ("--schemes", "fp32,int4_naive", "--batch-size", "8", "--depths", "1,2x1,4")


@pytest.fixture(scope="module")
def finished(tiny_root, tmp_path_factory):
    """A sweep that ran through."""
    out = tmp_path_factory.mktemp("sweep") / "out"
    assert sweep.main(tiny.arguments(tiny_root, out, *SMALL)) == 0
    return out


def tables_of(out):
    """What a sweep found, as text."""
    return [(out / name).read_text() for name in ("grid.csv", "summary.csv", "grid.md")]


def test_a_sweep_leaves_rows_tables_and_figures(finished):
    assert len((finished / "rows.jsonl").read_text().splitlines()) == 3 * 2
    for name in ("spec.json", "summary.md", "accuracy.svg", "fidelity.png"):
        assert (finished / name).stat().st_size > 0


def test_a_used_folder_is_not_touched(finished, tiny_root, capsys):
    before = {file: file.read_bytes() for file in finished.iterdir()}
    assert sweep.main(tiny.arguments(tiny_root, finished, *SMALL)) == 2
    err = capsys.readouterr().err
    assert "add --resume" in err
    assert len(err.splitlines()) == 1
    assert {file: file.read_bytes() for file in finished.iterdir()} == before


def test_killed_and_resumed_it_ends_the_same_and_keeps_finished_rows(finished, tiny_root, tmp_path):
    """A kill leaves some rows and a torn one (test_processes.py kills for real)."""
    out = tmp_path / "out"
    out.mkdir()
    whole = (finished / "rows.jsonl").read_bytes()
    kept = b"".join(whole.splitlines(keepends=True)[:3])
    (out / "rows.jsonl").write_bytes(kept + b'{"digest":"')
    (out / "spec.json").write_bytes((finished / "spec.json").read_bytes())
    assert sweep.main(tiny.arguments(tiny_root, out, *SMALL, "--resume")) == 0
    assert (out / "rows.jsonl").read_bytes() == whole
    assert tables_of(out) == tables_of(finished)


def test_a_scheme_that_cannot_be_had_leaves_a_folder_as_it_was(
    finished, tiny_root, tmp_path, monkeypatch, capsys
):
    def refuse(model, scheme, *args, **options):
        if scheme.name == "w8c-sym":
            raise ValueError("no such integers")
        return simulate(model, scheme, *args, **options)

    monkeypatch.setattr(runner, "simulate", refuse)
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    before = {file: file.read_bytes() for file in out.iterdir()}
    words = ("--schemes", "fp32,int4_naive,int8", *SMALL[2:], "--resume")
    assert sweep.main(tiny.arguments(tiny_root, out, *words)) == 2
    assert capsys.readouterr().err.splitlines() == ["error: no such integers"]
    assert {file: file.read_bytes() for file in out.iterdir()} == before


def test_resuming_with_more_schemes_computes_only_those(finished, tiny_root, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for name in ("rows.jsonl", "spec.json"):
        (out / name).write_bytes((finished / name).read_bytes())
    more = ("--schemes", "int4_naive,int8", *SMALL[2:], "--resume")
    assert sweep.main(tiny.arguments(tiny_root, out, *more)) == 0
    old, new = ((d / "rows.jsonl").read_text().splitlines() for d in (finished, out))
    assert new[: len(old)] == old
    assert len(new) == len(old) + 3
    assert "int8" in (out / "summary.md").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--task", "chess"), "unknown task 'chess'; known: sudoku, maze"),
        (("--schemes", "int9"), "unknown scheme 'int9'"),
        (("--model", "nonsense"), "unknown model 'nonsense'.*bundled: .*sudoku-trm-mlp-mini"),
        (("--data", "nowhere"), "no data folder nowhere"),
        (("--depths", "3x1"), "T=3 is impossible"),
        (("--limit", "-1"), "--limit must be 0"),
        (("--batch-size", "0"), "--batch-size must be at least 1"),
        (("--process-id", "1"), "need --coordinator"),
        (("--schemes", "a8s"), "last 128 of the 22 puzzles"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tiny_root, tmp_path, capsys, change, message):
    out = tmp_path / "out"
    assert end_of(sweep.main, tiny.arguments(tiny_root, out, *change)) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert re.search(message, err), err
    assert not out.exists()


def test_model_and_data_must_fit(tiny_root, capsys):
    arguments = ["--task", "sudoku", "--model", str(tiny_root / "model")]
    assert sweep.main([*arguments, "--data", str(zoo.puzzles("sudoku"))]) == 2
    assert "model has seq_len=16, the data seq_len=36" in capsys.readouterr().err
    assert sweep.main(arguments) == 2
    assert "no sudoku puzzles of 16 cells are bundled, only of 36, 81" in capsys.readouterr().err


def test_a_checkpoint_of_the_pytorch_release_is_the_same_model(tiny_root, tmp_path):
    """Names, transposes and all_config.yaml of the release lead to the same rows."""
    ours = prepare(tiny.parsed(tiny_root))
    file = tmp_path / "step_7.safetensors"
    tensors = to_torch(ours.model.config, ours.model.weights)
    write_torch(file, tensors)
    (tmp_path / "all_config.yaml").write_text(
        "arch:\n  name: recursive_reasoning.trm@TRM\n  H_cycles: 2\n  L_cycles: 2\n"
        "  num_heads: 2\n  expansion: 1.0\n  puzzle_emb_len: 1\n  halt_max_steps: 4\n"
        "  halt_exploration_prob: 0.1\n  no_ACT_continue: true\n  forward_dtype: float32\n"
    )
    theirs = prepare(tiny.parsed(tiny_root, "--model", str(file)))
    assert theirs.model.config == ours.model.config
    assert theirs.spec.digest == ours.spec.digest
    assert theirs.spec.model == "step_7.safetensors"


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as stop:
        sweep.main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert all(flag in text for flag in ("--resume", "--depths", "w4c-asym_a8d", "T*n"))


def test_help_carries_two_commands():
    """tests/test_commands.py runs them."""
    assert (sweep.__doc__ or "").count("    python -m experiments.sweep ") == 2


GPTQ = ("--schemes", "w4t-sym-gptq", "--depths", "1x1", "--batch-size", "7", "--limit", "14")


@pytest.mark.slow
def test_a_sweep_is_calibrated_on_the_puzzles_that_it_is_given(tiny_root, tmp_path, capsys):
    """Eight of the 22 tiny puzzles, told in the folder; then the same ones from another folder."""
    few, own = tmp_path / "few", tmp_path / "own"
    assert sweep.main(tiny.arguments(tiny_root, few, *GPTQ, "--calibration-puzzles", "8")) == 0
    assert "calibrated on the last 8 of sudoku 4x4" in capsys.readouterr().out
    shutil.copytree(tiny_root / "data", tmp_path / "data")
    given = ("--calibration", str(tmp_path / "data"), "--calibration-puzzles", "8")
    assert sweep.main(tiny.arguments(tiny_root, own, *GPTQ, *given)) == 0
    assert (few / "rows.jsonl").read_bytes() == (own / "rows.jsonl").read_bytes()
    capsys.readouterr()
    resumed = (*GPTQ, "--calibration-puzzles", "9", "--limit", "13", "--resume")
    assert sweep.main(tiny.arguments(tiny_root, few, *resumed)) == 2
    assert "calibrated on the last 8 of sudoku" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--calibration-puzzles", "7"), "--calibration-puzzles must be at least 8, got 7"),
        (("--calibration-puzzles", "23"), "is calibrated on the last 23 of the 22 puzzles"),
        (("--calibration-puzzles", "8", "--limit", "15"), "at most 14 can be evaluated, got 15"),
        (("--calibration", "DATA", "--calibration-puzzles", "23"), "has 22 puzzles"),
        (("--calibration", "DATA", "--calibration-puzzles", "22"), "14 of the last 22 puzzles"),
        (("--calibration", "none"), "no data folder none; leave --calibration out"),
        (("--calibration-puzzles", "8", "--schemes", "int8"), "nothing here is calibrated"),
    ],
)
def test_wrong_calibration_puzzles_are_told_in_a_line(tiny_root, tmp_path, capsys, words, message):
    given = [word.replace("DATA", str(tiny_root / "data")) for word in words]
    assert end_of(sweep.main, tiny.arguments(tiny_root, tmp_path / "out", *GPTQ, *given)) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()
