"""Whole parameter trees: what is quantised, what is left, what it weighs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quant.affine import QTensor, validate
from quant.ptq.weights import (
    _nearest,
    _real_values,
    dequantise_params,
    footprint,
    is_kernel,
    leaf_name,
    quantise_params,
    round_weights,
)
from quant.scheme import PAPER_SCHEMES, parse
from tests.support.oracles import grid as oracle
from tests.support.samples import random_weights
from tests.support.slow import slow_except
from trm_jax.config import SUDOKU_HRM, SUDOKU_TRM_ATT, SUDOKU_TRM_MLP, Mixer, Positions, TRMConfig
from trm_jax.models.build import build
from trm_jax.types import Buffers, Weights

SMALL = TRMConfig(
    vocab_size=7,
    seq_len=9,
    hidden_size=16,
    num_heads=2,
    num_puzzle_identifiers=3,
    mixer=Mixer.MLP,
    positions=Positions.NONE,
    puzzle_emb_ndim=16,
    puzzle_emb_len=2,
)


@pytest.fixture(scope="module")
def weights() -> Weights:
    return random_weights(SMALL)


def named(tree) -> dict[str, object]:
    is_leaf = lambda leaf: isinstance(leaf, QTensor)  # noqa: E731
    flat = jax.tree_util.tree_leaves_with_path(tree, is_leaf=is_leaf)
    return {leaf_name(path): leaf for path, leaf in flat}


@pytest.mark.parametrize(
    "name", slow_except(["int4_naive", "int3_calibrated", "int8", "w5c-sym-mse"], "int8")
)
def test_only_kernels_are_quantised(weights, name):
    before, after = named(weights.params), named(quantise_params(weights.params, parse(name)))
    assert list(before) == list(after)
    for key, leaf in after.items():
        if key.endswith("kernel"):
            validate(leaf)
            assert leaf.qvalue.shape == before[key].shape
        else:
            np.testing.assert_array_equal(leaf, before[key])
    # 2 layers x (mlp_t, mlp) x (gate_up, down) + lm_head + q_head: the ten CastedLinear
    assert sum(isinstance(leaf, QTensor) for leaf in after.values()) == 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "bits", "symmetric", "per_channel"),
    [
        ("int4_naive", 4, True, False),
        ("int4_calibrated", 4, False, True),
        ("int8", 8, True, True),
        ("int2_naive", 2, True, False),
        ("int3_calibrated", 3, False, True),
    ],
)
def test_simulated_kernels_are_those_of_the_papers_formulas(
    weights, name, bits, symmetric, per_channel
):
    simulated = round_weights(weights, parse(name))
    for site in ("lm_head", "q_head", "L_level/layers_0/mlp_t/down_proj"):
        w, got = (np.asarray(named(t.params)[f"{site}/kernel"]) for t in (weights, simulated))
        groups = w.T if per_channel else w.reshape(1, -1)  # torch rows are our columns
        for row, back in zip(groups, got.T if per_channel else got.reshape(1, -1), strict=True):
            q, scale, zero = oracle.quantise_row(row.tolist(), bits, symmetric)
            expected = np.array([(i - zero) * scale for i in q])
            off = np.abs(back - expected)
            # s and q*s in float32: three roundings; a tie may fall to the other side
            different = row[off > 3 * 2.0**-24 * np.abs(expected)]
            assert all(oracle.near_tie(x, scale) for x in different.tolist())
            assert np.all(off <= 1.001 * scale)


def test_simulation_leaves_tables_and_states_alone(weights):
    simulated = round_weights(weights, parse("int4_naive"))
    np.testing.assert_array_equal(simulated.puzzle_emb, weights.puzzle_emb)
    jax.tree.map(np.testing.assert_array_equal, simulated.buffers, weights.buffers)
    assert jax.tree.structure(simulated) == jax.tree.structure(weights)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dtype"), [("bf16", jnp.bfloat16), ("fp16", jnp.float16)])
def test_float_schemes_cast_everything(weights, name, dtype):

    def check(got, leaf):
        np.testing.assert_array_equal(got, leaf.astype(dtype).astype(jnp.float32))
        assert got.dtype == jnp.float32

    jax.tree.map(check, round_weights(weights, parse(name)), weights)


@pytest.mark.slow
def test_simulating_twice_changes_nothing(weights):
    """Min/max grids hit their own ends, so a simulated tree lies on its grid already."""
    for name in PAPER_SCHEMES:
        once = quantise_params(weights.params, parse(name))
        again = quantise_params(dequantise_params(once), parse(name))
        for key, leaf in named(once).items():
            if isinstance(leaf, QTensor) and leaf.grid.is_symmetric:
                np.testing.assert_array_equal(leaf.qvalue, named(again)[key].qvalue)


def test_another_width_of_a_grid_compiles_nothing(weights):
    def compiled(name):
        dequantise_params(quantise_params(weights.params, parse(name)))
        return _nearest._cache_size(), _real_values._cache_size()

    assert compiled("w4c-asym-mse") == compiled("w3c-asym-mse") == compiled("w8c-asym-mse")


@pytest.mark.parametrize("config", [SUDOKU_TRM_MLP, SUDOKU_TRM_ATT, SUDOKU_HRM])
def test_bytes_of_the_published_models(config):
    weights = jax.eval_shape(build(config).init, jax.random.key(0))
    # REFERENCE 1.1: trainable weights; the file has H_init and L_init in bfloat16 on top
    trainable = {SUDOKU_TRM_MLP: 5_028_866, SUDOKU_TRM_ATT: 6_828_034, SUDOKU_HRM: 27_275_266}
    full = footprint(weights, parse("fp32"))
    assert full.total == 4 * (trainable[config] + 2 * 512 + 512)
    assert footprint(weights, parse("bf16")).total * 2 == full.total
    shapes = [t.shape for t in full.backbone if t.name.endswith("kernel")]
    rest = full.total - 4 * sum(i * o for i, o in shapes)
    naive = footprint(weights, parse("int4_naive"))
    assert naive.total == rest + sum(i * o // 2 + 4 for i, o in shapes)
    calibrated = footprint(weights, parse("int4_calibrated"))
    assert calibrated.total == rest + sum(i * o // 2 + 5 * o for i, o in shapes)
    assert calibrated.puzzle_emb.stored.floats == 4 * 512


def test_bytes_are_those_of_the_arrays(weights):
    scheme = parse("w3c-asym")
    for tensor in footprint(weights, scheme).backbone:
        leaf = named(quantise_params(weights.params, scheme)).get(tensor.name)
        if isinstance(leaf, QTensor):
            bits = leaf.qvalue.size * 3
            sizes = (-(-bits // 8), leaf.scale.nbytes, leaf.zero_point.size, 0)
            assert tensor.stored == sizes


def test_unusable_leaves_are_named(weights):
    params = jax.tree.map(lambda leaf: leaf, weights.params)
    params["lm_head"]["kernel"] = params["lm_head"]["kernel"].at[0, 0].set(jnp.nan)
    with pytest.raises(ValueError, match="lm_head/kernel holds the magnitude nan"):
        quantise_params(params, parse("int4_naive"))
    huge = weights._replace(buffers=Buffers(*(b * 1e6 for b in weights.buffers)))
    with pytest.raises(ValueError, match=r"H_init holds .* ends at 65504"):
        round_weights(huge, parse("fp16"))
    round_weights(huge, parse("bf16"))


def test_is_kernel_reads_the_last_key():
    paths = [
        path
        for path, _ in jax.tree_util.tree_leaves_with_path(
            {"kernel": {"bias": 0}, "a": {"kernel": 0, "kernel_scale": 0}}
        )
    ]
    assert [leaf_name(p) for p in paths if is_kernel(p)] == ["a/kernel"]
