"""The ablation program from command line to files: numbers, whole, resumed, refused."""

import re

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.ablate import __main__ as ablate
from experiments.ablate.job import ON_REQUEST, prepare
from experiments.ablate.rows import ablation_folder
from experiments.ablate.runner import STUDIES
from experiments.ablate.tables import open_studies, read_ablation, records
from experiments.measurement.shards import from_hex
from tests.support.oracles import recursion as oracle
from tests.support.programs import end_of
from tests.support.tiny import sweep as tiny
from trm_jax.checkpoints.model_files import load_model
from trm_jax.loading import load_puzzles
from trm_jax.types import Batch

SMALL = ("--only", "pruning,truncation", "--batch-size", "8", "--limit", "20")
VARIANTS, SHARDS = 5 + 6, 3


@pytest.fixture(scope="module")
def finished(tiny_root, tmp_path_factory):
    """An ablation that ran through."""
    out = tmp_path_factory.mktemp("ablate") / "out"
    assert ablate.main(tiny.arguments(tiny_root, out, *SMALL)) == 0
    return out


def copy(finished, out, rows=None):
    """Start a folder with what a finished one holds, or with its first rows."""
    out.mkdir()
    lines = (finished / "rows.jsonl").read_bytes().splitlines(keepends=True)
    (out / "rows.jsonl").write_bytes(b"".join(lines[:rows]))
    (out / "ablation.json").write_bytes((finished / "ablation.json").read_bytes())
    return lines


def test_it_leaves_rows_tables_and_a_figure(finished):
    assert len((finished / "rows.jsonl").read_text().splitlines()) == VARIANTS * SHARDS
    for name in ("ablation.json", "ablation.md", "ablation.csv", "split.png", "split.svg"):
        assert (finished / name).stat().st_size > 0
    text = (finished / "ablation.md").read_text()
    assert all(title in text for title in ("Table 12", "Table 13", "Sec. 4.6"))


def test_rows_count_what_the_oracle_counts(finished, tiny_root):
    """Half of the context at one supervision step, puzzle by puzzle in float64."""
    config, weights = load_model(tiny_root / "model")
    dataset = load_puzzles("sudoku", tiny_root / "data").dataset
    whole, labels = np.asarray(dataset.inputs[:20], np.int32), dataset.labels[:20]
    cut = np.where(np.arange(16) < 8, whole, 0)
    states = []
    for tokens in (cut, whole):
        batch = Batch(*(jnp.asarray(x, jnp.int32) for x in (tokens, labels, np.zeros(20))))
        states.append(oracle.trajectory(config, weights, batch, config.H_cycles)[0][-1])
    scored = labels != dataset.metadata.ignore_label_id
    said = np.argmax(oracle.read_out(config, weights, states[0])[0], axis=-1)
    right = (said == labels) & scored
    folder = ablation_folder(finished)
    rows = folder.read_rows(folder.read_spec())
    mine = [r for r in rows if (r.study, r.variant) == ("truncation", "50% context, n=1")]
    solved = np.concatenate([from_hex(r.exact, r.stop - r.start) for r in mine])
    np.testing.assert_array_equal(solved, (right | ~scored).all(axis=-1))
    assert [r.correct_cells for r in mine] == [int(right[r.start : r.stop].sum()) for r in mine]
    length = [np.linalg.norm(z, axis=-1) for z in states]
    cosine = ((states[0] * states[1]).sum(-1) / (length[0] * length[1])).mean(-1)
    lost = [float((1 - cosine[r.start : r.stop]).sum()) for r in mine]
    # float32 cosines of 17 tokens and 8 puzzles
    assert [r.infidelity.total for r in mine] == pytest.approx(lost, abs=1e-5)


def test_references_differ_in_nothing_from_themselves(finished):
    for record in records(read_ablation(finished)):
        if record["variant"] == record["reference"]:
            assert record["fidelity"] == record["fidelity_one_step"] == 1.0
            assert (record["lost"], record["gained"], record["mcnemar_p"]) == (0, 0, 1.0)
        assert record["exact_low"] <= record["exact"] <= record["exact_high"]
        assert record["puzzles"] == 20


def test_less_of_a_model_is_smaller(finished):
    found = {r["variant"]: r for r in records(read_ablation(finished)) if r["study"] == "pruning"}
    sizes = [found[name]["bytes"] for name in ("fp32", "25% of all linears", "50% of all linears")]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1]


def test_killed_and_resumed_it_ends_the_same(finished, tiny_root, tmp_path):
    out = tmp_path / "out"
    lines = copy(finished, out, rows=20)
    with (out / "rows.jsonl").open("ab") as file:
        file.write(b'{"digest":"')
    assert ablate.main(tiny.arguments(tiny_root, out, *SMALL, "--resume")) == 0
    assert (out / "rows.jsonl").read_bytes() == b"".join(lines)
    for name in ("ablation.md", "ablation.csv"):
        assert (out / name).read_text() == (finished / name).read_text()


def test_a_study_can_be_left_for_later(finished, tiny_root, tmp_path):
    """What is there already is neither computed again nor lost."""
    out = tmp_path / "out"
    lines = copy(finished, out)
    kept = [line for line in lines if b'"pruning"' in line]
    (out / "rows.jsonl").write_bytes(b"".join(kept))
    only = ("--only", "truncation", *SMALL[2:], "--resume")
    assert ablate.main(tiny.arguments(tiny_root, out, *only)) == 0
    assert sorted((out / "rows.jsonl").read_bytes().splitlines(keepends=True)) == sorted(lines)
    assert (out / "ablation.csv").read_text() == (finished / "ablation.csv").read_text()


def test_what_is_not_finished_is_said(finished, tmp_path):
    """Ten rows are three variants of the first study on all shards, and one more."""
    out = tmp_path / "out"
    copy(finished, out, rows=10)
    assert open_studies(read_ablation(out)) == {"truncation": 0, "pruning": 0}
    assert records(read_ablation(out)) == []
    assert open_studies(read_ablation(finished)) == {}


def test_a_used_folder_is_not_touched(finished, tiny_root, capsys):
    before = {file: file.read_bytes() for file in finished.iterdir()}
    assert ablate.main(tiny.arguments(tiny_root, finished, *SMALL)) == 2
    assert "add --resume" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in finished.iterdir()} == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--only", "magic"), "unknown study 'magic'; known: activations, "),
        (("--only", "linear_attention"), "has no attention to replace"),
        (("--only", "mixer"), "name others with --models"),
        (("--only", "pruning", "--models", "a"), "is for the study mixer, which is none"),
        (("--only", "qat"), "no generator.json beside it.*--train-data"),
        (("--only", "activations"), "last 128 of the 22 puzzles"),
        (("--limit", "-1"), "--limit must be 0"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tiny_root, tmp_path, capsys, change, message):
    out = tmp_path / "out"
    assert end_of(ablate.main, tiny.arguments(tiny_root, out, *change)) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert re.search(message, err), err
    assert not out.exists()


def test_without_names_all_studies_that_apply_are_taken(tiny_root, tmp_path):
    arguments = tiny.arguments(tiny_root, tmp_path / "out")
    job = prepare(ablate.parser().parse_args(arguments), STUDIES)
    assert set(job.studies) == {"truncation", "pruning"}
    assert "left out, qat: " in job.header()
    assert len(job.skipped) == len(STUDIES) - len(ON_REQUEST) - 2


def test_help_names_every_study(capsys):
    with pytest.raises(SystemExit) as stop:
        ablate.main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert all(str(study.value) in text for study in STUDIES)
