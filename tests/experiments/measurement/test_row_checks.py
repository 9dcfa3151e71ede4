"""What the numbers of a row can be: what a program writes passes, damage is named."""

import numpy as np
import pytest

from experiments.measurement import row_checks
from experiments.measurement.depths import DepthGrid
from experiments.measurement.row_files import line_of
from experiments.measurement.shards import Moments, moments, to_hex
from experiments.sweep.rows import REACH
from tests.support.sweep_rows import ROWS, SPEC


@pytest.mark.parametrize("count", [1, 3, 8, 9, 250])
def test_what_is_written_passes(count: int) -> None:
    rng = np.random.default_rng(count)
    for flags in (rng.random(count) < 0.5, np.ones(count, bool), np.zeros(count, bool)):
        row_checks.check_flags("exact", to_hex(flags[None])[0], count)
    for least, most in REACH.values():
        for spread in (0.0, 1e-12, 1.0):  # equal numbers too: then the bound of squares is met
            values = np.clip(least + spread * rng.random(count), least, min(most, 1e6))
            row_checks.check_moments("x", moments(values[None])[0], count, least, most)


@pytest.mark.parametrize(
    ("text", "count", "words"),
    [
        ("", 1, "must be 2 hexadecimal digits, got ''"),
        ("00", 9, "must be 4 hexadecimal digits"),
        ("0000", 8, "must be 2 hexadecimal digits"),
        ("zz", 8, "must be 2 hexadecimal digits"),
        ("F0", 8, "must be 2 hexadecimal digits"),
        ("10", 3, "bits beyond its 3 puzzles"),
    ],
)
def test_flags_are_one_bit_a_puzzle(text: str, count: int, words: str) -> None:
    with pytest.raises(ValueError, match=f"field exact.*{words}"):
        row_checks.check_flags("exact", text, count)


@pytest.mark.parametrize(
    ("sums", "words"),
    [
        (Moments(-0.1, 0.1), r"field x\[0\] must be 0 to 1"),
        (Moments(4.1, 4.1), r"field x\[0\] must be 0 to 1"),
        (Moments(1.0, -0.1), r"field x\[1\] must be 0 to 1"),
        (Moments(1.0, 4.5), r"field x\[1\] must be 0 to 1"),
        (Moments(2.0, 0.9), "no sums of 4 numbers"),  # of (1/2, ...) squares are 1
        (Moments(float("nan"), 0.1), r"field x\[0\]"),
    ],
)
def test_sums_are_of_numbers_in_their_range(sums: Moments, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        row_checks.check_moments("x", sums, 4, 0, 1)


def test_shards_are_whole_and_not_too_many() -> None:
    row_checks.check_shard(8, 10, 4)
    for start, stop in ((-4, 0), (4, 4), (4, 2), (2, 6), (4, 9)):
        with pytest.raises(ValueError, match="start and stop"):
            row_checks.check_shard(start, stop, 4)
    row_checks.check_shards("n", 10**6, "size", 1)
    for total, size, words in ((10**6 + 1, 1, "take larger"), (0, 1, "field n"), (1, 0, "size")):
        with pytest.raises(ValueError, match=words):
            row_checks.check_shards("n", total, "size", size)


@pytest.mark.parametrize(
    ("T", "n", "H_cycles"),
    [((), (1,), 2), ((1,), (), 2), ((3,), (1,), 2), ((0,), (1,), 2), ((1,), (2, 1), 2)],
)
def test_a_grid_has_depths_of_the_model(T: tuple, n: tuple, H_cycles: int) -> None:
    with pytest.raises(ValueError, match=r"field grid\.[Tn] must"):
        DepthGrid(T, n, H_cycles)
    with pytest.raises(ValueError, match=r"field grid\.n must be 1 to 1024"):
        DepthGrid((1,), (10**9,), 2)


def test_a_row_fits_its_spec() -> None:
    for row in ROWS:
        SPEC.check_row(row)
        assert SPEC.lists(row)


def test_a_row_that_could_not_be_read_back_is_not_written() -> None:
    with pytest.raises(
        ValueError, match="infidelity is not a finite number in the row of scheme int8"
    ):
        line_of({"scheme": "int8", "start": 3, "infidelity": [[float("nan"), 1.0]]})
