"""Averages and votes against loops; judges on states that a line parts, and that it cannot."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trm_jax.decoder.judges import (
    SWITCHER,
    VERIFIER,
    JudgeRecipe,
    chunked_average,
    init_judge,
    judge_logits,
    judge_probabilities,
    train_judge,
    vote,
)

AVERAGE = jax.jit(chunked_average, static_argnames=("chunk", "decay"))


def average_by_hand(states: np.ndarray, chunk: int, decay: float) -> np.ndarray:
    """Average one prompt, chunk by chunk."""
    average = None
    for begin in range(0, len(states), chunk):
        mean = states[begin : begin + chunk].mean(axis=0)
        average = mean if average is None else decay * average + (1 - decay) * mean
    assert average is not None
    return average


@pytest.mark.parametrize("chunk", [1, 3, 4, 128])
def test_prompts_are_averaged_chunk_by_chunk(chunk: int) -> None:
    hidden = np.random.default_rng(0).normal(size=(4, 9, 5))
    lengths = [9, 1, 4, 7]
    got = AVERAGE(jnp.asarray(hidden, jnp.float32), jnp.asarray(lengths), chunk=chunk, decay=0.5)
    for row, length in enumerate(lengths):
        # float32 against float64: sums of at most 9 numbers of size 3
        expected = average_by_hand(hidden[row, :length], chunk, 0.5)
        np.testing.assert_allclose(got[row], expected, atol=3e-6)


def test_padding_does_not_reach_the_average() -> None:
    hidden = jnp.asarray(np.random.default_rng(1).normal(size=(2, 6, 3)), jnp.float32)
    lengths = jnp.asarray([4, 2])
    padding = jnp.arange(6)[None, :, None] >= lengths[:, None, None]
    noisy = jnp.where(padding, jnp.nan, hidden)
    np.testing.assert_array_equal(
        AVERAGE(noisy, lengths, chunk=2), AVERAGE(hidden, lengths, chunk=2)
    )


def test_chunks_that_cannot_be_are_refused() -> None:
    hidden = jnp.zeros((1, 2, 3))
    with pytest.raises(ValueError, match="chunk=0"):
        chunked_average(hidden, jnp.asarray([2]), chunk=0)
    with pytest.raises(ValueError, match=r"decay=1\.0"):
        chunked_average(hidden, jnp.asarray([2]), decay=1.0)


def ring(count: int) -> tuple[jax.Array, jax.Array]:
    """Draw states that are inside or outside a circle: no line parts them."""
    states = np.random.default_rng(2).normal(size=(count, 6)) * 2
    inside = np.square(states[:, :2]).sum(axis=1) < 4
    return jnp.asarray(states, jnp.float32), jnp.asarray(inside)


def accuracy(recipe: JudgeRecipe, states: jax.Array, truth: jax.Array) -> float:
    """Train on the first half, and count right verdicts on the second."""
    half = len(states) // 2
    judge = train_judge(states[:half], truth[:half], recipe)
    verdicts = judge_probabilities(judge, states[half:]) > 0.5
    return float((verdicts == truth[half:]).mean())


@pytest.mark.slow
def test_a_switcher_parts_what_a_line_cannot() -> None:
    states, inside = ring(2000)
    recipe = dataclasses.replace(SWITCHER, noise=0.1, learning_rate=1e-2)
    # 39 % are inside the circle: the best constant verdict, which is a line's too, is right on 61 %
    assert accuracy(recipe, states, inside) > 0.8
    assert accuracy(dataclasses.replace(recipe, units=0), states, inside) < 0.7


@pytest.mark.slow
def test_a_verifier_finds_a_line_and_the_same_draws_give_the_same_one() -> None:
    states, _ = ring(600)
    truth = states @ jnp.asarray([1.0, -1.0, 2.0, 0.0, 0.0, 0.0]) > 0
    recipe = dataclasses.replace(VERIFIER, updates=400, learning_rate=0.02)
    assert accuracy(recipe, states, truth) > 0.95
    first, second = (train_judge(states, truth, recipe) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, first, second)


def test_the_study_s_switcher_has_few_weights() -> None:
    judge = init_judge(jax.random.key(0), 3584, SWITCHER)
    # 3584 * 8 + 8 + 8 + 1: the last layer of Qwen2.5-7B
    assert sum(leaf.size for leaf in jax.tree.leaves(judge)) == 28_689
    logits = judge_logits(judge, jnp.ones((4, 3584)))
    np.testing.assert_array_equal(logits, [0, 0, 0, 0])


def vote_by_hand(answers: np.ndarray, weights: np.ndarray) -> tuple[int, ...]:
    """Sum weights by answer; ties go to the answer that was sampled first."""
    sums: dict[tuple[int, ...], float] = {}
    for answer, weight in zip(map(tuple, answers.tolist()), weights, strict=True):
        sums[answer] = sums.get(answer, 0.0) + weight
    return max(sums, key=lambda answer: sums[answer])


@pytest.mark.parametrize("is_weighted", [False, True])
def test_votes_are_summed_by_answer(is_weighted: bool) -> None:
    rng = np.random.default_rng(3)
    answers = rng.integers(0, 2, (200, 7, 2))
    # sixteenths are exact, so that ties are ties however sums are ordered
    weights = rng.integers(0, 17, (200, 7)) / 16 if is_weighted else np.ones((200, 7))
    chosen = vote(answers, weights)
    for puzzle in range(200):
        won = tuple(answers[puzzle, chosen[puzzle]].tolist())
        assert won == vote_by_hand(answers[puzzle], weights[puzzle])


def test_one_good_answer_outweighs_two_bad_ones_and_no_weight_is_no_vote() -> None:
    answers = np.array([[[1], [1], [2]]] * 3)
    weights = np.array([[1.0, 1.0, 1.0], [0.1, 0.1, 0.9], [0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(vote(answers, weights), [0, 2, 0])
    with pytest.raises(ValueError, match="0 samples"):
        vote(answers[:, :0], weights[:, :0])
    with pytest.raises(ValueError, match=r"from -1\.0"):
        vote(answers, -np.ones((3, 3)))


@pytest.mark.parametrize(
    ("name", "value"), [("units", -1), ("updates", 0), ("dropout", 1.0), ("noise", -0.5)]
)
def test_a_judge_that_cannot_be_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name}={value}"):
        dataclasses.replace(SWITCHER, **{name: value})  # type: ignore[arg-type]
