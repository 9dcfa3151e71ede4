"""What the whole paper takes: counts by hand, limits that move, and rows as sweeps write them."""

import dataclasses
import re

import pytest

from experiments.footprint import __main__ as program
from experiments.footprint import scale
from experiments.footprint.scale import DEVICES, WORKLOADS, HostCosts, estimate, sweep_row
from experiments.measurement.row_files import line_of
from experiments.sweep.rows import SweepRow

SUDOKU, MAZE = WORKLOADS[0], WORKLOADS[3]
FREE = HostCosts(puzzle=0.0, write=0.0, read=0.0, row_bytes=1)


def test_operations_are_counted_as_on_paper():
    """Sudoku TRM-MLP: 21 network calls a step of two blocks; 16 steps, and one for similarities.

    A block multiplies 512 channels at 97 positions by 2 * 1536 and back, and 97 positions of 512
    channels by 2 * 512 (the next multiple of 256 above 97 * 4 * 2 / 3) and back.
    """
    channels = 97 * (512 * 2 * 1536 + 1536 * 512)
    positions = 512 * (97 * 2 * 512 + 512 * 97)
    step = 2 * (channels + positions) * 2 * 21
    read = 2 * SUDOKU.cycles * 97 * 512 * 11
    assert SUDOKU.flops == pytest.approx(15 * 422_786 * (17 * step + read), rel=1e-12)
    assert SUDOKU.cycles == len({t * n for t in (1, 2, 3) for n in (1, 2, 4, 8, 16)})
    assert SUDOKU.state_bytes == 2 * 4 * 48 * 97 * 512
    assert SUDOKU.data_bytes == 2 * 81 * 422_786


def test_a_row_weighs_what_a_sweep_s_row_weighs():
    row = sweep_row(SUDOKU.cycles, 250, 81)
    fields = {field.name for field in dataclasses.fields(SweepRow)} - {"halted"}
    assert set(vars(row)) == fields
    assert len(line_of(vars(row))) > 1000


def test_a_shard_is_computed_by_one_device(monkeypatch):
    """1,000 mazes are 22 shards of 47: more devices than that have nothing to do."""
    monkeypatch.setattr(scale, "START_S", 0.0)
    few = estimate(MAZE, DEVICES["h200"], 8, FREE)
    many = estimate(MAZE, DEVICES["h200"], 64, FREE)
    assert (few.limit, many.limit) == ("computing", "22 shards")
    assert many.compute * 22 == pytest.approx(few.compute * 22 / 3)  # 22 shards are three rounds
    assert many.dollars == pytest.approx(64 * 3.5 * many.seconds / 3600)


def test_the_limit_moves_to_the_host_and_to_the_rows():
    slow_host = HostCosts(puzzle=1.0, write=0.0, read=0.0, row_bytes=1)
    slow_disk = HostCosts(puzzle=0.0, write=9.0, read=0.0, row_bytes=1)
    assert estimate(MAZE, DEVICES["h200"], 64, FREE).limit == "starting"
    assert estimate(SUDOKU, DEVICES["h200"], 8, FREE).limit == "computing"
    assert estimate(SUDOKU, DEVICES["h200"], 64, slow_host).limit == "host"
    assert estimate(SUDOKU, DEVICES["h200"], 64, slow_disk).limit == "writing rows"
    assert estimate(SUDOKU, DEVICES["h200"], 64, slow_disk).write == 9.0 * 15 * 1692


def test_tables_are_printed_with_numbers_of_one_s_own(capsys, monkeypatch):
    monkeypatch.setattr(scale, "measure_host", lambda work, batch: FREE)
    assert program.main(["--scale", "--rates", "cpu=131", "--prices", "h200=2,cpu=0.1"]) == 0
    printed = capsys.readouterr().out
    assert "as --rates says" in printed
    assert "assumed 30% of its peak" in printed
    assert printed.index("Counted") < printed.index("Measured") < printed.index("What follows")


@pytest.mark.parametrize("words", ["cpu", "cpu=0", "cpu=nan", "tpu=3", "cpu=1,h200=x"])
def test_numbers_of_devices_are_checked(words: str, capsys):
    assert program.main(["--scale", "--rates", words]) == 2
    assert "--rates takes cpu=..., h200=... with positive numbers" in capsys.readouterr().err


def test_numbers_belong_to_scale(capsys):
    assert program.main(["--prices", "cpu=1"]) == 2
    assert "--rates and --prices belong to --scale" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.06, "<1 s"), (8.4, "8.4 s"), (119.4, "119 s"), (265, "4.42 min"), (7.2e6, "2,000 h")],
)
def test_times_are_written_in_the_unit_that_reads_well(seconds: float, text: str):
    assert scale.time_text(seconds) == text


def test_no_number_of_the_tables_has_an_exponent(monkeypatch: pytest.MonkeyPatch):
    costs = HostCosts(puzzle=1.39e-7, write=6.003e-3, read=1.33e-4, row_bytes=3522)
    monkeypatch.setattr(scale, "measure_host", lambda work, batch: costs)
    cells = [cell for table in scale.scale_tables(DEVICES) for row in table.rows for cell in row]
    assert not [cell for cell in cells if re.search(r"\de[+-]", cell)]
    assert {"6,003", "296,700", "<1 s"} <= set(cells)


@pytest.mark.parametrize("option", ["--models", "--schemes", "--out"])
def test_what_scale_would_pass_over_is_refused(option, capsys):
    assert program.main(["--scale", option, "fp32"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"; leave {option} out")
