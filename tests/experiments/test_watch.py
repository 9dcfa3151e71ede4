"""The viewer: violations against the tasks' own rules, partings by hand, pages read back."""

import contextlib
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.watch import __main__ as watch
from experiments.watch import film
from experiments.watch.job import choose_puzzle
from experiments.watch.recording import (
    BatchReadout,
    Recording,
    WatchedPuzzle,
    make_recording,
)
from experiments.watch.violations import find_violations
from tests.support.browser import Browser
from tests.support.tiny import sweep as tiny
from trm_jax.loading import Puzzles, load_model, load_puzzles
from trm_jax.tasks.maze import MAZE
from trm_jax.tasks.sudoku import SUDOKU


@pytest.fixture(scope="module")
def sudokus() -> Puzzles:
    """The bundled 6x6 puzzles."""
    return load_puzzles(load_model("sudoku-trm-mlp-mini"))


def test_an_answer_breaks_no_rule_exactly_where_the_task_calls_it_right(sudokus: Puzzles) -> None:
    """Answers with none to three changed cells: most are wrong, a swap of equal ones is none."""
    assert SUDOKU.text is not None
    rng, facts, data = np.random.default_rng(5), sudokus.facts, sudokus.dataset
    seen = set()
    for i in range(200):
        puzzle, answer = data.inputs[i], data.labels[i].copy()
        places = rng.integers(0, answer.size, i % 4)
        answer[places] = rng.integers(0, 8, places.size)
        right = SUDOKU.text.is_right(puzzle, answer, facts)
        assert find_violations(puzzle, answer, facts).any() != right
        seen.add(right)
    assert seen == {True, False}


