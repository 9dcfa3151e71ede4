"""Rows of an ablation on disk: what may mix, what a kill leaves, what damage says."""

import dataclasses
import json
from dataclasses import asdict

import pytest

from experiments.ablate.retraining import brief
from experiments.ablate.rows import (
    AblationRow,
    AblationSpec,
    ablation_folder,
)
from experiments.measurement.row_files import merge_folders
from experiments.measurement.shards import Moments
from experiments.measurement.spec import finished_shards, pending

BASE = AblationSpec(
    task="sudoku",
    model="m",
    model_sha256="aa",
    num_parameters=10,
    data="d",
    data_sha256="bb",
    num_puzzles=5,
    batch_size=3,
    dtype="float32",
    seed=0,
)


def planned(spec: AblationSpec = BASE, share: float = 0.5, study: str = "cuts") -> AblationSpec:
    entries = (
        spec.plan(study, "whole", "whole", {}),
        spec.plan(study, "half", "whole", {"share": share}),
    )
    return dataclasses.replace(spec, planned=entries)


def row(spec: AblationSpec, variant: str, start: int, stop: int) -> AblationRow:
    digest = {each.variant: each.digest for each in spec.planned}[variant]
    return AblationRow(
        digest=digest,
        study="cuts",
        variant=variant,
        start=start,
        stop=stop,
        scored_cells=12,
        correct_cells=9,
        exact="a0" if stop - start > 2 else "80",
        lenient="a0" if stop - start > 2 else "80",
        cell_error=Moments(0.75, 0.3125),  # (1/2, 1/4, 0) or (1/2, 1/4)
        infidelity_one_step=None,
        infidelity=Moments(0.5, 0.125),  # (1/4, 1/4, 0) or (1/4, 1/4)
        facts={"bytes": 40.0},
    )


def test_settings_of_a_training_are_read_back(tmp_path):
    """Its recipe has choices that are true or false beside numbers."""
    settings = asdict(brief(3, 2, 1e-3, 0)) | {"augment": True}
    entries = (BASE.plan("qat", "fp32", "fp32", {}), BASE.plan("qat", "QAT", "fp32", settings))
    spec = dataclasses.replace(BASE, planned=entries)
    ablation_folder(tmp_path / "out").open(spec, {})
    assert ablation_folder(tmp_path / "out").read_spec() == spec


def test_bytes_that_are_true_are_no_number(tmp_path):
    with pytest.raises(ValueError, match=r"facts\.bytes must be a number, got True"):
        dataclasses.replace(row(planned(), "half", 0, 3), facts={"bytes": True})


@pytest.fixture
def folder(tmp_path):
    opened = ablation_folder(tmp_path / "out")
    opened.open(planned(), {"started": "now"})
    return opened


def test_rows_come_back_as_they_were_written(folder):
    spec = folder.read_spec()
    written = [row(spec, "whole", 0, 3), row(spec, "half", 0, 3)]
    for each in written:
        folder.append(each)
    assert folder.read_rows(spec) == written
    assert spec == planned()


def test_what_is_left_and_what_can_be_compared(folder):
    spec = folder.read_spec()
    rows = [row(spec, "whole", 0, 3), row(spec, "half", 0, 3), row(spec, "whole", 3, 5)]
    assert [(k.variant, k.start) for k in pending(spec.work_keys(), rows)] == [("half", 3)]
    done = {each.key for each in rows}
    assert finished_shards(spec.shards, [each.name for each in spec.planned], done) == [(0, 3)]


def test_a_torn_line_is_dropped_and_written_again(folder):
    spec = folder.read_spec()
    folder.append(row(spec, "whole", 0, 3))
    with folder.rows_file.open("a") as file:
        file.write('{"digest": "')
    assert len(folder.read_rows(spec)) == 1
    folder.open(spec, {})
    folder.append(row(spec, "half", 0, 3))
    assert len(folder.read_rows(spec)) == 2


def test_resuming_widens_by_studies_and_puzzles(folder):
    more = dataclasses.replace(planned(study="other"), num_puzzles=9)
    folder.check(more, resume=True)
    folder.open(more, {"started": "later"})
    spec = folder.read_spec()
    assert [each.study for each in spec.planned] == ["cuts", "cuts", "other", "other"]
    assert spec.num_puzzles == 9
    assert len(json.loads(folder.spec_file.read_text())["runs"]) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_sha256": "cc"}, "model_sha256 is aa, asked for cc"),
        ({"batch_size": 4}, "batch_size is 3, asked for 4"),
        ({"dtype": "bfloat16"}, "dtype is float32"),
    ],
)
def test_other_models_puzzles_and_shards_do_not_mix(folder, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        folder.check(planned(dataclasses.replace(BASE, **change)), resume=True)
    other = ablation_folder(tmp_path / "other")
    other.open(planned(dataclasses.replace(BASE, **change)), {})
    with pytest.raises(ValueError, match=message):
        merge_folders([folder, other])


def test_a_variant_made_otherwise_does_not_mix(folder):
    with pytest.raises(ValueError, match=r"cuts: half was made with .*0\.5.*asked for .*0\.25"):
        folder.check(planned(share=0.25), resume=True)


def test_a_used_folder_needs_resume(folder):
    with pytest.raises(FileExistsError, match="add --resume"):
        folder.check(planned(), resume=False)


def test_damage_names_the_line(folder):
    folder.rows_file.write_text('{"digest": 1}\n')
    with pytest.raises(ValueError, match=r"rows.jsonl, line 1 is damaged"):
        folder.read_rows(planned())
    spec = planned(share=0.125)
    folder.rows_file.write_text("")
    folder.append(row(spec, "half", 0, 3))
    with pytest.raises(ValueError, match=r"line 1 is of another ablation \(cuts half 0 3"):
        folder.read_rows(planned())
    folder.spec_file.write_text("{}")
    with pytest.raises(ValueError, match="needs `spec` and `runs`"):
        folder.read_spec()
