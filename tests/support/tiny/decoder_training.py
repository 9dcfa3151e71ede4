"""A decoder's training run small enough for tests: a preset of its own for 4x4 mazes.

`python -m tests.support.tiny.decoder_training ...` is `experiments.train` that knows the preset.
"""

import sys
from pathlib import Path

from experiments.train import __main__ as train
from tests.support.tiny.training import save_mazes
from trm_jax.decoder.config import DECODER_PRESETS, DECODER_TASKS, DecoderConfig

NAME = "tiny-ar-maze"
DECODER_PRESETS[NAME] = DecoderConfig(
    vocab_size=147,  # of 4x4 mazes
    hidden_size=16,
    num_layers=1,
    num_heads=2,
    num_kv_heads=1,
    head_dim=8,
    intermediate_size=16,
    max_positions=64,
)
DECODER_TASKS[NAME] = "maze"

__all__ = ["NAME", "decoder_command", "save_mazes"]


def decoder_command(data: Path, out: Path, *more: object) -> list[str]:
    """Make a short run: six steps, a row and a state every two."""
    fixed = ["--preset", NAME, "--data", data, "--out", out, "--total-steps", 6]
    pace = ["--batch-size", 2, "--valid", 3, "--log-every", 2, "--save-every", 2]
    return [str(word) for word in (*fixed, *pace, "--warmup-steps", 2, "--lr", 0.01, *more)]


if __name__ == "__main__":
    sys.exit(train.main())
