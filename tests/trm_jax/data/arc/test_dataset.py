"""The ARC builder: the released files byte for byte, canvases against loops, the command."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.oracles import arc as oracle
from tests.support.programs import end_of
from trm_jax.data.arc import __main__ as arc
from trm_jax.data.arc.canvas import crop, encode
from trm_jax.data.arc.dataset import SEED, identifiers, plan
from trm_jax.data.arc.task_files import read_subset, write_kaggle
from trm_jax.data.format import load_dataset, load_identifiers

TASKS = {
    "a": {
        "train": [
            {"input": [[1, 2]], "output": [[3], [4]]},
            {"input": [[5, 0, 6]], "output": [[5, 0], [0, 6]]},
        ],
        "test": [{"input": [[7, 8]], "output": [[8, 7]]}],
    },
    "b": {
        "test": [{"input": [[1]], "output": [[2]]}, {"input": [[3]], "output": [[4]]}],
        "train": [{"input": [[5]], "output": [[6]]}],
    },
}


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "tasks" / "eval"
    folder.mkdir(parents=True)
    for name, task in TASKS.items():
        (folder / f"{name}.json").write_text(json.dumps(task))
    return tmp_path / "tasks"


def build(out, source, *options, subsets="eval"):
    command = ["build", str(out), "--source", str(source), "--subsets", *subsets.split()]
    return end_of(arc.main, [*command, "--test-set-name", "eval", *options])


@settings(deadline=None)
@given(
    st.integers(1, 5), st.integers(1, 5), st.integers(0, 3), st.integers(0, 3), st.integers(0, 99)
)
def test_canvas_equals_loops(rows, columns, top, left, seed):
    grid = np.random.default_rng(seed).integers(0, 10, (rows, columns)).astype(np.uint8)
    tokens = encode(grid, side=8, top=top, left=left)
    assert tokens.tolist() == oracle.canvas(grid.tolist(), 8, top, left)
    if top == left == 0:
        np.testing.assert_array_equal(crop(tokens), grid)


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 5), st.integers(0, 2**32 - 1), st.sampled_from([0.1, 0.3, 0.9]))
def test_crop_equals_trying_every_rectangle(side, seed, holes):
    rng = np.random.default_rng(seed)
    other = rng.choice([-1, 0, 1, 12], side * side)  # what a model may say but no grid holds
    colours = rng.integers(2, 12, side * side)
    tokens = np.where(rng.random(side * side) < holes, other, colours)
    assert crop(tokens).tolist() == oracle.crop(tokens.tolist(), side)


def test_an_answer_without_a_grid_has_no_cells():
    assert crop(np.array([1, 2, 2, 2])).shape == (0, 0)


def test_canvases_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="3 x 1 at row 2, column 0 does not fit a canvas of 4 x 4"):
        encode(np.zeros((3, 1), np.uint8), side=4, top=2)
    with pytest.raises(ValueError, match="a canvas is square, got 5 tokens"):
        crop(np.zeros(5, np.int32))


@pytest.mark.slow
def test_files_equal_the_released_builder(shared, tmp_path):
    source = shared / "data" / "arc_kaggle_combined" / "arc-agi"
    subsets = ("training", "evaluation", "concept")
    for subset in subsets:
        tasks = sorted(read_subset(source, subset), key=lambda task: task.name)
        write_kaggle(tmp_path / "cut", subset, tasks[:15])
    command = ["build", str(tmp_path / "o"), "--source", str(tmp_path / "cut"), "--num-aug", "5"]
    assert arc.main([*command, "--subsets", *subsets]) == 0
    files = {name: (tmp_path / "o" / name).read_bytes() for name in oracle.HASHES}
    hashes = {name: hashlib.sha256(content).hexdigest()[:16] for name, content in files.items()}
    assert hashes == oracle.HASHES
    for split in ("train", "test"):
        load_dataset(tmp_path / "o" / split)


@pytest.mark.slow
def test_published_identifiers(shared):
    """50,911 rows of the seed's table; the 876,406 take a minute (docs/training.md)."""
    tasks = read_subset(shared / "data" / "arc_kaggle_combined" / "arc-agi", "evaluation")
    rng = np.random.RandomState(SEED)
    groups = plan({"evaluation": tasks}, test_set_name="evaluation", num_aug=128, rng=rng)
    names = list(identifiers(groups))
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()
    assert len(names) == 50_911
    assert digest.startswith("d9d5c951577fb0f3")


