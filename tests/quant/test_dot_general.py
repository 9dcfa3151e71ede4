"""AQT and Qwix against the grid, products against NumPy, straight-through gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import qwix
from aqt.jax.v2 import aqt_quantizer

from quant.affine import (
    WEIGHT_BITS,
    Grid,
    Range,
    Symmetry,
    calibrate,
    dequantise,
    quantise,
    scale_zero_point,
)
from quant.dot_general import aqt_fake_quantise, qat_dot_general, site_dot_general
from quant.ptq.weights import quantise_kernel
from quant.scheme import parse
from tests.support.oracles import grid as oracle
from trm_jax.models.layers import SwiGLU, exact_dot_general

EPS = 2.0**-24
SITE = "L_level/layers_0/mlp/down_proj"
RANGES = {SITE: (-2.0, 3.0)}
LAST_WITH_FIRST = (((2,), (0,)), ((), ()))


def data(seed: int = 0) -> tuple[jax.Array, jax.Array]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3, 7, 33)).astype(np.float32)
    x[0, 0] = 0.0
    x[0, 1] = np.abs(x[0, 1])
    return jnp.asarray(x), jnp.asarray(rng.normal(size=(33, 5)).astype(np.float32))


def on_grid(x, grid: Grid):
    return quantise(x, scale_zero_point(calibrate(x, grid), grid), grid)


@pytest.mark.slow
@pytest.mark.parametrize("axes", [(), (2,), (0, 1)], ids=["tensor", "channel", "row"])
@pytest.mark.parametrize("bits", WEIGHT_BITS)
def test_aqt_equals_the_grid_bit_for_bit(bits, axes):
    x, _ = data(bits)
    grid = Grid(bits=bits, channel_axes=axes)
    both = lambda a: (aqt_fake_quantise(a, grid), dequantise(on_grid(a, grid)))  # noqa: E731
    ours, theirs = jax.jit(both)(x)
    np.testing.assert_array_equal(theirs, ours)
    if bits == 4:  # eager as well
        np.testing.assert_array_equal(aqt_fake_quantise(x, grid), ours)


@pytest.mark.parametrize("bits", WEIGHT_BITS)
def test_aqts_own_scales(bits):
    """`preserve_max_val` gives the grid's scale; the default is amax/(q_max + 1/2)."""
    _, w = data(bits)
    q_max = 2 ** (bits - 1) - 1
    amax = np.abs(np.asarray(w)).max(0, keepdims=True)
    for preserve, divisor in ((True, q_max), (False, q_max + 0.5)):
        quantizer = aqt_quantizer.quantizer_make(bits, preserve_max_val=preserve)
        scale = quantizer.calibrate(w, calibration_axes=(0,)).scale[0]
        # XLA divides by a constant as a product with its rounded reciprocal
        np.testing.assert_allclose(scale, amax / divisor, rtol=2 * EPS)


def integers_agree(ours, theirs, x, scale):
    """Equal integers, but for float32's freedom at ties."""
    x, scale = (np.broadcast_to(np.asarray(a), x.shape).ravel().tolist() for a in (x, scale))
    pairs = zip(np.ravel(ours).tolist(), np.ravel(theirs).tolist(), x, scale, strict=True)
    return all(a == b or (abs(a - b) == 1 and oracle.near_tie(v, s)) for a, b, v, s in pairs)


@pytest.mark.parametrize("axes", [(), (1,)], ids=["tensor", "channel"])
def test_qwix_agrees_on_symmetric_grids(axes):
    _, w = data(1)
    for bits, qtype in ((8, jnp.int8), (4, jnp.int4), (3, "int3"), (2, "int2")):
        ours = on_grid(w, Grid(bits=bits, channel_axes=axes))
        # Qwix divides amax by q_max + 1/2: stretch its range by that much over q_max
        stretch = (ours.grid.q_max + 0.5) / ours.grid.q_max
        theirs = qwix.quantize(
            w, qtype, channelwise_axes=axes, calibration_method=f"absmax,{stretch}"
        )
        # stretch, product, quotient: three roundings
        np.testing.assert_allclose(ours.scale, theirs.scale, rtol=4 * EPS)
        assert integers_agree(ours.qvalue, theirs.qvalue.astype(jnp.int32), w, ours.scale)


