"""The paper's numbers agree with each other where it prints one twice: guards against slips."""

import itertools

import pytest

from experiments.deploy.aihub.tables import paper_row
from experiments.paper import tables
from experiments.paper.grids import GRIDS, STEPS
from export.aihub.devices import DEVICES, Precision


@pytest.mark.parametrize("table", tables.TABLES, ids=lambda t: t.number)
def test_every_row_is_complete(table):
    assert all(len(row) == len(table.columns) for row in table.rows.values())


def test_lookups():
    assert tables.SUDOKU_SCHEMES.value(("int4_naive",), "PExact") == 10.2
    assert tables.SUDOKU_SCHEMES.fraction(("int4_naive",), "PExact") == pytest.approx(0.102)
    assert tables.FIDELITY.fraction(("int8",), "sudoku") == 0.998
    assert tables.FIDELITY.fraction(("int4_calibrated",), "maze") is None
    assert GRIDS["sudoku"].at("int8", 8, "exact") == 0.554  # T=1, n=8
    assert GRIDS["sudoku"].at("int8", 48, "exact") == 0.712
    assert GRIDS["sudoku"].at("int8", 30, "exact") is None
    assert GRIDS["sudoku"].at("int4_calibrated", 48, "exact") is None


@pytest.mark.parametrize("task", GRIDS)
def test_grids_have_every_cell_and_rates_of_whole_puzzles(task):
    grid = GRIDS[task]
    assert len(grid.rows) == 4 * 2 * 2
    for (_, _, metric), cells in grid.rows.items():
        assert len(cells) == len(STEPS)
        if metric == "exact":
            assert all(abs(x * grid.total - round(x * grid.total)) < 1e-9 for x in cells)


@pytest.mark.parametrize(
    ("task", "table"), [("arc", tables.ARC_DEPTHS), ("maze", tables.MAZE_DEPTHS)]
)
def test_depth_tables_repeat_the_grids(task, table):
    """Only the full-precision default of Table 5 is of another depth (DEPTH_NOTE)."""
    for scheme, depth in table.rows:
        t, n = (int(part.split("=")[1]) for part in depth.split(", "))
        if n in STEPS:
            printed = table.fraction((scheme, depth), "PExact")
            assert printed == pytest.approx(GRIDS[task].rows[scheme, t, "exact"][STEPS.index(n)])


def test_thirty_and_forty_cycles_lie_between_their_neighbours():
    """What DEPTH_NOTE says of Table 6: the printed rates fit Table 18 at the decoded depths."""
    grid, table = GRIDS["sudoku"], tables.SUDOKU_DEPTHS
    at = {c: grid.at("fp32", c, "exact") for c in (24, 48)}
    thirty = table.fraction(("fp32", "30 H-cycles"), "PExact")
    forty = table.fraction(("fp32", "40 H-cycles"), "PExact")
    assert at[24] < thirty < forty < at[48]
    eight = table.fraction(("int8", "8 H-cycles"), "PExact")
    assert eight == pytest.approx(grid.at("int8", 8, "exact"))


def test_the_papers_latencies_of_puzzles_are_those_of_steps_times_n():
    """To the last digits that Table 11 prints; every row of it is found by AI Hub's names."""
    asked = itertools.product(("arc", "maze", "sudoku"), Precision, DEVICES)
    found = [row for names in asked if (row := paper_row(*names))]
    assert len(found) == len(tables.DEVICES.rows) == 18
    for row in found:
        assert row.n * row.step_ms == pytest.approx(row.puzzle_ms, abs=row.n * 0.005 + 0.005)
