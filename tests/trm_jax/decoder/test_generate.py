"""Writing tokens against a loop without a cache; stops, budgets, sampling, shared prompts."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.decoders import LLAMA, random_params, random_tokens
from tests.support.oracles import decoder as oracle
from trm_jax.decoder.generate import (
    GREEDY,
    PAD,
    Sampling,
    choose_tokens,
    continue_streams,
    generate,
    prefill,
)
from trm_jax.decoder.transformer import Decoder

DECODER = Decoder(LLAMA)
PREFILL = jax.jit(prefill, static_argnames=("decoder", "room"))
NO_STOP = 99
"""A token that no stream writes."""


def greedy_tokens(prompt: np.ndarray, count: int) -> list[int]:
    """Write tokens by plain loops, without a cache."""
    params, tokens = random_params(LLAMA), list(prompt)
    for _ in range(count):
        tokens.append(int(np.argmax(oracle.logits(params, LLAMA, np.asarray(tokens))[-1])))
    return tokens[len(prompt) :]


@pytest.fixture(scope="module")
def prompts() -> tuple[jax.Array, jax.Array]:
    """Three prompts of unlike lengths, padded on the right."""
    lengths = jnp.asarray([3, 7, 5], jnp.int32)
    tokens = random_tokens(LLAMA, (3, 7), seed=4)
    return jnp.where(jnp.arange(7)[None] < lengths[:, None], tokens, PAD), lengths


def write(prompts: tuple[jax.Array, jax.Array], **changes):
    options: dict[str, Any] = {"stop": NO_STOP, "max_new_tokens": 8} | changes
    return generate(DECODER, random_params(LLAMA), *prompts, **options)


def test_greedy_tokens_are_those_of_plain_loops(prompts) -> None:
    written = write(prompts)
    for row, (tokens, length) in enumerate(zip(*prompts, strict=True)):
        expected = greedy_tokens(np.asarray(tokens[:length]), 8)
        assert list(np.asarray(written.tokens[row])) == expected
    np.testing.assert_array_equal(written.lengths, 8)
    assert not written.stopped.any()


def test_a_stream_ends_with_its_stop_token(prompts) -> None:
    free = np.asarray(write(prompts).tokens)
    stop = int(free[1, 2])
    written = write(prompts, stop=stop)
    for row, tokens in enumerate(free):
        found = np.flatnonzero(tokens == stop)
        end = found[0] + 1 if len(found) else 8
        assert int(written.lengths[row]) == end
        assert bool(written.stopped[row]) == bool(len(found))
        np.testing.assert_array_equal(written.tokens[row, :end], tokens[:end])
        assert (np.asarray(written.tokens[row, end:]) == PAD).all()
        assert (np.asarray(written.log_probs[row, end:]) == 0).all()


def test_the_first_of_several_stop_tokens_ends_a_stream(prompts) -> None:
    free = np.asarray(write(prompts).tokens)
    stops = (int(free[1, 2]), int(free[0, 4]))
    written = write(prompts, stop=stops)
    for row, tokens in enumerate(free):
        found = np.flatnonzero(np.isin(tokens, stops))
        assert int(written.lengths[row]) == (found[0] + 1 if len(found) else 8)
        assert bool(written.stopped[row]) == bool(len(found))
    assert (np.asarray(written.lengths) < np.asarray(write(prompts, stop=stops[:1]).lengths)).any()


def test_log_probs_are_those_of_the_whole_text(prompts) -> None:
    tokens, lengths = prompts
    written = write(prompts)
    row = 0
    text = jnp.concatenate([tokens[row, : int(lengths[row])], written.tokens[row]])[None]
    logits = jax.jit(DECODER.logits)(random_params(LLAMA), text)[0]
    log_probs = jax.nn.log_softmax(logits, axis=-1)
    first = int(lengths[row])
    expected = [log_probs[first + i - 1, int(text[0, first + i])] for i in range(8)]
    # logits differ by the roundings of another order of sums (test_transformer.py)
    np.testing.assert_allclose(written.log_probs[row], expected, atol=1e-4)


def test_the_last_state_is_that_of_the_last_token(prompts) -> None:
    tokens, lengths = prompts
    stop = int(write(prompts).tokens[1, 2])
    written = write(prompts, stop=stop)
    assert len(set(np.asarray(written.lengths))) > 1
    hidden = jax.jit(DECODER.hidden)
    for row, (prompt, length) in enumerate(zip(tokens, lengths, strict=True)):
        new = written.tokens[row, : int(written.lengths[row])]
        text = jnp.concatenate([prompt[: int(length)], new])[None]
        # states differ by the roundings of another order of sums (test_transformer.py)
        expected = hidden(random_params(LLAMA), text)[0, -1]
        np.testing.assert_allclose(written.last[row], expected, atol=1e-4)


def test_budgets_cut_streams_one_by_one(prompts) -> None:
    params = random_params(LLAMA)
    read = PREFILL(DECODER, params, *prompts, room=8)
    budgets = jnp.asarray([2, 8, 5], jnp.int32)
    written = continue_streams(
        DECODER,
        params,
        read,
        jax.random.key(0),
        stop=NO_STOP,
        max_new_tokens=8,
        budgets=budgets,
    )
    np.testing.assert_array_equal(written.lengths, budgets)
    np.testing.assert_array_equal(written.tokens[1], write(prompts).tokens[1])


def test_one_prompt_serves_several_samples(prompts) -> None:
    params, sampling = random_params(LLAMA), Sampling(temperature=1.0)
    read = PREFILL(DECODER, params, *prompts, room=6)
    options = {"stop": NO_STOP, "max_new_tokens": 6, "sampling": sampling}
    together = continue_streams(DECODER, params, read.repeat(4), jax.random.key(5), **options)
    repeated = [jnp.repeat(x, 4, axis=0) for x in prompts]
    apart = generate(DECODER, params, *repeated, key=jax.random.key(5), **options)
    np.testing.assert_array_equal(together.tokens, apart.tokens)
    assert len({tuple(row) for row in np.asarray(together.tokens[:4])}) > 1


def test_draws_do_not_depend_on_the_batch(prompts) -> None:
    params, sampling = random_params(LLAMA), Sampling(temperature=1.0, top_p=0.9)
    options = {"stop": NO_STOP, "max_new_tokens": 6, "sampling": sampling}
    whole = generate(DECODER, params, *prompts, key=jax.random.key(7), **options)
    tokens, lengths = prompts
    read = PREFILL(DECODER, params, tokens[2:], lengths[2:], room=6)
    alone = continue_streams(
        DECODER, params, read, jax.random.key(7), streams=jnp.asarray([2]), **options
    )
    np.testing.assert_array_equal(alone.tokens[0], whole.tokens[2])


def test_top_p_keeps_the_likeliest_tokens() -> None:
    shares = np.array([0.5, 0.3, 0.15, 0.05])
    logits = jnp.tile(jnp.log(jnp.asarray(shares, jnp.float32))[None], (4000, 1))
    keys = jax.random.split(jax.random.key(0), 4000)
    drawn, log_probs = choose_tokens(
        logits, keys, jnp.int32(0), Sampling(temperature=1.0, top_p=0.6)
    )
    counts = np.bincount(np.asarray(drawn), minlength=4)
    assert counts[2] == counts[3] == 0
    # a share of 5/8 among 4,000 draws: five standard deviations
    assert abs(counts[0] / 4000 - 0.625) < 5 * np.sqrt(0.625 * 0.375 / 4000)
    np.testing.assert_allclose(log_probs, np.log(shares)[np.asarray(drawn)], rtol=1e-6)


def test_a_sampling_that_cannot_be_is_refused(prompts) -> None:
    with pytest.raises(ValueError, match="temperature"):
        Sampling(temperature=-1.0)
    with pytest.raises(ValueError, match="top_p=0"):
        Sampling(top_p=0.0)
    with pytest.raises(ValueError, match="key=None"):
        write(prompts, sampling=Sampling(temperature=1.0))
    with pytest.raises(ValueError, match="positions=34"):
        write(prompts, max_new_tokens=27)
    assert GREEDY.temperature == 0
