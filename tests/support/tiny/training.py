"""A training run small enough for tests: a preset of its own, and mazes that fit it.

`python -m tests.support.tiny.training ...` is `experiments.train` that knows the preset.
"""

import sys
from pathlib import Path

import experiments.train.minimal_install  # noqa: F401 - first: annotations without jaxtyping
from experiments.train import __main__ as train
from trm_jax.config import PRESET_TASKS, PRESETS, TRMConfig
from trm_jax.data.format import from_examples, save_dataset
from trm_jax.data.maze.generator import generate_mazes

ROOT = Path(__file__).resolve().parents[3]
NAME = "tiny-maze"
PRESETS[NAME] = TRMConfig(
    vocab_size=6,
    seq_len=16,
    hidden_size=16,
    num_heads=2,
    expansion=1.0,
    puzzle_emb_ndim=16,
    puzzle_emb_len=1,
    H_cycles=1,
    L_cycles=1,
    L_layers=1,
    halt_max_steps=4,
    forward_dtype="float32",
)
PRESET_TASKS[NAME] = "maze"


def save_mazes(root: Path, num: int = 20) -> Path:
    """Write a training split of 4x4 mazes."""
    inputs, labels = generate_mazes(num, height=4, width=4, min_path=3)
    save_dataset(from_examples(inputs, labels, vocab_size=6), root / "train")
    return root


def command(data: Path, out: Path, *more: object) -> list[str]:
    """Make a short run: six steps, a row and a state every two."""
    fixed = ["--preset", NAME, "--data", data, "--out", out, "--total-steps", 6]
    pace = ["--batch-size", 8, "--valid", 3, "--log-every", 2, "--save-every", 2]
    return [str(word) for word in (*fixed, *pace, "--warmup-steps", 2, *more)]


if __name__ == "__main__":
    sys.exit(train.main())
