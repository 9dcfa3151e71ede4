"""The released layout, byte by byte, and what is refused."""

import dataclasses
import json

import numpy as np
import pytest

from trm_jax.data.facts import hash_identifiers
from trm_jax.data.format import (
    Metadata,
    facts_of_split,
    from_examples,
    load_dataset,
    load_identifiers,
    read_metadata,
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


def with_header(text, data=b"", version=b"\x01\x00"):
    """Lay out an .npy file whose header is any text."""
    header = text.encode().ljust(118 - 1) + b"\n"
    return b"\x93NUMPY" + version + len(header).to_bytes(2, "little") + header + data


SHAPED = "{'descr': '%s', 'fortran_order': %s, 'shape': %s, }"


@pytest.mark.parametrize(
    "content",
    [
        with_header("{'descr': '<i4', "),
        with_header("{'descr': '<i4', 'shape': (4,), 'fortran_order': 'it''s}"),
        with_header("((((((((((("),
        with_header("[" * 110),
        with_header("{'descr': 7, 'fortran_order': False, 'shape': (4, 3), }"),
        with_header(SHAPED % ("<i4", "False", "(4, -3)")),
        with_header(SHAPED % ("<i4", "False", f"({10**12}, {10**12})")),
        with_header(SHAPED % ("<i4", "False", f"({10**30},)")),
        with_header(SHAPED % ("|u1", "False", "(4, 3)"), bytes(11)),
        with_header(SHAPED % ("|u1", "False", "(4, 3)"), bytes(13)),
        with_header(SHAPED % ("|O", "False", "(4, 3)"), bytes(96)),
        with_header(SHAPED % ("<M8[s]", "False", "(4, 3)"), bytes(96)),
        with_header(SHAPED % ("<m8[s]", "False", "(4, 3)"), bytes(96)),
        with_header(SHAPED % ("|b1", "False", "(4, 3)"), bytes(12)),
        with_header(SHAPED % ("|u1", "False", "(4, 3)"), bytes(12), version=b"\x07\x00"),
        b"\x93NUMPY\x01\x00\xff",
        b"PK\x03\x04" + bytes(40),
    ],
)
def test_damaged_headers_are_one_line(written, content):
    (written / "all__inputs.npy").write_bytes(content)
    with pytest.raises(ValueError, match=r"all__inputs\.npy is no complete \.npy file: ") as caught:
        load_dataset(written)
    assert "\n" not in str(caught.value)


def test_other_orders_of_bytes_and_axes_are_read_right(written):
    np.save(written / "all__inputs.npy", INPUTS.astype(">i4"))
    np.save(written / "all__labels.npy", np.asfortranarray(LABELS))
    dataset = load_dataset(written)
    np.testing.assert_array_equal(dataset.inputs, INPUTS)
    np.testing.assert_array_equal(dataset.labels, LABELS)
    assert dataset.inputs.dtype.isnative
    assert dataset.labels.flags.c_contiguous


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"seq_len": "3"}, "field seq_len must be an integer, got '3'"),
        ({"seq_len": 3.5}, "field seq_len must be an integer"),
        ({"vocab_size": 0}, "vocab_size must be at least 1"),
        ({"pad_id": 4}, "pad_id must be 0 to 3, got 4"),
        ({"blank_identifier_id": 1}, "blank_identifier_id must be 0 to 0"),
        ({"sets": "all"}, "field sets must be a list"),
        ({"puzzles": {"task": "maze"}}, "field puzzles.grid is missing"),
        (
            {"puzzles": {"task": "maze", "grid": [2, 2], "box": None, "identifiers_sha256": ""}},
            r"puzzles.grid must have seq_len=3 cells, got \[2, 2\]",
        ),
    ],
)
def test_names_the_field_of_a_bad_dataset_json(written, change, what):
    (written / "dataset.json").write_text(json.dumps(DATASET_JSON | change))
    with pytest.raises(ValueError, match=what):
        load_dataset(written)


@pytest.mark.parametrize("text", ["[" * 100_000, '["a", 3]', '{"a": 1}', '["a", "a"]', "\x00"])
def test_damaged_names_of_identifiers_are_one_line(tmp_path, text):
    (tmp_path / "identifiers.json").write_text(text)
    with pytest.raises(ValueError, match=r"identifiers\.json"):
        load_identifiers(tmp_path)


def test_identifiers_of_another_data_set_are_refused(written):
    names = ["<blank>", "a"]
    facts = {"task": "maze", "grid": [1, 3], "box": None}
    facts["identifiers_sha256"] = hash_identifiers(names)
    document = DATASET_JSON | {"num_puzzle_identifiers": 2, "puzzles": facts}
    (written / "dataset.json").write_text(json.dumps(document))
    metadata = read_metadata(written / "dataset.json")
    (written.parent / "identifiers.json").write_text(json.dumps(names))
    assert facts_of_split(metadata, written, "maze") == metadata.puzzles
    (written.parent / "identifiers.json").write_text(json.dumps(["<blank>", "b"]))
    with pytest.raises(ValueError, match=r"lists other names than .* was made of"):
        facts_of_split(metadata, written, "maze")
    with pytest.raises(ValueError, match="is maze data, not sudoku"):
        facts_of_split(metadata, written, "sudoku")
