"""The deployment on a board, with a tiny model: rows, sums, resuming, refusals."""

import csv
import dataclasses
import json
from pathlib import Path

import pytest

from experiments.deploy import __main__ as deploy
from experiments.deploy.cortex_m.rows import BoardAnswers, BoardRow, BoardSpec, Speed
from experiments.deploy.cortex_m.tables import fit, fit_table, in_time, record
from experiments.measurement.shards import Moments, from_hex
from experiments.render.tables import to_markdown
from experiments.report.inputs import read_deployment
from export.cortex_m.build import has_compiler
from export.cortex_m.memory import BoardMemory, BoardSram, Flash, MemoryRegion
from export.targets import Target
from tests.support.export.runtimes import skip_without
from tests.support.programs import end_of
from tests.support.tiny import sweep as tiny
from trm_jax.typed_json import read_fields


def arguments(root: Path, out: Path, *more: str) -> list[str]:
    return [*tiny.arguments(root, out), "--target", "cortex-m55", "--schemes", "fp32", *more]


@pytest.fixture(scope="module")
def out(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    skip_without(Target.TFLM)
    out = tmp_path_factory.mktemp("cortex") / "out"
    assert deploy.main(arguments(tiny_root, out)) == 0
    return out


def rows(out: Path) -> list[dict]:
    return tiny.lines(out / "rows.jsonl")


@pytest.mark.slow
def test_a_row_is_the_package_s_sizes(out: Path) -> None:
    (found,) = rows(out)
    row = read_fields(BoardRow, found)
    board = out / "boards" / "fp32"
    facts = json.loads((board / "package.json").read_text())
    flash, sram = row.flash, row.sram
    assert flash.weights + flash.tables + flash.records == facts["graph_bytes"]
    assert (
        flash.rows + flash.vectors == facts["flash_bytes"] == (board / "flash.bin").stat().st_size
    )
    assert sram.arena_head + sram.arena_tail == facts["arena_measured_bytes"]
    assert sram.carry + sram.buffers == facts["state_bytes"]
    # a block and its head, every kernel once: float32 weights of the configuration
    c = tiny.CONFIG
    assert flash.weights > 4 * c.hidden_size * (c.vocab_size + 2)
    assert min(row.counts) > 0


def test_the_table_says_sums_and_what_is_not_counted(
    out: Path, tiny_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (out / "rows.jsonl").read_bytes()
    assert (
        deploy.main(arguments(tiny_root, out, "--mhz", "100", "--cpi", "2", "--patience", "1e-9"))
        == 0
    )
    said = capsys.readouterr().out
    assert (out / "rows.jsonl").read_bytes() == before  # another clock measures nothing again
    assert ("an estimate for TFLM's" if has_compiler() else "not counted") in said
    assert "time is an estimate: 2 cycles per instruction" in said
    with (out / "summary.csv").open() as file:
        (line,) = csv.DictReader(file)
    row = read_fields(BoardRow, rows(out)[0])
    assert int(line["total"]) == row.flash.total + row.sram.total
    c = tiny.CONFIG
    puzzle = row.counts.puzzle(c.H_cycles, c.L_cycles, c.halt_max_steps)
    assert float(line["puzzle_seconds_estimate"]) == pytest.approx(puzzle * 2 / 100e6, rel=1e-12)
    assert line["in_time"] == "no"
    page = (out / "summary.md").read_text()
    assert "Within" in page
    drawn = read_deployment(out)  # what a report reads, from rows
    assert len(drawn) == 4
    assert all(to_markdown(table).split("\n", 1)[1] in page for table in drawn)
    flash = drawn[0]
    assert flash.title.startswith("Flash: ")


def test_what_a_board_answers_is_counted(out: Path) -> None:
    """Half of the tiny puzzles are labelled with what the model says at full depth."""
    row = read_fields(BoardRow, rows(out)[0])
    answers = row.answers
    assert answers is not None
    assert answers.puzzles == tiny.NUM
    solved = from_hex(answers.exact, tiny.NUM)
    assert 0 < solved.sum() < tiny.NUM
    assert answers.infidelity.total == 0  # fp32 beside itself
    # no answer of random weights obeys the rules, so none halts and all answers are the last ones
    assert set(answers.steps) == {tiny.CONFIG.halt_max_steps}
    assert answers.halted == answers.exact
    page = (out / "summary.md").read_text()
    assert f"What it answers, {tiny.NUM} puzzles" in page
    with (out / "summary.csv").open() as file:
        (line,) = csv.DictReader(file)
    assert int(line["solved"]) == solved.sum()
    assert float(line["mean_seconds_estimate"]) == float(line["puzzle_seconds_estimate"])


def test_what_answers_nothing_right_does_not_read_as_success() -> None:
    spec = BoardSpec(
        task="sudoku",
        model="m",
        model_sha256="",
        data_sha256="d",
        library_sha256="",
        target="cortex-m55",
        schemes=("fp32",),
        H_cycles=2,
        L_cycles=2,
        steps=4,
        speed=Speed(mhz=400, cpi=1, patience=60),
        limit=4,
        halting="rules",
    )
    wrong = BoardAnswers(
        puzzles=4, exact="00", halted="00", steps=(4,) * 4, infidelity=Moments(1.0, 0.25)
    )
    right = dataclasses.replace(wrong, exact="80", halted="80", steps=(1, 4, 4, 4))
    said = []
    for answers in (wrong, right, None):
        row = dataclasses.replace(board(40, 60), answers=answers)
        said.append(fit_table([record(spec, row)], spec.speed).rows[0][-1])
    assert said == ["yes, wrong", "yes", "yes"]


@pytest.mark.parametrize(
    ("full", "mean", "solved", "said"),
    [
        (60, 10, 3, "yes"),
        (60, None, None, "yes"),  # random weights answer nothing
        (60, 10, 0, "yes, wrong"),
        (61, 60, 3, "halting"),
        (61, 60, 0, "halting, wrong"),
        (61, 61, 3, "no"),
        (61, 61, 0, "no"),
        (61, None, None, "no"),
    ],
)
def test_in_time_means_the_same_on_every_board(
    full: float, mean: float | None, solved: int | None, said: str
) -> None:
    assert in_time(Speed(mhz=400, cpi=1, patience=60), full, mean, solved) == said


@pytest.mark.parametrize(
    ("halt", "words"),
    [("soon", "halting reads never"), ("residual:0.1", "a board halts by never, q, qc, rules")],
)
def test_rules_that_no_board_has_are_refused(
    tiny_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], halt: str, words: str
) -> None:
    assert end_of(deploy.main, arguments(tiny_root, tmp_path / "out", "--halt", halt)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert words in error


@pytest.mark.slow
def test_presets_need_no_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    skip_without(Target.TFLM)
    words = [
        "--target",
        "cortex-m55",
        "--task",
        "sudoku",
        "--preset",
        "sudoku-trm-mlp-mini",
        "--schemes",
        "fp32",
        "--out",
        str(tmp_path),
    ]
    assert deploy.main(words) == 0
    assert "random weights, sizes only" in capsys.readouterr().out
    (found,) = rows(tmp_path)
    assert found["flash"]["vectors"] == 0
    assert not (tmp_path / "boards").exists()


def board(flash: int, sram: int) -> BoardRow:
    """A row of two numbers."""
    zero = dict.fromkeys((f.name for f in dataclasses.fields(Flash)), 0)
    none = dict.fromkeys((f.name for f in dataclasses.fields(BoardSram)), 0)
    values = {
        "digest": "",
        "scheme": "fp32",
        "flash": {**zero, "weights": flash},
        "sram": {**none, "carry": sram},
        "graphs": 2,
        "counted": "none",
        "update_L": 1,
        "update_H": 1,
        "rest": 1,
        "counted_by": "",
    }
    return read_fields(BoardRow, values)


SMALL = BoardMemory(
    "small",
    (
        MemoryRegion("ROM", 40, (lambda flash, sram: flash.weights,)),
        MemoryRegion("RAM", 100, (lambda flash, sram: sram.carry,)),
    ),
)


@pytest.mark.parametrize(
    ("flash", "sram", "said"),
    [
        (40, 60, "yes"),
        (40, 100, "yes"),
        (41, 60, "no: ROM +1 B"),
        (0, 101, "no: RAM +1 B"),
        (1040, 2100, "no: ROM +1,000 B, RAM +2,000 B"),
    ],
)
def test_fits(flash: int, sram: int, said: str) -> None:
    """Memory by memory: what one has left does not help another."""
    assert fit(board(flash, sram), SMALL) == said


BAD = {
    "both": (("--preset", "sudoku-trm-mlp"), "leave --model and --data out"),
    "clock": (("--mhz", "0"), "--mhz must be positive, got 0"),
    "scheme": (("--schemes", "int5_magic"), "int5_magic"),
    "library": (("--tflm-lib", "no.a"), "no such file or folder: no.a"),
    "refused": (("--schemes", "int8"), "tflm does not compute"),
    "headers": (("--tflm-inc", "include"), "headers of --tflm-lib, which is missing"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_exits_with_2(
    name: str, tiny_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, reason = BAD[name]
    assert end_of(deploy.main, arguments(tiny_root, tmp_path / "out", *words)) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert reason in said


def test_presets_of_another_task_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--target", "cortex-m55", "--task", "maze", "--preset"]
    assert deploy.main([*words, "sudoku-trm-mlp-mini"]) == 2
    assert "is for sudoku, not for maze" in capsys.readouterr().err
    assert deploy.main([*words, "maze-trm-att", "--halt", "rules"]) == 2
    assert "answers nothing; leave --halt out" in capsys.readouterr().err
    assert deploy.main([*words, "chess"]) == 2
    assert "unknown preset 'chess'" in capsys.readouterr().err


def test_time_is_instructions_over_the_clock() -> None:
    assert Speed(mhz=400, cpi=1.5, patience=1).seconds(800_000_000) == 3.0


def test_if_every_scheme_is_refused_nothing_stays(
    tiny_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [*tiny.arguments(tiny_root, tmp_path / "out"), "--target", "cortex-m55"]
    assert deploy.main([*line, "--schemes", "w8c-sym_a8da"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: tflm does not compute w8c-sym_a8da")  # named once
    assert error.count("w8c-sym_a8da") == 1
    assert list(tmp_path.iterdir()) == []
