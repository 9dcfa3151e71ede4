"""Budget forcing: a decoder that solves a task learns to solve it in fewer tokens (GRPO).

    reward      right (0 or 1) * soft_barrier(tokens written, budget)
    advantage   (reward - mean of the group) / its standard deviation
    loss        - ratio * advantage + kl * (r - log r - 1),  r = reference / policy

A group is several samples of one prompt, which is read once. Groups whose rewards are all equal say
nothing and are left out, as in the study. The loss is a mean over all tokens of the groups that are
left, and the KL term is Schulman's k3 estimate, never negative. What is learned is the parameters,
or low-rank adapters on parameters that stay; the reference is what learning began with.

All written tokens count against the budget: where only the thoughts counted, the study saw answers
grow instead. A policy that does not solve its task learns to fail shortly (`check_learned`).

Source: arXiv 2603.16867 (reward, groups, constants) and 2402.03300 (GRPO). Unlike the study the
budget is one number, not written into the prompt. Not here: what tokens mean and which answers are
right (trm_jax/tasks), and programs (experiments/decode).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int, Integer

from trm_jax.decoder.generate import (
    Generation,
    Lengths,
    Sampling,
    continue_streams,
    prefill,
)
from trm_jax.decoder.lora import LoraConfig
from trm_jax.decoder.transformer import Decoder
from trm_jax.decoder.tuning import (
    ADAM,
    TokenLogProbs,
    TuningRecipe,
    TuningState,
    Written,
    adapter_scale,
    bind,
    move,
    written_log_probs,
)
from trm_jax.training.optim import MomentState
from trm_jax.types import Params, Tokens

LEARNED = 0.9
"""Share of right answers from which on a policy may be taught to be short."""

WIDTH_STEP, GROUPS_STEP = 32, 4
"""An update is compiled for multiples of so many tokens and groups."""

TokenMarks = Bool[Array, "batch new"]
Score = Callable[[Integer[np.ndarray, " batch"], Integer[np.ndarray, "batch new"]], np.ndarray]
"""(numbers of the prompts, tokens written) -> whether each answer is right."""


@dataclass(frozen=True, kw_only=True)
class PolicyRecipe(TuningRecipe):
    """How a policy is taught.

    Attributes:
      budget: tokens of an answer that cost nothing, up to the margin.
      margin: share of the budget over which the reward falls, on both sides of it.
      max_new_tokens: of every sample; one that is cut off is wrong.
      group: samples of a prompt.
      prompts: of an update.
      temperature: of sampling, and of the probabilities that the loss compares.
      kl: strength with which the reference holds.
      clip: of the ratio; None: none, since every batch is used for one update.

    Raises:
      ValueError: a number is out of its range; the message names it.
    """

    budget: int
    max_new_tokens: int
    margin: float = 0.5
    group: int = 8
    prompts: int = 16
    temperature: float = 0.8
    kl: float = 1e-3
    clip: float | None = None
    updates: int = 200

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("budget", "max_new_tokens", "prompts"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {name}={getattr(self, name)}")
        if self.group < 2:
            raise ValueError(f"a group needs at least 2 samples, got group={self.group}")
        if not self.temperature > 0:
            raise ValueError(f"temperature must be positive, got temperature={self.temperature}")
        if not 0 < self.margin <= 1:
            raise ValueError(f"margin must lie in (0, 1], got margin={self.margin}")
        if not self.kl >= 0:
            raise ValueError(f"kl must be 0 or more, got kl={self.kl}")
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"clip must be positive, got clip={self.clip}")


def check_learned(right: int, total: int, *, least: float = LEARNED) -> None:
    """Refuse a policy that does not solve its task.

    Args:
      right: of its greedy answers.
      least: share of right answers that is asked for; 0 takes any policy.

    Raises:
      ValueError: fewer are right.
    """
    if right < least * total:
        raise ValueError(
            f"the decoder answers {right} of {total} puzzles right, and reinforcement under a"
            f" budget needs a share of {least}: a policy that cannot solve its task learns to fail"
            " in fewer tokens; train it longer, or ask for less accuracy"
        )


def soft_barrier(
    lengths: Int[Array, "*any"], *, budget: int, margin: float
) -> Float[Array, "*any"]:
    """Weigh lengths: 1 up to (1 - margin) budget, straight down to 0 at (1 + margin) budget."""
    over = (1 + margin) * budget - lengths.astype(jnp.float32)
    return jnp.clip(over / (2 * margin * budget), 0.0, 1.0)


def group_advantages(
    rewards: Float[Array, "prompts group"],
) -> tuple[Float[Array, "prompts group"], Bool[Array, " prompts"]]:
    """Normalise rewards within each group.

    Returns:
      Advantages of mean 0 and standard deviation 1 (over the group, not N - 1), 0 in groups without
      spread; and which groups have one.
    """
    spread = jnp.max(rewards, axis=1) > jnp.min(rewards, axis=1)
    centred = rewards - jnp.mean(rewards, axis=1, keepdims=True)
    deviation = jnp.sqrt(jnp.mean(jnp.square(centred), axis=1))
    safe = jnp.where(spread, deviation, jnp.ones_like(deviation))
    return jnp.where(spread[:, None], centred / safe[:, None], jnp.zeros_like(centred)), spread


class PolicyTerms(NamedTuple):
    """Parts of the loss, means over the marked tokens."""

    loss: Float[Array, ""]
    kl: Float[Array, ""]


def policy_loss(
    log_probs: TokenLogProbs,
    sampled: TokenLogProbs,
    reference: TokenLogProbs,
    advantages: Float[Array, " batch"],
    marks: TokenMarks,
    *,
    kl: float,
    clip: float | None = None,
) -> PolicyTerms:
    """Compute the loss of a batch of samples.

    Args:
      log_probs: of the written tokens under the policy.
      sampled: under the policy that wrote them; no gradient.
      reference: under the reference; no gradient.
      marks: tokens that count.
      kl: strength of the KL term.
      clip: greatest change of a ratio that earns anything; None: any.
    """
    ratio = jnp.exp(log_probs - jax.lax.stop_gradient(sampled))
    gain = ratio * advantages[:, None]
    if clip is not None:
        clipped = jnp.clip(ratio, 1 - clip, 1 + clip) * advantages[:, None]
        gain = jnp.minimum(gain, clipped)
    apart = jax.lax.stop_gradient(reference) - log_probs
    divergence = jnp.exp(apart) - apart - 1
    count = jnp.maximum(jnp.sum(marks, dtype=jnp.int32), 1).astype(jnp.float32)

    def over_tokens(x: TokenLogProbs) -> Float[Array, ""]:
        return jnp.sum(jnp.where(marks, x, jnp.zeros_like(x))) / count

    return PolicyTerms(over_tokens(kl * divergence - gain), over_tokens(divergence))


class Samples(NamedTuple):
    """Written answers, group by group.

    Attributes:
      counts: tokens of each answer that count in the loss; 0 in groups that are left out.
    """

    prompts: Tokens
    lengths: Lengths
    written: Written
    counts: Lengths
    advantages: Float[Array, " batch"]


def narrow(samples: Samples, group: int) -> Samples:
    """Leave out groups and columns that nothing counts in, down to a few sizes to be compiled."""
    counts = np.asarray(samples.counts)
    longest = counts.reshape(-1, group).max(axis=1)
    size = min(len(longest), _round_up(int(np.count_nonzero(longest)), GROUPS_STEP))
    first = np.sort(np.argsort(longest == 0, kind="stable")[:size])
    rows = (first[:, None] * group + np.arange(group)).ravel()
    width = min(samples.written.shape[1], _round_up(int(counts.max()), WIDTH_STEP))
    kept = Samples(*(x[rows] for x in samples))
    return kept._replace(written=kept.written[:, :width])


class PolicyState(NamedTuple):
    """All that a resumed run needs; `step` counts the updates done.

    Attributes:
      tuned: the parameters, or the adapters.
      reference: what `tuned` was at first.
    """

    step: Int[Array, ""]
    tuned: Any
    reference: Any
    moments: MomentState


class PolicyMetrics(NamedTuple):
    """What an update saw: means over its samples, or over the tokens that count (loss, kl)."""

    reward: float
    right: float
    tokens: float
    groups: float
    loss: float
    kl: float


class PolicyTrainer:
    """Updates of one policy; every draw is a function of (seed, step).

    Attributes:
      decoder, recipe: static.
      stop: token that ends an answer.
      base: parameters that stay, where adapters are learned; None: the parameters are learned.
    """

    def __init__(
        self,
        decoder: Decoder,
        recipe: PolicyRecipe,
        *,
        stop: int,
        prompts: Integer[np.ndarray, "puzzles seq"],
        lengths: Integer[np.ndarray, " puzzles"],
        score: Score,
        base: Params | None = None,
        lora: LoraConfig | None = None,
    ) -> None:
        """Prepare updates.

        Args:
          prompts: to draw from, padded on the right, with their lengths.
          score: tells right answers.
          lora: sizes of the adapters on `base`.

        Raises:
          ValueError: only one of base and lora.
        """
        self.decoder, self.recipe, self.stop, self.base = decoder, recipe, stop, base
        self._prompts, self._lengths, self._score = prompts, lengths, score
        self._scale = adapter_scale(base, lora)
        self._sample = jax.jit(self._sample_groups)
        self._update = jax.jit(self._update_policy)

    def start(self, tuned: Any) -> PolicyState:
        """Make the state before the first update, from parameters or from adapters."""
        return PolicyState(jnp.int32(0), tuned, tuned, ADAM.init(tuned))  # type: ignore[arg-type]

    def step(self, state: PolicyState) -> tuple[PolicyState, PolicyMetrics]:
        """Sample groups, reward them, update once."""
        recipe = self.recipe
        draw = jax.random.fold_in(jax.random.key(recipe.seed), state.step)
        prompt_key, token_key = jax.random.split(draw)
        number = jax.random.randint(prompt_key, (recipe.prompts,), 0, len(self._prompts))
        number = np.asarray(number)
        prompts, lengths = jnp.asarray(self._prompts[number]), jnp.asarray(self._lengths[number])
        written = self._sample(state.tuned, self.base, prompts, lengths, token_key)
        right = self._score(np.repeat(number, recipe.group), np.asarray(written.tokens))
        right &= np.asarray(written.stopped)
        factor = soft_barrier(written.lengths, budget=recipe.budget, margin=recipe.margin)
        rewards = jnp.asarray(right, jnp.float32) * factor
        advantages, spread = group_advantages(rewards.reshape(-1, recipe.group))
        samples = Samples(
            prompts=jnp.repeat(prompts, recipe.group, axis=0),
            lengths=jnp.repeat(lengths, recipe.group),
            written=written.tokens,
            counts=jnp.where(jnp.repeat(spread, recipe.group), written.lengths, 0),
            advantages=advantages.reshape(-1),
        )
        terms = PolicyTerms(jnp.float32(0), jnp.float32(0))
        if spread.any():
            state, terms = self._update(state, self.base, narrow(samples, recipe.group))
        means = (rewards, right, written.lengths, spread, *terms)
        metrics = PolicyMetrics(*(float(np.asarray(x).mean()) for x in means))
        return state._replace(step=state.step + 1), metrics

    def _sample_groups(
        self, tuned: Any, base: Params | None, prompts: Tokens, lengths: Lengths, key: Array
    ) -> Generation:
        recipe = self.recipe
        params, adapted = bind(tuned, base, self._scale)
        read = prefill(self.decoder, params, prompts, lengths, room=recipe.max_new_tokens)
        return continue_streams(
            self.decoder,
            params,
            read.repeat(recipe.group),
            key,
            stop=self.stop,
            max_new_tokens=recipe.max_new_tokens,
            sampling=Sampling(temperature=recipe.temperature),
            adapted=adapted,
        )

    def _update_policy(
        self,
        state: PolicyState,
        base: Params | None,
        samples: Samples,
    ) -> tuple[PolicyState, PolicyTerms]:
        marks = jnp.arange(samples.written.shape[1])[None] < samples.counts[:, None]

        def log_probs(tuned: Any) -> TokenLogProbs:
            params, adapted = bind(tuned, base, self._scale)
            return written_log_probs(
                self.decoder,
                params,
                samples.prompts,
                samples.lengths,
                samples.written,
                adapted=adapted,
                temperature=self.recipe.temperature,
            )

        reference = log_probs(state.reference)

        def loss(tuned: Any) -> tuple[Array, PolicyTerms]:
            now = log_probs(tuned)
            terms = policy_loss(
                now,
                now,
                reference,
                samples.advantages,
                marks,
                kl=self.recipe.kl,
                clip=self.recipe.clip,
            )
            return terms.loss, terms

        (_, terms), gradient = jax.value_and_grad(loss, has_aux=True)(state.tuned)
        new = move(self.recipe, TuningState(state.step, state.tuned, state.moments), gradient)
        return PolicyState(state.step, new.tuned, state.reference, new.moments), terms


def _round_up(number: int, step: int) -> int:
    return -(-max(number, 1) // step) * step
