"""Ranges of cells leave the puzzle prefix out, wherever a tensor has its positions.

The oracle finds positions by their number: no other axis of these models has as many entries.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quant.integer.attention_operators import with_heads
from quant.integer.calibration import RangeOps, Spans, calibrated_spans, range_ops
from quant.integer.network import apply_level
from quant.integer.operators import products_of
from quant.integer.tensor_names import TensorName
from quant.precision_plan import PrecisionPlan
from quant.ptq.cells import select_outputs
from quant.ptq.weights import quantise_params
from quant.scheme import Ranges, parse
from quant.simulation import ProductRange, product_ranges
from tests.support.samples import random_batch, random_weights, small
from tests.support.slow import slow_except
from trm_jax.config import Config, HRMConfig, Mixer, Positions, TRMConfig
from trm_jax.models.act import inject
from trm_jax.models.build import build
from trm_jax.types import Weights

PREFIX, CELLS, STEPS = 2, 9, 2
SIZES = small(seq_len=CELLS, H_cycles=1)
MLP = TRMConfig(
    **SIZES, puzzle_emb_len=PREFIX, L_layers=1, mixer=Mixer.MLP, positions=Positions.NONE
)
ATTENTION = TRMConfig(**SIZES, puzzle_emb_len=PREFIX, L_layers=1)
HRM = HRMConfig(**SIZES | {"puzzle_emb_ndim": 16}, L_layers=1, H_layers=1)
CONFIGS = {"mlp": MLP, "attention": ATTENTION, "hrm": HRM}

Ends = tuple[float, float]


def cells(x: np.ndarray) -> np.ndarray:
    """Cut the prefix off the one axis of positions; nothing where there is none, or two."""
    axes = [axis for axis, size in enumerate(x.shape) if size == PREFIX + CELLS]
    return np.delete(x, range(PREFIX), axes[0]) if len(axes) == 1 else x


def ends(arrays: list[np.ndarray]) -> Ends:
    return min(float(x.min()) for x in arrays), max(float(x.max()) for x in arrays)


def unrolled(config: Config, weights: Weights) -> dict[str, tuple[Ends, Ends]]:
    """Loop over the cycles in Python, keep inputs and outputs of every Dense, cut to cells."""
    reasoner, batch = build(config), random_batch(config, 3)
    kept: dict[str, list[np.ndarray]] = {}

    def apply(method: str, *states: jax.Array) -> jax.Array:
        out, sown = reasoner.module.apply(
            {"params": weights.params}, *states, method=method, mutable=["intermediates"]
        )
        for path, x in jax.tree_util.tree_leaves_with_path(sown["intermediates"]):
            site = "/".join(key.key for key in path[:-2])
            kept.setdefault(site, []).append(np.asarray(x))
        return out

    z_H, z_L = reasoner.start(weights.buffers, 3)
    e = inject(reasoner, weights, batch)
    for _ in range(STEPS * config.H_cycles):
        for _ in range(config.L_cycles):
            z_L = apply("update_L", z_L, z_H + e)
        z_H = apply("update_H", z_H, z_L)
        apply("read_out", z_H)

    def kernel(site: str) -> np.ndarray:
        node = weights.params
        for key in site.split("/"):
            node = node[key]
        return np.asarray(node["kernel"])

    return {
        site: (ends([cells(x) for x in xs]), ends([cells(x @ kernel(site)) for x in xs]))
        for site, xs in kept.items()
    }


def measured(config: Config, weights: Weights, name: str) -> dict[str, ProductRange]:
    plan = PrecisionPlan.uniform(parse(name))
    batches = [random_batch(config, 3)]
    return product_ranges(build(config), weights, batches, steps=STEPS, plan=plan)


@pytest.mark.parametrize("kind", slow_except(CONFIGS, "mlp"))
def test_ranges_are_those_of_the_cells(kind: str) -> None:
    config = CONFIGS[kind]
    weights = random_weights(config)
    expected = unrolled(config, weights)
    found = measured(config, weights, "w8c-sym_a8s-cells")
    assert found.keys() == expected.keys()
    for site, both in expected.items():
        # the same float32 network, compiled differently: a few roundings (2^-24 each) in each of
        # the 6 applications stay far below 1e-4 of the largest number
        for ours, theirs in zip(found[site], both, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())
    whole = measured(config, weights, "w8c-sym_a8s")
    assert any(whole[site] != found[site] for site in found)
    for site in found:
        assert whole[site].input[1] >= found[site].input[1]


def test_a_role_has_ranges_of_its_own() -> None:
    weights = random_weights(MLP)
    both = measured(MLP, weights, "w8c-sym_a8s-cells"), measured(MLP, weights, "w8c-sym_a8s")
    plan = PrecisionPlan(
        mixer=parse("w8c-sym_a8s"),
        channel=parse("w8c-sym_a8s-cells"),
        head=parse("w8c-sym_a8s"),
    )
    mixed = product_ranges(build(MLP), weights, [random_batch(MLP, 3)], steps=STEPS, plan=plan)
    for site, found in mixed.items():
        assert found == both[0 if "/mlp/" in site else 1][site]


class KeepingOps(RangeOps):
    """Keeps every tensor that is ranged."""

    kept: dict[TensorName, list[np.ndarray]]

    def noted(self, name: TensorName, x: jax.Array) -> jax.Array:
        self.kept.setdefault(name, []).append(np.asarray(x))
        return super().noted(name, x)


@pytest.mark.parametrize("config", [MLP, ATTENTION], ids=["mlp", "attention"])
def test_tensors_of_integer_networks_likewise(config: TRMConfig) -> None:
    products = products_of(quantise_params(random_weights(config).params, parse("w8c-sym")))
    if config.mixer is Mixer.ATTENTION:
        products = with_heads(products, config)
    select = select_outputs(Ranges.CELLS, config.prefix_len)
    plain = range_ops(products, config.rms_norm_eps, select)
    ops = KeepingOps(plain.kernels, plain.biases, plain.eps, select)
    ops.kept = {}
    rng = np.random.default_rng(0)
    shape = (3, config.num_positions, config.hidden_size)
    z, injection = (jnp.asarray(rng.normal(size=shape), jnp.float32) for _ in range(2))
    apply_level(z, injection, config, ops)
    assert ops.spans.keys() == ops.kept.keys()
    for name, xs in ops.kept.items():
        assert (float(ops.spans[name].low), float(ops.spans[name].high)) == ends(
            [cells(x) for x in xs]
        ), str(name)


def test_integers_are_calibrated_on_cells() -> None:
    weights = random_weights(MLP)
    products = products_of(quantise_params(weights.params, parse("w8c-sym")))

    def spans(ranges: Ranges) -> Spans:
        batches = [random_batch(MLP, 3)]
        return calibrated_spans(MLP, products, weights, batches, steps=1, ranges=ranges)

    whole, of_cells = spans(Ranges.ALL), spans(Ranges.CELLS)
    assert all(bool(whole[name].high >= of_cells[name].high) for name in whole)
    differ = {str(name) for name in whole if whole[name].high != of_cells[name].high}
    assert differ
    # read from the cells, and from position 0, by the network itself
    assert not differ & {"lm_head", "q_head"}


def test_only_static_activations_have_ranges() -> None:
    for name in ("w8c-sym_a8d-cells", "w8c-sym-cells", "fp32-cells"):
        with pytest.raises(ValueError, match="cells"):
            parse(name)
