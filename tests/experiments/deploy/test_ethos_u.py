"""The deployment on an Ethos-U: rows, seconds, resuming, refusals."""

import csv
import json
from pathlib import Path

import pytest

from experiments.deploy import __main__ as deploy
from experiments.deploy.ethos_u.job import parse_accelerators, prepare
from experiments.deploy.ethos_u.rows import AcceleratorRow, AcceleratorSpec, accelerator_folder
from experiments.deploy.ethos_u.tables import record
from experiments.render.tables import to_markdown
from experiments.report.inputs import read_deployment
from export.ethos_u.accelerators import Accelerator
from tests.support.programs import end_of
from trm_jax.config import preset
from trm_jax.typed_json import read_fields

PRESET = "sudoku-trm-mlp-mini"
WORDS = ("--target", "ethos-u", "--task", "sudoku")


def arguments(out: Path, *more: str) -> list[str]:
    one = ("--schemes", "tflm_int8_int8", "--accelerators", "ethos-u55-256")
    return [*WORDS, "--preset", PRESET, *one, "--out", str(out), *more]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A deployment of random weights."""
    pytest.importorskip("ethosu.vela", reason="Vela (the extra ethos-u) is not installed")
    path = tmp_path_factory.mktemp("ethos-u") / "out"
    assert deploy.main(arguments(path)) == 0
    return path


def rows(out: Path) -> list[AcceleratorRow]:
    lines = (out / "rows.jsonl").read_text().splitlines()
    return [read_fields(AcceleratorRow, json.loads(line)) for line in lines]


@pytest.mark.slow
def test_seconds_are_both_parts_of_all_calls(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another clock of the CPU measures nothing again and changes the CPU's part alone."""
    before = (out / "rows.jsonl").read_bytes()
    assert deploy.main(arguments(out, "--mhz", "100", "--cpi", "2", "--patience", "1e-9")) == 0
    said = capsys.readouterr().out
    assert (out / "rows.jsonl").read_bytes() == before
    assert "estimates of Vela 5.2.0" in said
    assert "energy is left out" in said
    (row,) = rows(out)
    with (out / "summary.csv").open() as file:
        (line,) = csv.DictReader(file)
    c = preset(PRESET)
    blocks = c.halt_max_steps * c.H_cycles * (c.L_cycles + 1)
    cycles = blocks * row.npu.update_L + c.halt_max_steps * row.npu.rest
    instructions = blocks * row.cpu.update_L + c.halt_max_steps * row.cpu.rest
    wanted = cycles / (row.clock_mhz * 1e6) + instructions * 2 / 100e6
    assert float(line["puzzle_seconds_estimate"]) == pytest.approx(wanted, rel=1e-12)
    assert line["in_time"] == "no"
    assert row.answers is None
    assert min(row.cpu.update_L, row.cpu_operators, row.npu_calls, row.sram_bytes) > 0
    page = (out / "summary.md").read_text()
    for table in read_deployment(out):  # what a report reads, from rows
        assert to_markdown(table).split("\n", 1)[1] in page


@pytest.mark.slow
def test_halting_shortens_a_puzzle_by_its_mean_depth(out: Path) -> None:
    """A quarter of the steps take a quarter of the time; the rate has its interval."""
    (row,) = rows(out)
    spec = accelerator_folder(out).read_spec()
    steps = spec.steps
    assert steps % 4 == 0
    answers = {
        "puzzles": 10,
        "exact": "ff80",  # nine of ten
        "halted": "ffc0",
        "steps": [steps // 4] * 10,
        "infidelity": [0.1, 0.01],
    }
    values = json.loads((out / "rows.jsonl").read_text()) | {"answers": answers}
    with_answers = record(spec, read_fields(AcceleratorRow, values))
    without = record(spec, row)
    assert with_answers["puzzle_seconds_estimate"] == without["puzzle_seconds_estimate"]
    quarter = without["puzzle_seconds_estimate"] / 4
    assert with_answers["mean_seconds_estimate"] == pytest.approx(quarter, rel=1e-12)
    assert without["mean_seconds_estimate"] is None
    assert with_answers["exact_low"] < 0.9 < with_answers["exact_high"]


BAD = {
    "accelerator": (("--accelerators", "ethos-u55-256,ethos-u9"), "ethos-u9"),
    "both": (("--model", PRESET), "leave --model and --data out"),
    "scheme": (("--schemes", "int5_magic"), "int5_magic"),
    "floats": (("--schemes", "fp32"), "multiplies integers only"),
    "limit": (("--limit", "0"), "--limit"),
    "calibration": (("--calibration-puzzles", "16"), "calibrated on nothing"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_words_exit_with_2(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ethosu.vela", reason="Vela (the extra ethos-u) is not installed")
    more, message = BAD[name]
    assert end_of(deploy.main, arguments(tmp_path / "out", *more)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not list(tmp_path.rglob("rows.jsonl"))


def test_chosen_calibration_is_part_of_what_rows_belong_to(tmp_path: Path) -> None:
    """Without a choice rows keep the digest of before; with one they have another."""
    pytest.importorskip("ethosu.vela", reason="Vela (the extra ethos-u) is not installed")

    def spec_of(*more: str) -> AcceleratorSpec:
        words = [*WORDS, "--schemes", "tflm_int8_int8", "--limit", "8", *more]
        return prepare(deploy.parser("ethos-u").parse_args([*words, "--out", str(tmp_path)])).spec

    usual, chosen = spec_of(), spec_of("--calibration-puzzles", "16")
    assert usual.calibration is None
    assert usual.calibrated_digest == usual.digest == chosen.digest
    assert chosen.calibration is not None
    assert chosen.calibration.puzzles == 16
    assert chosen.calibrated_digest != usual.calibrated_digest
    assert usual.conflicts(chosen)


def test_accelerators_are_read_once_each() -> None:
    names = " ethos-u85-256,ethos-u55-128, ethos-u85-256"
    assert parse_accelerators(names) == (Accelerator.U85_256, Accelerator.U55_128)
    with pytest.raises(ValueError, match="ethos-u55-256"):
        parse_accelerators("ethos-u55-25")
