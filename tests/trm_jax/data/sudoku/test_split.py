"""The hold-out of Sudoku CSV files: disjoint up to symmetry, seeded, complete."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import shared_dir
from tests.support.programs import end_of
from trm_jax.data.format import PuzzleDataset, load_dataset
from trm_jax.data.sudoku import split as sudoku_split
from trm_jax.data.sudoku.generator import generate_sudoku
from trm_jax.data.sudoku.symmetry import augment_sudoku, canonical_form
from trm_jax.data.sudoku.tokens import decode, encode

BOX = (2, 3)


def write_csv(path: Path, puzzles: np.ndarray, answers: np.ndarray) -> Path:
    """Write digits as the published files do."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["source", "question", "answer", "rating"])
        for i, (puzzle, answer) in enumerate(zip(puzzles, answers, strict=True)):
            writer.writerow(["x", *("".join(map(str, d)) for d in (puzzle, answer)), i])
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Forty puzzles, and in a second file twenty of them in disguise with five new ones."""
    folder = tmp_path_factory.mktemp("csv")
    puzzles, answers = generate_sudoku(45, box=BOX, num_clues=14, seed=1)
    rng = np.random.default_rng(0)
    disguised = augment_sudoku(rng, encode(puzzles[:20]), encode(answers[:20]), BOX)
    pairs = zip(disguised, (puzzles, answers), strict=True)
    second = [np.concatenate([decode(hidden), new[40:]]) for hidden, new in pairs]
    first = write_csv(folder / "a.csv", puzzles[:40], answers[:40])
    return [str(first), str(write_csv(folder / "b.csv", *second))]


def split(out: Path, files: list[str], *more: str) -> tuple[PuzzleDataset, PuzzleDataset]:
    """Run the program."""
    assert sudoku_split.main([str(out), *files, "--box", "2x3", *more]) == 0
    return load_dataset(out / "train"), load_dataset(out / "test")


def forms(data: PuzzleDataset) -> list[bytes]:
    """Give the exact canonical form of every puzzle."""
    return [canonical_form(puzzle, BOX).tobytes() for puzzle in decode(np.asarray(data.inputs))]


def test_no_puzzle_of_one_part_is_symmetric_to_any_other(files: list[str], tmp_path: Path) -> None:
    train, test = split(tmp_path, files, "--hold-out", "10")
    classes = forms(train) + forms(test)
    assert (len(train), len(test)) == (35, 10)
    assert len(set(classes)) == 45
    facts = json.loads((tmp_path / "split.json").read_text())
    assert [note["puzzles"] for note in facts["files"]] == [40, 25]
    assert (facts["train"], facts["test"], facts["seed"]) == (35, 10, 0)
    for data in (train, test):  # answers moved with their puzzles
        given = np.asarray(data.inputs) > 1
        assert (np.asarray(data.labels)[given] == np.asarray(data.inputs)[given]).all()


def test_the_draw_is_seeded(files: list[str], tmp_path: Path) -> None:
    parts = [
        np.asarray(split(tmp_path / str(i), files, "--hold-out", "10", "--seed", seed)[1].inputs)
        for i, seed in enumerate(("3", "3", "4"))
    ]
    np.testing.assert_array_equal(parts[0], parts[1])
    assert (parts[0] != parts[2]).any()


def test_difficulty_filter_and_bad_input(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, test = split(tmp_path / "a", files[:1], "--hold-out", "3", "--min-difficulty", "30")
    assert len(train) + len(test) == 10
    for arguments, message in (
        ([files[0], "--hold-out", "40"], "--hold-out must be 1 to 39, there are 40"),
        ([files[0], "--hold-out", "0"], "got 0"),
        (["nowhere.csv", "--hold-out", "1"], "nowhere.csv"),
    ):
        words = [str(tmp_path / "b"), *arguments, "--box", "2x3"]
        assert end_of(sudoku_split.main, words) == 2
        error = capsys.readouterr().err
        assert message in error
        assert "Traceback" not in error
        assert not (tmp_path / "b").exists()


def test_public_hard_puzzles_repeat_as_their_provenance_says(tmp_path: Path) -> None:
    folder = shared_dir() / "data" / "sudoku_hard"
    names = ("puzzles2_17_clue.csv", "puzzles3_magictour_top1465.csv")
    with (folder / names[0]).open() as whole:
        # the shared classes are found by hash: the small file in full, of the large one a part
        lines = [line for _, line in zip(range(3001), whole, strict=False)]
    (tmp_path / "part.csv").write_text("".join(lines))
    sources = [str(tmp_path / "part.csv"), str(folder / names[1])]
    assert sudoku_split.main([str(tmp_path / "out"), *sources, "--hold-out", "100"]) == 0
    facts = json.loads((tmp_path / "out" / "split.json").read_text())
    read = sum(note["puzzles"] for note in facts["files"])
    assert read == 3000 + 1464
    assert 0 <= read - facts["train"] - facts["test"] <= 69


def test_a_file_of_puzzles_is_not_taken_for_the_folder(files: list[str], capsys) -> None:
    assert end_of(sudoku_split.main, [*files, "--box", "2x3", "--hold-out", "3"]) == 2
    assert "required: --out" in capsys.readouterr().err
