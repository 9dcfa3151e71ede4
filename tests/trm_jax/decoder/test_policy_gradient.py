"""Rewards, advantages and the loss against NumPy by hand; a toy whose answers become short."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.decoders import LLAMA, QWEN, random_params, random_tokens
from tests.support.oracles import decoder as oracle
from trm_jax.decoder.config import DecoderConfig
from trm_jax.decoder.generate import PAD, Sampling, generate
from trm_jax.decoder.lora import AdaptedRows, LoraConfig, init_adapters, merge_adapters
from trm_jax.decoder.policy_gradient import (
    GROUPS_STEP,
    WIDTH_STEP,
    PolicyRecipe,
    PolicyTrainer,
    Samples,
    check_learned,
    group_advantages,
    narrow,
    policy_loss,
    soft_barrier,
)
from trm_jax.decoder.transformer import Decoder
from trm_jax.decoder.tuning import (
    TraceTuner,
    TuningRecipe,
    join_texts,
    start_tuning,
    written_log_probs,
)

LOG_PROBS = jax.jit(written_log_probs, static_argnames=("decoder", "temperature"))


def test_the_budget_is_a_soft_barrier() -> None:
    lengths = jnp.asarray([0, 30, 50, 75, 100, 125, 150, 400])
    got = soft_barrier(lengths, budget=100, margin=0.5)
    # 1 up to 50, 0 from 150, a straight line of 100 tokens between: exact in binary
    np.testing.assert_array_equal(got, [1, 1, 1, 0.75, 0.5, 0.25, 0, 0])


def test_advantages_are_normalised_within_groups_and_groups_without_spread_say_nothing() -> None:
    rewards = np.array([[1, 0, 1, 0], [0.5, 0.5, 0.5, 0.5], [0, 0, 0, 0.4], [1, 1, 1, 1]])
    advantages, spread = group_advantages(jnp.asarray(rewards, jnp.float32))
    np.testing.assert_array_equal(spread, [True, False, True, False])
    for row, group in enumerate(rewards):
        expected = (group - group.mean()) / (group.std() or 1.0)
        # float32 against float64: a mean, a root and a quotient, a few ulps of values up to 2
        np.testing.assert_allclose(advantages[row], expected, atol=1e-6)


def by_hand(
    now: np.ndarray,
    sampled: np.ndarray,
    reference: np.ndarray,
    advantages: np.ndarray,
    marks: np.ndarray,
    kl: float,
    clip: float | None,
) -> float:
    """Sum the loss token by token."""
    total, count = np.float64(0), 0
    for row, column in zip(*np.nonzero(marks), strict=True):
        ratio = float(np.exp(now[row, column] - sampled[row, column]))
        gain = ratio * advantages[row]
        if clip is not None:
            gain = min(gain, min(max(ratio, 1 - clip), 1 + clip) * advantages[row])
        log_ratio = reference[row, column] - now[row, column]
        total += kl * (np.exp(log_ratio) - log_ratio - 1) - gain
        count += 1
    return float(total / count)


@pytest.mark.parametrize("clip", [None, 0.2])
def test_the_loss_is_a_mean_over_marked_tokens(clip: float | None) -> None:
    rng = np.random.default_rng(0)
    now, sampled, reference = (rng.normal(-1, 0.5, (6, 5)) for _ in range(3))
    advantages = rng.normal(size=6)
    marks = np.arange(5)[None] < np.array([5, 3, 0, 1, 4, 2])[:, None]
    terms = policy_loss(
        jnp.asarray(now, jnp.float32),
        jnp.asarray(sampled, jnp.float32),
        jnp.asarray(reference, jnp.float32),
        jnp.asarray(advantages, jnp.float32),
        jnp.asarray(marks),
        kl=0.1,
        clip=clip,
    )
    expected = by_hand(now, sampled, reference, advantages, marks, 0.1, clip)
    # 15 terms of size 5 at most, each with a few roundings of float32
    np.testing.assert_allclose(terms.loss, expected, atol=1e-5)
    assert float(terms.kl) > 0


def test_at_ratio_one_the_gradient_is_that_of_the_policy() -> None:
    rng = np.random.default_rng(1)
    now = jnp.asarray(rng.normal(-1, 0.5, (3, 4)), jnp.float32)
    advantages = jnp.asarray([1.0, -2.0, 0.0], jnp.float32)
    marks = jnp.ones((3, 4), bool)

    def loss(x: jax.Array) -> jax.Array:
        return policy_loss(x, x, now, advantages, marks, kl=0.0, clip=0.2).loss

    # d/dx of - exp(x - stop(x)) A / 12 is - A / 12
    expected = -np.repeat(np.asarray(advantages)[:, None], 4, axis=1) / 12
    np.testing.assert_allclose(jax.grad(loss)(now), expected, rtol=1e-6)


def test_texts_are_joined_stream_by_stream() -> None:
    prompts = jnp.asarray([[5, 6, 7], [8, PAD, PAD]])
    got = join_texts(prompts, jnp.asarray([3, 1]), jnp.asarray([[1, 2], [3, 4]]))
    np.testing.assert_array_equal(got[0], [5, 6, 7, 1, 2])
    np.testing.assert_array_equal(got[1, :3], [8, 3, 4])


def test_log_probs_of_written_tokens_are_those_of_plain_loops() -> None:
    params, prompts = random_params(LLAMA), random_tokens(LLAMA, (2, 4))
    lengths, written = jnp.asarray([4, 2]), random_tokens(LLAMA, (2, 3), seed=1)
    got = LOG_PROBS(Decoder(LLAMA), params, prompts, lengths, written, temperature=0.5)
    for row, length in enumerate((4, 2)):
        text = np.concatenate([prompts[row, :length], written[row]])
        logits = oracle.logits(params, LLAMA, text)[length - 1 : -1] / 0.5
        log_probs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        # logits differ by the roundings of another order of sums (test_transformer.py), twice
        expected = log_probs[np.arange(3), np.asarray(written[row])]
        np.testing.assert_allclose(got[row], expected, atol=2e-4)


@pytest.mark.slow
def test_what_is_learned_is_what_wrote_the_answer_with_adapters_too() -> None:
    lora = LoraConfig(rank=3, alpha=6.0)
    params, rng = random_params(QWEN), np.random.default_rng(3)
    adapters = {
        site: pair._replace(B=jnp.asarray(0.2 * rng.normal(size=pair.B.shape), jnp.float32))
        for site, pair in init_adapters(jax.random.key(1), params, lora).items()
    }
    adapted = AdaptedRows(adapters, jnp.float32(lora.scale))
    prompts, lengths = random_tokens(QWEN, (3, 6)), jnp.asarray([6, 4, 5])
    written = generate(
        Decoder(QWEN),
        params,
        prompts,
        lengths,
        stop=99,
        max_new_tokens=7,
        sampling=Sampling(temperature=1.0),
        key=jax.random.key(2),
        adapted=adapted,
    )
    got = LOG_PROBS(Decoder(QWEN), params, prompts, lengths, written.tokens, adapted=adapted)
    # the same sums in another order (test_transformer.py)
    np.testing.assert_allclose(got, written.log_probs, atol=2e-4)
    everywhere = merge_adapters(params, adapters, lora)
    other = LOG_PROBS(Decoder(QWEN), everywhere, prompts, lengths, written.tokens)
    assert np.abs(np.asarray(other - got)).max() > 0.01


def test_groups_and_columns_that_do_not_count_are_left_out() -> None:
    counts = np.zeros((9, 2), np.int32)
    counts[1], counts[7] = (40, 3), (1, 2)
    samples = Samples(
        prompts=jnp.arange(18)[:, None],
        lengths=jnp.ones(18, jnp.int32),
        written=jnp.zeros((18, 90), jnp.int32),
        counts=jnp.asarray(counts.ravel()),
        advantages=jnp.zeros(18),
    )
    kept = narrow(samples, 2)
    assert kept.written.shape == (2 * GROUPS_STEP, 2 * WIDTH_STEP)
    assert {2, 3, 14, 15} <= set(np.asarray(kept.prompts[:, 0]))
    assert int(kept.counts.sum()) == counts.sum()


TOY = DecoderConfig(
    vocab_size=6,
    hidden_size=16,
    num_layers=1,
    num_heads=2,
    num_kv_heads=1,
    head_dim=8,
    intermediate_size=16,
    max_positions=16,
)
STOP, RIGHT = 2, 3
RECIPE = PolicyRecipe(
    budget=3, max_new_tokens=12, prompts=4, updates=40, learning_rate=0.03, kl=1e-3, seed=4
)


def toy_trainer(recipe: PolicyRecipe, **adapters: object) -> PolicyTrainer:
    """Reward answers that begin with one token, the sooner they end the better."""
    prompts = np.array([[3, 4, 1], [4, 5, 1], [5, 1, PAD], [1, PAD, PAD]], np.int32)
    return PolicyTrainer(
        Decoder(TOY),
        recipe,
        stop=STOP,
        prompts=prompts,
        lengths=np.array([3, 3, 2, 1], np.int32),
        score=lambda numbers, tokens: tokens[:, 0] == RIGHT,
        **adapters,  # type: ignore[arg-type]
    )


@pytest.mark.slow
def test_a_reward_for_right_and_short_answers_makes_them_right_and_short() -> None:
    trainer = toy_trainer(RECIPE)
    state = trainer.start(Decoder(TOY).init(jax.random.key(0)))
    seen = []
    for _ in range(RECIPE.updates):
        state, metrics = trainer.step(state)
        seen.append(metrics)
    # a random decoder of 6 tokens is right about once in 6 and stops after about 6 tokens
    assert seen[0].right < 0.5
    assert seen[0].tokens > 3.5
    assert seen[-1].right > 0.9
    assert seen[-1].tokens < 2.5
    assert all(np.isfinite(metrics.loss) for metrics in seen)
    assert int(state.step) == RECIPE.updates


@pytest.mark.slow
def test_adapters_learn_on_a_base_that_stays() -> None:
    recipe = dataclasses.replace(RECIPE, updates=2)
    base, lora = Decoder(TOY).init(jax.random.key(0)), LoraConfig(rank=2, alpha=4.0)
    trainer = toy_trainer(recipe, base=base, lora=lora)
    first = init_adapters(jax.random.key(1), base, lora)
    state, metrics = trainer.step(trainer.start(first))
    again, _ = trainer.step(trainer.start(first))
    assert metrics.groups > 0
    assert metrics.kl == 0  # the reference is the policy at first
    moved = [np.abs(np.asarray(pair.B)).max() for pair in state.tuned.values()]
    assert max(moved) > 0
    jax.tree.map(np.testing.assert_array_equal, state.tuned, again.tuned)
    with pytest.raises(ValueError, match="both the base"):
        toy_trainer(recipe, base=base)


@pytest.mark.slow
def test_supervised_adapters_learn_a_trace_that_the_base_does_not_write() -> None:
    base, lora = Decoder(TOY).init(jax.random.key(0)), LoraConfig(rank=4, alpha=8.0, dropout=0.1)
    prompts, lengths = jnp.asarray([[3, 4], [5, PAD]]), jnp.asarray([2, 1])
    traces, counts = jnp.asarray([[4, 4, STOP], [5, STOP, PAD]]), jnp.asarray([3, 2])
    tuner = TraceTuner(
        Decoder(TOY), TuningRecipe(updates=60, learning_rate=0.03), base=base, lora=lora
    )
    state = start_tuning(init_adapters(jax.random.key(1), base, lora))
    losses = []
    for _ in range(60):
        state, loss = tuner.step(state, prompts, lengths, traces, counts)
        losses.append(float(loss))
    plain = LOG_PROBS(Decoder(TOY), base, prompts, lengths, traces)
    # adapters add nothing at first: the loss is the base's, a mean over 5 tokens of float32
    marked = np.arange(3)[None] < np.asarray(counts)[:, None]
    np.testing.assert_allclose(losses[0], -np.asarray(plain)[marked].mean(), rtol=1e-5)
    adapted = AdaptedRows(state.tuned, jnp.float32(lora.scale))
    written = generate(
        Decoder(TOY), base, prompts, lengths, stop=STOP, max_new_tokens=3, adapted=adapted
    )
    np.testing.assert_array_equal(written.tokens, traces)


def test_a_policy_that_has_not_learned_its_task_is_refused() -> None:
    check_learned(900, 1000)
    check_learned(1, 1000, least=0.0)
    with pytest.raises(ValueError, match="899 of 1000"):
        check_learned(899, 1000)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("budget", 0),
        ("group", 1),
        ("margin", 0.0),
        ("temperature", 0.0),
        ("kl", -1.0),
        ("clip", 0.0),
        ("warmup", 1.0),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name}={value}"):
        dataclasses.replace(RECIPE, **{name: value})  # type: ignore[arg-type]
