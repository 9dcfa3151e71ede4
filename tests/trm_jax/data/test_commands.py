"""The commands: CSV files and generators to data sets, bad rows, exit codes."""

import json

import numpy as np
import pytest

from tests.support.oracles import sudoku as oracle
from tests.support.programs import end_of
from trm_jax.data import csv_puzzles
from trm_jax.data.format import load_dataset
from trm_jax.data.maze import __main__ as maze
from trm_jax.data.maze import dataset as maze_dataset
from trm_jax.data.sudoku import __main__ as sudoku
from trm_jax.data.sudoku import dataset as sudoku_dataset
from trm_jax.data.sudoku.generator import generate_sudoku

HEADER = "source,question,answer,rating"
SOLVED = "1234341221434321"  # a 4x4 grid; without its last row still unique
OPEN = "12343412214.0..."


def write(path, *rows, header=HEADER):
    path.write_text("\n".join([header, *rows]) + "\n")
    return str(path)


def row(question=OPEN, answer=SOLVED, rating="3"):
    return f"x,{question},{answer},{rating}"


def test_build_writes_the_tokens_of_the_file(tmp_path):
    source = write(tmp_path / "a.csv", row(), row(SOLVED))
    assert sudoku.main(["build", str(tmp_path / "out"), "--box", "2x2", "--test", source]) == 0
    dataset = load_dataset(tmp_path / "out" / "test")
    assert dataset.inputs.tolist() == [
        [2, 3, 4, 5, 4, 5, 2, 3, 3, 2, 5, 1, 1, 1, 1, 1],
        [2, 3, 4, 5, 4, 5, 2, 3, 3, 2, 5, 4, 5, 4, 3, 2],
    ]
    assert (dataset.labels == dataset.inputs[1]).all()
    assert (dataset.metadata.vocab_size, dataset.metadata.seq_len) == (6, 16)
    assert not (tmp_path / "out" / "train").exists()


def test_build_augments_and_cuts_the_training_set_alone(tmp_path):
    puzzles, answers = generate_sudoku(6, box=(2, 3), seed=1)
    text = ["".join(map(str, line)) for line in np.concatenate([puzzles, answers]).tolist()]
    rows = [row(q, a, str(i)) for i, (q, a) in enumerate(zip(text[:6], text[6:], strict=True))]
    source = write(tmp_path / "a.csv", *rows)
    command = ["build", "--box", "2x3", "--train", source, "--test", source, "--min-difficulty"]
    command += ["2", "--subsample", "3", "--aug", "4", "--check", "--allow-overlap"]
    for out, seed in (("a", "5"), ("b", "5"), ("c", "6")):
        assert sudoku.main([*command, "--seed", seed, str(tmp_path / out)]) == 0
    train, test = (load_dataset(tmp_path / "a" / split) for split in ("train", "test"))
    np.testing.assert_array_equal(test.inputs, puzzles[2:] + 1)
    assert train.group_indices.tolist() == [0, 5, 10, 15]
    assert train.metadata.total_groups == 3
    originals = {r.tobytes() for r in test.inputs}
    kept = {train.inputs[i].tobytes() for i in (0, 5, 10)}
    assert len(kept) == 3
    assert kept <= originals
    for question, answer in zip(train.inputs - 1, train.labels - 1, strict=True):
        assert oracle.is_solution(answer.tolist(), (2, 3))
        assert all(d in (0, a) for d, a in zip(question, answer, strict=True))
    same, other = (load_dataset(tmp_path / out / "train").inputs for out in "bc")
    np.testing.assert_array_equal(train.inputs, same)
    assert (train.inputs != other).any()


BAD_SUDOKU = {
    "question has 15 cells, must have 16": row(OPEN[1:]),
    "answer has 17 cells, must have 16": row(answer=SOLVED + "1"),
    "question has the unknown symbol '5'": row("5" + OPEN[1:]),
    "answer has the unknown symbol 'é'": row(answer="é" + SOLVED[1:]),
    "answer is no solved grid": row(answer="1" * 16, question="." * 16),
    "answer contradicts question": row("2" + OPEN[1:]),
    "too few columns": "x," + OPEN,
    "no number as rating": row(rating="hard"),
    "question has several solutions": row("." * 16),
}


@pytest.mark.parametrize("what", BAD_SUDOKU)
def test_names_the_line_of_a_bad_row(tmp_path, capsys, what):
    source = write(tmp_path / "a.csv", row(), BAD_SUDOKU[what], row())
    command = ["build", str(tmp_path / "out"), "--box", "2x2", "--train", source, "--check"]
    assert sudoku.main([*command, "--min-difficulty", "0"]) == 2
    assert capsys.readouterr().err == f"error: {source}: 1 bad rows: line 3: {what}\n"
    assert not (tmp_path / "out").exists()