def test_the_cells_of_a_repeated_digit_are_marked(sudokus: Puzzles) -> None:
    puzzle, answer = sudokus.dataset.inputs[0], sudokus.dataset.labels[0].copy()
    free = int(np.flatnonzero(puzzle == 1)[0])
    row = answer.reshape(6, 6)[free // 6]
    other = next(c for c in range(6) if c != free % 6)
    answer[free] = row[other]  # now twice in its row
    marks = np.flatnonzero(find_violations(puzzle, answer, sudokus.facts))
    assert {free, free // 6 * 6 + other} <= set(marks.tolist())


def test_a_path_with_a_gap_a_fork_or_a_changed_wall_breaks_rules() -> None:
    puzzles = load_puzzles(load_model("maze-trm-att-mini"))
    facts, form = puzzles.facts, MAZE.text
    assert form is not None
    puzzle, label = puzzles.dataset.inputs[0], puzzles.dataset.labels[0]
    assert form.is_right(puzzle, label, facts)
    assert not find_violations(puzzle, label, facts).any()
    path, wall = np.flatnonzero(label == 5), np.flatnonzero(label == 1)
    gap, opened = label.copy(), label.copy()
    gap[path[0]], opened[wall[0]] = 2, 2
    assert find_violations(puzzle, gap, facts).any()
    assert np.flatnonzero(find_violations(puzzle, opened, facts)).tolist() == [wall[0]]


def test_schemes_part_where_the_mistakes_stay_more() -> None:
    label = np.asarray([2, 3], np.int32)
    puzzle = WatchedPuzzle("p", np.asarray([1, 3], np.int32), label, 0)

    def record(answers: list[list[int]]) -> Recording:
        tokens = np.asarray(answers)[:, None]
        zeros = np.zeros((len(answers), 1))
        readout = BatchReadout(tokens, zeros, zeros, zeros)
        return make_recording("fp32", puzzle, readout, 0, ARC_FACTS, None)

    full = record([[5, 5], [2, 5], [2, 3], [2, 3]])
    assert full.right.tolist() == [False, False, True, True]
    assert full.mistakes.tolist() == [2, 1, 0, 0]
    assert record([[5, 5], [5, 5], [2, 3], [5, 3]]).parting(full) == 4  # level again at 3
    assert record([[5, 5], [2, 5], [2, 5], [2, 5]]).parting(full) == 3
    assert record([[2, 3], [5, 5], [5, 5], [2, 3]]).parting(full) is None


ARC_FACTS = load_puzzles(load_model("arc-trm-att-mini")).facts
"""Without rules: mistakes are wrong cells alone."""


def test_a_puzzle_is_a_number_or_a_text(sudokus: Puzzles) -> None:
    first = choose_puzzle("0", sudokus)
    text = "".join(".123456"[t - 1] for t in first.puzzle)
    given = choose_puzzle(text, sudokus)
    np.testing.assert_array_equal(given.puzzle, first.puzzle)
    np.testing.assert_array_equal(given.label, first.label)  # solved, not looked up
    with pytest.raises(ValueError, match=r"--puzzle must be 0 to 1999, got 2000"):
        choose_puzzle("2000", sudokus)
    with pytest.raises(ValueError, match="no answer exists: row 1 has 1 twice"):
        choose_puzzle("11" + "." * 34, sudokus)


@pytest.fixture(scope="module")
def viewer(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A page with a GIF and frames, and what was printed meanwhile."""
    root = tmp_path_factory.mktemp("viewer")
    tiny.write(root)
    words = tiny.arguments(root, root / "out", "--schemes", "int4_naive,int3_naive")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert watch.main([*words, "--puzzle", "3", "--gif", "--frames"]) == 0
    return root / "out", printed.getvalue()


@pytest.mark.slow
def test_the_page_holds_what_was_seen(viewer: tuple[Path, str]) -> None:
    out, printed = viewer
    assert "8 H-cycles" in printed
    page = (out / "watch.html").read_text()
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert found
    data = json.loads(found[1])
    assert [s["name"] for s in data["puzzles"][0]["schemes"]] == [
        "fp32",
        "int4_naive",
        "int3_naive",
    ]
    full = data["puzzles"][0]["schemes"][0]
    assert len(full["tokens"]) == 8
    assert full["curves"]["Fidelity to full precision"] == [1.0] * 8
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page)
    assert len(list(out.glob("cycle-*.png"))) == 8
    with Image.open(out / "watch.gif") as moving:
        assert moving.n_frames > 1


@pytest.mark.parametrize("option", ["--limit", "--count"])
def test_options_of_broken_are_refused_without_it(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--task", "sudoku", "--puzzle", "1", option, "8", "--out", str(tmp_path / "out")]
    assert watch.main(words) == 2
    said = capsys.readouterr().err
    assert said == f"error: {option} is of --broken; add it, or leave {option} out\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_broken_puzzles_are_those_that_only_full_precision_solves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.write(tmp_path)
    words = tiny.arguments(tmp_path, tmp_path / "out", "--schemes", "int3_naive", "--broken")
    assert watch.main([*words, "--count", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    fates = [line.split()[:2] for line in lines if line.startswith("  ")]
    assert fates
    assert all(fate[1] == "solved" for fate in fates[::2])
    assert all(fate[1] != "solved" for fate in fates[1::2])
    words[words.index("int3_naive")] = "fp32"
    assert watch.main([*words[:-1], "--broken"]) == 2
    assert "needs a scheme beside full precision, got fp32" in capsys.readouterr().err
    words[words.index("fp32")] = "w8c-sym_fp32"  # as good as full precision here
    assert watch.main([*words, "--limit", "2"]) == 2
    assert "none of the first 2 puzzles is solved in full precision alone" in (
        capsys.readouterr().err
    )


@pytest.mark.slow
def test_a_browser_draws_every_scheme(browser: Browser, viewer: tuple[Path, str]) -> None:
    """The script has run to its end: boards, curves and the words below them are there."""
    out, _ = viewer
    address = f"{(out / 'watch.html').as_uri()}#cycle=8"
    with browser.page(address, width=390) as page:
        text = page.html
        assert page.errors == []
        assert page.overflow == 0
        assert page.violations() == []
    for scheme in ("fp32", "int4_naive", "int3_naive"):
        assert f'aria-label="{scheme} after H-cycle 8: ' in text
    assert len(re.findall(r'aria-label="[^"]* after every H-cycle', text)) == 4
    assert "8 of 8" in text


def test_frames_of_a_longer_run_go(tmp_path: Path) -> None:
    kept = ["cycle-001.png", "cycle-012.png", "cycle-a.png", "notes.txt"]
    for name in [*kept, "cycle-013.png", "cycle-1000.png"]:
        (tmp_path / name).touch()
    film.drop_later_frames(tmp_path, 12)
    assert sorted(file.name for file in tmp_path.iterdir()) == kept