@pytest.mark.slow
@pytest.mark.parametrize("axes", [(), (1,)], ids=["tensor", "channel"])
def test_qwix_agrees_on_asymmetric_grids(axes):
    _, w = data(2)
    w = w.at[:, 0].set(jnp.abs(w[:, 0]) + 1.0)  # a one-sided channel
    for bits, qtype in ((8, jnp.int8), (4, jnp.int4)):
        ours = on_grid(w, Grid(bits=bits, symmetry=Symmetry.ASYMMETRIC, channel_axes=axes))
        theirs = qwix.quantize(w, qtype, channelwise_axes=axes, calibration_method="minmax")
        shift = 2 ** (bits - 1)  # theirs is the signed form of the same levels
        np.testing.assert_allclose(ours.scale, theirs.scale, rtol=4 * EPS)
        np.testing.assert_array_equal(ours.zero_point, theirs.zero_point.astype(jnp.int32) + shift)
        signed = theirs.qvalue.astype(jnp.int32)
        assert integers_agree(ours.qvalue, signed + shift, w, ours.scale)


WEIGHT_NAMES = ["w4t-sym", "w8c-sym", "w4c-asym", "w3c-sym-mse", "fp32"]
ACTIVATION_NAMES = {
    "": None,
    "_a8d": Grid(bits=8, channel_axes=(0, 1)),
    "_a8da": Grid(bits=8, symmetry=Symmetry.ASYMMETRIC, channel_axes=(0, 1)),
    "_a8s": Grid(bits=8, symmetry=Symmetry.ASYMMETRIC),
    "_a16s": Grid(bits=16),
}


def quantised_inputs(x, suffix: str):
    grid = ACTIVATION_NAMES[suffix]
    if grid is None:
        return x
    span = Range(*map(jnp.float32, RANGES[SITE])) if suffix.endswith("s") else calibrate(x, grid)
    return dequantise(quantise(x, scale_zero_point(span, grid), grid))


PAIRS = [(w, "") for w in WEIGHT_NAMES] + [("w4t-sym", a) for a in ACTIVATION_NAMES if a]


@pytest.mark.slow
@pytest.mark.parametrize(("weights", "suffix"), [*PAIRS, ("w4c-asym", "_a8d"), ("fp32", "_a16s")])
def test_products_and_gradients_are_those_of_the_quantised_operands(weights, suffix):
    scheme = parse(weights + suffix)
    x, w = data()
    product = qat_dot_general(scheme, RANGES)(SITE)
    g = jnp.asarray(np.random.default_rng(3).normal(size=(3, 7, 5)), jnp.float32)
    y, pull = jax.vjp(lambda a, b: product(a, b, LAST_WITH_FIRST), x, w)
    dx, dw = pull(g)

    x_q = np.asarray(quantised_inputs(x, suffix), np.float64)
    w_q = np.asarray(
        dequantise(quantise_kernel(w, scheme.weights)) if scheme.weights else w, np.float64
    )
    # float32 sums of at most 33 products: 34 roundings of the sum of magnitudes
    near = functools.partial(np.testing.assert_allclose, rtol=0)
    near(y, x_q @ w_q, atol=34 * EPS * np.max(np.abs(x_q) @ np.abs(w_q)))
    inside = np.ones(x.shape, bool)
    if suffix.endswith("s"):  # static ranges saturate: no gradient half a step beyond them
        step = 5 / 255 if suffix == "_a8s" else 3 / 32767
        inside = np.abs(np.asarray(x) - x_q) <= 0.501 * step
    g64 = np.asarray(g, np.float64)
    near(dx, (g64 @ w_q.T) * inside, atol=34 * EPS * np.max(np.abs(g64) @ np.abs(w_q.T)))
    expected_dw = np.einsum("bsi,bso->io", x_q, g64)
    bound = 34 * EPS * np.max(np.einsum("bsi,bso->io", np.abs(x_q), np.abs(g64)))
    if weights.endswith("mse"):  # clipped weights saturate
        q = np.abs(np.asarray(dequantise(quantise_kernel(w, scheme.weights))))
        saturated = (q == q.max(0, keepdims=True)) & (np.abs(w) > 7 / 6 * q)
        expected_dw = np.where(saturated, 0, expected_dw)
    near(dw, expected_dw, atol=bound)


