"""The decoder against NumPy loops, cached against uncached, adapters against merged ones."""

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.decoders import LLAMA, QWEN, random_params, random_tokens
from tests.support.oracles import decoder as oracle
from trm_jax.decoder.config import DecoderConfig, decoder_from_dict, decoder_to_dict
from trm_jax.decoder.kv_cache import FLOAT_STORE, bytes_per_token, cache_bytes
from trm_jax.decoder.lora import (
    AdaptedRows,
    Adapters,
    LoraConfig,
    LowRank,
    init_adapters,
    merge_adapters,
)
from trm_jax.decoder.transformer import Decoder, token_positions

CONFIGS = pytest.mark.parametrize("config", [LLAMA, QWEN], ids=["llama", "qwen"])


def logits_of(config: DecoderConfig) -> Callable[..., jax.Array]:
    """Compile the logits of a decoder."""
    return jax.jit(Decoder(config).logits)


def close(got: object, expected: object, config: DecoderConfig) -> None:
    """Compare float32 logits.

    A product over K terms rounds by about sqrt(K) half-ulps; a layer has seven in a row, of which
    the head adds one more, and independent errors of layers add up at most linearly.
    """
    ulps = (7 * config.num_layers + 1) * np.sqrt(config.intermediate_size)
    size = np.abs(np.asarray(expected)).max()
    np.testing.assert_allclose(got, expected, rtol=0, atol=float(ulps * 2.0**-24 * size))


@CONFIGS
def test_logits_are_those_of_plain_loops(config: DecoderConfig) -> None:
    params, tokens = random_params(config), random_tokens(config, (3, 11))
    got = logits_of(config)(params, tokens)
    for stream, row in zip(got, tokens, strict=True):
        close(stream, oracle.logits(params, config, np.asarray(row)), config)


@CONFIGS
def test_the_oracle_tells_a_wrong_rotation_and_wrong_groups(config: DecoderConfig) -> None:
    params, tokens = random_params(config), random_tokens(config, (1, 11))
    got = np.asarray(logits_of(config)(params, tokens))[0]
    wrong = dataclasses.replace(config, rope_theta=100.0)
    with pytest.raises(AssertionError):
        close(got, oracle.logits(params, wrong, np.asarray(tokens[0])), config)


@CONFIGS
def test_a_token_sees_none_behind_it(config: DecoderConfig) -> None:
    params, tokens = random_params(config), random_tokens(config, (2, 9))
    logits = logits_of(config)
    changed = tokens.at[:, 6:].set(random_tokens(config, (2, 3), seed=1))
    before, after = logits(params, tokens), logits(params, changed)
    np.testing.assert_array_equal(before[:, :6], after[:, :6])
    assert not np.array_equal(before[:, 6:], after[:, 6:])


@CONFIGS
def test_with_a_cache_in_pieces_the_states_are_the_same(config: DecoderConfig) -> None:
    decoder, params = Decoder(config), random_params(config)
    tokens = random_tokens(config, (2, 10))
    whole = logits_of(config)(params, tokens)
    cache = decoder.empty_cache(batch_size=2, positions=16)
    at, parts, extend = token_positions(tokens), [], jax.jit(decoder.extend)
    for first, end in ((0, 4), (4, 5), (5, 6), (6, 10)):
        piece = slice(first, end)
        hidden, cache = extend(params, tokens[:, piece], at[:, piece], cache)
        parts.append(decoder.read_out(params, hidden))
    close(jnp.concatenate(parts, axis=1), whole, config)


def test_streams_of_unlike_lengths_do_not_touch_each_other() -> None:
    decoder, params = Decoder(LLAMA), random_params(LLAMA)
    tokens = random_tokens(LLAMA, (2, 8))
    cache = decoder.empty_cache(batch_size=2, positions=12)
    extend = jax.jit(decoder.extend)
    hidden, cache = extend(params, tokens, token_positions(tokens), cache)
    following = random_tokens(LLAMA, (2, 1), seed=2)
    at = jnp.asarray([[3], [8]], jnp.int32)  # the first stream goes on behind its third token
    hidden, _ = extend(params, following, at, cache)
    got = decoder.read_out(params, hidden)[:, 0]
    for row, (length, logits) in enumerate(zip((3, 8), got, strict=True)):
        alone = jnp.concatenate([tokens[row, :length], following[row]])
        close(logits, oracle.logits(params, LLAMA, np.asarray(alone))[-1], LLAMA)


def test_cache_bytes() -> None:
    # keys and values, 2 layers, 2 heads of 8 float32
    assert bytes_per_token(LLAMA, FLOAT_STORE) == 2 * 2 * 2 * 8 * 4
    cache = Decoder(LLAMA).empty_cache(batch_size=3, positions=5)
    assert cache_bytes(cache) == 15 * bytes_per_token(LLAMA, FLOAT_STORE)


