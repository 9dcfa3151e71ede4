"""Simulations: calibrated ranges against a watched rollout, rounded outputs, what is refused."""

from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import quant.simulation
from quant.affine import Grid, Symmetry
from quant.dot_general import site_dot_general
from quant.precision_plan import PrecisionPlan
from quant.ptq import calibrate
from quant.ptq.calibrate import ProductRange, activation_ranges
from quant.ptq.weights import round_weights
from quant.scheme import Scheme, parse
from quant.simulation import calibrate_on, plan_dot_general, product_ranges, quantise_for, simulate
from tests.support.samples import random_batch, random_weights, small
from tests.support.slow import slow_except
from trm_jax.config import Mixer, Positions, TRMConfig
from trm_jax.models.act import rollout
from trm_jax.models.build import build
from trm_jax.models.layers import exact_dot_general
from trm_jax.models.trm import trm
from trm_jax.types import Batch, DotGeneral, Weights

CONFIG = TRMConfig(**small(mixer=Mixer.MLP, positions=Positions.NONE), puzzle_emb_len=1)
STEPS = 2
SITE = "lm_head"


class TinyModel:
    """A configuration with random weights."""

    config = CONFIG
    weights = random_weights(CONFIG)


@pytest.fixture(scope="module")
def weights() -> Weights:
    return TinyModel.weights


@pytest.fixture(scope="module")
def ranges(weights: Weights) -> dict[str, ProductRange]:
    return product_ranges(build(CONFIG), weights, [random_batch(CONFIG, 3)], steps=STEPS)


@pytest.mark.slow
def test_ranges_are_the_ends_of_a_rollout(
    weights: Weights, ranges: dict[str, ProductRange]
) -> None:
    """Watch every product of the rollout itself, from inside, by a callback."""
    seen: dict[str, list[tuple[float, float]]] = {}

    def watched(site: str) -> DotGeneral:
        def product(x: jax.Array, kernel: jax.Array, *rest: object, **named: object) -> jax.Array:
            y = jax.lax.dot_general(x, kernel, *rest, **named)  # pyright: ignore
            low_high = seen.setdefault(site, [])
            jax.debug.callback(lambda a: low_high.append((float(a.min()), float(a.max()))), y)
            return y

        return product

    batch = random_batch(CONFIG, 3)
    jax.block_until_ready(
        rollout(trm(CONFIG, watched), weights, batch, steps=STEPS, observe=lambda _: None)
    )
    jax.effects_barrier()
    assert seen.keys() == {site for site in ranges if "level" in site}
    for site, ends in seen.items():
        low, high = np.min([e[0] for e in ends]), np.max([e[1] for e in ends])
        # two float32 programs of one rollout: rounding grows to 1e-4 in 6 applications at most
        np.testing.assert_allclose(ranges[site].output, (low, high), rtol=1e-3)


def test_inputs_are_calibrated_as_alone(weights: Weights, ranges: dict[str, ProductRange]) -> None:
    alone = activation_ranges(build(CONFIG), weights, [random_batch(CONFIG, 3)], steps=STEPS)
    assert ranges.keys() == alone.keys()
    for site, ends in alone.items():
        # two float32 programs of one rollout, as above
        np.testing.assert_allclose(ranges[site].input, ends, rtol=1e-3)


def test_batches_are_calibrated_together(weights: Weights) -> None:
    batches = [random_batch(CONFIG, 3, seed) for seed in (1, 2)]
    both = product_ranges(build(CONFIG), weights, batches, steps=1)
    each = [product_ranges(build(CONFIG), weights, [batch], steps=1) for batch in batches]
    for site, (_, (low, high)) in both.items():
        assert low == min(one[site].output[0] for one in each)
        assert high == max(one[site].output[1] for one in each)


def test_headroom_scales_both_ends(weights: Weights, ranges: dict[str, ProductRange]) -> None:
    batches = [random_batch(CONFIG, 3)]
    wide = product_ranges(build(CONFIG), weights, batches, steps=STEPS, headroom=1.5)
    for site, (inputs, outputs) in ranges.items():
        np.testing.assert_allclose(wide[site].input, np.multiply(inputs, 1.5))
        np.testing.assert_allclose(wide[site].output, np.multiply(outputs, 1.5))


