"""Mixing against attention, added up by hand on ten puzzles."""

import dataclasses

import numpy as np
import pytest

from experiments.measurement.shards import to_hex
from experiments.render.tables import Table
from experiments.report.sections.mixers import mixer_blocks
from experiments.sweep.outcomes import Sweep, outcomes
from experiments.sweep.rows import SweepRow
from tests.support.sweep_rows import make_rows

MIXING, ATTENTION = "TRM (mlp)", "TRM (attention)"
LOST = {"fp32": 0.0, "w4t-sym": 0.1}


def sweep(
    architecture: str, fp32: tuple[int, ...], naive: tuple[int, ...], tens: int = 1, sha: str = "2"
) -> Sweep:
    """Make a sweep that solves the first so many of every 10 puzzles, after 1, 2 and 4 H-cycles."""
    solved = {"fp32": fp32, "w4t-sym": naive}
    spec, rows = make_rows("m", LOST, tens, dict.fromkeys(solved, 0))
    spec = dataclasses.replace(spec, architecture=architecture, data_sha256=sha)
    rows = [dataclasses.replace(row, exact=bits(row, solved[row.scheme])) for row in rows]
    return Sweep(spec, outcomes(spec, rows))


def bits(row: SweepRow, solved: tuple[int, ...]) -> tuple[str, ...]:
    at = np.arange(row.start, row.stop) % 10
    return to_hex(np.asarray([at < count for count in solved]))


def rows_of(*sweeps: Sweep) -> tuple[tuple[str, ...], ...]:
    """The lines of the table; none where there is no table."""
    tables = [block for block in mixer_blocks(sweeps) if isinstance(block, Table)]
    return tables[0].rows if tables else ()


def lines(*sweeps: Sweep) -> list[tuple[str, ...]]:
    """The lines of the table, each cell's first line alone."""
    return [tuple(cell.split("\n")[0] for cell in row) for row in rows_of(*sweeps)]


def test_losses_are_compared_at_full_depth_and_at_equal_accuracy():
    mixing = sweep(MIXING, (2, 6, 9), (1, 3, 4))
    attention = sweep(ATTENTION, (1, 5, 6), (1, 5, 5))
    # at full depth 9 - 4 against 6 - 5; mixing solves as many as attention after one step
    assert lines(mixing, attention) == [
        ("m, m", "int4_naive", "2", "2", "0.9000", "0.6000", "+50.0", "+10.0", "+40.0"),
        ("m, m", "int4_naive", "1", "2", "0.6000", "0.6000", "+30.0", "+10.0", "+20.0"),
    ]


def test_attention_may_be_the_better_one():
    mixing = sweep(MIXING, (1, 4, 5), (1, 4, 5))
    attention = sweep(ATTENTION, (1, 5, 8), (1, 2, 8))
    assert [line[2:4] + line[-1:] for line in lines(mixing, attention)] == [
        ("2", "2", "+0.0"),
        ("2", "1", "-30.0"),
    ]


def test_equally_accurate_models_have_one_line():
    pair = sweep(MIXING, (1, 4, 7), (1, 3, 4)), sweep(ATTENTION, (1, 5, 7), (1, 5, 6))
    assert [line[-3:] for line in lines(*pair)] == [("+30.0", "+10.0", "+20.0")]


def test_the_interval_is_that_of_pairs():
    """Losses of ten puzzles: mixing 4 of them, attention the first of the same; 3 differ."""
    mixing, attention = sweep(MIXING, (0, 0, 7), (0, 0, 3)), sweep(ATTENTION, (0, 0, 7), (0, 0, 6))
    (line,) = rows_of(mixing, attention)
    half = np.array([0.5] * 3 + [0.0] * 7 + [1.0, -1.0])  # one pair of each kind is added
    reach = 1.959964 * half.std() / np.sqrt(12)
    low, high = 2 * (half.mean() - reach), 2 * (half.mean() + reach)
    assert line[-1] == f"+30.0\n[{100 * low:+.1f}, {100 * high:+.1f}]"


def test_only_the_puzzles_of_both_count():
    mixing = sweep(MIXING, (0, 0, 9), (0, 0, 5), tens=2)
    ((*_, fp32, _, lost, _, beyond),) = lines(mixing, sweep(ATTENTION, (0, 0, 9), (0, 0, 9)))
    assert (fp32, lost, beyond) == ("0.9000", "+40.0", "+40.0")
    (row,) = rows_of(mixing, sweep(ATTENTION, (0, 0, 9), (0, 0, 9)))
    assert row[4] == "0.9000\n[.596, .982]"  # Wilson's of 9 of 10, not of 18 of 20


@pytest.mark.parametrize(
    "other",
    [
        sweep(MIXING, (0, 0, 7), (0, 0, 6)),
        sweep("HRM (attention)", (0, 0, 7), (0, 0, 6)),
        sweep(ATTENTION, (0, 0, 7), (0, 0, 6), sha="3"),
    ],
    ids=["both mix", "another recursion", "other puzzles"],
)
def test_models_that_cannot_be_compared_are_not(other: Sweep):
    assert lines(sweep(MIXING, (0, 0, 7), (0, 0, 5)), other) == []
