"""Runs that end with their time, and what a machine is told it does."""

import pytest

from experiments.full_size.schedule import RunLength, length_of
from experiments.full_size.speed import MeasuredSpeed, check_floor, peak_of
from trm_jax.config import MINI_SUDOKU_TRM_MLP, SUDOKU_TRM_MLP, flops_per_update


def test_a_run_fills_its_time_with_whole_chunks() -> None:
    # 100 s at 18.5 updates/s are 1,850 updates: 92 chunks of 20
    assert length_of(0, 0, 100.0, 18.5, 20) == RunLength(0, 1840)
    # half-way the machine turns out to be half as fast: the run gets shorter, not its end later
    assert length_of(0, 920, 50.0, 9.25, 20) == RunLength(0, 1380 - 920 % 20)


@pytest.mark.parametrize("left", [0.0, -5.0, 1e-3])
def test_no_time_left_is_what_is_done_or_one_chunk(left: float) -> None:
    assert length_of(7, 0, left, 18.5, 20) == RunLength(7, 20)
    assert length_of(7, 400, left, 18.5, 20) == RunLength(7, 400)


def test_most_updates_end_a_run() -> None:
    assert length_of(0, 0, 1e9, 18.5, 20, most=30) == RunLength(0, 40)


def test_schedule_of_the_released_length_is_nearly_the_released_one() -> None:
    length = RunLength(100, 65_104)
    assert length.warmup == pytest.approx(2000, rel=0.03)
    assert length.ema == pytest.approx(0.999, abs=1e-4)
    assert length.schedule == (100, length.warmup, 65_104, length.ema)
    assert length.end == 65_204


def test_speed_says_rate_and_share_of_the_peak() -> None:
    speed = MeasuredSpeed(40, 2.0, 768)
    assert speed.samples_per_second == 15_360
    rate = 15_360 * flops_per_update(SUDOKU_TRM_MLP)
    text = speed.describe(SUDOKU_TRM_MLP, "NVIDIA H200", 1)
    assert f"{rate / 989e12:.1%} of 989 (bfloat16)" in text
    assert "no peak is known of cpu" in speed.describe(MINI_SUDOKU_TRM_MLP, "cpu", 1)


def test_the_longer_name_of_a_device_is_found_first() -> None:
    assert peak_of("NVIDIA H100 PCIe") != peak_of("NVIDIA H100 80GB HBM3")
    assert peak_of("NVIDIA L40S") != peak_of("NVIDIA L4")
    assert peak_of("TPU v5 lite") != peak_of("TPU v5p")


def test_a_machine_below_the_floor_is_refused() -> None:
    speed = MeasuredSpeed(40, 2.0, 768)
    check_floor(speed, None, 1000, 50.0)  # 1,000 x 768 in 50 s are 15,360 samples/s
    with pytest.raises(ValueError, match=r"15,360 samples/s are less than 15,673 .*--minutes"):
        check_floor(speed, None, 1000, 49.0)
    with pytest.raises(ValueError, match=r"less than 20,000 \(--floor\)"):
        check_floor(speed, 20_000.0, 1000, 50.0)
