"""Layers and mixers against formulas written as loops, and their stated properties."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.oracles import recursion as oracle
from tests.support.samples import small
from trm_jax.config import Mixer, Positions, ReasonerConfig, TRMConfig
from trm_jax.models.attention import LONG, linear_attention, softmax_attention
from trm_jax.models.blocks import Level
from trm_jax.models.layers import (
    Dense,
    Embedding,
    SwiGLU,
    apply_rotary,
    combine,
    prefix_from_rows,
    rms_norm,
    rotary_tables,
)

EPS32 = 2.0**-24  # half an ulp: the relative error of one float32 rounding
RNG = np.random.default_rng(0)


def draw(*shape: int) -> jax.Array:
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


def assert_float32(ours: jax.Array, exact: np.ndarray, roundings: int) -> None:
    """Check what so many float32 roundings of numbers of this size allow at most."""
    atol = roundings * EPS32 * np.abs(exact).max()
    np.testing.assert_allclose(ours, exact, rtol=0, atol=atol)


def test_rms_norm_has_unit_mean_square_and_no_gain() -> None:
    x = draw(3, 7)
    exact = oracle.rms(np.asarray(x, np.float64), 1e-5)
    assert_float32(rms_norm(x, 1e-5), exact, roundings=12)  # 7 squares summed, rsqrt, product
    zero = rms_norm(jnp.zeros((2, 7)), 1e-5)
    np.testing.assert_array_equal(zero, np.zeros((2, 7)))


def test_rms_norm_of_bfloat16_is_computed_in_float32_and_rounded_once() -> None:
    x = draw(4, 512).astype(jnp.bfloat16)
    y = rms_norm(x, 1e-5)
    once = rms_norm(x.astype(jnp.float32), 1e-5).astype(jnp.bfloat16)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_array_equal(np.asarray(y, np.float32), np.asarray(once, np.float32))


def test_rotary_angles() -> None:
    cos, sin = rotary_tables(20, 8, 10_000.0)
    assert cos.shape == sin.shape == (20, 4)
    angle = np.array([[p * 10_000.0 ** (-2 * i / 8) for i in range(4)] for p in range(20)])
    # the float32 angle (up to 19) is off by a few of its own ulps, and so is its cosine
    np.testing.assert_allclose(cos, np.cos(angle), rtol=0, atol=4 * 19 * EPS32)
    np.testing.assert_allclose(sin, np.sin(angle), rtol=0, atol=4 * 19 * EPS32)


def test_rotation_equals_loop_and_shows_only_distances() -> None:
    q, k = draw(8), draw(8)
    cos, sin = rotary_tables(30, 8, 10_000.0)

    def everywhere(x: jax.Array) -> np.ndarray:
        return np.asarray(apply_rotary(jnp.tile(x, (1, 30, 1, 1)), cos, sin)[0, :, 0])

    exact = np.stack([oracle.rotate(np.asarray(q, np.float64), p, 10_000.0) for p in range(30)])
    tolerance = 8 * 30 * EPS32 * np.abs(exact).max()  # angles up to 29, a few ulps each
    np.testing.assert_allclose(everywhere(q), exact, rtol=0, atol=tolerance)
    scores = everywhere(q) @ everywhere(k).T
    for distance in (0, 3, 11):
        along = np.diagonal(scores, offset=distance)
        np.testing.assert_allclose(along, along[0], rtol=0, atol=8 * tolerance)


def test_dense_names_its_site_and_uses_the_product_given() -> None:
    sites = []

    def spy(site: str):
        sites.append(site)
        return lambda x, w, dims: 2 * jax.lax.dot_general(x, w, dims)

    layer = SwiGLU(6, dot_general=spy, name="mlp")
    params = {"gate_up_proj": {"kernel": draw(4, 12)}, "down_proj": {"kernel": draw(6, 4)}}
    layer.apply({"params": params}, draw(3, 4))
    assert sites == ["gate_up_proj", "down_proj"]
    x, kernel = draw(3, 4), draw(4, 2)
    y = Dense(2, dot_general=spy).apply({"params": {"kernel": kernel}}, x)
    np.testing.assert_array_equal(y, 2 * (x @ kernel))


def test_dense_casts_float32_masters_to_the_activations_and_adds_the_bias() -> None:
    params = {"kernel": draw(8, 3), "bias": draw(3)}
    x = draw(5, 8).astype(jnp.bfloat16)
    y = Dense(3, use_bias=True).apply({"params": params}, x)
    assert y.dtype == jnp.bfloat16
    kernel, bias = (np.asarray(v.astype(jnp.bfloat16), np.float64) for v in params.values())
    exact = np.asarray(x, np.float64) @ kernel
    # rounded to bfloat16 (half an ulp is 2^-9 of the number) after the product, after the sum
    atol = 2.0**-8 * (np.abs(exact) + np.abs(exact + bias)).max()
    np.testing.assert_allclose(np.asarray(y, np.float64), exact + bias, rtol=0, atol=atol)


def test_dense_shows_its_input_on_request() -> None:
    x = draw(2, 4)
    variables = {"params": {"kernel": draw(4, 3)}}
    _, state = Dense(3).apply(variables, x, mutable=["intermediates"])
    np.testing.assert_array_equal(state["intermediates"]["input"][0], x)


def test_swiglu_equals_formula_with_the_gate_first() -> None:
    params = {"gate_up_proj": {"kernel": draw(4, 12)}, "down_proj": {"kernel": draw(6, 4)}}
    x = draw(3, 4)
    exact = oracle.swiglu(np.asarray(x, np.float64), oracle.to_float64(params))
    ours = SwiGLU(6).apply({"params": params}, x)
    size = np.abs(params["down_proj"]["kernel"]).max()
    assert_float32(ours, exact, roundings=int(40 * size))  # sums of 4 and 6, silu, products


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(softmax_attention, oracle.mix_softmax), (linear_attention, oracle.mix_linear)],
)
def test_attention_equals_loop(ours, theirs) -> None:
    q, k, v = (draw(2, 5, 3, 4) for _ in range(3))
    mixed = ours(q, k, v)
    for b in range(2):
        for head in range(3):
            exact = theirs(*(np.asarray(x[b, :, head], np.float64) for x in (q, k, v)))
            # weights are off by the roundings of a score of a few units; 5 of them are summed
            assert_float32(mixed[b, :, head], exact, roundings=64)


def test_long_sequences_are_attended_to_head_by_head() -> None:
    q, k, v = (draw(2, LONG, 2, 4) for _ in range(3))
    mixed = softmax_attention(q, k, v)
    for b in range(2):
        for head in range(2):
            exact = oracle.mix_softmax(*(np.asarray(x[b, :, head], np.float64) for x in (q, k, v)))
            # as above, and a sum of as many values as there are positions
            assert_float32(mixed[b, :, head], exact, roundings=64 + LONG)


@pytest.mark.slow
@pytest.mark.parametrize("mix", [softmax_attention, linear_attention])
def test_attention_is_an_average_and_keeps_the_dtype(mix) -> None:
    q, k = draw(1, 6, 2, 4), draw(1, 6, 2, 4)
    same = jnp.broadcast_to(draw(1, 1, 2, 4), (1, 6, 2, 4))
    assert_float32(mix(q, k, same), np.asarray(same), roundings=32)
    low = mix(*(x.astype(jnp.bfloat16) for x in (q, k, same)))
    assert low.dtype == jnp.bfloat16
    assert bool(jnp.isfinite(low).all())


@pytest.mark.parametrize("mix", [softmax_attention, linear_attention])
def test_attention_survives_large_activations(mix) -> None:
    # far below zero elu + 1 vanishes in float32: the feature map must not divide 0 by 0 there
    q, k, v = 300 * draw(1, 6, 2, 4), 300 * draw(1, 6, 2, 4), draw(1, 6, 2, 4)
    mixed = mix(q, k, v)
    assert bool(jnp.isfinite(mixed).all())
    assert np.abs(mixed).max() <= np.abs(v).max() * (1 + 32 * EPS32)


@pytest.mark.slow
@pytest.mark.parametrize("mixer", Mixer)
def test_attention_without_positions_commutes_with_permutations(mixer: Mixer) -> None:
    c = TRMConfig(**small(puzzle_emb_len=2, mixer=mixer, positions=Positions.NONE))
    level = Level(c, 1)
    h, order = draw(1, 6, 8), np.array([3, 0, 5, 1, 4, 2])
    params = jax.tree.map(
        lambda x: draw(*x.shape), jax.eval_shape(level.init, jax.random.key(0), h, h)
    )
    straight, permuted = (level.apply(params, x, x) for x in (h, h[:, order]))
    same = np.allclose(straight[:, order], permuted, rtol=0, atol=1e-4)
    assert same == (mixer is not Mixer.MLP)  # the MLP's weights tell positions apart


def config(**changes: object) -> ReasonerConfig:
    return TRMConfig(**small(**{"puzzle_emb_len": 3, "puzzle_emb_ndim": 12, **changes}))


def test_prefix_holds_the_row_then_zeros() -> None:
    prefix = prefix_from_rows(draw(2, 12), config())
    assert prefix.shape == (2, 3, 8)
    np.testing.assert_array_equal(prefix.reshape(2, 24)[:, 12:], np.zeros((2, 12)))


@pytest.mark.parametrize("learned", [False, True])
def test_injection_in_bfloat16_is_scaled_in_float32_and_rounded_once(learned: bool) -> None:
    c = config(forward_dtype="bfloat16")
    tokens, rows, positions = draw(2, 4, 8), draw(2, 12), draw(7, 8)
    e = combine(tokens, rows, positions if learned else None, c)
    assert e.dtype == jnp.bfloat16

    def rounded(x: np.ndarray) -> np.ndarray:
        return np.asarray(jnp.asarray(x, jnp.float32).astype(jnp.bfloat16), np.float32)

    flat = np.pad(np.asarray(rows), ((0, 0), (0, 12))).reshape(2, 3, 8)
    exact = rounded(np.concatenate([flat, tokens], axis=1))
    if learned:
        both = rounded(exact + rounded(np.asarray(positions)))
        exact = rounded(np.float32(math.sqrt(0.5)) * both)
    np.testing.assert_array_equal(
        np.asarray(e, np.float32), rounded(np.float32(math.sqrt(8)) * exact)
    )


def test_embedding_initialises_with_one_over_sqrt_width() -> None:
    layer = Embedding(4000, 16)
    variables = layer.init(jax.random.key(0), jnp.zeros((1,), jnp.int32))
    table = np.asarray(variables["params"]["embedding"])
    # 64,000 draws: the standard deviation of their standard deviation is below 0.3 %
    assert table.std() == pytest.approx(1 / 4, rel=0.015)
    assert np.abs(table).max() <= 2 / 4 / 0.8796 + 1e-6  # cut at two sigma of the parent
    picked = layer.apply(variables, jnp.array([[3, 3999]]))
    np.testing.assert_array_equal(picked[0], table[[3, 3999]])


@pytest.mark.slow
def test_a_product_over_the_first_axis_is_one_over_the_last() -> None:
    x = jnp.asarray(np.random.default_rng(3).normal(size=(5, 2, 3)), jnp.float32)
    moved = jnp.moveaxis(x, 0, -1)
    variables = SwiGLU(6).init(jax.random.key(0), moved)
    first, state = SwiGLU(6, axis=0).apply(variables, x, mutable=["intermediates"])
    # two products of at most 6 terms and a sigmoid, in another order: some 2^-24 each
    np.testing.assert_allclose(
        jnp.moveaxis(first, 0, -1), SwiGLU(6).apply(variables, moved), rtol=1e-5, atol=1e-6
    )
    sown = state["intermediates"]["gate_up_proj"]["input"][0]
    np.testing.assert_array_equal(sown, moved)
    np.testing.assert_allclose(
        rms_norm(x, 1e-5, axis=0), jnp.moveaxis(rms_norm(moved, 1e-5), -1, 0), rtol=1e-6
    )
