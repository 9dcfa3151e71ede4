"""Packed rows: nothing is lost, no reader knows the kind of file, and damage is one line."""

import dataclasses
import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow", reason="extra [parquet] is not installed")

import pyarrow as pa
import pyarrow.parquet as pq

from experiments.measurement.halting import HaltedShard
from experiments.measurement.packed import row_groups
from experiments.measurement.packed.row_groups import PackedLines, read_groups, write_groups
from experiments.measurement.row_files import line_of, said_fields
from experiments.measurement.shards import Moments
from experiments.measurement.spec import pending
from experiments.pack import __main__ as program
from experiments.pack import runner
from experiments.report import __main__ as report
from experiments.sweep import __main__ as sweep
from experiments.sweep.outcomes import outcomes
from experiments.sweep.rows import SweepRow, SweepSpec, compact, sweep_folder
from tests.support.sweep_rows import ROWS, SPEC, write_made
from tests.support.tiny import sweep as tiny
from trm_jax.command_line import install_text

HALTING = dataclasses.replace(SPEC, halting=("never", "unchanged:2"))
ODD = (0.0, -0.0, 1 / 3, 5e-324, 0.1 + 0.2)
"""Floats that a shorter form would change: signed zero, the least subnormal, all 17 digits."""


def odd_row(row: SweepRow, **changes: Any) -> SweepRow:
    """Give a row numbers whose last bits can be told."""
    sums = tuple(Moments(x * 1e-3, x * x) for x in ODD[:3])
    return dataclasses.replace(row, residual=sums, call_similarity=Moments(*ODD[3:]), **changes)


def halted_row(row: SweepRow) -> SweepRow:
    """Give a row what two rules of halting made of it."""
    count = row.stop - row.start
    rules = HaltedShard(row.exact[0], (2,) * count), HaltedShard(row.exact[2], (1,) * count)
    return dataclasses.replace(row, digest=HALTING.digest, halted=rules)


def write(path: Path, rows: list[SweepRow], spec: SweepSpec = SPEC) -> bytes:
    """Write the folder of a sweep; gives the bytes of its rows."""
    folder = sweep_folder(path)
    folder.open(spec, {})
    for row in rows:
        folder.append(row)
    return folder.rows_file.read_bytes()


def read(path: Path) -> list[tuple]:
    """Read rows as outcomes take them, with numbers that compare."""
    folder = sweep_folder(path)
    rows = map(compact, folder.iter_rows(folder.read_spec()))
    return [row._replace(sums=row.sums.tolist()) for row in rows]  # pyright: ignore


def refusal(words: list[Any], capsys: pytest.CaptureFixture[str], main: Any = program.main) -> str:
    """Run a program that must refuse; gives its one line."""
    capsys.readouterr()
    assert main(list(map(str, words))) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: ")
    assert line.count("\n") == 1
    return line


def names(path: Path) -> set[str]:
    return {file.name for file in path.iterdir()}


# Lossless


@pytest.mark.parametrize("group", [1, 2, 4096])
@pytest.mark.parametrize(
    ("spec", "rows"),
    [(SPEC, list(map(odd_row, ROWS))), (HALTING, list(map(halted_row, ROWS)))],
    ids=["plain", "halting"],
)
def test_every_byte_comes_back(spec, rows, group, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "GROUP", group)
    whole = write(tmp_path, rows, spec)
    before = read(tmp_path)
    (tmp_path / "rows.jsonl").write_bytes(whole + b'{"digest":"cut off by a k')
    assert program.main([str(tmp_path)]) == 0
    assert names(tmp_path) == {"spec.json", "rows.parquet"}
    assert read(tmp_path) == before
    assert program.main([str(tmp_path), "--unpack"]) == 0
    assert names(tmp_path) == {"spec.json", "rows.jsonl"}
    assert (tmp_path / "rows.jsonl").read_bytes() == whole


def test_both_kinds_are_read_as_one_and_packed_as_one(tmp_path):
    whole = write(tmp_path, ROWS)
    before = read(tmp_path)
    for each in tmp_path.glob("rows*"):
        each.unlink()
    for done, row in enumerate(ROWS, start=1):
        sweep_folder(tmp_path).append(row)
        assert read(tmp_path) == before[:done]
        runner.pack(tmp_path)
        assert read(tmp_path) == before[:done]
    runner.unpack(tmp_path)
    assert (tmp_path / "rows.jsonl").read_bytes() == whole
    runner.pack(tmp_path)
    (tmp_path / "rows.jsonl").write_bytes(whole.splitlines(keepends=True)[0])
    with pytest.raises(ValueError, match=r"rows\.jsonl, line 1 is of the same work as .*, row 1;"):
        read(tmp_path)


