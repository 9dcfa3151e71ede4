"""Forms of the puzzle table against NumPy's SVD, a loop over rows, and the paper's bytes."""

import numpy as np
import pytest

from quant import puzzle_table
from quant.puzzle_table import FloatRows, Int8Rows, LowRank, OneRow, TableBytes, row_cosine
from trm_jax.config import ARC_TRM_ATT, ARC_TRM_ATT_PUBLIC

MIB = 2**20


@pytest.fixture
def table():
    """Fewer rows than a chunk would hold are not enough: see `chunked`. The first row is zero."""
    rows = np.random.default_rng(0).normal(size=(50, 12)).astype(np.float32)
    rows[0] = 0
    return rows


@pytest.fixture(autouse=True)
def chunked(monkeypatch):
    """Chunks that do not divide the table."""
    monkeypatch.setattr(puzzle_table, "CHUNK", 7)


@pytest.mark.parametrize("rank", [1, 4, 12])
def test_low_rank_is_the_best_approximation(table, rank):
    u, s, vt = np.linalg.svd(table.astype(np.float64), full_matrices=False)
    best = (u[:, :rank] * s[:rank]) @ vt[:rank]
    # two float32 products over at most 12 terms of about 4: 24 roundings of 2**-24 * 4, and the
    # basis itself rounded to float32 once
    np.testing.assert_allclose(LowRank(rank).rows(table), best, atol=40 * 4 * 2.0**-24)


def test_int8_rows_equal_a_loop(table):
    """Codes are integers of at most 127 steps; a step is the row's largest magnitude over 127."""
    kept = Int8Rows().rows(table)
    for row, back in zip(table.astype(np.float64), kept.astype(np.float64), strict=True):
        step = np.abs(row).max() / 127
        # half a step, and float32's rounding of values below 128 steps
        assert np.abs(back - row).max() <= step / 2 * (1 + 2.0**-15)
        if step:
            codes = back / step
            assert np.abs(codes - np.rint(codes)).max() < 1e-4
            assert np.abs(codes).max() == pytest.approx(127)


def test_rows_that_are_kept_whole(table):
    for form in (FloatRows(), OneRow()):
        np.testing.assert_array_equal(form.rows(table), table)
        assert row_cosine(table, table) == pytest.approx(np.ones(49), abs=1e-15)  # one row is zero
    assert row_cosine(table, np.zeros_like(table)).tolist() == [0.0] * 49
    assert row_cosine(table, -table) == pytest.approx(-np.ones(49), abs=1e-15)


def test_published_sizes():
    """Table 1: 99.4 MB, int8 24.9 MB, one row 2 KB are MiB and KiB, the int8 without scales.

    Rank 16 is printed as 3.2 MB; two float32 factors are 3,291,072 bytes, 3.14 MiB.
    """
    seed = ARC_TRM_ATT.num_puzzle_identifiers, ARC_TRM_ATT.puzzle_emb_ndim
    assert seed == (50_911, 512)
    assert round(FloatRows().size(*seed).flash / MIB, 1) == 99.4
    assert Int8Rows().size(*seed).flash - 4 * seed[0] == 50_911 * 512
    assert round(50_911 * 512 / MIB, 1) == 24.9
    assert round(Int8Rows().size(*seed).flash / MIB, 1) == 25.1
    assert LowRank(16).size(*seed) == TableBytes(3_291_072, 3_291_072)
    assert OneRow().size(*seed) == TableBytes(104_265_728, 2048)
    public = ARC_TRM_ATT_PUBLIC.num_puzzle_identifiers, 512
    assert FloatRows().size(*public).flash == 1_794_879_488


def test_impossible_ranks(table):
    with pytest.raises(ValueError, match="rank must be at least 1, got rank=0"):
        LowRank(0)
    with pytest.raises(ValueError, match=r"a table of \(50, 12\) has no rank 13"):
        LowRank(13).rows(table)
