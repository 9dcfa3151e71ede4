"""Decoders under schemes: what changes, what a device stores, and what is refused."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from quant.affine import QTensor, dequantise
from quant.decoder.simulation import simulate_decoder
from quant.decoder.texts import CalibrationTexts, decoder_hessians, decoder_ranges, kernel_of
from quant.ptq.weights import quantise_kernel
from quant.scheme import Scheme, parse
from tests.support.decoders import LLAMA, QWEN, random_params, random_tokens
from trm_jax.decoder.kv_cache import FLOAT_STORE
from trm_jax.decoder.transformer import Decoder, token_positions
from trm_jax.types import Params


def texts(count: int = 5, config=LLAMA) -> CalibrationTexts:
    """Draw texts of unlike lengths."""
    tokens = np.array(random_tokens(config, (count, 12), seed=8))
    lengths = np.arange(4, 4 + count)
    tokens[np.arange(12)[None] >= lengths[:, None]] = 0
    return CalibrationTexts(tokens=tokens, lengths=lengths)


def kernels(tree: Params) -> dict[str, object]:
    flat = flatten_dict(tree, sep="/", is_leaf=lambda _, leaf: isinstance(leaf, QTensor))
    return {name: leaf for name, leaf in flat.items() if name.endswith("/kernel")}


def test_full_precision_changes_nothing() -> None:
    params, tokens = random_params(LLAMA), random_tokens(LLAMA, (2, 7))
    found = simulate_decoder(LLAMA, params, parse("fp32"))
    assert found.decoder == Decoder(LLAMA)
    np.testing.assert_array_equal(
        jax.jit(found.decoder.logits)(found.params, tokens),
        jax.jit(Decoder(LLAMA).logits)(params, tokens),
    )


def test_every_matrix_is_on_its_grid_the_tied_head_included() -> None:
    params = random_params(LLAMA)
    found = simulate_decoder(LLAMA, params, parse("w4c-sym"))
    stored = kernels(found.quantised)
    assert len(stored) == 7 * LLAMA.num_layers + 1
    for name, q in stored.items():
        site = name.removesuffix("/kernel")
        weights = parse("w4c-sym").weights
        assert weights is not None
        alone = quantise_kernel(kernel_of(params, site), weights)
        np.testing.assert_array_equal(q.qvalue, alone.qvalue)
        np.testing.assert_array_equal(kernel_of(found.params, site), dequantise(alone))


def test_an_int8_cache_is_read_by_what_follows() -> None:
    params, tokens = random_params(LLAMA), random_tokens(LLAMA, (2, 7))
    found = simulate_decoder(LLAMA, params, parse("fp32_carry8"))
    assert found.decoder.store != FLOAT_STORE

    def last(decoder: Decoder) -> np.ndarray:
        cache = decoder.empty_cache(batch_size=2, positions=7)
        extend = jax.jit(decoder.extend)
        hidden, _ = extend(params, tokens, token_positions(tokens), cache)
        return np.asarray(hidden[:, -1])

    exact, rounded = last(Decoder(LLAMA)), last(found.decoder)
    difference = np.linalg.norm(exact - rounded) / np.linalg.norm(exact)
    # half a step of 1/127 in keys and values, and layers that amplify it at most tenfold
    assert 0 < difference < 10 * 0.5 / 127


def test_ranges_are_those_of_the_tokens_without_padding() -> None:
    params, some = random_params(QWEN), texts(config=QWEN)
    found = decoder_ranges(QWEN, params, some)
    states, seen = jax.jit(Decoder(QWEN).hidden), {}
    for tokens, length in zip(some.tokens, some.lengths, strict=True):
        hidden = states(params, jnp.asarray(tokens[None, :length], jnp.int32))
        seen.setdefault("lm_head", []).append(np.asarray(hidden))
    values = np.concatenate([x.reshape(-1, QWEN.hidden_size) for x in seen["lm_head"]])
    low, high = found["lm_head"].input
    # the same sums in batches of another size: a few roundings
    np.testing.assert_allclose([low, high], [values.min(), values.max()], rtol=1e-5)
    outputs = values @ np.asarray(kernel_of(params, "lm_head"))
    np.testing.assert_allclose(found["lm_head"].output, [outputs.min(), outputs.max()], rtol=1e-4)


def test_hessians_do_not_depend_on_the_batches() -> None:
    params, many = random_params(LLAMA), texts(8)
    together = decoder_hessians(LLAMA, params, many)
    parts = [
        decoder_hessians(
            LLAMA, params, CalibrationTexts(tokens=many.tokens[i:j], lengths=many.lengths[i:j])
        )
        for i, j in ((0, 3), (3, 8))
    ]
    assert set(together) == {name.removesuffix("/kernel") for name in kernels(params)}
    for site, whole in together.items():
        size = float(jnp.abs(whole).max())
        np.testing.assert_allclose(parts[0][site] + parts[1][site], whole, atol=1e-5 * size)


def output_error(scheme: Scheme, some: CalibrationTexts) -> float:
    """Sum the squared errors of all products on the texts, each by its Hessian."""
    params = random_params(LLAMA)
    hessians = decoder_hessians(LLAMA, params, some)
    found = simulate_decoder(LLAMA, params, scheme, some)
    total = 0.0
    for site, hessian in hessians.items():
        error = np.asarray(kernel_of(params, site) - kernel_of(found.params, site), np.float64)
        total += float(np.trace(error.T @ np.asarray(hessian, np.float64) @ error))
    return total


def test_gptq_changes_products_less_than_rounding_to_nearest() -> None:
    some = texts(8)
    assert output_error(parse("w3c-sym-gptq"), some) < 0.8 * output_error(parse("w3c-sym"), some)


def test_static_inputs_are_rounded_on_ranges_of_the_texts() -> None:
    params, some = random_params(LLAMA), texts()
    found = simulate_decoder(LLAMA, params, parse("w4c-sym_a16s_carry8"), some)
    assert set(found.ranges) == {name.removesuffix("/kernel") for name in kernels(params)}
    tokens = jnp.asarray(some.tokens[:, :4], jnp.int32)
    weights_only = simulate_decoder(LLAMA, params, parse("w4c-sym_carry8"))
    both = [
        np.asarray(jax.jit(each.decoder.logits)(each.params, tokens))
        for each in (found, weights_only)
    ]
    difference = np.abs(both[0] - both[1]).max() / np.abs(both[1]).max()
    # 16 bits: half a step of each product, of which 15 follow each other
    assert 0 < difference < 15 * 2.0**-14


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("w8c-sym_a8s_tflm", "leave _tflm"),
        ("w8c-sym_a8s-cells", "write w8c-sym_a8s"),
        ("w4c-sym-gptq-norm", "take -gptq"),
        ("w4c-sym-learned", "take -gptq"),
        ("w4t-sym[head=w4t-sym-learned]", "take -gptq"),
        ("w4c-sym-gptq", "calibrated on texts"),
        ("w4t-sym[L_level/layers_0/mlp/down_proj=w8t-sym]", "L_level/layers_0/mlp/down_proj"),
    ],
)
def test_schemes_of_recursion_are_refused(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        simulate_decoder(LLAMA, random_params(LLAMA), parse(name))


def test_texts_that_say_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="got 0 texts"):
        CalibrationTexts(tokens=np.zeros((0, 4), int), lengths=np.zeros(0, int))
    with pytest.raises(ValueError, match="the shortest of 0 tokens"):
        CalibrationTexts(tokens=np.zeros((1, 4), int), lengths=np.zeros(1, int))


def test_short_floats_are_the_arithmetic() -> None:
    found = simulate_decoder(LLAMA, random_params(LLAMA), parse("bf16"))
    assert found.decoder.config == dataclasses.replace(LLAMA, forward_dtype="bfloat16")