def test_calibration_asks_for_puzzles_and_positive_headroom(weights: Weights) -> None:
    with pytest.raises(ValueError, match="at least one batch, got none"):
        product_ranges(build(CONFIG), weights, [], steps=1)
    with pytest.raises(ValueError, match="must be positive, got headroom=0"):
        product_ranges(build(CONFIG), weights, [random_batch(CONFIG, 1)], steps=1, headroom=0.0)


@pytest.mark.parametrize(
    ("activations", "grid"),
    [("a8s", Grid(bits=8, symmetry=Symmetry.ASYMMETRIC)), ("a16s", Grid(bits=16))],
)
def test_static_products_round_their_outputs(activations: str, grid: Grid) -> None:
    """Recompute the rounding in NumPy: the output of the inputs-only product, on its own grid."""
    scheme, low, high = parse(f"w8c-sym_{activations}"), -2.0, 3.0
    span = ProductRange((-4.0, 5.0), (low, high))
    rng = np.random.default_rng(3)
    x, kernel = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((6, 8), (8, 4)))
    both = plan_dot_general(PrecisionPlan.uniform(scheme), {SITE: span})
    numbers = (((1,), (0,)), ((), ()))
    y = np.asarray(both(SITE)(x, kernel, numbers), np.float64)
    exact = np.asarray(
        site_dot_general(scheme, {SITE: span.input})(SITE)(x, kernel, numbers), np.float64
    )
    step = (high - low) / 255 if grid.bits == 8 else max(-low, high) / 32767
    zero = -128 - round(low / step) if grid.bits == 8 else 0
    steps = y / step
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-2)  # 32767 steps, float32
    inside = (exact >= low) & (exact <= high)
    assert inside.any()
    assert not inside.all()
    # half a step, and what float32 adds to 32767 of them
    assert np.abs(y - exact)[inside].max() <= (0.5 + 2e-2) * step
    lowest = (-128 - zero) * step if grid.bits == 8 else -32767 * step
    assert y.min() >= lowest - 1e-2 * step
    assert y.max() <= high + step


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["w8c-sym_a8s", "w4c-asym_a16s"])
def test_a_static_simulation_is_not_the_one_without_rounded_outputs(scheme: str) -> None:
    """The comparison of a sweep with an export would otherwise say little."""
    batch, parsed = random_batch(CONFIG, 3), parse(scheme)
    simulation = simulate(TinyModel(), parsed, [batch], steps=STEPS)
    inputs = {site: each.input for site, each in simulation.ranges.items()}
    other = build(CONFIG, site_dot_general(parsed, inputs))
    z_H, unrounded = (
        np.asarray(rollout(r, simulation.weights, batch, steps=1, observe=lambda _: None)[0].z_H)
        for r in (simulation.reasoner, other)
    )
    assert np.isfinite(z_H).all()
    assert not np.array_equal(z_H, unrounded)


def test_plans_that_only_change_weights_share_their_products() -> None:
    for name in ("fp32", "int4_naive", "bf16", "w3c-asym-mse_carry8"):
        assert plan_dot_general(PrecisionPlan.uniform(parse(name))) is exact_dot_general
    first, second = (
        plan_dot_general(PrecisionPlan.uniform(parse(name)))
        for name in ("w8c-sym_a8da", "w4c-asym_a8da")
    )
    assert first == second
    assert hash(first) == hash(second)


def test_a_simulation_holds_what_a_checkpoint_would(weights: Weights) -> None:
    scheme = parse("w4c-asym_bf16")
    simulation = simulate(TinyModel(), scheme)
    jax.tree.map(np.testing.assert_array_equal, simulation.weights, round_weights(weights, scheme))


def test_roles_are_quantised_by_their_own_schemes(weights: Weights) -> None:
    plan = PrecisionPlan(mixer=parse("int8"), channel=parse("int4_calibrated"), head=Scheme())
    quantised = quantise_for(weights.params, plan)
    block = quantised["L_level"]["layers_0"]
    assert block["mlp_t"]["down_proj"]["kernel"].grid.bits == 8
    assert block["mlp"]["down_proj"]["kernel"].grid.bits == 4
    np.testing.assert_array_equal(
        quantised["lm_head"]["kernel"], weights.params["lm_head"]["kernel"]
    )


