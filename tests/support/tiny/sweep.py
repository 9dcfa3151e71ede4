"""A model and puzzles small enough to sweep in a test, with answers worth counting.

Weights are random, so the answers are made to fit: half of the puzzles are labelled with what
the full-precision model says at one of two depths, the others with that and one wrong cell.
Exact match is then neither 0 nor 1, and lower precisions really lose puzzles. Weights are half
the usual size: the recursion then multiplies a perturbation by less than 3 in 8 H-cycles
(by 600 at full size), so that float32 and float64 give the same answers.
"""

import argparse
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from tests.support.oracles import recursion as oracle
from tests.support.samples import random_weights
from trm_jax.checkpoints.model_files import save_model
from trm_jax.config import Mixer, Positions, TRMConfig
from trm_jax.data.format import from_examples, save_dataset
from trm_jax.types import Batch

NUM = 22  # no multiple of a batch size used in tests
SIZES = {
    "vocab_size": 6,
    "seq_len": 16,
    "hidden_size": 16,
    "num_heads": 2,
    "expansion": 1.0,
    "puzzle_emb_ndim": 16,
    "H_cycles": 2,
    "L_cycles": 2,
    "halt_max_steps": 4,
    "forward_dtype": "float32",
}
CONFIG = TRMConfig(**SIZES, puzzle_emb_len=1, mixer=Mixer.MLP, positions=Positions.NONE)
MOMENTS = ("cell_error", "infidelity", "similarity", "residual")  # of a SweepRow, by depth
LABELLED_AT = (2, 8)  # H-cycles whose answers become labels, by turns

COSINE_ERROR = 6e-5
"""Of one puzzle in float32: two states, each off by the rounding of 8 H-cycles, about 20 ulp of
6e-8 each, multiplied by less than 3 on their way: 8 * 20 * 6e-8 * 3 = 3e-5."""


def write(root: Path, num: int = NUM, task: str | None = "sudoku") -> None:
    """Write ROOT/model and ROOT/data.

    Args:
      num: puzzles.
      task: what config.json says the model solves; the tokens are those of a maze too.
    """
    config = CONFIG
    weights = random_weights(config, seed=4)
    weights = weights._replace(params=jax.tree.map(lambda x: x / 2, weights.params))
    rng = np.random.default_rng(9)
    inputs = rng.integers(1, config.vocab_size, (num, config.seq_len))
    batch = Batch(*(jnp.asarray(x, jnp.int32) for x in (inputs, inputs, np.zeros(num))))
    states, _ = oracle.trajectory(config, weights, batch, max(LABELLED_AT))
    answers = np.argmax(oracle.read_out(config, weights, states)[0], axis=-1)
    early, late = (answers[cycles - 1] for cycles in LABELLED_AT)
    labels = np.where(np.arange(num)[:, None] % 2 == 0, early, late)
    labels[::4, 3] = labels[::4, 3] % (config.vocab_size - 1) + 1  # another token, never a pad
    save_model(root / "model", config, weights, task=task)
    dataset = from_examples(
        inputs.astype(np.int32), labels.astype(np.int32), vocab_size=config.vocab_size
    )
    save_dataset(dataset, root / "data" / "test")


def lines(file: Path) -> list[dict]:
    """Read rows."""
    return [json.loads(line) for line in file.read_text().splitlines()]


def arguments(root: Path, out: Path, *more: str) -> list[str]:
    """Make the command line of a sweep over the tiny model."""
    fixed = ["--task", "sudoku", "--model", root / "model", "--data", root / "data", "--out", out]
    return [*map(str, fixed), *more]


def parsed(root: Path, *more: str) -> argparse.Namespace:
    """Parse such a command line."""
    from experiments.sweep.__main__ import parser

    return parser().parse_args(arguments(root, root / "out", *more))
