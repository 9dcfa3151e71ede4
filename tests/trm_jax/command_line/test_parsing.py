"""Command lines: mistakes are one line that says what was likely meant; numbers have ranges."""

import argparse
from pathlib import Path

import pytest

from trm_jax.command_line import (
    add_out,
    make_parser,
    natural_int,
    number_in,
    positive_float,
    positive_int,
    seed_int,
    take_out,
    user_path,
)


def parser():
    p = make_parser("experiments.x", "text")
    p.add_argument("--batch-size", type=positive_int)
    p.add_argument("--task", required=True)
    p.add_argument("--preset", choices=["sudoku-trm", "maze-hrm"])
    commands = p.add_subparsers(dest="command")
    sub = commands.add_parser("generate")
    sub.add_argument("--num-train", type=int)
    return p


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as end:
        parser().parse_args(words)
    assert end.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ")
    assert "--help lists all options" in line
    return line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--taks", "maze"], "unknown option --taks; did you mean '--task'?"),
        (["--task=maze", "--batch_size=3"], "unknown option --batch_size; did you mean '--batch-"),
        (["--task", "maze", "--zzz"], "unknown option --zzz; python"),
        (["--task", "maze", "--pre", "maze-hrm"], "unknown option --pre; "),
        (["--task", "m", "--preset", "sudoku-tmr"], "unknown preset 'sudoku-tmr'; did you mean"),
        (["--task", "m", "generat"], "unknown command 'generat'; did you mean 'generate'?"),
        (["--task", "m", "generate", "--num-tain", "3"], "did you mean '--num-train'?"),
        (["--task", "m", "generate", "--preset", "maze-hrm"], "unknown option --preset"),
        (["--task", "m", "generate", "stray"], "unrecognized arguments: stray"),
        ([], "required: --task"),
        (["--task"], "--task: expected one argument"),
        (["--task", "m", "--batch-size", "0"], "--batch-size must be at least 1, got 0"),
    ],
)
def test_a_mistake_is_one_line(words, said, capsys):
    assert said in refused(words, capsys)


@pytest.mark.parametrize("words", [["--batch", "3"], ["--batch=3"], ["--batch-size", "3"]])
def test_old_spellings_are_taken_and_not_shown(words):
    p = parser()
    assert p.parse_args(["--task", "m", *words]).batch_size == 3
    assert "--batch " not in p.format_help()


def test_an_option_that_is_an_old_spelling_elsewhere_stays_its_own():
    p = make_parser("experiments.x", None)
    p.add_argument("--heads", type=int)
    p.add_argument("--num-heads", type=int)
    assert vars(p.parse_args(["--heads", "1"])) == {"heads": 1, "num_heads": None}


def test_words_after_two_dashes_are_no_options():
    p = make_parser("experiments.x", None)
    p.add_argument("words", nargs="*")
    assert p.parse_args(["--", "--batch"]).words == ["--batch"]


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (natural_int, ["0", "7"], ["-1", "x", "2.5", "", "nan", "99999999999"]),
        (positive_int, ["1"], ["0", "-3"]),
        (seed_int, ["0", "4294967295"], ["-1", "4294967296"]),
        (positive_float, ["1e-9", "3"], ["0", "-1", "nan", "inf", "x"]),
        (number_in(int, 1, 65535), ["65535"], ["70000", "0"]),
    ],
)
def test_numbers_have_ranges(kind, good, bad):
    for text in good:
        assert kind(text) == float(text)
    for text in bad:
        with pytest.raises(argparse.ArgumentTypeError, match="must be ") as refusal:
            kind(text)
        assert text in str(refusal.value)


def with_out(*words):
    p = make_parser("experiments.x", None)
    p.add_argument("source")
    p.add_argument("--seed")
    add_out(p, "folder")
    return take_out(p, p.parse_args(words))


def test_out_is_an_option_and_was_a_plain_word(capsys):
    assert str(with_out("a", "--out", "b")) == str(with_out("a", "b")) == "b"
    for words in (("a", "--seed", "1", "b"), ("--seed", "1", "a", "b"), ("a", "b", "--seed", "1")):
        assert str(with_out(*words)) == "b"  # wherever options stand, as two plain words had it
    for words, said in (
        (("a",), "required: --out"),
        (("a", "--seed", "1", "b", "c"), "unrecognized arguments: c"),
        (("a", "--seed", "1", "b", "--out", "c"), "already says 'c'"),
        (("a", "b", "--out", "c"), "already says 'c'"),
    ):
        with pytest.raises(SystemExit):
            with_out(*words)
        assert said in capsys.readouterr().err


def test_a_home_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert user_path("~/runs") == Path("/home/somebody/runs")
    assert user_path("runs/~x") == Path("runs/~x")
    for text in ("", " ", "a\0b", "~no-such-user-here/a"):
        with pytest.raises(argparse.ArgumentTypeError):
            user_path(text)
