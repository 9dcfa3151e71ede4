"""The deployment program on a tiny model: rows, resuming, table and figure."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from experiments.deploy import __main__ as deploy
from experiments.deploy.host import rows as host_rows
from experiments.measurement import row_files
from experiments.measurement.shards import Moments, from_hex
from experiments.render.tables import to_markdown
from experiments.report.inputs import read_deployment
from export.artifact.open import open_artifact
from export.artifact.solver import Solver
from export.runtimes.registry import open_runtime
from export.targets import Target
from tests.support.programs import end_of
from tests.support.tiny import sweep as tiny
from trm_jax import intervals
from trm_jax.data.batches import gather
from trm_jax.halting import parse_halting
from trm_jax.loading import load_model, load_puzzles

NAMES = "fp32,w4c-asym_a8da"
HALT = "q:0.95"  # the tiny model goes above it at the first step of some puzzles


def arguments(root: Path, out: Path, *more: str) -> list[str]:
    return [
        *tiny.arguments(root, out),
        "--schemes",
        NAMES,
        "--limit",
        "7",
        "--batch-size",
        "4",
        "--steps",
        "2",
        "--halt",
        HALT,
        *more,
    ]


@pytest.fixture(scope="module")
def out(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("deploy") / "out"
    assert deploy.main(arguments(tiny_root, out)) == 0
    return out


@pytest.mark.slow
def test_every_scheme_and_group_has_one_row(out: Path) -> None:
    rows = tiny.lines(out / "rows.jsonl")
    keys = [(row["scheme"], row["start"], row["stop"]) for row in rows]
    assert keys == [(s, *part) for s in ("fp32", "w4c-asym_a8da") for part in ((0, 4), (4, 7))]
    for row in rows:
        if row["scheme"] == "fp32":  # float32 in the runtime: other sums, the same answers
            assert row["exact"] == row["simulated_exact"]
            assert row["equal_cells"] == 16 * (row["stop"] - row["start"])
            assert row["disagreement"][0] == row["infidelity"][0] < 1e-4
    assert {p["scheme"] for p in tiny.lines(out / "probes.jsonl")} == {"fp32", "w4c-asym_a8da"}
    for name in ("summary.md", "summary.csv", "pareto.png", "pareto.svg"):
        assert (out / name).stat().st_size > 0


@pytest.mark.slow
def test_the_report_lays_out_the_same_table_from_rows(out: Path) -> None:
    drawn, halting = read_deployment(out)
    assert to_markdown(drawn) + "\n" + to_markdown(halting) == (out / "summary.md").read_text()
    assert [row[0] for row in drawn.rows] == NAMES.split(",")
    assert [row[:2] for row in halting.rows] == [(name, HALT) for name in NAMES.split(",")]


@pytest.mark.slow
def test_puzzles_halt_where_a_solver_that_halts_ends_them(out: Path, tiny_root: Path) -> None:
    """The runtime freezes them as they end there; here all of them are read to full depth."""
    puzzles = load_puzzles(load_model(str(tiny_root / "model")), tiny_root / "data").ordered
    host = gather(puzzles, np.arange(7), 7)
    export = open_artifact(out / "exports" / "fp32")
    runtime = open_runtime(Target.LITERT, export.model)
    halted = Solver(export, runtime).solve(host.inputs, steps=2, halting=parse_halting(HALT))
    runtime.close()
    rows = [row for row in tiny.lines(out / "rows.jsonl") if row["scheme"] == "fp32"]
    steps = [step for row in rows for step in row["halted"][1]]
    assert steps == halted.steps.tolist()
    assert set(steps) == {1, 2}
    exact = [from_hex(row["halted"][0], row["stop"] - row["start"]) for row in rows]
    np.testing.assert_array_equal(np.concatenate(exact), (halted.tokens == host.labels).all(axis=1))


@pytest.mark.slow
def test_without_halting_a_deployment_is_that_of_earlier_versions(
    tiny_root: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    more = ("--schemes", "fp32", "--limit", "1", "--halt", "never")
    assert deploy.main(arguments(tiny_root, out, *more)) == 0
    (row,) = tiny.lines(out / "rows.jsonl")
    assert "halted" not in row
    assert len(read_deployment(out)) == 1


@pytest.mark.slow
def test_an_unfinished_scheme_has_no_line(out: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    shutil.copytree(out, again)
    lines = (out / "rows.jsonl").read_bytes().splitlines(keepends=True)
    (again / "rows.jsonl").write_bytes(b"".join(lines[:3]))
    assert [row[0] for row in read_deployment(again)[0].rows] == ["fp32"]
    (again / "rows.jsonl").write_bytes(lines[0])
    with pytest.raises(ValueError, match="is not finished: fp32 is missing"):
        read_deployment(again)


@pytest.mark.slow
def test_more_puzzles_do_not_count_a_puzzle_twice(
    out: Path, tiny_root: Path, tmp_path: Path
) -> None:
    """The last group of 7 puzzles is no group of 8: its puzzles are asked again."""
    again = tmp_path / "again"
    shutil.copytree(out, again)
    assert deploy.main(arguments(tiny_root, again, "--limit", "8", "--schemes", "fp32")) == 0
    with (again / "summary.csv").open() as file:
        assert [record["puzzles"] for record in csv.DictReader(file)] == ["8"]


def test_rows_pair_with_the_rows_of_a_sweep() -> None:
    """Bundled ARC holds one task's augmentations after the other; a sweep goes round the tasks."""
    swept = load_puzzles("arc")
    deployed = swept.ordered
    assert (swept.order != np.arange(len(swept.order))).any()
    theirs = gather(swept.dataset, swept.order, len(swept.order))
    ours = gather(deployed, np.arange(len(deployed)), len(deployed))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_a_killed_deployment_goes_on(
    out: Path, tiny_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = out / "rows.jsonl"
    whole = file.read_bytes()
    before = tiny.lines(file)
    file.write_bytes(whole[: whole.rstrip(b"\n").rfind(b"\n") + 30])  # a kill in the last line
    assert deploy.main(arguments(tiny_root, out)) == 0
    assert tiny.lines(file) == before
    assert "w4c-asym_a8da" in capsys.readouterr().out


@pytest.mark.slow
def test_rows_of_another_deployment_are_refused(
    out: Path, tiny_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deploy.main(arguments(tiny_root, out, "--steps", "3")) == 2
    assert "of another deployment" in capsys.readouterr().err


@pytest.mark.slow
def test_a_scheme_the_target_cannot_compute_is_listed(
    tiny_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--schemes", "fp32,w8c-sym_a8d", "--limit", "1")
    assert deploy.main(arguments(tiny_root, tmp_path / "out", *more)) == 0
    assert "left out: w8c-sym_a8d" in capsys.readouterr().out


BAD = {
    "--limit 0": ("--limit", "0"),
    "too many": ("--limit", "99"),
    "calibration": ("--schemes", "w8c-sym_a8s"),
    "scheme": ("--schemes", "int5_magic"),
    "halt": ("--halt", "soon"),
    "task": ("--task", "chess"),
    "model": ("--model", "nobody"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_exits_with_2(
    name: str, tiny_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert end_of(deploy.main, arguments(tiny_root, tmp_path / "out", *BAD[name])) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_an_export_s_folder_is_one_name_whatever_the_scheme() -> None:
    """A recipe's scheme names sites, which have slashes, and may be longer than a file's name."""
    plain = "w8c-sym_a8s_tflm+tsum"
    recipe = "w4t-sym[L_level/layers_0/mlp/down_proj=w3t-sym;head=w8c-sym]"
    long = f"{recipe[:-1]};{';'.join(f'L_level/layers_{i}/mlp=w3t-sym' for i in range(9))}]"
    folders = [host_rows.export_folder(Path("out"), each) for each in (plain, recipe, long)]
    assert folders[0] == Path("out/exports/w8c-sym_a8s_tflm+tsum")
    assert all(folder.parent == Path("out/exports") for folder in folders)
    assert all(len(folder.name) < 200 for folder in folders)
    assert folders[1] != folders[2]


def test_pareto_keeps_what_nothing_beats() -> None:
    points = [(4, 0.9), (1, 0.5), (2, 0.5), (3, 0.9), (5, 0.95)]
    assert intervals.pareto(points) == [(1, 0.5), (3, 0.9), (5, 0.95)]


def test_damaged_lines_are_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    row = host_rows.HostRow(
        digest="d",
        scheme="s",
        start=0,
        stop=1,
        exact="80",
        simulated_exact="80",
        lenient="80",
        cells=4,
        correct=4,
        equal_cells=4,
        infidelity=Moments(0, 0),
        disagreement=Moments(0, 0),
    )
    row_files.append_row(file, row)
    assert [read for _, read in row_files.read_lines(file, host_rows.HostRow, "delete it")] == [row]
    file.write_bytes(b"{}\n" + file.read_bytes())
    with pytest.raises(ValueError, match="line 1 is damaged"):
        list(row_files.read_lines(file, host_rows.HostRow, "delete it"))
    assert np.isfinite(row.cells)