def test_deployed_products_take_kernels_as_they_come():
    x, w = data()
    y = site_dot_general(parse("w4t-sym_a8d"))(SITE)(x, w, LAST_WITH_FIRST)
    x_q = np.asarray(quantised_inputs(x, "_a8d"), np.float64)
    bound = 34 * EPS * np.max(np.abs(x_q) @ np.abs(np.asarray(w)))
    np.testing.assert_allclose(y, x_q @ np.asarray(w, np.float64), rtol=0, atol=bound)
    assert site_dot_general(parse("w4t-sym")) is exact_dot_general


def test_bfloat16_operands_are_quantised_in_float32():
    x, w = (a.astype(jnp.bfloat16) for a in data())
    product = qat_dot_general(parse("w8c-sym_a8d"))(SITE)
    y = product(x, w, LAST_WITH_FIRST)
    wide = product(x.astype(jnp.float32), w.astype(jnp.float32), LAST_WITH_FIRST)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_array_equal(y, wide.astype(jnp.bfloat16))
    kept = product(x, w, LAST_WITH_FIRST, preferred_element_type=jnp.float32)
    np.testing.assert_array_equal(kept, wide)


def test_equal_schemes_are_one_static_argument():
    first, second = (qat_dot_general(parse("w4t-sym_a8s"), dict(RANGES)) for _ in "ab")
    assert first == second
    assert hash(first) == hash(second)


def test_misuse_is_explained():
    x, w = data()
    with pytest.raises(ValueError, match=r"w4t-sym_a8s has static activations.*got none"):
        site_dot_general(parse("w4t-sym_a8s"))
    with pytest.raises(ValueError, match=r"no calibrated range for 'lm_head'; calibrated .*down"):
        site_dot_general(parse("w4t-sym_a8s"), RANGES)("lm_head")(x, w, LAST_WITH_FIRST)
    with pytest.raises(ValueError, match="inputs, outputs"):
        site_dot_general(parse("w4t-sym_a8d"))(SITE)(x, w.T, (((2,), (1,)), ((), ())))


def test_layers_run_and_train_on_quantised_products():
    x = data()[0][..., :8]
    rng = np.random.default_rng(0)
    shapes = {"gate_up_proj": (8, 8), "down_proj": (4, 8)}
    params = {
        name: {"kernel": jnp.asarray(rng.normal(size=s) / 3, jnp.float32)}
        for name, s in shapes.items()
    }
    ranges = {"gate_up_proj": (-4.0, 4.0), "down_proj": (-4.0, 4.0)}

    @functools.partial(jax.jit, static_argnums=1)
    def run_and_differentiate(params, products):
        def loss(p):
            y = SwiGLU(inner=4, dot_general=products).apply({"params": p}, x)
            return jnp.sum(y**2), y

        return jax.grad(loss, has_aux=True)(params)

    _, exact = run_and_differentiate(params, exact_dot_general)
    gradient, y = run_and_differentiate(params, qat_dot_general(parse("w8c-asym_a8d"), ranges))
    # eight bits keep most of the signal, and something must have changed
    assert 0 < float(jnp.max(jnp.abs(y - exact))) < 0.1 * float(jnp.max(jnp.abs(exact)))
    assert all(float(jnp.max(jnp.abs(leaf))) > 0 for leaf in jax.tree.leaves(gradient))
