"""What is timed: a model in float32 and a batch of puzzles.

Bundled or named model and puzzles as in experiments.sweep, or a preset with random weights and
random tokens, whose cost is the same.
"""

import argparse
import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from trm_jax.config import Config, preset
from trm_jax.loading import gather_batch, load_model, load_puzzles
from trm_jax.models.build import build
from trm_jax.models.reasoner import Reasoner
from trm_jax.types import Batch, Weights


class Subject(NamedTuple):
    """A model, its puzzles, and how to call them."""

    name: str
    reasoner: Reasoner
    weights: Weights
    batch: Batch

    @property
    def config(self) -> Config:
        return self.reasoner.config

    @property
    def num_puzzles(self) -> int:
        return self.batch.inputs.shape[0]


def load(args: argparse.Namespace) -> Subject:
    """Load or draw what the options name.

    Raises:
      ValueError, OSError, ModuleNotFoundError: unknown, missing or not fitting.
    """
    if args.limit < 1:
        raise ValueError(f"--limit must be at least 1, got {args.limit}")
    if args.preset and args.data:
        raise ValueError("--preset draws random puzzles; leave --data out, or name a --model")
    if args.preset:
        return draw(args.preset, args.limit)
    model = load_model(args.model, task=args.task)
    puzzles = load_puzzles(model, args.data)
    batch = gather_batch(puzzles.dataset, np.arange(min(args.limit, len(puzzles))))
    return Subject(f"{model.name} ({model.where})", _float32(model.config), model.weights, batch)


def draw(name: str, num_puzzles: int) -> Subject:
    """Draw random weights and tokens for a preset.

    The released initialisation leaves the puzzle table at zero; here its rows are drawn too, so
    that a rival which forgets them is found out.
    """
    reasoner = _float32(preset(name))
    c = reasoner.config
    weights = reasoner.init(jax.random.key(0))
    table = jax.random.normal(jax.random.key(1), weights.puzzle_emb.shape) * 0.02
    shape = (num_puzzles, c.seq_len)
    inputs, labels = jax.random.randint(jax.random.key(2), (2, *shape), 0, c.vocab_size)
    batch = Batch(inputs, labels, jnp.zeros(num_puzzles, jnp.int32))
    return Subject(f"{name}, random weights", reasoner, weights._replace(puzzle_emb=table), batch)


def _float32(config: Config) -> Reasoner:
    return build(dataclasses.replace(config, forward_dtype="float32"))