@pytest.mark.parametrize(
    ("scheme", "dtype", "computes_in"),
    [
        ("fp32", "bfloat16", "bfloat16"),
        ("w4c-asym_a8d", "bfloat16", "bfloat16"),
        ("w4c-asym", "float32", "float32"),
        ("fp16", "bfloat16", "float16"),
        ("w4c-asym_bf16", "float32", "bfloat16"),
    ],
)
def test_a_plan_without_a_float_format_takes_the_callers(
    scheme: str, dtype: str, computes_in: str
) -> None:
    simulation = simulate(TinyModel(), parse(scheme), dtype=dtype)
    assert simulation.reasoner.config.forward_dtype == computes_in


@pytest.mark.slow
def test_integers_leave_floats_in_float32() -> None:
    batches = [random_batch(CONFIG, 3)]
    simulation = simulate(TinyModel(), parse("tflm_int8_int16"), batches, steps=1, dtype="bfloat16")
    assert simulation.integers is not None
    assert simulation.reasoner.config.forward_dtype == "float32"


def test_static_plans_ask_for_puzzles_and_ranges() -> None:
    plan = PrecisionPlan.uniform(parse("w8c-sym_a8s"))
    with pytest.raises(
        ValueError, match="w8c-sym_a8s is calibrated on puzzles, and there are none"
    ):
        simulate(TinyModel(), plan, steps=1)
    with pytest.raises(ValueError, match="needs calibrated ranges, got none"):
        plan_dot_general(plan)
    product = plan_dot_general(plan, {SITE: ProductRange((0.0, 1.0), (0.0, 1.0))})
    with pytest.raises(ValueError, match="no calibrated range for 'q_head'; calibrated sites: lm"):
        product("q_head")


CALIBRATED = ["w4t-sym-gptq", "w8c-sym_a8s", "w8c-sym_a8s-cells-fold", "w8c-sym_a8s_tflm"]


def scaled_mlps(factor: float) -> Weights:
    """Scale what the MLPs multiply by silu."""

    def scaled(path: tuple, leaf: jax.Array) -> jax.Array:
        return leaf * factor if any(key.key == "gate_up_proj" for key in path) else leaf

    params = jax.tree_util.tree_map_with_path(scaled, TinyModel.weights.params)
    return TinyModel.weights._replace(params=params)


class ChangedModel(NamedTuple):
    """The tiny model with other weights."""

    weights: Weights
    config: TRMConfig = CONFIG


@pytest.mark.parametrize("scheme", slow_except(CALIBRATED))
def test_mlps_that_never_fire_leave_everything_finite(scheme: str) -> None:
    batch = random_batch(CONFIG, 2)
    silent = simulate(ChangedModel(scaled_mlps(0.0)), parse(scheme), [batch], steps=1)
    assert np.isfinite(np.asarray(silent.trajectory(batch, steps=1), np.float32)).all()
    if parse(scheme).activations.is_static and not parse(scheme).is_integer:
        assert {site.rsplit("/", 1)[-1] for site in silent.silent} == {"down_proj"}


@pytest.mark.parametrize("scheme", slow_except(CALIBRATED))
def test_models_beyond_float32_name_what_is_not_finite(scheme: str) -> None:
    with pytest.raises(ValueError, match=r": the calibration puzzles drive its (in|val)\w+ beyond"):
        simulate(ChangedModel(scaled_mlps(1e25)), parse(scheme), [random_batch(CONFIG, 2)], steps=1)


@pytest.mark.parametrize("scheme", slow_except(CALIBRATED))
def test_batches_without_puzzles_are_refused(scheme: str) -> None:
    empty = Batch(*(x[:0] for x in random_batch(CONFIG, 1)))
    with pytest.raises(ValueError, match="batch 0 of the calibration holds no puzzles"):
        simulate(TinyModel(), parse(scheme), [empty], steps=1)


@pytest.mark.slow
def test_schemes_share_folded_weights_and_their_hessians(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, measured = calibrate_on(TinyModel(), [random_batch(CONFIG, 2)], 1), list[str]()

    def count(home: ModuleType, name: str) -> None:
        measure = getattr(home, name)

        def counted(*arguments: Any, **options: Any) -> Any:
            measured.append(name)
            return measure(*arguments, **options)

        monkeypatch.setattr(home, name, counted)

    count(quant.simulation, "fold_factors")
    count(calibrate, "hessians")
    for scheme in ("w4t-sym-gptq_a8s-cells-fold", "w8c-sym-gptq_a16s-cells-fold"):
        simulate(TinyModel(), parse(scheme), seen)
    assert measured == ["fold_factors", "hessians"]
