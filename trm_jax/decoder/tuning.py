"""Tuning a decoder on written tokens: its parameters, or low-rank adapters on a base that stays.

Supervised traces and reinforcement (policy_gradient.py) share what is here: the probability of what
stands behind a prompt, adapters that act on it alone, and a step of AdamW. On the base of a scheme
(quant/decoder.py) adapters learn what its rounding broke.

Not here: training a decoder from the start (training.py), which keeps an average of its weights.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from trm_jax.decoder.generate import Lengths
from trm_jax.decoder.lora import AdaptedRows, LoraConfig
from trm_jax.decoder.transformer import Decoder
from trm_jax.training.optim import (
    MomentState,
    apply_decoupled,
    learning_rate,
    scale_by,
    shortened,
)
from trm_jax.training.recipe import Optimizer
from trm_jax.types import Params, Tokens

ADAM = scale_by(Optimizer.ADAMW, b1=0.9, b2=0.999, eps=1e-8)

Written = Int[Array, "batch new"]
TokenLogProbs = Float[Array, "batch new"]


@dataclass(frozen=True, kw_only=True)
class TuningRecipe:
    """Steps of a tuning.

    Attributes:
      updates: of the run, with `warmup` as their first share, then a cosine to 0.
      grad_norm: greatest norm of a gradient.

    Raises:
      ValueError: a number is out of its range; the message names it.
    """

    updates: int
    learning_rate: float = 1e-4
    warmup: float = 0.05
    grad_norm: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.updates < 1:
            raise ValueError(f"updates must be at least 1, got updates={self.updates}")
        for name in ("learning_rate", "grad_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {name}={getattr(self, name)}")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup must lie in [0, 1), got warmup={self.warmup}")


class TuningState(NamedTuple):
    """All that a resumed run needs; `step` counts the updates done.

    Attributes:
      tuned: the parameters, or the adapters.
    """

    step: Int[Array, ""]
    tuned: Any
    moments: MomentState


def start_tuning(tuned: Any) -> TuningState:
    """Make the state before the first update."""
    return TuningState(jnp.int32(0), tuned, ADAM.init(tuned))  # type: ignore[arg-type]


def adapter_scale(base: Params | None, lora: LoraConfig | None) -> float:
    """Return the factor of what adapters add; 0 without adapters.

    Raises:
      ValueError: only one of base and lora.
    """
    if (base is None) != (lora is None):
        raise ValueError("adapters need both the base that they act on and their sizes")
    return 0.0 if lora is None else lora.scale


def bind(
    tuned: Any, base: Params | None, scale: float, dropout: tuple[Array, float] | None = None
) -> tuple[Params, AdaptedRows | None]:
    """Give what a decoder is called with: parameters, and adapters if they are tuned.

    Args:
      base: parameters that stay, under adapters; None: the parameters are tuned.
    """
    if base is None:
        return tuned, None
    return base, AdaptedRows(tuned, jnp.float32(scale), dropout=dropout)


def join_texts(prompts: Tokens, lengths: Lengths, written: Written) -> Int[Array, "batch both"]:
    """Write tokens behind prompts of unlike lengths: texts as wide as both together."""
    at = jnp.arange(prompts.shape[1] + written.shape[1])[None] - lengths[:, None]
    wide = jnp.pad(prompts, ((0, 0), (0, written.shape[1])))
    inside = jnp.clip(at, 0, written.shape[1] - 1)
    return jnp.where(at < 0, wide, jnp.take_along_axis(written, inside, axis=1))


def written_log_probs(
    decoder: Decoder,
    params: Params,
    prompts: Tokens,
    lengths: Lengths,
    written: Written,
    *,
    adapted: AdaptedRows | None = None,
    temperature: float = 1.0,
) -> TokenLogProbs:
    """Compute the log-probability of every written token, without a cache: what learning reads.

    Args:
      lengths: tokens of each prompt, at least 1.
      adapted: adapters that act on the written tokens, not in the prompt, as in `generate`.
    """
    texts = join_texts(prompts, lengths, written)
    rows = adapted
    if adapted is not None:
        behind = jnp.arange(texts.shape[1])[None] >= lengths[:, None]
        rows = adapted._replace(rows=behind)
    hidden = decoder.hidden(params, texts, adapted=rows)
    before = lengths[:, None] - 1 + jnp.arange(written.shape[1])[None]
    states = jnp.take_along_axis(hidden, before[:, :, None], axis=1)
    logits = decoder.read_out(params, states, adapted=adapted).astype(jnp.float32) / temperature
    picked = jnp.take_along_axis(logits, written[:, :, None], axis=-1)[:, :, 0]
    return picked - jax.nn.logsumexp(logits, axis=-1)


def move(recipe: TuningRecipe, state: TuningState, gradient: Any) -> TuningState:
    """Move what is tuned: AdamW without decay, the gradient cut to a norm before."""
    cut = shortened(gradient, recipe.grad_norm)
    direction, moments = ADAM.update(cut, state.moments)  # type: ignore[arg-type]
    rate = learning_rate(
        state.step + 1,
        base=recipe.learning_rate,
        warmup_steps=round(recipe.warmup * recipe.updates),
        total_steps=recipe.updates,
        min_ratio=0.0,
    )
    tuned = apply_decoupled(state.tuned, direction, rate, 0.0)
    return TuningState(state.step + 1, tuned, moments)  # type: ignore[arg-type]


class TraceTuner:
    """Supervised updates on traces; dropout of adapters is a function of (seed, step).

    Attributes:
      decoder, recipe: static.
      base: parameters that stay, where adapters are tuned; None: the parameters are.
    """

    def __init__(
        self,
        decoder: Decoder,
        recipe: TuningRecipe,
        *,
        base: Params | None = None,
        lora: LoraConfig | None = None,
    ) -> None:
        """Prepare updates.

        Raises:
          ValueError: only one of base and lora.
        """
        self.decoder, self.recipe, self.base = decoder, recipe, base
        self._scale = adapter_scale(base, lora)
        self._dropout = 0.0 if lora is None else lora.dropout
        self._update = jax.jit(self._update_on)

    def step(
        self,
        state: TuningState,
        prompts: Tokens,
        lengths: Lengths,
        traces: Written,
        counts: Lengths,
    ) -> tuple[TuningState, Float[Array, ""]]:
        """Update once on the mean loss of the traces' tokens.

        Args:
          lengths: tokens of each prompt; `counts` of each trace.

        Returns:
          The new state, and the loss in nats a token.
        """
        return self._update(state, self.base, prompts, lengths, traces, counts)

    def _update_on(
        self,
        state: TuningState,
        base: Params | None,
        prompts: Tokens,
        lengths: Lengths,
        traces: Written,
        counts: Lengths,
    ) -> tuple[TuningState, Float[Array, ""]]:
        key = jax.random.fold_in(jax.random.key(self.recipe.seed), state.step)
        marks = jnp.arange(traces.shape[1])[None] < counts[:, None]

        def loss(tuned: Any) -> Float[Array, ""]:
            params, adapted = bind(tuned, base, self._scale, (key, self._dropout))
            log_probs = written_log_probs(
                self.decoder, params, prompts, lengths, traces, adapted=adapted
            )
            nats = jnp.sum(jnp.where(marks, -log_probs, jnp.zeros_like(log_probs)))
            return nats / jnp.maximum(jnp.sum(counts), 1).astype(jnp.float32)

        value, gradient = jax.value_and_grad(loss)(state.tuned)
        return move(self.recipe, state, gradient), value
