"""The grid against float64 loops, and the properties its docstring promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quant.affine import (
    BITS,
    CLIP_FACTORS,
    WEIGHT_BITS,
    Affine,
    Clipping,
    Grid,
    QTensor,
    Range,
    Symmetry,
    calibrate,
    dequantise,
    fake_quantise,
    quantise,
    round_to,
    scale_zero_point,
    validate,
    without_width,
)
from tests.support.oracles import grid as oracle
from tests.support.slow import slow_except

SYMMETRIES = list(Symmetry)
# largest relative error of a float32 operation
EPS = 2.0**-24


def run(x: np.ndarray, grid: Grid, clipping: Clipping = Clipping.MINMAX) -> QTensor:
    x = jnp.asarray(x, jnp.float32)
    return quantise(x, scale_zero_point(calibrate(x, grid, clipping), grid), grid)


def rows_of(x: np.ndarray, grid: Grid) -> list[np.ndarray]:
    """The groups of numbers that share a scale (2-d data, channel axis last)."""
    return [x[:, j] for j in range(x.shape[1])] if grid.channel_axes else [x.reshape(-1)]


def grids(bits: int) -> list[Grid]:
    return [
        Grid(bits=bits, symmetry=s, channel_axes=axes) for s in SYMMETRIES for axes in ((), (-1,))
    ]


FLOATS = st.floats(-1e6, 1e6, width=32, allow_subnormal=False)
SHAPES = st.sampled_from([(1, 1), (5, 3)])  # few, because every shape is compiled
MATRICES = hnp.arrays(np.float32, SHAPES, elements=FLOATS)
GRIDS = st.sampled_from([g for bits in BITS for g in grids(bits)])


@pytest.mark.slow
@pytest.mark.parametrize("bits", BITS)
def test_integers_are_those_of_the_float64_loop(bits):
    x = np.random.default_rng(bits).normal(size=(33, 5)).astype(np.float32)
    for grid in grids(bits):
        q = run(x, grid)
        validate(q)
        got = rows_of(np.asarray(q.qvalue), grid)
        scales, zeros = np.asarray(q.scale).reshape(-1), np.asarray(q.zero_point).reshape(-1)
        for row, ints, scale, zero in zip(rows_of(x, grid), got, scales, zeros, strict=True):
            expected, s, z = oracle.quantise_row(row.tolist(), bits, grid.is_symmetric)
            # two float32 roundings (subtract, divide)
            assert scale == pytest.approx(s, rel=2 * EPS)
            assert zero == z
            for value, a, b in zip(row.tolist(), ints.tolist(), expected, strict=True):
                assert a == b or (abs(a - b) == 1 and oracle.near_tie(value, s))


def test_the_papers_four_bit_formulas():
    """scale = max|w|/7; scale = (max-min)/15 with zp = round(-min/scale)."""
    w = np.array([[-1.0, 3.0], [0.5, -0.75], [0.25, 1.5]], np.float32)
    naive = run(w, Grid(bits=4))
    assert np.asarray(naive.scale).item() == np.float32(3) / np.float32(7)
    np.testing.assert_array_equal(naive.qvalue, [[-2, 7], [1, -2], [1, 4]])
    channel = run(w, Grid(bits=4, symmetry=Symmetry.ASYMMETRIC, channel_axes=(1,)))
    np.testing.assert_array_equal(channel.scale, np.float32([[0.1, 0.25]]))
    np.testing.assert_array_equal(channel.zero_point, [[10, 3]])
    # 0.25/0.1 = 2.5 is a tie and goes to the even 2; 0.5/0.1 = 5
    np.testing.assert_array_equal(channel.qvalue, [[0, 15], [15, 0], [12, 9]])


def test_ties_go_to_even():
    x = jnp.arange(-2.5, 3.0, 1.0)
    unit = Affine(jnp.ones((1,)), jnp.zeros((1,), jnp.int32))
    np.testing.assert_array_equal(quantise(x, unit, Grid(bits=4)).qvalue, [-2, -2, 0, 0, 2, 2])


@pytest.mark.parametrize("symmetry", SYMMETRIES)
@pytest.mark.parametrize("bits", WEIGHT_BITS)
def test_zero_one_sided_and_constant_rows(bits, symmetry):
    grid = Grid(bits=bits, symmetry=symmetry, channel_axes=(-1,))
    columns = [[0, 0, 0], [1, 2, 3], [-1, -2, -3], [5, 5, 5], [-5, -5, -5], [1e-42, 0, -1e-42]]
    x = np.array(columns, np.float32).T
    q = run(x, grid)
    validate(q)
    back = np.asarray(dequantise(q))
    half_step = np.asarray(q.scale) / 2
    # float32: (q - z) * s and the tie itself are off by an ulp of x each
    assert np.all(np.abs(back - x) <= half_step * (1 + 4 * EPS) + 4 * EPS * np.abs(x))
    np.testing.assert_array_equal(back[:, [0, 5]], 0)
    # a constant row is one level: only the roundings of s = 5/q_max and q*s remain
    np.testing.assert_allclose(back[:, 3:5], x[:, 3:5], rtol=2 * EPS)


def test_one_sided_rows_reach_the_end_of_the_grid():
    """The zero point stays on the grid and no level beyond the data is wasted on its side."""
    grid = Grid(bits=4, symmetry=Symmetry.ASYMMETRIC, channel_axes=(-1,))
    q = run(np.array([[1.0, -1.0], [3.0, -3.0]], np.float32), grid)
    np.testing.assert_array_equal(q.zero_point, [[0, 15]])
    np.testing.assert_array_equal(q.qvalue, [[5, 10], [15, 0]])


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(MATRICES, GRIDS)
def test_invariants_error_and_idempotence(x, grid):
    q = run(x, grid)
    validate(q)
    back = dequantise(q)
    again = quantise(back, Affine(q.scale, q.zero_point), grid)
    np.testing.assert_array_equal(again.qvalue, q.qvalue)
    # at most half a step, plus float32: x/s carries 4 relative roundings, (q-z)*s one
    bound = np.asarray(q.scale) / 2 + 8 * EPS * np.abs(x)
    tiny = np.finfo(np.float32).tiny * grid.q_max  # the zero rule
    assert np.all(np.abs(np.asarray(back) - x) <= bound + tiny)


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(np.float32, (9, 1), elements=FLOATS), GRIDS)
def test_monotone(x, grid):
    x = np.sort(x, axis=0)
    assert np.all(np.diff(np.asarray(run(x, grid).qvalue).astype(int), axis=0) >= 0)


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(MATRICES, GRIDS, st.sampled_from([2.0**-9, 0.5, 4.0]))
def test_powers_of_two_scale_through(x, grid, factor):
    """Scaling by a power of two is exact in float32, so the integers cannot move."""
    x = np.where(np.abs(x) < 1e-20, 0, x).astype(np.float32)  # stay clear of the zero rule
    np.testing.assert_array_equal(run(x, grid).qvalue, run(x * np.float32(factor), grid).qvalue)


@pytest.mark.parametrize("bits", slow_except([4, 8], 8))
def test_jit_equals_eager_and_numpy_bit_for_bit(bits):
    x = np.random.default_rng(0).normal(size=(129, 31)).astype(np.float32)
    for grid in grids(bits):
        eager, jitted = run(x, grid), jax.jit(lambda a, g=grid: run(a, g))(x)
        jax.tree.map(np.testing.assert_array_equal, eager, jitted)
        axes = (0,) if grid.channel_axes else (0, 1)
        low, high = x.min(axes, keepdims=True), x.max(axes, keepdims=True)
        reach = np.maximum(-low, high) if grid.is_symmetric else high - low
        scale = reach / np.float32(grid.q_max)
        inverse = np.float32(1) / scale
        zero = np.float32(0) if grid.is_symmetric else np.round(-low * inverse)
        expected = np.clip(np.round(x * inverse) + zero, grid.q_min, grid.q_max)
        np.testing.assert_array_equal(eager.scale, scale)
        np.testing.assert_array_equal(eager.qvalue, expected)


@pytest.mark.parametrize("bits", slow_except([2, 4]))
def test_mse_clipping_is_the_best_of_its_search(bits):
    x = np.random.default_rng(bits).standard_t(3, size=(65, 2)).astype(np.float32)
    for grid in grids(bits):
        clipped = np.asarray(dequantise(run(x, grid, Clipping.MSE)))
        for row, back in zip(rows_of(x, grid), rows_of(clipped, grid), strict=True):
            candidates = [
                oracle.squared_error(row.tolist(), c, bits, grid.is_symmetric) for c in CLIP_FACTORS
            ]
            loss = float(np.sum((row.astype(np.float64) - back) ** 2))
            # float32 sums of 130 squares, and integers that flip at ties (whose squared errors
            # are equal there): 130 * EPS relative, rounded up
            assert loss <= min(candidates) * (1 + 1e-4)
            assert loss <= candidates[0] * (1 + 1e-4)


def test_mse_clipping_of_a_gaussian_ternary_grid():
    """The best ternary step of a unit Gaussian is 1.224 (Max 1960, table 1, N=3)."""
    x = np.random.default_rng(0).normal(size=(100_000, 1)).astype(np.float32)
    span = calibrate(jnp.asarray(x), Grid(bits=2), Clipping.MSE)
    # the search moves in hundredths of max|x|, and the loss is flat to second order: two steps
    step = max(-float(span.low[0, 0]), float(span.high[0, 0]))
    assert step == pytest.approx(1.224, abs=2 * 0.01 * float(np.abs(x).max()))


def test_straight_through_gradient():
    grid = Grid(bits=4)
    affine = scale_zero_point(Range(jnp.float32(-1.0), jnp.float32(1.0)), grid)
    x = jnp.array([-2.0, -1.0, -0.3, 0.0, 0.7, 1.0, 1.5])
    weights = jnp.arange(1.0, 8.0)
    value, grad = jax.value_and_grad(lambda a: jnp.sum(weights * fake_quantise(a, affine, grid)))(x)
    np.testing.assert_array_equal(grad, [0, 2, 3, 4, 5, 6, 0])
    np.testing.assert_array_equal(
        fake_quantise(x, affine, grid), dequantise(quantise(x, affine, grid))
    )
    assert np.isfinite(value)


@pytest.mark.parametrize("bits", [0, 1, 9, 32])
def test_unsupported_widths_are_refused(bits):
    with pytest.raises(ValueError, match=rf"bits must be one of .*got bits={bits}"):
        Grid(bits=bits)


def test_validate_names_the_broken_invariant():
    good = run(np.ones((3, 2), np.float32), Grid(bits=4))
    broken = {
        "qvalue must lie": good._replace(qvalue=good.qvalue - 16),
        "scale and zero_point must have shape": good._replace(scale=jnp.ones((1, 2))),
        "dtypes must be": good._replace(qvalue=good.qvalue.astype(jnp.int32)),
        "scales must be positive": good._replace(scale=-good.scale),
        "zero_point 0 everywhere": good._replace(zero_point=good.zero_point + 1),
    }
    validate(good)
    for message, q in broken.items():
        with pytest.raises(ValueError, match=message):
            validate(q)


@pytest.mark.parametrize("bits", [3, 4])
def test_aligned_clipping_keeps_data_that_lies_on_a_symmetric_grid(bits: int) -> None:
    """Min/max puts the zero point of a symmetric set between two integers."""
    x = jnp.asarray([[-0.5, 0.0, 0.5, 0.5], [-2.0, 2.0, -2.0, 0.0]], jnp.float32)
    grid = Grid(bits=bits, symmetry=Symmetry.ASYMMETRIC, channel_axes=(0,))

    def error(clipping: Clipping) -> np.ndarray:
        affine = scale_zero_point(calibrate(x, grid, clipping), grid)
        return np.abs(np.asarray(dequantise(quantise(x, affine, grid)) - x))

    # half an ulp in the scale and half in the product
    assert error(Clipping.ALIGNED).max() <= 2.0 * np.finfo(np.float32).eps
    assert error(Clipping.MINMAX).max() > 0.01


def test_aligned_clipping_is_never_worse_than_least_squares() -> None:
    x = jnp.asarray(np.random.default_rng(3).normal(size=(5, 40)) + 0.3, jnp.float32)
    grid = Grid(bits=3, symmetry=Symmetry.ASYMMETRIC, channel_axes=(0,))

    def loss(clipping: Clipping) -> np.ndarray:
        affine = scale_zero_point(calibrate(x, grid, clipping), grid)
        error = np.asarray(dequantise(quantise(x, affine, grid)) - x, np.float64)
        return np.square(error).sum(-1)

    least = loss(Clipping.MSE)
    assert np.all(loss(Clipping.ALIGNED) <= least * (1 + 1e-6))  # sums in float32 and in float64
    assert np.any(loss(Clipping.ALIGNED) < least)


def test_a_grid_without_a_width_gives_the_same_numbers():
    """Its ends are traced; clipping to least squared error reads all of a grid."""
    x = jnp.asarray(np.random.default_rng(5).normal(size=(9, 3)), jnp.float32)
    for grid in grids(3)[::3]:  # symmetric per tensor, asymmetric per channel
        spans = [calibrate(x, g, Clipping.ALIGNED) for g in (grid, without_width(grid))]
        np.testing.assert_array_equal(*spans)
        affines = [scale_zero_point(spans[0], g) for g in (grid, without_width(grid))]
        jax.tree.map(np.testing.assert_array_equal, *affines)
        integers = round_to(3 * x, affines[0], without_width(grid))  # some saturate
        np.testing.assert_array_equal(integers, quantise(3 * x, affines[0], grid).qvalue)
