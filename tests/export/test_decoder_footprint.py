"""Costs of decoders against counts by hand, token by token."""

import dataclasses

import jax
import numpy as np
import pytest

from export.footprint.decoder import decoder_footprint
from quant.scheme import parse
from tests.support.decoders import LLAMA, QWEN
from trm_jax.decoder.config import DecoderConfig
from trm_jax.decoder.transformer import Decoder

CONFIGS = pytest.mark.parametrize("config", [LLAMA, QWEN], ids=["llama", "qwen"])


def flops_by_hand(c: DecoderConfig, prompt: int, written: int) -> int:
    """Count multiply-accumulates token by token, twice."""
    q, kv = c.num_heads * c.head_dim, c.num_kv_heads * c.head_dim
    layer = c.hidden_size * (q + 2 * kv) + q * c.hidden_size
    layer += 3 * c.hidden_size * c.intermediate_size
    total = 0
    for token in range(prompt + written - 1):
        scores_and_values = 2 * c.num_heads * c.head_dim * (token + 1)
        total += c.num_layers * (layer + scores_and_values)
    return 2 * (total + written * c.hidden_size * c.vocab_size)


@CONFIGS
@pytest.mark.parametrize(("prompt", "written"), [(5, 1), (5, 4), (1, 9)])
def test_flops_are_those_of_every_token(config: DecoderConfig, prompt: int, written: int) -> None:
    work = decoder_footprint(config, parse("fp32")).work(prompt, written)
    # sums of whole numbers below 2**53, scaled once
    assert work.total == pytest.approx(1e-9 * flops_by_hand(config, prompt, written), rel=1e-12)


@CONFIGS
def test_bytes_are_those_of_the_stored_model(config: DecoderConfig) -> None:
    params = jax.eval_shape(Decoder(config).init, jax.random.key(0))
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    full = decoder_footprint(config, parse("fp32"))
    assert (full.num_parameters, full.total) == (count, 4 * count)
    table = 0 if config.tie_word_embeddings else 4 * config.vocab_size * config.hidden_size
    assert full.blocks + full.head == full.total - table
    assert full.head == 4 * config.hidden_size * config.vocab_size


def test_every_token_reads_the_blocks_and_the_head() -> None:
    found = decoder_footprint(LLAMA, parse("w8c-sym"))
    # one pass reads the prompt, and each token but the last is read once more
    expected = [found.blocks + found.head, 3 * found.blocks + 3 * found.head]
    np.testing.assert_array_equal(found.bytes_read(np.array([1, 3])), expected)


def test_state_is_the_cache_at_its_longest() -> None:
    each = 2 * 2 * 2 * (8 + 4)  # layers, keys and values, heads; 8 integers and a scale
    found = decoder_footprint(LLAMA, parse("w8c-sym_carry8"))
    got = found.state_bytes(np.array([5, 7]), np.array([1, 4]))
    np.testing.assert_array_equal(got, [5 * each, 10 * each])


def test_fewer_bits_take_fewer_bytes() -> None:
    wide = dataclasses.replace(LLAMA, intermediate_size=256)
    full, int8, int4 = (
        decoder_footprint(wide, parse(name)) for name in ("fp32", "w8t-sym", "w4t-sym")
    )
    gains = 5 * wide.hidden_size * 4  # five norms stay float32
    weights = (full.total - gains) // 4
    scales = 15 * 4  # of 15 matrices
    assert int8.total == weights + scales + gains
    assert int4.total == weights // 2 + scales + gains
