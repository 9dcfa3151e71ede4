"""The released layout, byte by byte, and what is refused."""

import dataclasses
import json

import numpy as np
import pytest

from trm_jax.data.format import (
    Metadata,
    from_examples,
    load_dataset,
    load_identifiers,
    save_dataset,
)

INPUTS = np.array([[1, 2, 3], [2, 1, 3], [3, 3, 1], [1, 1, 1]], np.uint8)
LABELS = np.array([[3, 2, 3], [2, 3, 0], [3, 3, 1], [2, 2, 2]], np.uint8)


def npy(descr, shape, data):
    """Lay out a version 1.0 .npy file by hand: magic, header length, header, data."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    header = header.ljust(128 - 10 - 1) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(data)


def int32(*values):
    return b"".join(value.to_bytes(4, "little") for value in values)


FILES = {
    "inputs": npy("|u1", (4, 3), [1, 2, 3, 2, 1, 3, 3, 3, 1, 1, 1, 1]),
    "labels": npy("|u1", (4, 3), [3, 2, 3, 2, 3, 0, 3, 3, 1, 2, 2, 2]),
    "puzzle_identifiers": npy("<i4", (4,), int32(0, 0, 0, 0)),
    "puzzle_indices": npy("<i4", (5,), int32(0, 1, 2, 3, 4)),
    "group_indices": npy("<i4", (3,), int32(0, 2, 4)),
}
DATASET_JSON = {
    "seq_len": 3,
    "vocab_size": 4,
    "pad_id": 0,
    "ignore_label_id": 0,
    "blank_identifier_id": 0,
    "num_puzzle_identifiers": 1,
    "total_groups": 2,
    "mean_puzzle_examples": 1.0,
    "total_puzzles": 2,
    "sets": ["all"],
}


@pytest.fixture
def written(tmp_path):
    """A split written by hand, without the package."""
    folder = tmp_path / "train"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / f"all__{name}.npy").write_bytes(content)
    (folder / "dataset.json").write_text(json.dumps(DATASET_JSON))
    return folder


def test_writes_the_released_bytes(tmp_path):
    dataset = from_examples(INPUTS, LABELS, vocab_size=4, group_size=2)
    save_dataset(dataset, tmp_path / "train")
    for name, content in FILES.items():
        assert (tmp_path / "train" / f"all__{name}.npy").read_bytes() == content
    assert json.loads((tmp_path / "train" / "dataset.json").read_text()) == DATASET_JSON
    assert json.loads((tmp_path / "identifiers.json").read_text()) == ["<blank>"]
    assert load_identifiers(tmp_path) == ["<blank>"]


def test_reads_the_released_bytes(written):
    dataset = load_dataset(written)
    np.testing.assert_array_equal(dataset.inputs, INPUTS)
    np.testing.assert_array_equal(dataset.labels, LABELS)
    assert dataset.group_indices.tolist() == [0, 2, 4]
    assert len(dataset) == 4
    assert dataset.metadata == Metadata(
        seq_len=3, vocab_size=4, total_groups=2, mean_puzzle_examples=1.0, total_puzzles=2
    )


def test_reads_the_older_dataset_json(written):
    older = {name: value for name, value in DATASET_JSON.items() if name != "total_puzzles"}
    (written / "dataset.json").write_text(json.dumps(older))
    assert load_dataset(written).metadata.total_puzzles == 2


def test_an_interrupted_rewrite_does_not_load(written, monkeypatch):
    dataset = load_dataset(written)

    def interrupt(path, values):
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_dataset(dataset, written)
    with pytest.raises(FileNotFoundError, match=r"dataset\.json is missing"):
        load_dataset(written)


@pytest.mark.parametrize("name", ["all__labels.npy", "dataset.json"])
def test_names_the_missing_file(written, name):
    (written / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name} is missing"):
        load_dataset(written)


@pytest.mark.parametrize(
    ("name", "values", "what"),
    [
        ("inputs", np.full((4, 3), 4), r"all__inputs must hold 0 to 3 .*from 4 to 4"),
        ("labels", np.full((4, 3), -1), r"all__labels must hold 0 to 3 .*from -1 to -1"),
        ("inputs", np.ones((4, 3)), r"all__inputs must hold integers.*float64"),
        ("inputs", np.ones(12, int), r"all__inputs must hold integers in 2 dimensions"),
        ("labels", np.ones((3, 3), int), r"all__labels must be \(4, 3\), got \(3, 3\)"),
        ("inputs", np.ones((4, 2), int), r"all__inputs must be \(4, 3\), got \(4, 2\)"),
        ("puzzle_identifiers", np.array([0, 0, 1, 0]), r"num_puzzle_identifiers=1.*0 to 1"),
        ("puzzle_indices", np.array([0, 1, 2, 4]), r"puzzle_indices must have 5 entries, got 4"),
        ("puzzle_indices", np.array([0, 2, 1, 3, 4]), r"increase, got 2 before 1 at entry 1"),
        ("group_indices", np.array([0, 2, 2, 4]), r"increase, got 2 before 2 at entry 1"),
        ("group_indices", np.array([1, 4]), r"group_indices must run from 0 to 4, got 1 to 4"),
        ("group_indices", np.array([], int), r"group_indices must have 1 entries, got 0"),
    ],
)
def test_names_the_hurt_invariant(written, name, values, what):
    np.save(written / f"all__{name}.npy", values)
    with pytest.raises(ValueError, match=what):
        load_dataset(written)


def test_refuses_files_that_are_cut_off(written):
    path = written / "all__inputs.npy"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(ValueError, match=r"all__inputs\.npy is no complete \.npy file"):
        load_dataset(written)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"all__inputs\.npy is no complete \.npy file"):
        load_dataset(written)


def test_never_unpickles(written):
    np.save(written / "all__inputs.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"all__inputs\.npy is no complete \.npy file"):
        load_dataset(written)


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "{}", json.dumps(DATASET_JSON | {"colour": 1}), '{"sets": ["all"], "seq_len": 3}'],
)
def test_refuses_other_json(written, text):
    (written / "dataset.json").write_text(text)
    with pytest.raises(ValueError, match=r"dataset\.json is no dataset\.json of the released"):
        load_dataset(written)


def test_refuses_unknown_sets(written):
    with pytest.raises(ValueError, match=r"has the sets \['all'\], not 'hard'"):
        load_dataset(written, set_name="hard")


def test_refuses_to_write_what_it_would_not_read(tmp_path):
    dataset = from_examples(INPUTS, LABELS, vocab_size=4)
    small = dataclasses.replace(dataset.metadata, vocab_size=3)
    with pytest.raises(ValueError, match="inputs must hold 0 to 2"):
        save_dataset(dataclasses.replace(dataset, metadata=small), tmp_path / "train")
    with pytest.raises(ValueError, match="4 examples do not fill groups of 3"):
        from_examples(INPUTS, LABELS, vocab_size=4, group_size=3)
