"""The crossover's logic on made-up times, and a small run of the whole program."""

import dataclasses
import json
from pathlib import Path

import pytest

from benchmarks.sequence_length import __main__ as sequence_length
from benchmarks.sequence_length import runner
from benchmarks.sequence_length.runner import SpeedVerdict, crossover, verdict
from trm_jax.config import SUDOKU_TRM_ATT

FASTER, SLOWER, UNDECIDED = SpeedVerdict.FASTER, SpeedVerdict.SLOWER, SpeedVerdict.UNDECIDED


def test_verdicts_need_nine_in_ten() -> None:
    assert verdict([0.5] * 10) is FASTER
    assert verdict([2.0] * 10) is SLOWER
    assert verdict([0.5] * 5 + [2.0] * 5) is UNDECIDED
    assert verdict([0.5] * 19 + [9.0]) is FASTER


@pytest.mark.parametrize(
    ("verdicts", "text"),
    [
        ([SLOWER, SLOWER, FASTER, FASTER], "between 2 and 3 positions"),
        ([SLOWER, UNDECIDED, FASTER, FASTER], "between 1 and 3 positions"),
        ([FASTER, FASTER, FASTER, FASTER], "faster from 1 on and nowhere slower"),
        ([FASTER, UNDECIDED, FASTER, FASTER], "faster from 3 on and nowhere slower"),
        ([SLOWER, FASTER, SLOWER, UNDECIDED], "nowhere faster beyond 3"),
        ([UNDECIDED] * 4, "the noise decides nothing"),
    ],
)
def test_crossovers_are_found_or_not(verdicts: list[SpeedVerdict], text: str) -> None:
    assert text in crossover(list(enumerate(verdicts, start=1)))


@pytest.mark.slow
def test_the_program_times_draws_and_prints_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = dataclasses.replace(SUDOKU_TRM_ATT, hidden_size=32, L_layers=1, puzzle_emb_ndim=32)
    monkeypatch.setattr(runner, "SUDOKU_TRM_ATT", small)
    pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
    more = ["--lengths", "4,8", "--repeats", "2", "--figure", str(tmp_path / "f"), "--clock", "cpu"]
    assert sequence_length.main(more) == 0
    printed = capsys.readouterr()
    rows = [json.loads(line) for line in printed.out.splitlines()]
    assert [(r["contestant"], r["length"]) for r in rows] == [
        (c.name, length) for length in (4, 8) for c in runner.CONTESTANTS
    ]
    assert all(r["ratio_p10"] <= r["ratio"] <= r["ratio_p90"] for r in rows)
    assert "crossover, ORT static" in printed.err
    assert (tmp_path / "f.png").stat().st_size > 0
    assert sequence_length.main(["--lengths", "1"]) == 2
    folder = ["--lengths", "4", "--figure", str(tmp_path)]
    assert sequence_length.main(folder) == 2  # before anything is timed
    assert "name a file" in capsys.readouterr().err
    assert sequence_length.main(["--clock", "cpu", "--threads", "2"]) == 2
