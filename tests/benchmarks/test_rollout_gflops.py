"""The GFLOP/s benchmark: every product of the blocks is counted, at its own shape."""

import dataclasses
import json
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from benchmarks.rollout_gflops import __main__ as rollout_gflops
from benchmarks.rollout_gflops.runner import Matmul, Product, products
from tests.support.programs import end_of
from tests.support.samples import random_weights, small
from tests.support.tiny.preset import PRESET
from trm_jax.config import (
    PRESETS,
    Config,
    Mixer,
    Positions,
    TRMConfig,
    blocks_per_step,
    flops_per_step,
)
from trm_jax.models.build import build

ATT = TRMConfig(**small(puzzle_emb_len=1))
MLP = dataclasses.replace(ATT, mixer=Mixer.MLP, positions=Positions.NONE)


def products_of_a_block(config: Config, batch: int) -> list[tuple[int, int, int, int]]:
    """Read stack, rows, inputs and outputs of every dot product off the traced level."""
    reasoner = build(dataclasses.replace(config, L_layers=1))
    weights = jax.eval_shape(lambda: random_weights(reasoner.config))
    state = jax.ShapeDtypeStruct((batch, config.num_positions, config.hidden_size), jnp.float32)
    jaxpr = jax.make_jaxpr(reasoner.networks.update_L)(weights.params, state, state)
    return sorted(_dots(jaxpr.jaxpr))


def _dots(jaxpr: Any) -> list[tuple[int, int, int, int]]:
    found = []
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "dot_general":
            (contract, _), (stack, _) = eqn.params["dimension_numbers"]
            left, right = (v.aval.shape for v in eqn.invars)
            inputs = _size(left, contract)
            count = _size(left, stack)
            rows = _size(left, range(len(left))) // inputs // count
            outputs = _size(right, range(len(right))) // inputs // count
            found.append((count, rows, inputs, outputs))
        for value in eqn.params.values():
            if hasattr(value, "jaxpr"):
                found += _dots(value.jaxpr)
    return found


def _size(shape: tuple[int, ...], axes: Any) -> int:
    size = 1
    for axis in axes:
        size *= shape[axis]
    return size


@pytest.mark.parametrize("config", [ATT, MLP], ids=["att", "mlp"])
def test_products_are_those_of_the_traced_block(config: Config) -> None:
    ours = sorted((p.stack, p.rows, p.inputs, p.outputs) for p in products(config, 3))
    assert ours == products_of_a_block(config, 3)


@pytest.mark.parametrize("name", PRESETS)
def test_products_add_up_to_the_flops_of_a_step(name: str) -> None:
    config = PRESETS[name]
    total = blocks_per_step(config) * sum(p.gflops for p in products(config, 2))
    assert total == pytest.approx(2e-9 * flops_per_step(config), rel=1e-12)


def test_linear_attention_is_refused() -> None:
    with pytest.raises(ValueError, match="linear_attention are not counted"):
        products(dataclasses.replace(ATT, mixer=Mixer.LINEAR_ATTENTION), 1)


@pytest.mark.slow
def test_a_matmul_multiplies_its_stack() -> None:
    matmul = Matmul(Product("x", 4, 5, 6, 7))
    assert matmul.multiply(matmul.a, matmul.b).shape == (4, 5, 7)
    assert matmul.seconds() > 0


@pytest.mark.slow
def test_the_program_prints_rows(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--preset", PRESET, "--limit", "1", "--repeats", "1")
    assert rollout_gflops.main([*arguments, "--steps", "1"]) == 0
    rows = {(row := json.loads(line))["what"]: row for line in capsys.readouterr().out.splitlines()}
    assert len(rows) == 4 + 2
    bare, whole = (rows[what]["gflops"]["median"] for what in ("all products", "rollout"))
    # one repeat, so medians are the values themselves
    assert rows["rollout"]["share"]["median"] == pytest.approx(whole / bare)


@pytest.mark.parametrize("flag", ["--steps", "--repeats", "--limit"])
def test_bad_input_exits_with_2(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert end_of(rollout_gflops.main, ["--preset", PRESET, flag, "0"]) == 2
    assert "error: " in capsys.readouterr().err
