"""The footprint program: the paper's figures reproduced, rows read back, bad input refused."""

import csv
import json

import pytest

from experiments.footprint import __main__ as footprint
from experiments.footprint import decoders, paper_check, tables
from experiments.footprint import rows as footprint_rows
from trm_jax.config import PRESETS

UNCLEAR = {
    "Table 1, SVD rank 16",
    "Table 2, FP32 with table",
    "Table 3, FP32",
    "Table 3, FP16",
    "Table 3, INT8",
    "Table 3, INT4 naive",
    "App. G, Sudoku per step",
    "App. G, Maze over Sudoku",
}
"""Figures that no way of counting gives: 3.2 and 26.7 MB, the sum with it, the MFLOPs of App. G."""


def test_the_papers_way_of_counting_gives_its_figures():
    found = paper_check.checks()
    assert {check.where for check in found if not check.reproduced} == UNCLEAR
    assert sum(check.where.startswith("Table 15") for check in found) == 14
    assert all(check.why for check in found)
    assert "30 of 38" in paper_check.count_text(found)


def test_a_figure_may_agree_without_every_digit():
    by_name = {check.where: check for check in paper_check.checks()}
    arc, carry = by_name["Table 2, ARC at T=3, n=16"], by_name["Table 15, arc fp32, streaming"]
    assert (arc.printed, round(arc.as_paper or 0)) == (3000, 2997)
    assert (arc.verdict, carry.verdict) == ("within 0.75 %", "to the digit")
    assert by_name["Table 3, FP32"].verdict == "no"


def test_a_wrong_figure_would_be_found():
    check = paper_check.checks()[0]
    assert check.reproduced
    assert check.as_paper is not None
    wrong = paper_check.Check(**{**vars(check), "printed": 1.05 * check.as_paper})
    assert not wrong.reproduced


def test_rows_are_read_back(tmp_path, capsys):
    models = "sudoku-trm-mlp-mini,sudoku-hrm-mini"
    out = tmp_path / "out"
    assert footprint.main(["--models", models, "--schemes", "fp32,int8", "--out", str(out)]) == 0
    assert "GFLOPs" in capsys.readouterr().out
    configs = {name: PRESETS[name] for name in models.split(",")}
    rows = footprint_rows.read_rows(out)
    assert rows == json.loads(json.dumps(footprint_rows.records(configs, ("fp32", "int8"))))
    text = (out / "footprint.md").read_text()
    assert "Reproduced" in text
    assert tables.energy_note() in text
    assert len((out / "footprint.csv").read_text().splitlines()) == 1 + 4


def test_tables_have_a_row_each():
    names = ("sudoku-trm-mlp-mini", "maze-trm-att-mini")
    rows = footprint_rows.records({name: PRESETS[name] for name in names}, ("fp32", "int8"))
    work, memory, energy = tables.all_tables(rows)
    assert [row[0] for row in work.rows] == list(names)
    assert [len(table.rows) for table in (memory, energy)] == [4, 4]
    assert all(len(row) == len(t.header) for t in (work, memory, energy) for row in t.rows)


def test_a_cache_grows_with_its_context(tmp_path, capsys):
    """Weights of the releases' cards; keys and values of 28 layers, 4 heads of 128, in 16 bits."""
    records = decoders.count_decoders(list(decoders.RELEASED), ("fp16", "w4c-sym_a16s_carry8"))
    by_name = {(r["decoder"], r["scheme"]): r for r in records}
    counts = {name: by_name[name, "fp16"]["parameters"] for name in decoders.RELEASED}
    assert counts == {
        "smollm2-135m": 134_515_008,
        "qwen2.5-0.5b": 494_032_768,
        "qwen2.5-7b": 7_615_616_512,
    }
    full, small = (by_name["qwen2.5-7b", s] for s in ("fp16", "w4c-sym_a16s_carry8"))
    assert full["kv_per_token"] == 2 * 28 * 4 * 128 * 2 == 57_344
    assert small["kv_per_token"] == 2 * 28 * 4 * (128 + 4)  # a float32 scale a head
    assert full["kv_8192"] == 8192 * 57_344
    assert full["tokens beside, 8 MB SoC"] == 0
    assert full["tokens alone, 8 MB SoC"] == 8 * 2**20 // 57_344
    out = tmp_path / "out"
    flags = ["--models", "sudoku-trm-mlp-mini,maze-ar-mini", "--out", str(out)]
    assert footprint.main([*flags, "--schemes", "fp32,tflm_int8_int8"]) == 0
    assert "Keys and values of one stream" in capsys.readouterr().out
    with (out / "decoders.csv").open() as stream:
        (record,) = csv.DictReader(stream)  # decoders have no integers of TFLite Micro
    each = 2 * 4 * 4 * 32 * 4  # layers, heads of 32, float32
    beside = (4 * 2**20 - int(record["stored"])) // each
    assert int(record["tokens beside, 4 MB MCU"]) == beside
    assert int(record["kv_128"]) == 128 * each
    assert record["kv_2048"] == ""  # it has 192 positions
    alone = ["--models", "maze-ar-mini", "--schemes", "tflm_int8_int8", "--out", str(out / "x")]
    assert footprint.main(alone) == 2
    assert "leave _tflm out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--models", "nobody"], "unknown preset 'nobody'"),
        (["--models", "sudoku-hrm-mini", "--schemes", "int5"], "unknown scheme 'int5'"),
    ],
)
def test_bad_input_exits_with_2(flags, message, tmp_path, capsys):
    assert footprint.main([*flags, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_damaged_row_is_named(tmp_path):
    (tmp_path / footprint_rows.FILE).write_text("{")
    with pytest.raises(ValueError, match="is damaged"):
        footprint_rows.read_rows(tmp_path)


def test_tables_of_an_earlier_run_go(tmp_path):
    out = tmp_path / "out"
    assert footprint.main(["--models", "maze-ar-mini", "--schemes", "fp32", "--out", str(out)]) == 0
    assert (out / "decoders.csv").is_file()
    named = ["--models", "sudoku-trm-mlp-mini", "--schemes", "fp32,fp32", "--out", str(out)]
    assert footprint.main(named) == 0
    assert not (out / "decoders.csv").exists()
    assert len((out / "footprint.csv").read_text().splitlines()) == 2  # a scheme counts once


def test_a_home_is_found_behind_a_comma(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    named = ["--models", "sudoku-trm-mlp,~/mine", "--out", str(tmp_path / "out")]
    assert footprint.main(named) == 2
    assert str(tmp_path / "mine") in capsys.readouterr().err  # found, and damaged
