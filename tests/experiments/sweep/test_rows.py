"""Rows on disk: complete or absent, never mixed, never overwritten."""

import dataclasses
import json

import numpy as np
import pytest

from experiments.measurement.depths import DepthGrid
from experiments.measurement.shards import Moments, from_hex, to_hex
from experiments.measurement.spec import pending
from experiments.sweep.outcomes import read_sweeps
from experiments.sweep.rows import SweepKey, SweepRow, SweepSpec, merge_sweeps, sweep_folder
from tests.support.sweep_rows import SPEC
from trm_jax.data.calibration import CalibrationFacts
from trm_jax.typed_json import read_fields

CALIBRATED = dataclasses.replace(SPEC, schemes=("fp32", "w4t-sym-gptq"))
CHOICE = CalibrationFacts(puzzles=8, sha256="0" * 64, data="d")
CHOSEN = dataclasses.replace(CALIBRATED, calibration=CHOICE)
WIDER = dataclasses.replace(
    SPEC, schemes=("fp32", "w4t-sym"), bytes=(28, 5), num_puzzles=12, model="renamed"
)
OTHER = dataclasses.replace(SPEC, dtype="bfloat16")


def row(scheme: str = "fp32", start: int = 0, stop: int = 4, digest: str = SPEC.digest) -> SweepRow:
    """Make a row with numbers that tell its fields apart."""
    m = (Moments(0.1, 0.01), Moments(1 / 3, 0.2), Moments(0.0, 0.0))
    return SweepRow(
        digest=digest,
        scheme=scheme,
        start=start,
        stop=stop,
        scored_cells=64,
        correct_cells=(1, 2, 3),
        exact=("a0",) * 3,
        lenient=("f0",) * 3,
        cell_error=m,
        infidelity=m[::-1],
        similarity=m,
        residual=m[::-1],
        call_similarity=Moments(0.7, 0.5),
    )


def test_flags_are_one_bit_each_first_one_highest():
    flags = np.asarray([[1, 0, 1], [0, 0, 1]], bool)
    assert to_hex(flags) == ("a0", "20")
    np.testing.assert_array_equal(from_hex("a0", 3), flags[0])
    many = np.random.default_rng(0).random(77) < 0.5
    np.testing.assert_array_equal(from_hex(*to_hex(many[None]), 77), many)


def test_rows_come_back_exactly(tmp_path):
    folder = sweep_folder(tmp_path)
    folder.open(SPEC, {})
    rows = [row(), row("w8c-sym")]
    for each in rows:
        folder.append(each)
    assert sweep_folder(tmp_path).read_rows(SPEC) == rows


@pytest.mark.parametrize("cut", [1, 40])
def test_a_line_cut_off_by_a_kill_is_dropped_and_done_again(tmp_path, cut):
    folder = sweep_folder(tmp_path)
    folder.open(SPEC, {})
    folder.append(row())
    folder.append(row("w8c-sym"))
    whole = folder.rows_file.read_bytes()
    folder.rows_file.write_bytes(whole[:-cut])
    assert sweep_folder(tmp_path).read_rows(SPEC) == [row()]
    left = pending(SPEC.work_keys(), sweep_folder(tmp_path).read_rows(SPEC))
    assert left[0] == SweepKey("w8c-sym", 0, 4)
    folder.open(SPEC, {})
    folder.append(row("w8c-sym"))
    assert folder.rows_file.read_bytes() == whole


def test_a_damaged_line_is_named(tmp_path):
    folder = sweep_folder(tmp_path)
    folder.open(SPEC, {})
    folder.append(row())
    folder.rows_file.write_bytes(b'{"digest": 1}\n' + folder.rows_file.read_bytes())
    with pytest.raises(ValueError, match=r"rows\.jsonl, line 1 is damaged"):
        sweep_folder(tmp_path).read_rows(SPEC)


def test_rows_of_another_sweep_are_refused(tmp_path):
    folder = sweep_folder(tmp_path)
    folder.open(SPEC, {})
    folder.append(row(digest=OTHER.digest))
    with pytest.raises(ValueError, match="line 1 is of another sweep"):
        sweep_folder(tmp_path).read_rows(SPEC)


def test_a_used_folder_is_only_resumed_and_only_by_its_own_sweep(tmp_path):
    out = tmp_path / "out"
    sweep_folder(out).check(SPEC, resume=False)  # not there yet
    sweep_folder(out).open(SPEC, {})
    with pytest.raises(FileExistsError, match="add --resume"):
        sweep_folder(out).check(SPEC, resume=False)
    sweep_folder(out).check(WIDER, resume=True)
    with pytest.raises(ValueError, match="dtype is float32, asked for bfloat16"):
        sweep_folder(out).check(OTHER, resume=True)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(FileExistsError, match="is a file"):
        sweep_folder(file).check(SPEC, resume=True)


def test_resuming_widens_the_spec_and_notes_every_start(tmp_path):
    sweep_folder(tmp_path).open(SPEC, {"started": 1})
    sweep_folder(tmp_path).open(WIDER, {"started": 2})
    (found,) = sweep_folder(tmp_path).read_specs()
    assert found.schemes == ("fp32", "w8c-sym", "w4t-sym")
    assert found.bytes == (28, 9, 5)
    assert found.num_puzzles == 12
    document = json.loads((tmp_path / "spec.json").read_text())
    assert [run["started"] for run in document["runs"]] == [1, 2]


