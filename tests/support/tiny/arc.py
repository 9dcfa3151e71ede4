"""ARC tasks, identifiers and a model small enough to vote in a test.

Weights are random; what a test compares are two ways to the same answers. Every identifier has a
row of its own, and large enough to change answers.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from tests.support.samples import random_weights
from trm_jax.checkpoints.model_files import save_model
from trm_jax.config import TRMConfig
from trm_jax.data.arc import __main__ as arc
from trm_jax.data.facts import settle_facts
from trm_jax.data.format import load_identifiers

SIDE = 6
NUM_AUG = 3
GENERATE = f"--canvas {SIDE} --num-train 0 --num-test 5 --demonstrations 2 --questions 2"


def write(root: Path) -> None:
    """Write ROOT/data and ROOT/model, and ROOT/others: tasks of which some have no rows."""
    families = ["--families", "recolour", "border", "keep"]
    for name, seed in (("data", "0"), ("others", "1")):
        options = [*GENERATE.split(), "--num-aug", str(NUM_AUG), "--seed", seed, *families]
        assert arc.main(["generate", str(root / name), *options]) == 0
    rows = len(load_identifiers(root / "data"))
    config = TRMConfig(
        vocab_size=12,
        seq_len=SIDE * SIDE,
        hidden_size=16,
        num_heads=2,
        expansion=1.0,
        puzzle_emb_ndim=16,
        puzzle_emb_len=1,
        H_cycles=2,
        L_cycles=1,
        halt_max_steps=3,
        num_puzzle_identifiers=rows,
        forward_dtype="float32",
    )
    weights = random_weights(config, seed=4)
    # at half size answers differ from question to question; at full size they are mostly uniform
    params = jax.tree.map(lambda x: x / 2, weights.params)
    table = np.random.default_rng(5).normal(size=(rows, 16)).astype(np.float32)
    facts = settle_facts("arc", config.seq_len, "tiny", identifiers=load_identifiers(root / "data"))
    weights = weights._replace(params=params, puzzle_emb=jnp.asarray(table))
    save_model(root / "model", config, weights, puzzles=facts)


def arguments(root: Path, out: Path, *more: str) -> list[str]:
    """Make the command line of a vote of the tiny model."""
    fixed = ["--model", root / "model", "--data", root / "data", "--out", out]
    return [*map(str, fixed), "--num-aug", str(NUM_AUG), "--batch-size", "8", *more]