@pytest.mark.parametrize("positions", [0, 33])
def test_a_cache_beyond_the_model_is_refused(positions: int) -> None:
    with pytest.raises(ValueError, match=f"positions={positions}"):
        Decoder(LLAMA).empty_cache(batch_size=1, positions=positions)


def drawn_adapters(config: LoraConfig) -> Adapters:
    """Draw adapters that change something: B is zero at first."""
    adapters = init_adapters(jax.random.key(1), random_params(QWEN), config)
    rng = np.random.default_rng(3)
    return {
        site: LowRank(pair.A, jnp.asarray(0.1 * rng.normal(size=pair.B.shape), jnp.float32))
        for site, pair in adapters.items()
    }


LORA = LoraConfig(rank=3, alpha=6.0)
SCALE = jnp.float32(LORA.scale)


def test_every_matrix_has_an_adapter_and_new_ones_change_nothing() -> None:
    params, tokens = random_params(QWEN), random_tokens(QWEN, (2, 7))
    adapters = init_adapters(jax.random.key(0), params, LORA)
    assert len(adapters) == 7 * QWEN.num_layers + 1
    logits, adapted = logits_of(QWEN), AdaptedRows(adapters, SCALE)
    np.testing.assert_array_equal(logits(params, tokens, adapted=adapted), logits(params, tokens))


def test_adapters_everywhere_are_merged_kernels() -> None:
    params, tokens = random_params(QWEN), random_tokens(QWEN, (2, 7))
    adapters, logits = drawn_adapters(LORA), logits_of(QWEN)
    merged = logits(merge_adapters(params, adapters, LORA), tokens)
    adapted = logits(params, tokens, adapted=AdaptedRows(adapters, SCALE))
    close(adapted, merged, QWEN)
    assert not np.allclose(merged, logits(params, tokens), atol=0.1)


def test_masked_adapters_leave_the_prompt_and_its_cache_alone() -> None:
    params, tokens = random_params(QWEN), random_tokens(QWEN, (2, 9))
    decoder, adapters = Decoder(QWEN), drawn_adapters(LORA)
    rows = jnp.broadcast_to(jnp.arange(9)[None] >= 5, (2, 9))
    logits, extend = logits_of(QWEN), jax.jit(decoder.extend)
    masked = logits(params, tokens, adapted=AdaptedRows(adapters, SCALE, rows))
    np.testing.assert_array_equal(masked[:, :5], logits(params, tokens)[:, :5])

    at = token_positions(tokens)
    base = decoder.empty_cache(batch_size=2, positions=9)
    _, base = extend(params, tokens[:, :5], at[:, :5], base)
    hidden, _ = extend(params, tokens[:, 5:], at[:, 5:], base, adapted=AdaptedRows(adapters, SCALE))
    shared = decoder.read_out(params, hidden, adapted=AdaptedRows(adapters, SCALE))
    close(shared, masked[:, 5:], QWEN)


def test_dropout_drops_inputs_of_adapters_alone() -> None:
    params, tokens = random_params(QWEN), random_tokens(QWEN, (2, 7))
    adapters = drawn_adapters(LORA)

    @partial(jax.jit, static_argnums=1)
    def logits(key: int, share: float) -> jax.Array:
        adapted = AdaptedRows(adapters, SCALE, dropout=(jax.random.key(key), share))
        return Decoder(QWEN).logits(params, tokens, adapted=adapted)

    assert not np.allclose(logits(0, 0.5), logits(1, 0.5))
    np.testing.assert_array_equal(logits(0, 0.0), logits(1, 0.0))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"head_dim": 7}, "head_dim=7"),
        ({"num_kv_heads": 3}, "num_kv_heads=3"),
        ({"vocab_size": 0}, "vocab_size=0"),
        ({"rope_theta": float("nan")}, "rope_theta=nan"),
        ({"forward_dtype": "int8"}, "int8"),
    ],
)
def test_impossible_sizes_are_refused(changes: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        dataclasses.replace(LLAMA, **changes)


def test_configurations_come_back_from_json() -> None:
    assert decoder_from_dict(decoder_to_dict(QWEN)) == QWEN
    with pytest.raises(ValueError, match="'trm'"):
        decoder_from_dict({**decoder_to_dict(QWEN), "architecture": "trm"})


@pytest.mark.parametrize("changes", [{"rank": 0}, {"alpha": 0.0}, {"dropout": 1.0}])
def test_impossible_adapters_are_refused(changes: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        LoraConfig(**{"rank": 4, "alpha": 8.0, **changes})
