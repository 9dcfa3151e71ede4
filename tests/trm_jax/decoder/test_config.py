"""Presets of decoders: sizes that belong together, and widths that do not divide."""

import pytest

from trm_jax.decoder.config import DECODER_PRESETS, DECODER_TASKS, MICRO, widened


def test_half_and_double_differ_in_widths_alone() -> None:
    half, double = (DECODER_PRESETS[f"maze-ar-micro-{name}"] for name in ("half", "double"))
    assert (half.hidden_size, double.hidden_size) == (32, 128)
    assert (half.num_heads, double.num_heads) == (half.num_kv_heads, double.num_kv_heads) == (1, 4)
    assert (half.intermediate_size, double.intermediate_size) == (64, 256)
    assert widened(half, 2.0) == DECODER_PRESETS["maze-ar-micro"] == widened(double, 0.5)


def test_a_preset_solves_what_its_name_says() -> None:
    assert DECODER_TASKS["sudoku-ar-mini"] == "sudoku"
    assert DECODER_TASKS["maze-ar-micro-half"] == "maze"


@pytest.mark.parametrize("times", [0.25, 0.75, 0.0])
def test_widths_that_are_no_whole_numbers_are_refused(times: float) -> None:
    with pytest.raises(ValueError, match=f"must be a whole number, got {times} times"):
        widened(MICRO, times)