def test_examples_are_the_named_augmentations(source, tmp_path):
    """Every row is read back by loops: some place on the canvas, one pair per puzzle unmoved."""
    assert build(tmp_path / "o", source, "--canvas", "5", "--num-aug", "6") == 0
    names = load_identifiers(tmp_path / "o")
    assert names[0] == "<blank>"
    places = set()
    for split, kind in (("train", "train"), ("test", "test")):
        data = load_dataset(tmp_path / "o" / split)
        assert data.metadata.num_puzzle_identifiers == len(names)
        for number, name in enumerate(names[1:]):
            assert data.puzzle_identifiers[number] == number + 1
            first, last = data.puzzle_indices[number : number + 2]
            pairs = TASKS[name.split("|||")[0]][kind]
            assert last - first == len(pairs)
            unmoved = 0
            for row, pair in zip(range(first, last), pairs, strict=True):
                grids = pair["input"], pair["output"]
                if "|||" in name:
                    grids = [oracle.augment(grid, name) for grid in grids]
                found = [
                    (top, left)
                    for top in range(5)
                    for left in range(5)
                    if data.inputs[row].tolist() == oracle.canvas(grids[0], 5, top, left)
                    and data.labels[row].tolist() == oracle.canvas(grids[1], 5, top, left)
                ]
                assert len(found) == 1
                unmoved += found == [(0, 0)]
                places.add((split, *found))
            assert unmoved >= 1
    assert len(places) > 5  # training pairs are moved
    assert {place for place in places if place[0] == "test"} == {("test", (0, 0))}


def test_groups_and_metadata(source, tmp_path, capsys):
    assert build(tmp_path / "o", source, "--num-aug", "2") == 0
    train, test = (load_dataset(tmp_path / "o" / split) for split in ("train", "test"))
    assert train.group_indices.tolist() == test.group_indices.tolist() == [0, 3, 6]
    meta = test.metadata
    assert (meta.total_groups, meta.total_puzzles, meta.mean_puzzle_examples) == (2, 6, 1.5)
    assert (meta.seq_len, meta.vocab_size, meta.sets) == (900, 12, ("all",))
    assert json.loads((tmp_path / "o" / "test_puzzles.json").read_text()) == TASKS
    assert capsys.readouterr().out.count("2 tasks, 6 augmented, 7 identifiers") == 2


def test_the_test_split_does_not_need_the_training_split(source, tmp_path):
    assert build(tmp_path / "both", source, "--num-aug", "2") == 0
    assert build(tmp_path / "test", source, "--num-aug", "2", "--splits", "test") == 0
    assert not (tmp_path / "test" / "train").exists()
    both, alone = (load_dataset(tmp_path / name / "test") for name in ("both", "test"))
    np.testing.assert_array_equal(both.inputs, alone.inputs)
    assert load_identifiers(tmp_path / "both") == load_identifiers(tmp_path / "test")


def test_secret_answers_become_labels_that_do_not_score(tmp_path):
    task = {**TASKS["a"], "test": [{"input": [[7, 8]]}]}
    (tmp_path / "arc_eval_challenges.json").write_text(json.dumps({"a": task}))
    assert build(tmp_path / "o", tmp_path / "arc", "--num-aug", "1") == 0
    assert not load_dataset(tmp_path / "o" / "test").labels.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--canvas", "2"], "task a has a grid with a side of 3 cells, more than the canvas's 2"),
        (["--canvas", "31"], "the canvas must be 1 to 30 cells wide, got 31"),
        (["--num-aug", "-1"], "--num-aug must be 0 or more, got -1"),
        (["--subsets", "none"], "no ARC tasks of the subset 'none'"),
        (["--test-set-name", "x"], "the test set 'x' is none of the subsets ['eval']"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(source, tmp_path, capsys, options, message):
    assert build(tmp_path / "o", source, *options) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")
    assert not (tmp_path / "o").exists()


def test_tasks_must_differ_and_have_answers_to_train_on(source, tmp_path, capsys):
    folder = source / "more"
    folder.mkdir()
    (folder / "a.json").write_text(json.dumps(TASKS["a"]))
    assert build(tmp_path / "o", source, subsets="eval more") == 2
    assert "task a is in eval and in more" in capsys.readouterr().err
    (folder / "a.json").unlink()
    (folder / "c.json").write_text(json.dumps({**TASKS["a"], "test": [{"input": [[1]]}]}))
    assert build(tmp_path / "o", source, subsets="eval more") == 2
    assert "task c of the subset more has a question without an answer" in capsys.readouterr().err
