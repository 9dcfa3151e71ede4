"""The depth grid: which cells share a state, how it is written, what is refused."""

import dataclasses

import pytest

from experiments.measurement.depths import DepthGrid, full_grid, parse_depths
from tests.support.tiny.sweep import CONFIG
from trm_jax.config import SUDOKU_TRM_MLP

PAPER = dataclasses.replace(CONFIG, H_cycles=3, halt_max_steps=16)


def test_default_is_every_row_and_the_papers_columns():
    assert full_grid(SUDOKU_TRM_MLP) == DepthGrid((1, 2, 3), (1, 2, 4, 8, 16), 3)
    assert parse_depths("all", PAPER) == full_grid(PAPER)
    assert full_grid(dataclasses.replace(PAPER, halt_max_steps=6)).n == (1, 2, 4, 6)


def test_cells_of_equal_product_are_one_read_out():
    """Tables 16-18: ten cells, all products differ, and n=1, T=3 ends the first step."""
    grid = parse_depths("1,3x1,2,4,8,16", PAPER)
    assert grid.cycles == (1, 2, 3, 4, 6, 8, 12, 16, 24, 48)
    assert (grid.deepest, grid.steps) == (48, 16)
    assert parse_depths("all x1,2".replace(" ", ""), PAPER).cycles == (1, 2, 3, 4, 6)


def test_the_trajectory_is_no_longer_than_its_deepest_cell():
    grid = parse_depths("1x1,16", PAPER)
    assert grid.deepest == 16
    assert grid.steps == 6  # 6 steps of 3 H-cycles cover 16
    assert grid.cycles == (1, 3, 16)  # 3: fidelity after one supervision step


def test_order_and_repetition_do_not_matter():
    assert parse_depths("3,1,1x8,2", PAPER) == parse_depths("1,3x2,8", PAPER)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("4x1", "T=4 is impossible.*H_cycles=3.*larger n"),
        ("0x1", "T=0 is impossible"),
        ("1x0", "n=0 is impossible"),
        ("1x2000", "n=2000 is impossible.*1 to 1024"),
        ("1,2", "reads T,...xn"),
        ("1xtwo", "numbers joined by commas.*'two'"),
        ("1x", "numbers joined by commas"),
        ("1x1_0", "numbers joined by commas"),
        ("1x 2", "numbers joined by commas"),
        ("1x\u0663", "numbers joined by commas"),
        (f"1x{'9' * 5000}", "numbers joined by commas"),
    ],
)
def test_impossible_depths_say_why(text, message):
    with pytest.raises(ValueError, match=message):
        parse_depths(text, PAPER)
