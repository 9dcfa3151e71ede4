"""Memory does not grow with the puzzles: those of the paper's size in a sparse file, and many rows.

NumPy tells tracemalloc of every array it makes; a mapped file is none. What is left per puzzle are
numbers of rows (`evaluation_order`), made of a few arrays of 8 bytes each.
"""

import dataclasses
import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from experiments.ablate import runner as ablation
from experiments.measurement.row_files import drop_torn_line, line_of, read_lines
from experiments.measurement.shards import load_shard
from experiments.sweep.outcomes import outcomes
from experiments.sweep.rows import SweepRow
from tests.support.sweep_rows import ROWS, SPEC
from trm_jax.loading import Puzzles, load_puzzles
from trm_jax.tasks import calibration
from trm_jax.tasks.calibration import NAMED_AT_ONCE, CalibrationPuzzles
from trm_jax.typed_json import parse_json, read_fields

NUM = 422_786
ORDER_BYTES = 8 * 8 * NUM  # at most eight arrays of 64-bit row numbers at a time
CONSTANT = 20e6  # names of 8,192 puzzles, a chunk that is hashed, a shard
FEW = 200  # real puzzles, at the end of the file


@pytest.fixture(scope="module")
def sparse(tmp_path_factory: pytest.TempPathFactory) -> Puzzles:
    """A data set of blank puzzles with a few real ones behind; holes take no room on the disk."""
    small, folder = load_puzzles("sudoku"), tmp_path_factory.mktemp("sparse") / "test"
    folder.mkdir()
    meta = dataclasses.replace(small.dataset.metadata, total_groups=NUM, total_puzzles=NUM)
    for name in ("inputs", "labels"):
        file = folder / f"all__{name}.npy"
        values = np.lib.format.open_memmap(file, "w+", np.uint8, (NUM, meta.seq_len))
        values[-FEW:] = getattr(small.dataset, name)[:FEW]
        values.flush()
    bounds = np.arange(NUM + 1, dtype=np.int32)
    np.save(folder / "all__puzzle_indices.npy", bounds)
    np.save(folder / "all__group_indices.npy", bounds)
    np.save(folder / "all__puzzle_identifiers.npy", np.zeros(NUM, np.int32))
    (folder / "dataset.json").write_text(json.dumps(meta.to_json()))
    return load_puzzles("sudoku", folder.parent)


def peak_of(act: Callable[[], object]) -> int:
    """Return the most bytes that an act holds beyond what was there."""
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_what_a_sweep_does_with_its_puzzles_keeps_none_of_them(sparse: Puzzles):
    def use() -> None:
        puzzles = load_puzzles("sudoku", sparse.folder)
        assert len(puzzles) == NUM
        assert len(puzzles.sha256) == 64
        CalibrationPuzzles(evaluated=puzzles).check(2 * NAMED_AT_ONCE)
        host, _ = load_shard(puzzles, NUM - 50, NUM, 50)
        assert host.num_real == 50

    assert peak_of(use) < ORDER_BYTES + CONSTANT
    assert 4 * sparse.dataset.inputs.size > ORDER_BYTES + CONSTANT  # one copy as int32 is more


def test_puzzles_named_in_parts_are_compared_as_those_named_together(monkeypatch):
    """The last puzzle, which is calibrated on, is evaluated too, as the tenth."""
    monkeypatch.setattr(calibration, "NAMED_AT_ONCE", 4)
    puzzles = load_puzzles("sudoku")
    last = len(puzzles) - 1
    puzzles.__dict__["order"] = np.array([*range(9), last, *range(10, 20)])
    chosen = CalibrationPuzzles(evaluated=puzzles)
    chosen.check(9)
    with pytest.raises(ValueError, match=f"^1 of .* puzzle {last} is the same as puzzle {last}"):
        chosen.check(10)


def test_rows_are_read_one_at_a_time(tmp_path: Path):
    file, line = tmp_path / "rows.jsonl", json.dumps({"text": "x" * 10_000}) + "\n"
    file.write_text(line * 1000)
    assert peak_of(lambda: sum(1 for _ in read_lines(file, dict[str, str], ""))) < 1e6
    assert sum(1 for _ in read_lines(file, dict[str, str], "")) == 1000


def test_a_report_keeps_little_of_every_row():
    """Of rows of 3 depths as a file gives them, where no row shares its numbers with another.

    26 floats and 6 bytes of flags each, and five times that for what Python adds; rows that are
    kept as they were read take half as much again at least.
    """
    rows, batch = 200, SPEC.batch_size
    spec = dataclasses.replace(SPEC, num_puzzles=rows // len(SPEC.schemes) * batch)
    like = {row.scheme: row for row in ROWS[: len(SPEC.schemes)]}

    def taken() -> Iterator[SweepRow]:
        for name, start, stop in spec.work_keys():
            line = line_of(vars(like[name]) | {"start": start, "stop": stop})
            yield read_fields(SweepRow, parse_json(line))

    assert sum(len(each.rows) for each in outcomes(spec, taken())) == rows
    bound = 6 * (26 * 8 + 6) * rows
    assert peak_of(lambda: outcomes(spec, taken())) < bound
    assert peak_of(lambda: list(taken())) > 1.5 * bound


@pytest.mark.parametrize("torn", [0, 1, 65_535, 65_536, 65_537, 200_000])
def test_a_torn_line_of_any_length_goes(tmp_path: Path, torn: int):
    file = tmp_path / "rows.jsonl"
    file.write_text("{}\n" * 3 + "x" * torn)
    drop_torn_line(file)
    assert file.read_text() == "{}\n" * 3
    file.write_text("x" * torn)
    drop_torn_line(file)
    assert file.read_text() == ""


def test_states_of_references_are_kept_up_to_a_bound(monkeypatch: pytest.MonkeyPatch):
    """Two of three fit; the third is computed again each time, and is equal."""
    ran = []

    def run(reference: str, batch: int) -> np.ndarray:
        ran.append(batch)
        return np.full(10, batch, np.float64)

    monkeypatch.setattr(ablation, "run", run)
    monkeypatch.setattr(ablation, "KEPT_BYTES", 160)
    runner = ablation.StudyRunner.__new__(ablation.StudyRunner)
    runner.ends = {}
    shards = [ablation.AblationShard(start, None, start) for start in range(3)]  # pyright: ignore
    for _ in range(2):
        ends = [runner.reference_ends("model", shard)[0] for shard in shards]  # pyright: ignore
        assert ends == [0, 1, 2]
    assert ran == [0, 1, 2, 2]
    assert len(runner.ends) == 2
