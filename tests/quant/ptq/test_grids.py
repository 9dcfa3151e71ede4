"""Grids chosen by error, against NumPy's sums and the schemes that they choose between."""

import functools
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from quant.affine import Clipping, Symmetry, dequantise, validate
from quant.dot_general import qat_dot_general
from quant.ptq.gptq import round_site
from quant.ptq.grids import REACHES, candidate_grids, keep_least, output_error, squared_error
from quant.ptq.weights import quantise_kernel
from quant.scheme import Granularity, WeightScheme, parse

INPUTS, OUTPUTS = 24, 10
ROUNDINGS = ("", "-mse", "-gptq")


def weights_of(name: str) -> WeightScheme:
    weights = parse(name).weights
    assert weights is not None
    return weights


def rounded(kernel: np.ndarray, weights: WeightScheme, hessian: np.ndarray) -> np.ndarray:
    """Real values of a rounded kernel, by whichever method the scheme asks for."""
    if weights.rounding.needs_puzzles:
        q = round_site("site", jnp.asarray(kernel), weights, jnp.asarray(hessian, jnp.float32))
    else:
        q = quantise_kernel(jnp.asarray(kernel), weights)
    validate(q)
    assert q.grid == weights.grid
    return np.asarray(dequantise(q), np.float64)


def sample(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a kernel with symmetric, one-sided and shifted channels, and inputs that correlate."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(200, 5)) @ rng.normal(size=(5, INPUTS))
    inputs += 0.3 * rng.normal(size=inputs.shape)
    kernel = rng.normal(size=(INPUTS, OUTPUTS))
    kernel[:, ::3] = np.abs(kernel[:, ::3])
    return kernel.astype(np.float32), inputs.T @ inputs


def loss(change: np.ndarray, hessian: np.ndarray, granularity: Granularity) -> np.ndarray:
    """Sum what a rounding does to the weights (identity) or the outputs, per scale."""
    columns = np.array([c @ hessian @ c for c in change.T])
    return columns if granularity is Granularity.PER_CHANNEL else columns.sum(keepdims=True)


@pytest.mark.parametrize("granularity", "tc")
@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("method", ROUNDINGS)
def test_ternary_kernels_come_back_exactly(method: str, bits: int, granularity: str) -> None:
    rng = np.random.default_rng(0)
    step = np.float32(0.0371)
    kernel = (rng.integers(-1, 2, (INPUTS, OUTPUTS)) * step).astype(np.float32)
    weights = weights_of(f"w{bits}{granularity}-auto{method}")
    found = rounded(kernel, weights, sample(0)[1])
    # (q - z) s with s = step / k for whole k: two float32 roundings
    np.testing.assert_allclose(found, kernel, rtol=2 * 2.0**-23, atol=0)
    if not method:  # what is chosen against: min/max puts zero between two integers
        other = rounded(kernel, replace(weights, adaptive=False), sample(0)[1])
        # step and -step are 2^b - 1 integers apart, so zero is half an integer off
        assert np.abs(other - kernel).max() > 0.99 * step / (2**bits - 1)


@pytest.mark.parametrize("granularity", "tc")
@pytest.mark.parametrize("method", ROUNDINGS)
def test_the_error_is_never_more_than_that_of_either_grid(method: str, granularity: str) -> None:
    for seed, bits in ((1, 2), (2, 3), (3, 4)):
        kernel, hessian = sample(seed)
        measure = hessian if method == "-gptq" else np.eye(INPUTS)
        auto = weights_of(f"w{bits}{granularity}-auto{method}")
        losses = [
            loss(rounded(kernel, w, hessian) - kernel, measure, w.granularity)
            for w in (auto, *(weights_of(auto.name.replace("auto", s)) for s in ("sym", "asym")))
        ]
        # float32 sums of 24 x 10 squares decide between candidates: relative 1e-4 covers them
        assert np.all(losses[0] <= np.minimum(losses[1], losses[2]) * (1 + 1e-4))


def test_channels_choose_for_themselves() -> None:
    rng = np.random.default_rng(4)
    kernel = rng.integers(-1, 2, (INPUTS, 2)).astype(np.float32)
    kernel[:2, 0] = (-1, 1)
    kernel[:, 1] = rng.uniform(0, 1, INPUTS)  # one-sided: a symmetric grid wastes half of itself
    q = quantise_kernel(jnp.asarray(kernel), weights_of("w3c-auto"))
    assert np.asarray(q.zero_point).tolist() == [[3, 0]]


def test_candidates_begin_with_the_symmetric_grid_and_have_every_reach() -> None:
    kernel = jnp.asarray(sample(5)[0])
    auto = weights_of("w4t-auto-gptq")
    found = candidate_grids(kernel, auto, REACHES)
    assert len(found) == 2 * len(REACHES)
    symmetric = quantise_kernel(
        kernel, replace(weights_of("w4t-sym-mse"), clipping=Clipping.MSE)
    ).scale
    np.testing.assert_array_equal(found[0].scale, symmetric)
    assert [int(a.zero_point[0, 0]) for a in found[: len(REACHES)]] == [7] * len(REACHES)
    for affine, reach in zip(found[: len(REACHES)], REACHES, strict=True):
        np.testing.assert_array_equal(affine.scale, symmetric * np.float32(reach))
    alone = candidate_grids(kernel, weights_of("w4t-asym-gptq"), REACHES)
    assert len(alone) == 1


@pytest.mark.parametrize("name", ["w3t-asym", "w3c-asym"])
def test_errors_are_those_of_numpy_and_the_first_of_equals_is_kept(name: str) -> None:
    kernel, hessian = sample(6)
    weights = weights_of(name)
    q = quantise_kernel(jnp.asarray(kernel), weights)
    change = np.asarray(dequantise(q), np.float64) - kernel
    for found, measure in (
        (squared_error(jnp.asarray(kernel), dequantise(q), q.grid), np.eye(INPUTS)),
        (output_error(jnp.asarray(kernel), q, jnp.asarray(hessian, jnp.float32)), hessian),
    ):
        assert found.shape == q.scale.shape
        expected = loss(change, measure, weights.granularity)
        # sums of at most 24 x 24 x 10 products in float32
        np.testing.assert_allclose(np.asarray(found)[0], expected, rtol=1e-4)
    other = q._replace(scale=q.scale * 2)
    same = jnp.ones_like(q.scale)
    np.testing.assert_array_equal(keep_least([q, other], [same, same]).scale, q.scale)
    np.testing.assert_array_equal(keep_least([other, q], [same, same / 2]).scale, q.scale)


def test_what_has_no_choice_is_said() -> None:
    make = functools.partial(WeightScheme, bits=4, granularity=Granularity.PER_TENSOR)
    with pytest.raises(ValueError, match="adaptive grids are stored as asymmetric ones"):
        make(symmetry=Symmetry.SYMMETRIC, adaptive=True)
    with pytest.raises(ValueError, match="w4t-auto chooses the grids of trained weights"):
        qat_dot_general(parse("w4t-auto"))
    assert parse("w4t-auto-gptq").to_nearest == parse("w4t-auto-mse")