def test_files_of_several_processes_keep_their_names(tmp_path):
    folders = [sweep_folder(tmp_path, process) for process in (0, 1)]
    for folder, rows in zip(folders, (ROWS[:3], ROWS[3:]), strict=True):
        folder.open(SPEC, {})
        for row in rows:
            folder.append(row)
    before, files = read(tmp_path), {f.name: f.read_bytes() for f in tmp_path.glob("rows*")}
    runner.pack(tmp_path)
    assert {f.name for f in tmp_path.glob("rows*")} == {"rows-0.parquet", "rows-1.parquet"}
    assert read(tmp_path) == before
    runner.unpack(tmp_path)
    assert {f.name: f.read_bytes() for f in tmp_path.glob("rows*")} == files


# Readers


@pytest.fixture
def _no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are drawn of the outcomes that tables are made of, and take seconds."""
    for name in ("accuracy_figure", "fidelity_figure", "figures.save"):
        monkeypatch.setattr(f"experiments.sweep.tables.{name}", lambda *_: None)


@pytest.mark.usefixtures("_no_figures")
def test_a_report_is_the_same_of_both_kinds(tmp_path):
    write_made(tmp_path / "run")

    def tables() -> dict[str, bytes]:
        assert report.main([str(tmp_path / "run"), "--out", str(tmp_path / "out")]) == 0
        written = (tmp_path / "out").glob("*.*")
        return {f.name: f.read_bytes() for f in written if f.suffix in (".csv", ".md")}

    before = tables()
    runner.pack(tmp_path / "run")
    shutil.rmtree(tmp_path / "out")
    assert tables() == before
    assert {"grid.csv", "summary.md"} <= before.keys()


@pytest.mark.slow
@pytest.mark.usefixtures("_no_figures")
def test_a_packed_sweep_resumes(tiny_root, tmp_path):
    words = ("--schemes", "int4_naive", "--batch-size", "8", "--depths", "1,2x1,4")
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert sweep.main(tiny.arguments(tiny_root, whole, *words)) == 0
    lines = (whole / "rows.jsonl").read_bytes().splitlines(keepends=True)
    out.mkdir()
    (out / "spec.json").write_bytes((whole / "spec.json").read_bytes())
    (out / "rows.jsonl").write_bytes(b"".join(lines[:3]))
    runner.pack(out)
    assert sweep.main(tiny.arguments(tiny_root, out, *words, "--resume")) == 0
    assert (out / "rows.jsonl").read_bytes() == b"".join(lines[3:])
    for name in ("grid.csv", "summary.csv", "summary.md"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    runner.unpack(out)
    assert (out / "rows.jsonl").read_bytes() == b"".join(lines)


def test_what_is_missing_is_told_by_the_columns_of_keys_alone(tmp_path):
    """Bytes of a column that only outcomes need are damaged: resuming does not read them."""
    write(tmp_path, ROWS[:-1])
    runner.pack(tmp_path)
    file = tmp_path / "rows.parquet"
    group, data = pq.ParquetFile(file).metadata.row_group(0), bytearray(file.read_bytes())
    (column,) = (
        group.column(at)
        for at in range(group.num_columns)
        if group.column(at).path_in_schema == "residual.list.element.total"
    )
    data[column.data_page_offset + column.total_compressed_size - 1] ^= 1
    file.write_bytes(data)
    left = pending(SPEC.work_keys(), sweep_folder(tmp_path).iter_heads(SPEC))
    assert left == [ROWS[-1].key]
    with pytest.raises(ValueError, match=r"rows\.parquet is damaged"):
        read(tmp_path)


def test_files_are_read_and_written_a_group_at_a_time(tmp_path, monkeypatch):
    """What Arrow holds is of one group; a file of 40 groups is many times that."""
    monkeypatch.setattr(runner, "GROUP", 50)
    spec = dataclasses.replace(SPEC, num_puzzles=4 * 1000)
    like = {row.scheme: row for row in ROWS[:2]}
    rows = [
        dataclasses.replace(like[name], start=start, stop=stop)
        for name, start, stop in spec.work_keys()
    ]
    write_lines(tmp_path, spec, rows)
    held = [pa.total_allocated_bytes()]
    column = row_groups._column

    def watched(*args: Any) -> pa.Array:
        held.append(pa.total_allocated_bytes())
        return column(*args)

    monkeypatch.setattr(row_groups, "_column", watched)
    runner.pack(tmp_path)
    written = max(held) - held[0]
    start = pa.total_allocated_bytes()
    read_at = [
        pa.total_allocated_bytes() - start for _ in read_groups(tmp_path / "rows.parquet", SweepRow)
    ]
    whole = pq.read_table(tmp_path / "rows.parquet").nbytes
    assert len(read_at) == 40
    assert max(read_at) < whole / 8
    assert written < whole / 8


def write_lines(path: Path, spec: SweepSpec, rows: list[SweepRow]) -> None:
    """Write many rows at once, without waiting for the disk after each."""
    folder = sweep_folder(path)
    folder.open(spec, {})
    lines = (line_of(said_fields(SweepRow, vars(row))) + "\n" for row in rows)
    folder.rows_file.write_text("".join(lines))


def write_partly_packed(path: Path) -> None:
    """Write a folder of which two rows are packed, and the others were appended since."""
    write(path, ROWS[:2])
    runner.pack(path)
    for row in ROWS[2:]:
        sweep_folder(path).append(row)


def test_a_folder_that_is_packed_while_it_is_read_loses_no_row_silently(tmp_path):
    write_partly_packed(tmp_path)
    rows = sweep_folder(tmp_path).iter_rows(SPEC)
    assert next(rows).key == ROWS[0].key
    runner.pack(tmp_path)
    with pytest.raises(FileNotFoundError, match="packed while it was read; run the program again"):
        list(rows)


def test_nor_one_that_is_packed_while_its_lines_are_compared(tmp_path, monkeypatch):
    write_partly_packed(tmp_path)
    count_repeated = row_groups.count_repeated

    def packed_meanwhile(*args: Any) -> int:
        counted = count_repeated(*args)
        runner.pack(tmp_path)
        return counted

    monkeypatch.setattr(row_groups, "count_repeated", packed_meanwhile)
    with pytest.raises(FileNotFoundError, match="packed while it was read; run the program again"):
        read(tmp_path)


def test_unpacking_counts_all_rows_and_leaves_nothing_of_a_damaged_file(tmp_path, capsys):
    write_partly_packed(tmp_path)
    capsys.readouterr()
    before = sum(file.stat().st_size for file in tmp_path.glob("rows.*"))
    runner.unpack(tmp_path)
    assert f"{len(ROWS)} rows, {before:,} bytes before" in capsys.readouterr().out
    runner.pack(tmp_path)
    file = tmp_path / "rows.parquet"
    data = bytearray(file.read_bytes())
    data[100] ^= 1  # in the first page
    file.write_bytes(data)
    assert "is damaged" in refusal([tmp_path, "--unpack"], capsys)
    assert names(tmp_path) == {"spec.json", "rows.parquet"}
    assert file.read_bytes() == bytes(data)


# Kills


class Killed(BaseException):
    """Ends a program where no handler of errors sees it."""


def kill_at(patch: pytest.MonkeyPatch, step: str) -> None:
    """End the program at a step: while it writes, before the new name, before the old file goes."""

    unlink = Path.unlink

    def killed(*args: Any, **named: Any) -> Any:
        if step == "removing" and not args[0].name.startswith("rows"):
            return unlink(*args, **named)  # a lock
        raise Killed

    owner, name = {
        "writing": (os, "fsync"),
        "naming": (runner.os, "replace"),
        "removing": (Path, "unlink"),
    }[step]
    patch.setattr(owner, name, killed)


@pytest.mark.parametrize("act", [runner.pack, runner.unpack])
@pytest.mark.parametrize("step", ["writing", "naming", "removing"])
@pytest.mark.parametrize("is_resumed", [False, True], ids=["alone", "resumed"])
def test_a_kill_between_steps_loses_nothing(act, step, is_resumed, tmp_path):
    whole = write(tmp_path, ROWS)
    before = read(tmp_path)
    first = b"".join(whole.splitlines(keepends=True)[:4])
    (tmp_path / "rows.jsonl").write_bytes(first)
    if act is runner.unpack:
        runner.pack(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, step)
        with pytest.raises(Killed):
            act(tmp_path)
    assert (step == "removing") == ({"rows.jsonl", "rows.parquet"} <= names(tmp_path))
    assert read(tmp_path) == before[:4]
    if is_resumed:
        sweep_folder(tmp_path).open(SPEC, {})
        for row in ROWS[4:]:
            sweep_folder(tmp_path).append(row)
        assert read(tmp_path) == before
    act(tmp_path)
    ours = {runner.pack: "rows.parquet", runner.unpack: "rows.jsonl"}[act]
    assert names(tmp_path) == {"spec.json", ours}
    assert read(tmp_path) == (before if is_resumed else before[:4])
    runner.unpack(tmp_path)
    assert (tmp_path / "rows.jsonl").read_bytes() == (whole if is_resumed else first)


# Damage


def lines_of(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


DAMAGE: dict[str, tuple[str, Any]] = {
    "count beyond its total": ("correct_cells", [1, 2, 65]),
    "fewer depths": ("correct_cells", [1, 2]),
    "total out of reach": ("scored_cells", 10**16),
    "bits beyond": ("exact", ["00", "00", "08"]),
    "no hex": ("lenient", ["00", "zz", "00"]),
    "upper case": ("lenient", ["00", "A0", "00"]),
    "rate above 1": ("cell_error", [[1.0, 0.25], [4.1, 4.2], [1.0, 0.25]]),
    "no sums": ("infidelity", [[2.0, 0.9], [0.0, 0.0], [0.0, 0.0]]),
    "negative squares": ("residual", [[0.0, -0.1], [0.0, 0.0], [0.0, 0.0]]),
    "not a number": ("call_similarity", [float("nan"), 0.1]),
    "no shard": ("start", 3),
    "empty shard": ("stop", 0),
    "another digest": ("digest", "0" * 16),
    "unknown scheme": ("scheme", "int9"),
    "steps beyond": ("halted", [["00", [99] * 4], ["00", [1] * 4]]),
    "no step": ("halted", [["00", [0] * 4], ["00", [1] * 4]]),
    "one rule": ("halted", [["00", [1] * 4]]),
}
"""What happens to a row, and the field that it happens to."""


def plain(row: SweepRow) -> dict[str, Any]:
    """Write a row as JSON has it."""
    return json.loads(json.dumps(dataclasses.asdict(row)))


def reason(act: Callable[[], Any]) -> str:
    """Tell what is wrong, without the place and the cure."""
    with pytest.raises(ValueError, match=r"(line|row) \d ") as refused:
        act()
    found = re.search(r"(?:line|row) \d is (damaged \(.*\)|of another .*\));", str(refused.value))
    assert found, refused.value
    return found[1]


def write_packed(
    file: Path, rows: list[dict[str, Any]], said: dict[str, Any] | None = None
) -> None:
    """Write a packed file whose checksums are right, whatever its rows are."""
    known = {"kind": "SweepRow", "rows": len(rows), "size": 1, "sha256": "0"} | (said or {})
    write_groups(file, SweepRow, [[row] for row in rows], lambda: PackedLines(**known))


@pytest.mark.parametrize("what", DAMAGE)
def test_packed_rows_are_checked_as_lines_are(what, tmp_path, monkeypatch):
    """The same damage is refused with the same words, though a group is checked at once."""
    field, value = DAMAGE[what]
    rows = [plain(halted_row(row)) for row in ROWS[:3]]
    rows[1] = rows[1] | {field: value}
    packed, lines = tmp_path / "packed", tmp_path / "lines"
    for folder in (packed, lines):
        sweep_folder(folder).open(HALTING, {})
    if what != "not a number":  # JSON has none
        (lines / "rows.jsonl").write_bytes(lines_of(rows))
        expected = reason(lambda: read(lines))
    else:
        expected = "damaged (field call_similarity[0] must be -1.01 to 1.01, got nan)"
    write_packed(packed / "rows.parquet", rows)
    assert reason(lambda: read(packed)) == expected


def test_a_row_among_many_is_named(tmp_path):
    """In a group of one shape the checks run on arrays; the row is then looked for."""
    rows = [plain(halted_row(row)) for row in ROWS[:4]]
    rows[2] = rows[2] | {"exact": ["00", "00", "08"]}
    sweep_folder(tmp_path).open(HALTING, {})
    said = PackedLines(kind="SweepRow", rows=4, size=1, sha256="0")
    write_groups(tmp_path / "rows.parquet", SweepRow, [rows], lambda: said)
    with pytest.raises(ValueError, match=r"rows\.parquet, row 3 is damaged \(field exact\[2\] has"):
        read(tmp_path)
    (whole,) = read_groups(tmp_path / "rows.parquet", SweepRow)
    with pytest.raises(ValueError, match=r"field exact\[2\] has bits beyond"):
        SweepRow(**whole.fields)


def dropped(table: pa.Table) -> pa.Table:
    return table.drop_columns(["lenient"])


def added(table: pa.Table) -> pa.Table:
    return table.append_column("more", pa.array([1] * len(table)))


def of_float(table: pa.Table) -> pa.Table:
    at = table.schema.names.index("start")
    return table.set_column(at, "start", table.column("start").cast(pa.float64()))


def ragged(table: pa.Table) -> pa.Table:
    at = table.schema.names.index("exact")
    texts = pa.array([["00", "00", "00"], ["00"], *[["00"] * 3] * (len(table) - 2)])
    return table.set_column(at, table.schema.field(at), texts.cast(table.schema.field(at).type))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dropped, "column lenient is missing"),
        (added, "column more is unknown"),
        (of_float, "column start must be int64"),
        (ragged, "column exact has several lengths"),
        (lambda table: table.slice(1), "it has 3 rows of 4"),
    ],
)
def test_other_columns_are_refused(change, words, tmp_path, capsys):
    write(tmp_path, ROWS[:4])
    runner.pack(tmp_path)
    file = tmp_path / "rows.parquet"
    table, said = change(pq.read_table(file)), pq.ParquetFile(file).metadata.metadata
    with pq.ParquetWriter(file, table.schema, store_schema=False) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({row_groups.LINES: said[row_groups.LINES]})
    line = refusal([tmp_path, "--out", tmp_path / "out"], capsys, report.main)
    assert f"{file} is damaged (" in line
    assert words in line
    assert "restore it from a copy, or delete it and --resume" in line
    pq.write_table(table, file, store_schema=False)
    line = refusal([tmp_path, "--out", tmp_path / "out"], capsys, report.main)
    assert words in line or "it does not say what it was packed from" in line


def test_a_file_that_is_cut_or_changed_anywhere_is_refused_or_read_right(tmp_path):
    write(tmp_path, list(map(odd_row, ROWS)))
    runner.pack(tmp_path)
    file, before, refused = tmp_path / "rows.parquet", read(tmp_path), 0
    whole = file.read_bytes()
    cut = [whole[:at] for at in range(0, len(whole), 151)]
    flipped = [
        bytes((*whole[:at], whole[at] ^ (1 << at % 8), *whole[at + 1 :]))
        for at in range(0, len(whole), 61)
    ]
    for content in (*cut, *flipped):
        file.write_bytes(content)
        try:
            found: Any = read(tmp_path)
        except ValueError as error:
            found, refused = str(error), refused + 1
        assert found == before or f"{file} is damaged (" in found
    assert refused > len(cut)


def test_pyarrow_that_is_missing_is_named(tmp_path, capsys, monkeypatch):
    write_made(tmp_path / "run")
    runner.pack(tmp_path / "run")
    monkeypatch.delitem(sys.modules, row_groups.__name__)
    monkeypatch.delattr("experiments.measurement.packed.row_groups")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    line = refusal([tmp_path / "run", "--out", tmp_path / "out"], capsys, report.main)
    assert install_text("pyarrow") in line


# What is not packed


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"start":4', '"start": 4', "line 3 is not written as this version writes rows"),
        ("[[1.0,0.25]", "[[1,0.25]", "line 1 is not written as this version writes rows"),
        ('"stop":4', '"stop":5', "line 1 is damaged (fields start and stop are no shard of 4"),
        ('"digest"', '"extra":1,"digest"', "line 1 is damaged (field extra is unknown)"),
        ('"scored_cells":64,', "", "line 1 is damaged (field scored_cells is missing)"),
        ('"lenient":["00"', '"lenient":["0"', "line 1 is damaged (field lenient[0] must be 2"),
        ("{", "", "line 1 is damaged"),
    ],
)
def test_lines_that_would_not_come_back_are_left_alone(old, new, words, tmp_path, capsys):
    text = write(tmp_path, ROWS).decode()
    assert old in text
    (tmp_path / "rows.jsonl").write_text(text.replace(old, new, 1))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert f"rows.jsonl, {words}" in refusal([tmp_path], capsys)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_what_is_no_sweep_is_refused(tmp_path, capsys):
    (tmp_path / "ablation").mkdir()
    (tmp_path / "ablation" / "ablation.json").write_text("{}")
    (tmp_path / "ablation" / "rows.jsonl").write_text("")
    assert "is not a sweep" in refusal([tmp_path / "ablation"], capsys)
    assert "holds no sweep" in refusal([tmp_path / "nowhere"], capsys)
    assert not (tmp_path / "nowhere").exists()


def test_a_packed_file_that_says_other_lines_is_not_unpacked(tmp_path, capsys):
    sweep_folder(tmp_path).open(SPEC, {})
    write_packed(tmp_path / "rows.parquet", [plain(row) for row in ROWS])
    assert "not the lines that were packed" in refusal([tmp_path, "--unpack"], capsys)
    assert names(tmp_path) == {"spec.json", "rows.parquet"}
    assert outcomes(SPEC, sweep_folder(tmp_path).iter_rows(SPEC))[0].num_puzzles == 10
