"""The fuzz in a small form: a fixed seed, a few dozen cases of each kind, no traceback or hang."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.fuzz import oracles
from tests.fuzz.__main__ import main
from tests.fuzz.contract import (
    BAD_INPUT,
    Ending,
    InputKind,
    Reply,
    Unreadable,
    is_clear,
    judge,
    read_input,
)
from tests.fuzz.documents import change_document, mutate_text
from tests.fuzz.kinds import KINDS
from tests.fuzz.worker import Watched
from tests.support.slow import slow_except

CASES = 30
QUICK = (
    *("tensors", "dataset", "arc-tasks", "csv-sudoku", "scheme", "plan", "cut", "depths", "shape"),
    *("row-file", "vectors", "ledger", "job-results", "command-line"),
)
"""Kinds that neither compile nor export anything."""


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    watched = Watched(tmp_path_factory.mktemp("fuzz"))
    yield watched
    watched.end()


@pytest.mark.parametrize("name", slow_except(KINDS, *QUICK))
def test_no_input_ends_in_a_traceback_or_a_hang(name: str, watched: Watched) -> None:
    kind = KINDS[name]
    if reason := kind.missing():
        pytest.skip(reason)
    count = max(3, round(CASES * kind.share))
    results = {f"{name}:{seed}": watched.run(kind, seed) for seed in range(count)}
    worst = {c: r for c, r in results.items() if r.ending in (Ending.TRACEBACK, Ending.HANG)}
    assert worst == {}
    understood = (Ending.CLEAR, Ending.RIGHT)
    assert any(result.ending in understood for result in results.values())


def toy(read, **more) -> InputKind:
    """A kind of one file of JSON, read by a function of its text."""
    return InputKind(
        name="toy",
        right="",
        make=lambda folder: None,
        mutate=lambda folder, rng: "",
        read=lambda folder: read((folder / "toy.json").read_text()),
        **more,
    )


@pytest.mark.parametrize(
    ("text", "read", "expected"),
    [
        ("1", json.loads, Ending.RIGHT),
        ("2", json.loads, Ending.SILENT),  # not what the valid input says, and no oracle says more
        ("x", json.loads, Ending.UNCLEAR),  # "Expecting value" names no file
        ("x", lambda text: Path("toy.json/x").read_text(), Ending.CLEAR),
        ("x", lambda text: [][1], Ending.TRACEBACK),
        ("x", lambda text: raise_(ValueError("toy.json: MemoryError")), Ending.HANG),
    ],
)
def test_endings_are_told_apart(text: str, read, expected: Ending, tmp_path: Path) -> None:
    (tmp_path / "toy.json").write_text(text)
    kind = toy(read)
    assert judge(kind, read_input(kind, tmp_path), tmp_path, ["toy.json"], 1) is expected


@pytest.mark.parametrize(
    ("said", "code", "clear"),
    [
        ("error: toy.json is wrong\n", 2, True),
        ("a note first\nerror: toy.json is wrong\n", 2, True),
        ("error: toy.json is wrong\n", 1, False),
        ("error: toy.json\nis wrong\n", 2, False),
        ("error: something is wrong\n", 2, False),
        ("error: toy.json " + 400 * "x" + "\n", 2, False),
        ("", 2, False),
    ],
)
def test_a_clear_refusal_is_one_short_line_that_names_the_input(
    said: str, code: int, clear: bool
) -> None:
    assert is_clear(Reply(code, None, said), ["toy.json"]) is clear


def raise_(error: Exception) -> None:
    raise error


def test_an_oracle_lets_another_valid_input_pass(tmp_path: Path) -> None:
    (tmp_path / "toy.json").write_text("2")
    kind = toy(json.loads, says=lambda folder: 2, bad_input=BAD_INPUT)
    assert judge(kind, read_input(kind, tmp_path), tmp_path, [], 1) is Ending.RIGHT


def test_a_case_is_the_same_again() -> None:
    texts = [change_document({"a": [1, 2], "b": {}}, np.random.default_rng(s)) for s in (3, 3, 4)]
    assert texts[0] == texts[1] != texts[2]
    assert mutate_text("w4t", ("x",), np.random.default_rng(1)) == mutate_text(
        "w4t", ("x",), np.random.default_rng(1)
    )


def test_types_that_differ_are_unreadable() -> None:
    oracles.check_types({"a": 1, "b": None, "c": 2}, {"a": 7, "b": 1, "c": 2.5})
    for found in ({"a": True}, {"a": "1"}, {"a": 1.5}, [1]):
        with pytest.raises(Unreadable):
            oracles.check_types(found, {"a": 7})


def test_the_table_counts_every_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--n", "6", "--kind", "shape"]) == 0
    head, row, total = capsys.readouterr().out.splitlines()[-3:]
    assert head.split() == ["kind", "cases", *(e.value for e in Ending), "seconds"]
    assert row.split()[:2] == ["shape", "6"]
    assert sum(map(int, row.split()[2:-1])) == 6
    assert total.split()[1] == "6"


def test_a_case_can_be_run_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--case", "shape:5"]) == 0
    assert "change: " in capsys.readouterr().out
    assert main(["--case", "shape"]) == 2
    assert "--case takes KIND:SEED" in capsys.readouterr().err
