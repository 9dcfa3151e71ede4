"""The carry's memory formats."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quant.carry import CarryStore, KVStore, carry_store, carry_store_on_host, kv_store
from quant.scheme import CarryPrecision, parse
from tests.support.decoders import LLAMA
from tests.support.oracles import grid as oracle
from trm_jax.decoder.kv_cache import FLOAT_STORE, bytes_per_token
from trm_jax.models.recursion import identity
from trm_jax.types import Latents


def latents(dtype=jnp.float32) -> Latents:
    z = np.random.default_rng(0).normal(size=(2, 2, 3, 8))
    z[0, 0, 0] = 0.0
    return Latents(*jnp.asarray(z, dtype))


@pytest.mark.parametrize(
    ("precision", "bits"), [(CarryPrecision.INT8, 8), (CarryPrecision.INT16, 16)]
)
def test_integer_carries_have_a_scale_per_token(precision, bits):
    before, after = latents(), CarryStore(precision)(latents())
    for z, got in zip(before, after, strict=True):
        rows = zip(np.asarray(z).reshape(-1, 8), np.asarray(got).reshape(-1, 8), strict=True)
        for token, back in rows:
            q, scale, _ = oracle.quantise_row(token.tolist(), bits, symmetric=True)
            # s and q*s in float32: three roundings
            np.testing.assert_allclose(back, np.array(q) * scale, rtol=3 * 2.0**-24)


def test_float_carries_are_casts():
    for precision, dtype in (
        (CarryPrecision.BF16, jnp.bfloat16),
        (CarryPrecision.FP16, jnp.float16),
    ):
        for z, got in zip(latents(), CarryStore(precision)(latents()), strict=True):
            np.testing.assert_array_equal(got, z.astype(dtype).astype(jnp.float32))


@pytest.mark.parametrize("name", ["carrybf16", "carryfp16", "carry16", "carry8"])
def test_storing_keeps_the_dtype_and_is_idempotent(name):
    store = carry_store(parse(f"fp32_{name}"))
    once = store(latents())
    # a second store finds the grid's own points, up to the ulp of a recomputed scale
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2.0**-22), store(once), once)
    assert all(z.dtype == jnp.bfloat16 for z in store(latents(jnp.bfloat16)))
    simulation = carry_store(parse(f"w4t-sym_{name}"))
    assert store == simulation
    assert hash(store) == hash(simulation)


def test_the_arithmetics_own_format_rounds_nothing():
    assert carry_store(parse("int4_naive")) is identity
    with pytest.raises(ValueError, match="rounds nothing"):
        CarryStore(CarryPrecision.ARITHMETIC)


@pytest.mark.parametrize("precision", [p for p in CarryPrecision if p.value])
def test_the_host_loop_rounds_to_the_same_bits(precision: CarryPrecision) -> None:
    z = np.random.default_rng(0).normal(size=(3, 5, 8)).astype(np.float32)
    z[0, 0] = 0
    z[1, 1] *= 1e4
    expected = CarryStore(precision).round(jnp.asarray(z))
    np.testing.assert_array_equal(carry_store_on_host(precision)(z), expected)


def test_a_kv_cache_of_int8_keeps_one_scale_per_token_and_head() -> None:
    heads = jax.random.normal(jax.random.key(0), (2, 3, 2, 8))
    stored = KVStore(CarryPrecision.INT8).encode(heads)
    assert stored.values.dtype == jnp.int8
    assert stored.scales is not None
    largest = np.abs(np.asarray(heads)).max(axis=-1)
    np.testing.assert_allclose(stored.scales, largest / 127, rtol=2.0**-22)  # two roundings
    decoded = KVStore(CarryPrecision.INT8).decode(stored, jnp.float32)
    half_step = largest[..., None] / 127 * 0.5 * (1 + 2.0**-20)
    assert (np.abs(np.asarray(decoded - heads)) <= half_step).all()


def test_a_decoder_with_an_int8_cache_writes_its_bytes() -> None:
    config = LLAMA
    store = kv_store(parse("w8c-sym_carry8"))
    # values of 2 layers, 2 kinds, 2 heads of 8; a float32 scale per head
    assert bytes_per_token(config, store) == 2 * 2 * 2 * (8 + 4)
    assert kv_store(parse("w8c-sym")) == FLOAT_STORE