def test_all_bad_rows_are_counted_over_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_puzzles, "CHUNK", 3)
    lines = [row() if i % 2 else row("?" * 16) for i in range(16)]
    path = tmp_path / "a.csv"
    write(path, *lines)
    with pytest.raises(csv_puzzles.BadRows, match=r"8 bad rows: line 2: .*; and 3 more") as caught:
        csv_puzzles.read_examples(path, lambda q, a: sudoku_dataset.decode_rows(q, a, box=(2, 2)))
    assert [line for line, _ in caught.value.problems] == list(range(2, 18, 2))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("question,rating\n", r"lacks the columns \['answer'\]"),
        ("", "lacks the columns"),
        (HEADER + "\n", "has no puzzles"),
    ],
)
def test_refuses_other_files(tmp_path, capsys, content, what):
    source = tmp_path / "a.csv"
    source.write_text(content)
    assert sudoku.main(["build", str(tmp_path / "o"), "--train", str(source)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    with pytest.raises(ValueError, match=what):
        raise ValueError(error)


MAZE, PATH = "S # # #  G", "So#o#o#o G"  # five rows of two cells
ROOM = "S     G  "  # three rows of three cells, two moves


@pytest.mark.parametrize(
    ("shape", "question", "answer", "what"),
    [
        ((5, 2), MAZE, PATH, None),
        ((5, 2), "S # # #  o", PATH, "question has the unknown symbol 'o'"),
        ((5, 2), "SS# # #  G", PATH, "question must have exactly one start"),
        ((5, 2), "S # # #   ", PATH, "question must have exactly one goal"),
        ((5, 2), MAZE, "Soooo#oo G", "answer contradicts question"),
        ((5, 2), MAZE, MAZE, "no path leads from start to goal"),
        ((3, 3), ROOM, "S  o  G  ", None),
        ((3, 3), ROOM, "So  o Go ", "answer marks 4 moves, the shortest path has 2"),
        ((3, 3), ROOM, "S  o  G o", "answer marks 3 moves, the shortest path has 2"),
    ],
)
def test_maze_rows(shape, question, answer, what):
    _, _, wrong = maze_dataset.decode_rows([question], [answer], shape=shape, check=True)
    assert wrong == ({} if what is None else {0: what})


def test_unchecked_maze_rows_may_mark_any_path():
    _, _, wrong = maze_dataset.decode_rows([ROOM], ["So  o Go "], shape=(3, 3), check=False)
    assert not wrong


def test_maze_build_turns_training_mazes(tmp_path):
    source = write(tmp_path / "a.csv", f"x,{ROOM},S  o  G  ,2")
    command = ["build", "--shape", "3x3", "--train", source, "--test", source, "--aug"]
    command += ["--allow-overlap"]
    assert maze.main([*command, str(tmp_path / "out")]) == 0
    train, test = (load_dataset(tmp_path / "out" / split) for split in ("train", "test"))
    assert test.inputs.tolist() == [[3, 2, 2, 2, 2, 2, 4, 2, 2]]
    assert train.group_indices.tolist() == [0, 8]
    # S in the corner and G below it: each of the 4 corners twice, to either side
    assert len({r.tobytes() for r in train.inputs}) == 8
    middle = {int(np.flatnonzero(r == 5)[0]) for r in train.labels}
    assert middle == {1, 3, 5, 7}


def test_generate_makes_disjoint_sets(tmp_path):
    command = ["generate", str(tmp_path), "--box", "2x2", "--num-train", "12", "--num-test", "5"]
    assert sudoku.main([*command, "--workers", "1", "--clues", "4-5", "--seed", "7"]) == 0
    train, test = (load_dataset(tmp_path / split) for split in ("train", "test"))
    assert (len(train), len(test)) == (12, 5)
    names = [
        {oracle.class_name(p, (2, 2)) for p in (dataset.inputs.astype(int) - 1).tolist()}
        for dataset in (train, test)
    ]
    assert not names[0] & names[1]
    assert len(names[1]) == 5
    for question in (test.inputs.astype(int) - 1).tolist():
        assert oracle.count_solutions(question, (2, 2), limit=2) == 1
    assert json.loads((tmp_path / "generator.json").read_text()) == {
        "generator": "sudoku",
        "box": [2, 2],
        "num_clues": [4, 5],
        "min_rating": 0,
        "seed": 7,
        "num_train": 12,
        "num_test": 5,
    }


def test_a_kill_between_two_splits_leaves_none_of_an_earlier_data_set(tmp_path, monkeypatch):
    command = ["generate", "--out", str(tmp_path), "--box", "2x2", "--num-train", "2"]
    command += ["--num-test", "1", "--workers", "1"]
    assert sudoku.main([*command, "--seed", "1"]) == 0
    write_split = sudoku_dataset.save_dataset

    def save_dataset(dataset, folder):
        if folder.name == "test":
            raise KeyboardInterrupt
        write_split(dataset, folder)

    monkeypatch.setattr(sudoku_dataset, "save_dataset", save_dataset)
    assert sudoku.main([*command, "--seed", "2"]) == 130
    assert (tmp_path / "train" / "dataset.json").is_file()
    assert not (tmp_path / "test" / "dataset.json").exists()


def test_workers_change_nothing(tmp_path):
    command = ["generate", "--shape", "6x6", "--min-path", "7", "--num-train", "40"]
    command += ["--num-test", "3", "--walls", "0.4"]
    for workers in ("1", "2"):
        assert maze.main([*command, "--workers", workers, str(tmp_path / workers)]) == 0
    for split in ("train", "test"):
        one, two = (load_dataset(tmp_path / workers / split) for workers in "12")
        np.testing.assert_array_equal(one.inputs, two.inputs)
        np.testing.assert_array_equal(one.labels, two.labels)


@pytest.mark.parametrize(
    ("module", "command", "what"),
    [
        (sudoku, ["build", "OUT"], "name a CSV file with --train, --test or both"),
        (sudoku, ["build", "OUT", "--train", "nowhere.csv"], "nowhere.csv does not exist"),
        (sudoku, ["build", "OUT", "--train", "hf:owner/name"], "a Hub source reads hf:owner/name/"),
        (sudoku, ["generate", "OUT", "--box", "3"], "a box reads ROWSxCOLUMNS"),
        (sudoku, ["generate", "OUT", "--box", "1x4"], "box must have 2 rows and columns"),
        (sudoku, ["generate", "OUT", "--clues", "few"], "clues read 30, 25-37 or minimal"),
        (sudoku, ["generate", "OUT", "--clues", "1-2-3"], "clues read 30, 25-37 or minimal"),
        (sudoku, ["generate", "OUT", "--clues", "90"], "num_clues must lie in 1 to 81"),
        (sudoku, ["generate", "OUT", "--num-test", "0"], "--num-test must be at least 1, got 0"),
        (sudoku, ["generate", "OUT", "--workers", "0"], "--workers must be at least 1, got 0"),
        (maze, ["generate", "OUT", "--shape", "30"], "a shape reads HEIGHTxWIDTH"),
        (maze, ["generate", "OUT", "--shape", "0x3"], "height and width must be at least 1"),
        (maze, ["generate", "OUT", "--walls", "many"], "walls read 0.37 or 0.3-0.5"),
        (maze, ["generate", "OUT", "--shape", "3x3"], "min_path must be 1 to 8 moves"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, capsys, module, command, what):
    out = tmp_path / "out"
    assert end_of(module.main, [str(out) if word == "OUT" else word for word in command]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {what}")
    assert error.count("\n") == 1
    assert not out.exists()


def test_an_exhausted_kind_of_puzzle_is_refused(tmp_path, capsys):
    """4x4 has two classes of full grids (a well-known count): one is left for the test set."""
    command = ["generate", str(tmp_path / "out"), "--box", "2x2", "--clues", "16"]
    assert sudoku.main([*command, "--num-train", "1", "--num-test", "3", "--workers", "1"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: only 1 of 3 test puzzles differ from the training set and")


def test_enlarge_refuses_negative_copies():
    grid = np.full((1, 16), 2, np.uint8)
    with pytest.raises(ValueError, match="aug must be 0 or more, got -1"):
        sudoku_dataset.enlarge(grid, grid, (2, 2), aug=-1)


@pytest.mark.parametrize(
    ("size", "message"),
    [("0", "--subsample must be at least 1, got 0"), ("9", "subsample must be 1 to 1, got 9\n")],
)
def test_subsample_must_fit(tmp_path, capsys, size, message):
    source = write(tmp_path / "a.csv", row())
    command = ["build", str(tmp_path / "o"), "--box", "2x2", "--train", source]
    assert end_of(sudoku.main, [*command, "--subsample", size]) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")
