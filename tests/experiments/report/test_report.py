"""From rows to tables and figures: numbers checked by hand, files read back."""

import csv
import dataclasses
import io
import xml.etree.ElementTree as ET

import pytest
from matplotlib.text import Text
from rich.console import Console

from experiments.measurement.depths import DepthGrid
from experiments.render import figures, tables
from experiments.report.__main__ import main
from experiments.sweep import tables as sweep_tables
from experiments.sweep.outcomes import compare, outcomes
from experiments.sweep.rows import sweep_folder
from experiments.sweep.tables import write_report
from tests.support.sweep_rows import ROWS, SPEC, make_row
from trm_jax.intervals import UNCHANGED, Pairs, interval_of, paired_difference, wilson


def test_outcomes_divide_sums_over_all_shards():
    full, int8 = outcomes(SPEC, ROWS)
    assert full.num_puzzles == 10
    assert full.exact(4) == wilson(3 + 2 + 2, 10)
    assert int8.exact(4) == wilson(4 + 0 + 1, 10)
    assert int8.exact(1).value == 0.0
    assert full.cell(4).value == pytest.approx(0.75, rel=1e-12)
    assert int8.fidelity(2).value == pytest.approx(0.5, rel=1e-12)
    assert full.fidelity(2) == (1.0, 1.0, 1.0)
    assert compare(full, int8, 4) == Pairs(lost=2 + 1, gained=1, total=10)


def test_only_shards_that_every_scheme_has_finished_count():
    full, int8 = outcomes(SPEC, ROWS[:-1])  # the last shard lacks int8
    assert full.num_puzzles == int8.num_puzzles == 8
    assert compare(full, int8, 4).total == 8
    with pytest.raises(ValueError, match="no shard is finished"):
        outcomes(SPEC, ROWS[:1])


def test_rows_beyond_the_puzzles_asked_for_do_not_count():
    first = dataclasses.replace(SPEC, num_puzzles=4)
    assert outcomes(first, ROWS)[0].num_puzzles == 4


def test_csv_holds_one_number_per_field():
    records = list(
        csv.DictReader(
            io.StringIO(tables.to_csv(sweep_tables.grid_records(SPEC, outcomes(SPEC, ROWS))))
        )
    )
    assert len(records) == 2 * 2 * 2  # schemes x T x n
    deepest = records[1]
    assert (deepest["scheme"], deepest["T"], deepest["n"]) == ("fp32", "2", "2")
    assert float(deepest["gflops"]) == 4 * SPEC.gflops_per_cycle
    assert float(deepest["exact"]) == 0.7
    assert int(deepest["puzzles"]) == 10
    same_state = [r for r in records if r["scheme"] == "int8" and r["h_cycles"] == "2"]
    assert len(same_state) == 2
    assert len({r["cell"] for r in same_state}) == 1


def test_summary_compares_pairs():
    full, int8 = sweep_tables.summary_records(SPEC, outcomes(SPEC, ROWS))
    assert (full["lost"], full["gained"], full["mcnemar_p"]) == (0, 0, 1.0)
    assert (int8["lost"], int8["gained"], int8["bytes"]) == (3, 1, 9)
    assert interval_of(int8, "exact_difference") == paired_difference(Pairs(3, 1, 10))
    assert int8["exact_difference"] == pytest.approx(-0.2, rel=1e-12)
    assert interval_of(full, "exact_difference") == UNCHANGED  # from itself
    assert int8["mcnemar_p"] == pytest.approx(2 * (1 + 4) / 16, rel=1e-12)


def test_tables_have_the_papers_shape():
    grid = sweep_tables.grid_table(SPEC, outcomes(SPEC, ROWS))
    assert grid.header == ("Precision", "T", "Metric", "n=1", "n=2")
    assert grid.rows[0][1:] == ("2", "GFLOPs", "1", "2")
    assert [row[:3] for row in grid.rows[2:6]] == [
        ("fp32", "2", "Exact"),
        ("", "", "Cell"),
        ("", "1", "Exact"),
        ("", "", "Cell"),
    ]
    assert grid.rows[2][4] == "0.7000\n[.397, .892]"  # 7 of 10, Wilson
    maze = dataclasses.replace(SPEC, task="maze")
    assert "Lenient" in sweep_tables.summary_table(maze, outcomes(SPEC, ROWS)).header
    lines = tables.to_markdown(grid).splitlines()
    assert len({line.count("|") for line in lines[2:]}) == 1


