"""Small networks that read a decoder's states: which puzzles are easy, which answers are right.

    switcher   prompt's average state -> 8 units, ReLU -> is a direct answer enough?
    verifier   state of an answer's last token -> linear -> is the answer right?

The switcher reads what prefill computed anyway, so that a puzzle is routed before a token is
written: easy ones to a decoder (or adapter) that answers directly, hard ones to traces. A long
prompt comes in chunks, and their averages are averaged exponentially. Dropout and noise in training
stand for the quantisation of the states, as in the study.

The verifier weighs the votes of several samples of one prompt: the answer with the greatest sum of
scores wins, and with equal weights that of the majority.

Source: arXiv 2603.16867. Its switcher learns from labels by data set; here a label is whether the
direct answer was right, which puzzles tell exactly. Its verifier reads the state behind an appended
question; here behind the stop token. Not here: who writes the answers (generate.py), and curves of
accuracy against tokens (experiments/decode/studies).
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jaxtyping import Bool, Float, Int, Integer

from trm_jax.decoder.generate import Lengths
from trm_jax.decoder.transformer import Hidden
from trm_jax.training.optim import MomentState, apply_decoupled, scale_by
from trm_jax.training.recipe import Optimizer
from trm_jax.types import Params

CHUNK, CHUNK_DECAY = 128, 0.5
"""Tokens of a chunk of prefill, and weight of what came before in the average over chunks."""

ADAM = scale_by(Optimizer.ADAMW, b1=0.9, b2=0.999, eps=1e-8)

Features = Float[Array, "cases emb"]
Truth = Bool[Array, " cases"]


def chunked_average(
    hidden: Hidden, lengths: Lengths, *, chunk: int = CHUNK, decay: float = CHUNK_DECAY
) -> Float[Array, "batch emb"]:
    """Average the states of prompts as they come in chunks.

    The first chunk's mean, then decay * average + (1 - decay) * mean of the next chunk; a prompt
    that ends within one chunk has the plain mean of its states.

    Args:
      hidden: last states; those behind a prompt's end mean nothing.
      lengths: tokens of each prompt, at least 1.

    Raises:
      ValueError: a chunk without tokens, or a decay outside [0, 1).
    """
    if chunk < 1 or not 0 <= decay < 1:
        raise ValueError(
            f"chunk must be at least 1 and decay lie in [0, 1), got chunk={chunk} decay={decay}"
        )
    average = jnp.zeros_like(hidden[:, 0])
    for begin in range(0, hidden.shape[1], chunk):
        part = hidden[:, begin : begin + chunk]
        inside = begin + jnp.arange(part.shape[1])[None] < lengths[:, None]
        count = jnp.sum(inside, axis=1, dtype=jnp.int32)[:, None]
        mean = jnp.sum(jnp.where(inside[:, :, None], part, jnp.zeros_like(part)), axis=1)
        mean = mean / jnp.maximum(count, 1).astype(mean.dtype)
        joined = mean if begin == 0 else decay * average + (1 - decay) * mean
        average = jnp.where(count > 0, joined, average)
    return average


@dataclass(frozen=True, kw_only=True)
class JudgeRecipe:
    """Size and training of a judge.

    Attributes:
      units: of its hidden layer; 0 is a linear judge.
      dropout: share of the units dropped in training.
      noise: standard deviation of what is added to the states in training.
      batch_size: cases of an update, drawn with replacement.

    Raises:
      ValueError: a number is out of its range; the message names it.
    """

    units: int = 8
    dropout: float = 0.2
    noise: float = 0.5
    updates: int = 2000
    batch_size: int = 128
    learning_rate: float = 3e-3
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("units", 0), ("updates", 1), ("batch_size", 1)):
            if getattr(self, name) < least:
                raise ValueError(
                    f"{name} must be at least {least}, got {name}={getattr(self, name)}"
                )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), got dropout={self.dropout}")
        for name in ("noise", "learning_rate"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be 0 or more, got {name}={getattr(self, name)}")


SWITCHER = JudgeRecipe()
"""One hidden layer of 8, dropout .2, noise .5: the study's."""
VERIFIER = JudgeRecipe(units=0, dropout=0.0, noise=0.0)
"""A linear layer and a sigmoid: the study's."""


class AffineMap(NamedTuple):
    """x W + b."""

    W: Float[Array, "inputs outputs"]
    b: Float[Array, " outputs"]

    def __call__(self, x: Float[Array, "cases inputs"]) -> Float[Array, "cases outputs"]:
        """Apply it."""
        return x @ self.W + self.b[None]


