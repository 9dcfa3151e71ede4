"""Lowered graphs in LiteRT against the JAX model on the simulated weights."""

import jax
import numpy as np
import pytest

from export.graph.tflite_reader import read_tflite
from export.graph.tflite_writer import write_tflite
from export.lowering.model import METADATA, blocks_of, lower_floats, parameters_sha256
from export.lowering.storage import StoragePlan, mixed, plan_for
from export.targets import Target
from quant.ptq.weights import dequantise_params, footprint
from quant.scheme import parse
from quant.simulation import plan_dot_general, quantise_for
from tests.support.export.models import CONFIGS, float_drift, run, states
from tests.support.rounding import rms
from tests.support.samples import random_weights
from tests.support.slow import slow_except
from trm_jax.config import MAZE_TRM_ATT, SUDOKU_TRM_MLP, Config, HRMConfig, TRMConfig
from trm_jax.models.hrm import hrm
from trm_jax.models.reasoner import Reasoner
from trm_jax.models.recursion import run_cycles
from trm_jax.models.trm import trm
from trm_jax.types import Latents, SiteDotGeneral
from trm_jax.zoo import load


def reasoner_of(config: Config, dot_general: SiteDotGeneral) -> Reasoner:
    if isinstance(config, HRMConfig):
        return hrm(config, dot_general)
    return trm(config, dot_general)


def plan_of(scheme: str, target: Target = Target.LITERT) -> StoragePlan:
    return plan_for(parse(scheme), target)


@pytest.mark.parametrize("kind", slow_except(CONFIGS, "mlp"))
def test_float_graphs_equal_jax(kind: str) -> None:
    config = CONFIGS[kind]
    params = random_weights(config).params
    check_blocks_and_head(config, params, "fp32", batch=3)
    check_step(config, params)


@pytest.mark.parametrize(
    "scheme",
    slow_except(["fp16", "int8", "int4_calibrated", "int4_naive", "w8c-asym", "w2c-asym"], "int8"),
)
def test_weight_only_schemes_equal_their_simulation(scheme: str) -> None:
    check_blocks_and_head(CONFIGS["mlp"], random_weights(CONFIGS["mlp"]).params, scheme, batch=1)


def test_the_bundled_model_equals_jax() -> None:
    config, weights = load("sudoku-trm-mlp-mini")
    check_blocks_and_head(config, weights.params, "fp32", batch=1)


def check_blocks_and_head(config: Config, params: dict, scheme: str, batch: int) -> None:
    """Compare single applications of a model whose products are float32."""
    plan = plan_of(scheme)
    quantised = quantise_for(params, plan.precision)
    model = lower_floats(config, quantised, plan, batch=batch)
    data, simulated = write_tflite(model), dequantise_params(quantised)
    reasoner = reasoner_of(config, plan_dot_general(plan.precision))
    x, z_H, z_L = states(config, batch, 3)

    for update, name in zip(reasoner.networks[:2], blocks_of(config), strict=True):
        apply = jax.jit(lambda z, update=update: update(simulated, z, x))
        bound = float_drift(apply, z_L, model.graph(name))
        assert rms(run(data, name, z=z_L, injection=x)["z"] - apply(z_L)) <= bound

    read_out = jax.jit(lambda z: reasoner.read_out(simulated, z))
    got, want = run(data, "head", z_H=z_H), read_out(z_H)
    bound = float_drift(lambda z: read_out(z).logits, z_H, model.graph("head"))
    assert rms(got["logits"] - want.logits) <= bound
    assert rms(got["q"] - np.stack([want.q_halt, want.q_continue], -1)) <= bound


def check_step(config: Config, params: dict) -> None:
    """Compare a supervision step in one graph, fp32."""
    plan = plan_of("fp32")
    model = lower_floats(config, params, plan, batch=2, graphs=("step",))
    networks = reasoner_of(config, plan_dot_general(plan.precision)).networks
    x, z_H, z_L = states(config, 2, 3)

    @jax.jit
    def step(z: jax.Array) -> jax.Array:
        latents, _ = run_cycles(
            networks,
            params,
            Latents(z, z_L),
            x,
            H_cycles=config.H_cycles,
            L_cycles=config.L_cycles,
            observe=lambda _: None,
        )
        return jax.numpy.stack(latents)

    got = run(write_tflite(model), "step", x=x, z_H=z_H, z_L=z_L)
    bound = float_drift(step, z_H, model.graphs[0])
    assert rms(np.stack([got["z_H"], got["z_L"]]) - step(z_H)) <= bound
    alone = run(write_tflite(lower_floats(config, params, plan, batch=2)), "head", z_H=got["z_H"])
    np.testing.assert_array_equal(got["logits"], alone["logits"])


@pytest.mark.slow
@pytest.mark.parametrize("target", [Target.LITERT, Target.LITERT_BUILTIN], ids=lambda t: t.value)
@pytest.mark.parametrize("scheme", ["w8c-sym_a8da", "w4c-sym_a8da", "w4c-asym_a8da"])
def test_dynamic_blocks_equal_their_simulation(scheme: str, target: Target) -> None:
    check_dynamic("attention", plan_of(scheme, target))


