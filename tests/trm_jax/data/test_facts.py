"""Facts of puzzles: what is refused, what leaves no choice, what must agree."""

import hashlib

import pytest

from trm_jax.data.facts import (
    ONE_BLANK,
    UNKNOWN,
    PuzzleFacts,
    boxes_of,
    check_agreement,
    hash_identifiers,
    parse_by,
    read_facts,
    settle_facts,
)

SUDOKU = {"task": "sudoku", "grid": [6, 6], "box": [2, 3], "identifiers_sha256": ONE_BLANK}


def facts(**changes):
    return read_facts(SUDOKU | changes, "here")


def test_identifiers_are_hashed_line_by_line():
    by_hand = hashlib.sha256(b'"<blank>"\n"a|||t1|||0123456789"\n').hexdigest()
    assert hash_identifiers(["<blank>", "a|||t1|||0123456789"]) == by_hand
    assert hash_identifiers(["ab"]) != hash_identifiers(["a", "b"])


def test_json_there_and_back():
    assert facts() == PuzzleFacts(
        task="sudoku", grid=(6, 6), box=(2, 3), identifiers_sha256=ONE_BLANK
    )
    assert read_facts(facts().to_json(), "here") == facts()
    assert facts().title == "sudoku 6x6 with boxes 2x3"
    assert facts(task="maze", grid=[8, 6], box=None).title == "maze 8x6"


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"task": ""}, "puzzles.task must be the name of a task"),
        ({"task": 3}, "here: field task must be a text, got 3"),
        ({"grid": [6, 0]}, "puzzles.grid must have rows and columns"),
        ({"grid": [6, 4]}, "puzzles.grid of sudoku must be square"),
        ({"grid": [6, 6, 6]}, "here: field grid must be a list of 2"),
        ({"box": None}, "puzzles.box of sudoku must be rows and columns, got None"),
        ({"box": [2, 4]}, r"puzzles.box must have 2 rows .* and 6 cells.*\[2, 4\]"),
        ({"box": [1, 6]}, r"puzzles.box must have 2 rows .*\[1, 6\]"),
        ({"task": "maze"}, "puzzles.box of maze must be null"),
        ({"identifiers_sha256": "abc"}, "64 hexadecimal digits"),
        ({"colour": 1}, "here: field colour is unknown"),
    ],
)
def test_contradictions_are_refused(changes, what):
    with pytest.raises(ValueError, match=what):
        facts(**changes)


def test_what_leaves_no_choice_is_taken():
    assert settle_facts("sudoku", 81, "d").box == (3, 3)
    assert settle_facts("sudoku", 16, "d").box == (2, 2)
    assert settle_facts("sudoku", 36, "d", box=(3, 2)).box == (3, 2)
    assert settle_facts("maze", 16, "d").grid == (4, 4)
    assert settle_facts("maze", 48, "d", grid=(8, 6)).grid == (8, 6)
    assert settle_facts("maze", 16, "d").identifiers_sha256 == ONE_BLANK
    assert settle_facts("arc", 36, "d", num_identifiers=5).identifiers_sha256 == UNKNOWN


def test_what_leaves_a_choice_must_be_said():
    assert boxes_of(12) == [(2, 6), (3, 4), (4, 3), (6, 2)]
    with pytest.raises(ValueError, match=r"shape of its boxes \(2x3, 3x2\).*describe.*--box 2x3"):
        settle_facts("sudoku", 36, "data d")
    with pytest.raises(ValueError, match=r"data d has 48 cells, no square.*--grid 6x8"):
        settle_facts("maze", 48, "data d")
    with pytest.raises(ValueError, match="Sudoku of side 5 has no boxes"):
        settle_facts("sudoku", 25, "data d")
    with pytest.raises(ValueError, match="data d has 36 cells, not 4x8"):
        settle_facts("maze", 36, "data d", grid=(4, 8))


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"box": [3, 2]}, "model m is for box 2x3, data d has box 3x2; name others"),
        ({"grid": [4, 4], "box": [2, 2]}, "is for grid 6x6, data d has grid 4x4"),
        ({"task": "maze", "box": None}, "is for task sudoku, data d has task maze"),
        ({"identifiers_sha256": "0" * 64}, "their puzzle identifiers are other names"),
        ({"identifiers_sha256": UNKNOWN}, "data d does not say which puzzles the rows"),
    ],
)
def test_both_sides_must_agree(changes, what):
    check_agreement(facts(), "model m", facts(), "data d", remedy="name others")
    with pytest.raises(ValueError, match=what):
        check_agreement(facts(), "model m", facts(**changes), "data d", remedy="name others")


@pytest.mark.parametrize("text", ["3", "3x", "x3", "-2x3", "2x3x4", "2*3", "²x3", "99999x1"])
def test_other_forms_of_shapes_are_refused(text):
    with pytest.raises(ValueError, match="--box reads ROWSxCOLUMNS"):
        parse_by(text, "--box")
    assert parse_by("2x3", "--box") == (2, 3)