class Judge(NamedTuple):
    """A judge: its hidden layer, if it has one, and what reads it."""

    hidden: AffineMap | None
    out: AffineMap


def init_judge(key: Array, width: int, recipe: JudgeRecipe) -> Judge:
    """Draw a judge of states of a width; its first verdict is one half for all."""
    inner = recipe.units or width
    out = AffineMap(jnp.zeros((inner, 1), jnp.float32), jnp.zeros(1, jnp.float32))
    if recipe.units == 0:
        return Judge(None, out)
    drawn = jax.random.normal(key, (width, recipe.units), jnp.float32) * (2 / width) ** 0.5
    return Judge(AffineMap(drawn, jnp.zeros(recipe.units, jnp.float32)), out)


def judge_logits(
    judge: Judge, states: Features, *, drop: tuple[Array, float] | None = None
) -> Float[Array, " cases"]:
    """Judge states: the logit of "yes".

    Args:
      drop: of hidden units in training, (key, share).
    """
    x = states.astype(jnp.float32)
    if judge.hidden is not None:
        x = jax.nn.relu(judge.hidden(x))
        if drop is not None:
            kept = jax.random.bernoulli(drop[0], 1 - drop[1], x.shape)
            x = jnp.where(kept, x / (1 - drop[1]), jnp.zeros_like(x))
    return judge.out(x)[:, 0]


def judge_probabilities(judge: Judge, states: Features) -> Float[Array, " cases"]:
    """Judge states: the probability of "yes"."""
    return jax.nn.sigmoid(judge_logits(judge, states))


class _Training(NamedTuple):
    params: Params
    moments: MomentState


@partial(jax.jit, static_argnames="recipe")
def train_judge(states: Features, truth: Truth, recipe: JudgeRecipe) -> Judge:
    """Train a judge by cross-entropy; every draw is a function of (seed, update).

    Args:
      states: as they come from the decoder that will be judged, quantised if it is.
      truth: the right verdicts.
    """
    key = jax.random.key(recipe.seed)

    def loss(params: Params, draw: Array) -> Float[Array, ""]:
        pick, noise, drop = jax.random.split(draw, 3)
        number = jax.random.randint(pick, (recipe.batch_size,), 0, states.shape[0])
        x = states[number].astype(jnp.float32)
        x = x + recipe.noise * jax.random.normal(noise, x.shape, jnp.float32)
        logits = judge_logits(params["judge"], x, drop=(drop, recipe.dropout))
        target = truth[number].astype(jnp.float32)
        return jnp.mean(optax.sigmoid_binary_cross_entropy(logits, target))

    def update(now: _Training, count: Int[Array, ""]) -> tuple[_Training, None]:
        gradient = jax.grad(loss)(now.params, jax.random.fold_in(key, count))
        direction, moments = ADAM.update(gradient, now.moments)  # type: ignore[arg-type]
        params = apply_decoupled(now.params, direction, jnp.float32(recipe.learning_rate), 0.0)
        return _Training(params, moments), None  # type: ignore[arg-type]

    judge = init_judge(jax.random.fold_in(key, recipe.updates), states.shape[1], recipe)
    first: Params = {"judge": judge}
    start = _Training(first, ADAM.init(first))  # type: ignore[arg-type]
    return jax.lax.scan(update, start, jnp.arange(recipe.updates))[0].params["judge"]


def vote(
    answers: Integer[np.ndarray, "puzzles samples cells"],
    weights: Float[np.ndarray, "puzzles samples"],
) -> Integer[np.ndarray, " puzzles"]:
    """Choose the answer of each puzzle with the greatest sum of weights.

    Args:
      weights: of the samples, such as a verifier's probabilities; all 1 is the majority's vote, 0
        is no vote (an answer that was cut off).

    Returns:
      The first sample with the chosen answer; of equal sums the one that was sampled first.

    Raises:
      ValueError: no samples, or a negative weight.
    """
    if answers.shape[1] < 1 or (weights < 0).any():
        raise ValueError(
            "a vote needs at least one sample and weights of 0 or more, got"
            f" {answers.shape[1]} samples with weights from {weights.min(initial=0)}"
        )
    same = (answers[:, :, None] == answers[:, None]).all(axis=-1)
    return (same * weights[:, None]).sum(axis=-1).argmax(axis=1)