@pytest.mark.slow
def test_roles_may_differ() -> None:
    plan = mixed(
        mixer=plan_of("w8c-sym_a8da"), channel=plan_of("w4c-asym_a8da"), head=plan_of("int8")
    )
    assert plan.precision.name == "mixer=w8c-sym_a8da,channel=w4c-asym_a8da,head=w8c-sym"
    check_dynamic("mlp", plan)


def check_dynamic(kind: str, plan: StoragePlan) -> None:
    """Compare one block whose inputs are rounded at run time.

    Both sides compute x/s with a few roundings, 4 * 2^-24 * 255 steps at most, so they round
    differently with a probability of twice that. A flip is a whole step, rounding itself a
    twelfth of a squared one: sqrt(12 p) of what rounding does to the block, and twice that for
    the flips that the mixer's differences cause in the channel MLP.
    """
    config = CONFIGS[kind]
    quantised = quantise_for(random_weights(config).params, plan.precision)
    model = lower_floats(config, quantised, plan, batch=2, graphs=("block",))
    params = dequantise_params(quantised)
    z, injection = states(config, 2, 2)
    got = run(write_tflite(model), "block", plan.target, z=z, injection=injection)["z"]
    simulated = reasoner_of(config, plan_dot_general(plan.precision)).networks.update_L
    exact = reasoner_of(config, lambda _: jax.lax.dot_general).networks.update_L
    want, unrounded = (np.asarray(f(params, z, injection)) for f in (simulated, exact))
    flips = np.sqrt(12 * 2 * 4 * 2.0**-24 * 255)
    rounding = float_drift(lambda z: simulated(params, z, injection), z, model.graphs[0])
    assert rms(want - unrounded) > 100 * rounding  # the test can tell the two apart
    assert rms(got - want) <= 3 * flips * rms(want - unrounded) + rounding


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "scheme"),
    [
        (SUDOKU_TRM_MLP, "int8"),
        (SUDOKU_TRM_MLP, "w4c-asym_a8da"),
        (MAZE_TRM_ATT, "int4_calibrated"),
    ],
    ids=["sudoku-int8", "sudoku-int4-dynamic", "maze-int4"],
)
def test_files_are_as_small_as_the_packed_weights(config: TRMConfig, scheme: str) -> None:
    weights = random_weights(config)
    plan = plan_of(scheme)
    model = lower_floats(config, quantise_for(weights.params, plan.precision), plan, batch=1)
    kernels = [
        tensor.stored.total
        for tensor in footprint(weights, parse(scheme)).backbone
        if tensor.name.endswith("kernel")
    ]
    assert abs(len(write_tflite(model)) / sum(kernels) - 1) < 0.03


def test_steps_share_their_weights() -> None:
    config = CONFIGS["mlp"]
    plan = plan_of("int8")
    quantised = quantise_for(random_weights(config).params, plan.precision)
    block = len(
        write_tflite(lower_floats(config, quantised, plan, batch=1, graphs=("block", "head")))
    )
    both = len(
        write_tflite(
            lower_floats(config, quantised, plan, batch=1, graphs=("block", "head", "step"))
        )
    )
    step = lower_floats(config, quantised, plan, batch=1, graphs=("step",)).graphs[0]
    # what a step adds is operators and names, no weights: under 400 bytes an operator
    assert both - block < 400 * len(step.ops)


def test_metadata_tells_what_is_inside() -> None:
    config = CONFIGS["mlp"]
    plan = plan_of("int4_calibrated")
    quantised = quantise_for(random_weights(config).params, plan.precision)
    model = read_tflite(write_tflite(lower_floats(config, quantised, plan, batch=1)))
    texts = {key: model.metadata[name].decode() for key, name in METADATA.items()}
    assert texts["scheme"] == "w4c-asym"
    assert texts["plan"] == "weight_only-int4-stored for litert"
    assert texts["parameters"] == parameters_sha256(quantised)
    other = quantise_for(random_weights(config, seed=1).params, plan.precision)
    assert parameters_sha256(other) != parameters_sha256(quantised)
    kernel = "L_level/layers_0/mlp/down_proj/kernel"
    assert model.graph("block").tensor(kernel).shape == (config.hidden_size, 256)


def test_requests_that_make_no_sense_are_refused() -> None:
    config, plan = CONFIGS["mlp"], plan_of("int8")
    params = random_weights(config).params
    quantised = quantise_for(params, plan.precision)
    with pytest.raises(ValueError, match="batch must be at least 1, got batch=0"):
        lower_floats(config, quantised, plan, batch=0)
    with pytest.raises(ValueError, match=r"some of block, head, step, got \['rollout'\]"):
        lower_floats(config, quantised, plan, batch=1, graphs=("rollout",))
    with pytest.raises(ValueError, match="is float, but its plan is for w8c-sym"):
        lower_floats(config, params, plan, batch=1)
    with pytest.raises(ValueError, match="is quantised, but its plan is float32"):
        lower_floats(config, quantised, plan_of("fp32"), batch=1)
    static = plan_of("w8c-sym_a8s")
    quantised = quantise_for(params, static.precision)
    with pytest.raises(ValueError, match="no calibrated range"):
        lower_floats(config, quantised, static, batch=1)
