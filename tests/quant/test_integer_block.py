"""A whole level in integers, equal to TFLM running the graph of it; and close to float32."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quant.affine import QTensor
from quant.integer_block import encodings_of, integer_level, kernels_of, reach_of_level
from quant.integer_elementwise import count_saturated, quantise_floats
from quant.integer_encoding import Encoding
from quant.integer_norm import norm_island
from quant.ptq import quantise_params, simulate
from quant.scheme import parse
from tests.quant.integer_graph import tflm_level
from tests.samples import random_batch, random_weights, small
from trm_jax import zoo
from trm_jax.act import inject
from trm_jax.config import Config, Mixer, Positions, TRMConfig
from trm_jax.models import build
from trm_jax.types import Batch, Weights


class Case(NamedTuple):
    """A calibrated level with states of its float trajectory."""

    config: Config
    kernels: dict[str, QTensor]
    encodings: dict[str, Encoding]
    states: list[tuple[jax.Array, jax.Array, jax.Array]]  # z, injection and what follows


def calibrated(config: Config, weights: Weights, batch: Batch, scheme: str) -> Case:
    """Walk through the recursion in float32 on quantised weights: both roles, two steps."""
    quantised = quantise_params(weights.params, parse(scheme))
    x = inject(build(config), simulate(weights, parse(scheme)), batch)
    reach: dict[str, jax.Array] = {}
    states = []
    step = jax.jit(lambda z, injection: reach_of_level(z, injection, quantised, config))

    def apply(z: jax.Array, injection: jax.Array) -> jax.Array:
        out, seen = step(z, injection)
        reach.update({k: jnp.maximum(v, reach.get(k, v)) for k, v in seen.items()})
        states.append((z, injection, out))
        return out

    z_H, z_L = (jnp.broadcast_to(b, x.shape) for b in weights.buffers)
    for _ in range(2 * config.H_cycles):
        for _ in range(config.L_cycles):
            z_L = apply(z_L, z_H + x)
        z_H = apply(z_H, z_L)
    return Case(config, kernels_of(quantised), encodings_of(reach, config), states)


def trained(scheme: str) -> Case:
    config, weights = zoo.load("sudoku-trm-mlp-mini")
    folder = zoo.PUZZLES["sudoku"] / "test"
    inputs = np.load(folder / "all__inputs.npy")[:3].astype(np.int32)
    tokens = jnp.asarray(inputs)
    return calibrated(config, weights, Batch(tokens, tokens, jnp.zeros(3, jnp.int32)), scheme)


def tiny(scheme: str) -> Case:
    config = TRMConfig(**small(mixer=Mixer.MLP, positions=Positions.NONE, puzzle_emb_len=1))
    return calibrated(config, random_weights(config), random_batch(config, 3), scheme)


def both(case: Case) -> tuple[Any, Any]:
    """JAX and TFLM functions of z and injection."""
    simulated = jax.jit(lambda z, e: integer_level(z, e, case.kernels, case.config, case.encodings))
    return simulated, tflm_level(case.kernels, case.config, case.encodings)


@pytest.mark.parametrize("scheme", ["w4c-sym", "w4c-asym"])
@pytest.mark.parametrize("make", [tiny, trained])
def test_level_equals_tflm(make: Any, scheme: str) -> None:
    case = make(scheme)
    simulated, device = both(case)
    e = case.encodings
    for z, injection, _ in case.states[:: len(case.states) // 2]:
        z_q, injection_q = quantise_floats(z, e["z"]), quantise_floats(injection, e["injection"])
        for _ in range(2):  # and on with its own result
            found = simulated(z_q, injection_q)
            for i in range(len(z)):
                wanted = device(np.asarray(z_q[i]), np.asarray(injection_q[i]))
                assert np.array_equal(found[i], wanted)
            z_q = found
        assert len(np.unique(found)) > 100  # the numbers say something
    extremes = np.random.default_rng(0).integers(-32768, 32768, z.shape).astype(np.int16)
    found = simulated(jnp.asarray(extremes), jnp.asarray(extremes))
    assert np.array_equal(found[1], device(extremes[1], extremes[1]))


def test_level_is_close_to_float() -> None:
    """What int16 sums of h and swiglu(h) lose where rows differ much in size.

    The step of a sum is its reach times 1.5/32767; rounding it and what was added gives a row
    of size r an error of step / r (two roundings of step / sqrt(12), and half as much again
    for the products before them). Of the last norm's rows most are a thousandth of the largest:
    1266 * 1.5 / 32767 / 1.8 = 0.03.
    """
    case = trained("w4c-asym")
    simulated, _ = both(case)
    e, last = case.encodings, case.encodings["z"]
    for z, injection, wanted in case.states[::4]:
        found = simulated(quantise_floats(z, e["z"]), quantise_floats(injection, e["injection"]))
        error = np.asarray(found, np.float64) * last.scale - np.asarray(wanted)
        assert np.linalg.norm(error) <= 0.03 * np.linalg.norm(wanted)
        assert int(count_saturated(found, last)) == 0  # calibrated with headroom


@pytest.mark.parametrize("width", [37, 128])
def test_norm_adds_from_left_to_right(width: int) -> None:
    """Bit for bit against NumPy, whose accumulate adds in order."""
    x, y = Encoding(scale=0.01, bits=16), Encoding(scale=2e-4, bits=16)
    values = (np.random.default_rng(0).normal(size=(200, width)) * 300).astype(np.int16)
    real = values.astype(np.float32) * np.float32(x.scale)
    total = np.add.accumulate(real * real, axis=-1, dtype=np.float32)[:, -1:]
    scaled = real * (np.float32(1) / np.sqrt(total / np.float32(width) + np.float32(1e-5)))
    steps = (scaled / np.float32(y.scale)).astype(np.float64)
    steps = np.sign(steps) * np.floor(np.abs(steps) + 0.5)  # ties away from zero
    found = jax.jit(lambda v: norm_island(v, x, y, 1e-5))(values)
    assert np.array_equal(found, np.clip(steps, -32768, 32767))


def test_other_mixers_are_refused() -> None:
    config = TRMConfig(**small(positions=Positions.NONE))
    weights = random_weights(config)
    quantised = quantise_params(weights.params, parse("w4c-sym"))
    z = jnp.zeros((1, config.num_positions, config.hidden_size))
    with pytest.raises(ValueError, match="has an integer level"):
        reach_of_level(z, z, quantised, config)
