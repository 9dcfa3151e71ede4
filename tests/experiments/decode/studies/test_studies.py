"""Whole studies with a tiny random decoder of 4x4 mazes: tables, resuming, and what is refused."""

import argparse
import csv
import json
from pathlib import Path

import numpy as np
import pytest

from experiments.decode import __main__ as decode
from experiments.decode.studies import command
from experiments.decode.studies.switch import CHECKED, LOSSES, SHARES
from tests.support.decoders import random_params
from tests.support.tiny.decoder_training import NAME
from trm_jax.data.format import from_examples, save_dataset
from trm_jax.data.maze.generator import generate_mazes
from trm_jax.decoder.config import DECODER_PRESETS, TraceOrder
from trm_jax.decoder.model_folder import PuzzleDecoder, save_puzzle_decoder
from trm_jax.loading import load_puzzles

FEW = ("--supervised-updates", "2", "--updates", "2", "--batch-size", "2", "--limit", "3")
SMALL = ("--group", "2", "--prompts", "2", "--samples", "2", "--judged-puzzles", "4", "--rank", "2")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A random decoder, and mazes to learn from and to answer."""
    root = tmp_path_factory.mktemp("study")
    for split, seed, count in (("train", 0, 40), ("test", 9, 9)):
        examples = generate_mazes(count, height=4, width=4, min_path=3, seed=seed)[:2]
        if split == "test":  # the last one is the first, upside down
            examples = [np.concatenate([x, x[:1, ::-1]]) for x in examples]
        save_dataset(from_examples(*examples, vocab_size=6), root / "mazes" / split)
    config = DECODER_PRESETS[NAME]
    model = PuzzleDecoder(
        config=config,
        params=random_params(config),
        order=TraceOrder.SCAN,
        puzzles=load_puzzles("maze", root / "mazes").facts,
        metadata={},
    )
    save_puzzle_decoder(root / "tiny", model)
    return root / "tiny", root / "mazes"


def run(study: str, folders: tuple[Path, Path], out: Path, *options: str) -> int:
    model, data = map(str, folders)
    given = ["--study", study, "--task", "maze", "--model", model, "--data", data, "--out"]
    learned = [] if "--train-data" in options else ["--train-data", data]
    return decode.main([*given, str(out), *learned, *FEW, *SMALL, *options])


def records(out: Path, study: str) -> list[dict[str, str]]:
    with (out / f"{study}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_budget(folders: tuple[Path, Path], tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert run("budget", folders, out) == 2
    error = capsys.readouterr().err
    assert "needs a share of 0.9" in error
    assert "of 6 puzzles right" in error  # of those that are not evaluated, turned images left out
    options = ("--least-exact", "0", "--token-budget", "9", "--kl", "0.001")
    assert run("budget", folders, tmp_path / "other", *options) == 0
    rows = records(tmp_path / "other", "budget")
    assert [row["policy"] for row in rows] == ["supervised", "shortened", "budget 9, kl 0.001"]
    text = (tmp_path / "other" / "budget.md").read_text()
    assert "hard caps" in text
    # the same study again computes nothing and says the same
    assert run("budget", folders, tmp_path / "other", *options, "--resume") == 0
    assert (tmp_path / "other" / "budget.md").read_text() == text
    assert "updates," not in capsys.readouterr().out.split("hard caps")[-1]
    assert run("budget", folders, tmp_path / "other", *options, "--seed", "1", "--resume") == 2
    assert "seed: 0, not 1" in capsys.readouterr().err


@pytest.mark.slow
def test_switch_and_votes(folders: tuple[Path, Path], tmp_path: Path) -> None:
    assert run("switch", folders, tmp_path / "switch") == 0
    rows = records(tmp_path / "switch", "switch")
    shares = [float(row["directly"]) for row in rows if row["routed"] == "share"]
    # of three puzzles, as near as they come to what was asked
    assert shares == list(SHARES)
    assert sum(row["routed"].startswith("loses") for row in rows) == len(LOSSES)
    kept = (tmp_path / "switch" / "answers.jsonl").read_text().splitlines()
    stages = {row["stage"]: row for row in map(json.loads, kept)}
    # of four puzzles that are not evaluated one chooses
    assert len(stages["direct, to choose"]["tokens"]) == 1
    both = zip(stages["trace"]["tokens"], stages["direct"]["tokens"], strict=True)
    sums = [trace + direct for trace, direct in both]
    assert stages[CHECKED]["tokens"] == sums  # a random decoder keeps no rules
    assert (tmp_path / "switch" / "switch.svg").is_file()
    assert run("parallel", folders, tmp_path / "votes", "--temperature", "1") == 0
    rows = records(tmp_path / "votes", "parallel")
    assert [row["policy"] for row in rows] == [
        "greedy",
        "1 sample",
        "2 by majority",
        "2 by verifier",
    ]
    assert float(rows[2]["tokens"]) > float(rows[1]["tokens"])


@pytest.mark.slow
def test_adapters(folders: tuple[Path, Path], tmp_path: Path) -> None:
    assert run("lora", folders, tmp_path / "lora", "--scheme", "w4c-sym") == 0
    names = [row["policy"] for row in records(tmp_path / "lora", "lora")]
    base, put, on = "base, w4c-sym", "put on w4c-sym", "trained on w4c-sym"
    assert names == ["base", "adapter", base, put, on]
    text = (tmp_path / "lora" / "lora.md").read_text()
    assert "equal bit by bit" in text
    assert "| put on w4c-sym | trained on w4c-sym |" in text
    assert np.isfinite([float(row["tokens"]) for row in records(tmp_path / "lora", "lora")]).all()


@pytest.mark.slow
def test_an_adapter_that_was_left_answers_as_it_did(
    folders: tuple[Path, Path], tmp_path: Path, capsys
) -> None:
    brief = ("--adapter-traces", "brief", "--scheme", "w4c-sym")
    assert run("lora", folders, tmp_path / "brief", *brief) == 0
    model, data = map(str, folders)
    left = str(tmp_path / "brief" / "adapter")
    given = ["--study", "lora", "--task", "maze", "--model", model, "--data", data, "--limit", "3"]
    named = [*given, "--adapter", left, "--out", str(tmp_path / "named"), "--scheme", "w4c-sym"]
    assert decode.main(named) == 0
    trained, taken = (
        {row["policy"]: row for row in records(tmp_path / out, "lora")}
        for out in ("brief", "named")
    )
    assert list(taken) == ["base", "adapter", "base, w4c-sym", "put on w4c-sym"]
    for policy, row in taken.items():
        assert row["exact"] == trained[policy]["exact"]
        assert row["tokens"] == trained[policy]["tokens"]
    # what it was trained on decides, and is no other study's
    again = ("--scheme", "w4c-sym", "--resume")
    assert run("lora", folders, tmp_path / "brief", *again) == 2
    assert "adapter_traces: 'brief', not None" in capsys.readouterr().err


def test_an_adapter_is_taken_as_it_is(folders: tuple[Path, Path], tmp_path: Path, capsys) -> None:
    named = ("--adapter", "maze-ar-mini-breif")
    assert run("lora", folders, tmp_path / "out", *named) == 2
    assert "trains none: leave --train-data out" in capsys.readouterr().err
    model, data = map(str, folders)
    given = ["--study", "lora", "--task", "maze", "--model", model, "--data", data]
    given += ["--out", str(tmp_path / "out")]
    assert decode.main([*given, *named, "--adapter-traces", "brief"]) == 2
    assert "leave --adapter-traces out" in capsys.readouterr().err
    assert decode.main([*given, *named]) == 2
    error = capsys.readouterr().err
    assert "unknown adapter 'maze-ar-mini-breif': no such folder" in error
    assert decode.main([*given, "--adapter", "maze-ar-mini-w3c"]) == 2
    assert "adapter maze-ar-mini-w3c acts on maze-ar-mini, got " in capsys.readouterr().err
    bundled = ["--study", "lora", "--task", "maze", "--adapter", "maze-ar-mini-w3c"]
    assert decode.main([*bundled, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "maze-ar-mini-w3c was trained on weights under w3c-sym, got --scheme fp32" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_orders(folders: tuple[Path, Path], tmp_path: Path, capsys) -> None:
    model, data = map(str, folders)
    given = ["--study", "order", "--task", "maze", "--train-data", data, "--out"]
    few = ["--supervised-updates", "2", "--batch-size", "2", "--limit", "3"]
    assert decode.main([*given, str(tmp_path / "taught"), "--model", model, *few]) == 0
    rows = records(tmp_path / "taught", "order")
    orders = [order.value for order in TraceOrder]
    assert [row["order"] for row in rows] == orders
    taught = {row["order"]: int(float(row["taught"])) for row in rows}
    # a path in either order is as long; a search is longer
    assert taught["reading"] == taught["solver"] < taught["scan"]
    text = (tmp_path / "taught" / "order.md").read_text()
    assert "| solver | scan |" in text
    assert "hard caps" in text
    assert (tmp_path / "taught" / "order.svg").is_file()
    # the decoders that it leaves answer as they did; the mazes of validation are the last of 40
    left = [str(tmp_path / "taught" / "decoders" / order) for order in orders]
    named = ["--models", ",".join(left), "--limit", "3"]
    assert decode.main([*given, str(tmp_path / "named"), *named]) == 0
    again = records(tmp_path / "named", "order")
    assert [row["order"] for row in again] == [f"{order}, {order}" for order in orders]
    for name in ("exact", "cells", "tokens", "gflops"):
        assert [row[name] for row in again] == [row[name] for row in rows]
    out = capsys.readouterr().out
    assert "3 validation puzzles, learns from" in out
    assert decode.main([*given, str(tmp_path / "x"), "--data", data]) == 2
    assert "reads no held-out ones" in capsys.readouterr().err


def test_what_a_study_cannot_do_is_said(folders: tuple[Path, Path], tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    model, data = map(str, folders)
    given = ["--study", "lora", "--task", "maze", "--model", model, "--data", data]
    assert decode.main([*given, "--out", str(out)]) == 2
    assert "--train-data" in capsys.readouterr().err
    assert decode.main(["--study", "lora", "--task", "arc", "--out", str(out)]) == 2
    assert "decoders solve sudoku and maze" in capsys.readouterr().err
    assert run("lora", folders, out, "--scheme", "w4c-sym-gptq") == 2
    assert "calibrated on texts" in capsys.readouterr().err
    assert run("lora", folders, out, "--train-data", str(tmp_path / "none")) == 2
    assert "none" in capsys.readouterr().err
    assert run("switch", folders, out, "--judged-puzzles", "3") == 2
    assert "got 3; lower --limit, or raise --judged-puzzles" in capsys.readouterr().err
    assert run("parallel", folders, out, "--limit", "10") == 2
    assert "all 10 puzzles of" in capsys.readouterr().err
    assert not out.exists()
    with pytest.raises(SystemExit):
        run("reward", folders, out)
    assert "reward" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("study", "words", "said"),
    [
        ("quant", ("--scheme", "w4c-sym"), "--scheme: leave it out; --schemes names what is"),
        ("quant", ("--train-data", "x"), "quant does not read --train-data"),
        ("order", ("--schemes", "fp32"), "order does not read --schemes: leave it out\n"),
        ("lora", ("--schemes", "w4c-sym"), "--scheme names that of the decoder's weights"),
        ("budget", ("--models", "a", "--calibration", "d"), "not read --models, --calibration:"),
        ("switch", ("--dtype", "bfloat16"), "does not read --dtype"),
        ("budget", ("--adapter", "a"), "budget does not read --adapter: leave it out"),
        ("order", ("--adapter-traces", "brief"), "order does not read --adapter-traces"),
    ],
)
def test_options_that_a_study_does_not_read_are_refused(
    study: str, words: tuple[str, ...], said: str, tmp_path: Path, capsys
) -> None:
    given = ["--study", study, "--task", "maze", "--out", str(tmp_path / "out")]
    assert decode.main([*given, *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_fewer_puzzles_to_judge_on_than_asked_for_are_told() -> None:
    def said(study: str, apart: int) -> str | None:
        return command.say_few(argparse.Namespace(study=study, judged_puzzles=40), apart)

    assert said("switch", 40) is said("budget", 256) is None
    assert "on 39 puzzles instead of 40: no more are left" in str(said("switch", 39))
    assert "on 255 puzzles instead of 256: no more are left" in str(said("budget", 255))