def test_nothing_is_cut_off_on_a_narrow_terminal():
    console = Console(width=60, record=True, file=io.StringIO())
    table = sweep_tables.summary_table(SPEC, outcomes(SPEC, ROWS))
    console.print(tables.to_rich(table))
    assert "…" not in console.export_text()


@pytest.mark.parametrize(
    ("places", "moved"),
    [
        ([0.5], [0.5]),
        ([0.2, 0.8], [0.2, 0.8]),
        ([0.5, 0.5], [0.45, 0.55]),
        ([0.0, 0.0, 0.0], [0.0, 0.1, 0.2]),  # not below the axis
        ([1.0, 1.0], [0.9, 1.0]),  # not above it
        ([0.52, 0.9, 0.48], [0.55, 0.9, 0.45]),
    ],
)
def test_labels_move_apart_as_little_as_possible(places, moved):
    assert figures.spread(places, 0.1) == pytest.approx(moved, abs=1e-12)


def test_labels_of_a_figure_do_not_overlap():
    """Eight lines that end in one point: the case that a legend-free figure must survive."""
    many = dataclasses.replace(
        SPEC,
        bytes=(9,) * 8,
        schemes=("fp32", *(f"w{b}{g}-sym" for b in (8, 4, 3) for g in "tc"), "bf16"),
    )
    rows = [
        dataclasses.replace(make_row("fp32", shard), scheme=scheme)
        for scheme in many.schemes
        for shard in range(3)
    ]
    for draw in (sweep_tables.accuracy_figure, sweep_tables.fidelity_figure):
        figure = draw(many, outcomes(many, rows))
        figure.canvas.draw()
        for ax in figure.axes:
            boxes = [Text.get_window_extent(text) for text in ax.texts]  # without leaders
            clashes = [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]
            assert boxes
            assert not clashes, draw.__name__


def test_report_writes_every_file(tmp_path):
    console = Console(width=140, file=io.StringIO(), record=True)
    write_report(SPEC, ROWS[:4], tmp_path, console)
    assert "2 of 10 puzzles are not finished" in console.export_text()
    names = {file.name for file in tmp_path.iterdir()}
    assert names == {
        "grid.csv",
        "grid.md",
        "summary.csv",
        "summary.md",
        "accuracy.png",
        "accuracy.svg",
        "fidelity.png",
        "fidelity.svg",
    }
    for name in ("accuracy", "fidelity"):
        assert (tmp_path / f"{name}.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        text = "".join(ET.parse(tmp_path / f"{name}.svg").getroot().itertext())
        assert "8 puzzles" in text
        assert "int8" in text


def test_one_depth_is_drawn_as_points_and_full_precision_alone_has_no_damage(tmp_path):
    alone = dataclasses.replace(
        SPEC, schemes=SPEC.schemes[:1], bytes=SPEC.bytes[:1], grid=DepthGrid((2,), (1,), 2)
    )
    rows = []
    for shard in range(3):
        row = make_row("fp32", shard)
        last = {name: values[-1:] for name, values in row.by_depth.items()}
        rows.append(dataclasses.replace(row, digest=alone.digest, **last))
    write_report(alone, rows, tmp_path, Console(width=140, file=io.StringIO()))
    assert {f.name for f in tmp_path.iterdir()} >= {"accuracy.png", "summary.md"}
    assert not list(tmp_path.glob("fidelity.*"))
    figure = sweep_tables.accuracy_figure(alone, outcomes(alone, rows))
    bars = [c for ax in figure.axes for c in ax.containers]
    assert len(bars) == 2  # a point with its interval, for puzzles and for cells
    assert "bars: 95 % intervals" in figure.get_suptitle()


def test_report_joins_folders(tmp_path, capsys):
    for name, rows in (("a", ROWS[:3]), ("b", ROWS[3:])):
        folder = sweep_folder(tmp_path / name)
        folder.open(SPEC, {})
        for row in rows:
            folder.append(row)
    assert main([str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path / "c")]) == 0
    assert (tmp_path / "c" / "grid.csv").exists()
    assert "m on d, 10 puzzles" in capsys.readouterr().out
    assert main([str(tmp_path / "c")]) == 2
    assert "holds no sweep" in capsys.readouterr().err
    watched = tmp_path / "w"
    watched.mkdir()
    (watched / "watch.html").write_text("<p>")
    assert main([str(tmp_path / "a"), str(watched)]) == 2
    assert "w holds no sweep (no spec.json); folders of other programs" in capsys.readouterr().err
