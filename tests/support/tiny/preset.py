"""A preset small enough to time in a test."""

from tests.support.samples import small
from trm_jax.config import PRESET_TASKS, PRESETS, Mixer, Positions, TRMConfig

PRESET = "tiny-mlp"
PRESETS[PRESET] = TRMConfig(
    **small(hidden_size=16, puzzle_emb_len=1, L_layers=1, mixer=Mixer.MLP, positions=Positions.NONE)
)
PRESET_TASKS[PRESET] = "sudoku"