def test_what_a_row_means_depends_on_all_that_decides_its_numbers():
    changes = {
        "task": "maze",
        "model_sha256": "3",
        "data_sha256": "3",
        "batch_size": 5,
        "dtype": "float16",
        "grid": DepthGrid((1, 2), (1, 3), 2),
    }
    digests = {dataclasses.replace(SPEC, **{k: v}).digest for k, v in changes.items()}
    assert len(digests | {SPEC.digest}) == len(changes) + 1
    assert WIDER.digest == SPEC.digest


def test_spec_survives_json(tmp_path):
    assert read_fields(SweepSpec, json.loads(json.dumps(dataclasses.asdict(SPEC)))) == SPEC
    (tmp_path / "spec.json").write_text('{"spec": {"task": "sudoku"}, "runs": []}')
    with pytest.raises(ValueError, match="not the spec of a sweep: field model is missing"):
        sweep_folder(tmp_path).read_spec()


def test_processes_share_the_work_without_gap_or_overlap():
    everything = pending(SPEC.work_keys(), [])
    assert everything == [
        SweepKey(scheme, start, stop)
        for start, stop in ((0, 4), (4, 8), (8, 10))
        for scheme in SPEC.schemes
    ]
    shares = [pending(SPEC.work_keys(k, 2), []) for k in range(2)]
    assert sorted(shares[0] + shares[1]) == sorted(everything)
    assert pending(SPEC.work_keys(1, 2), [row("w8c-sym", 4, 8)]) == [SweepKey("fp32", 4, 8)]


def test_folders_and_processes_merge(tmp_path):
    folders = [
        sweep_folder(tmp_path / "a"),
        sweep_folder(tmp_path / "b", 0),
        sweep_folder(tmp_path / "b", 1),
    ]
    for folder, each in zip(folders, (row(), row("w8c-sym"), row("w4t-sym")), strict=True):
        folder.open(SPEC if folder is folders[0] else WIDER, {})
        folder.append(each)
    spec, rows = merge_sweeps([tmp_path / "a", tmp_path / "b"])
    assert spec.schemes == ("fp32", "w8c-sym", "w4t-sym")
    assert {each.scheme for each in rows} == set(spec.schemes)
    sweep_folder(tmp_path / "c").open(OTHER, {})
    with pytest.raises(ValueError, match="do not merge: dtype"):
        merge_sweeps([tmp_path / "a", tmp_path / "c"])
    with pytest.raises(FileNotFoundError, match="holds no sweep"):
        merge_sweeps([tmp_path / "nothing"])


def test_chosen_calibration_puzzles_belong_to_calibrated_schemes_alone():
    """Rows of earlier versions, and those of other schemes, keep their digests."""
    assert CHOSEN.digest_of_scheme("w8c-sym") == SPEC.digest
    assert CALIBRATED.digest_of_scheme("w4t-sym-gptq") == SPEC.digest
    elsewhere = dataclasses.replace(CHOICE, data="another folder")
    others = dataclasses.replace(CHOICE, sha256="1" * 64)
    digests = {
        dataclasses.replace(CHOSEN, calibration=facts).digest_of_scheme("w4t-sym-gptq")
        for facts in (CHOSEN.calibration, elsewhere, others, None)
    }
    assert len(digests) == 3
    stored = json.loads(json.dumps(dataclasses.asdict(CHOSEN)))
    assert read_fields(SweepSpec, stored) == CHOSEN
    del stored["calibration"]
    assert read_fields(SweepSpec, stored) == CALIBRATED


def test_sweeps_that_were_calibrated_otherwise_do_not_mix():
    (problem,) = CALIBRATED.conflicts(CHOSEN)
    assert "calibrated on the last 128 puzzles of the data, asked for the last 8 of d" in problem
    assert not SPEC.conflicts(CHOSEN)
    assert SPEC.widened(CHOSEN).calibration == CHOSEN.calibration
    assert CHOSEN.widened(SPEC).calibration == CHOSEN.calibration


def test_rows_that_were_calibrated_otherwise_are_no_outcome_together(tmp_path):
    """Folders of one calibration are joined; another one's rows make a sweep of their own."""
    for name, spec, start, exact in (
        ("a", CALIBRATED, 0, "f0"),
        ("b", CALIBRATED, 4, "f0"),
        ("other", CHOSEN, 0, "00"),
    ):
        folder = sweep_folder(tmp_path / name)
        folder.open(spec, {})
        for scheme in spec.schemes:
            each = row(scheme, start, start + 4, spec.digest_of_scheme(scheme))
            folder.append(dataclasses.replace(each, exact=(exact,) * 3))
    sweeps = read_sweeps([tmp_path / name for name in ("a", "other", "b")])
    solved = {
        sweep.spec.calibration: [outcome.solved(4).tolist() for outcome in sweep.outcomes]
        for sweep in sweeps
    }
    assert solved == {None: [[True] * 8] * 2, CHOICE: [[False] * 4] * 2}
