"""A level in integers is close to float32; its norm has NumPy's bits.

That it has TFLM's bits is in tests/export/lowering/test_integer_block.py, with the graphs that
ship.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quant.integer.calibration import Spans, encodings_of, level_with_spans, merged
from quant.integer.encoding import Encoding
from quant.integer.kernels.elementwise import count_saturated, quantise_floats
from quant.integer.kernels.norm import inverse_root_of_squares, norm_in_float32
from quant.integer.network import apply_level
from quant.integer.operators import IntegerOps, Products, name_injection, name_state, products_of
from quant.ptq.weights import quantise_params, round_weights
from quant.scheme import parse
from tests.support.export import integers
from trm_jax import zoo
from trm_jax.config import Config
from trm_jax.models.act import inject
from trm_jax.models.build import build
from trm_jax.types import Batch


class Case(NamedTuple):
    """A calibrated level with states of its float trajectory."""

    config: Config
    products: Products
    encodings: dict[str, Encoding]
    states: list[tuple[jax.Array, jax.Array, jax.Array]]  # z, injection and what follows


def trained(scheme: str) -> Case:
    """Walk through the recursion in float32 on quantised weights: both roles, two steps."""
    config, weights = zoo.load("sudoku-trm-mlp-mini")
    inputs = np.load(zoo.puzzles("sudoku") / "test" / "all__inputs.npy")[:3].astype(np.int32)
    tokens = jnp.asarray(inputs)
    batch = Batch(tokens, tokens, jnp.zeros(3, jnp.int32))
    products = products_of(quantise_params(weights.params, parse(scheme)))
    x = inject(build(config), round_weights(weights, parse(scheme)), batch)
    spans: Spans = {}
    states = []
    step = jax.jit(lambda z, injection: level_with_spans(z, injection, products, config))

    def apply(z: jax.Array, injection: jax.Array) -> jax.Array:
        out, seen = step(z, injection)
        spans.update({k: merged(v, spans.get(k, v)) for k, v in seen.items()})
        states.append((z, injection, out))
        return out

    z_H, z_L = (jnp.broadcast_to(b, x.shape) for b in weights.buffers)
    for _ in range(2 * config.H_cycles):
        for _ in range(config.L_cycles):
            z_L = apply(z_L, z_H + x)
        z_H = apply(z_H, z_L)
    return Case(config, products, encodings_of(spans, config, bits=16), states)


@pytest.mark.slow
def test_level_is_close_to_float() -> None:
    """What int16 sums of h and swiglu(h) lose where rows differ much in size.

    The step of a sum is its reach times 1.5/32767; rounding it and what was added gives a row
    of size r an error of step / r (two roundings of step / sqrt(12), and half as much again
    for the products before them). Of the last norm's rows most are a thousandth of the largest:
    1266 * 1.5 / 32767 / 1.8 = 0.03.
    """
    case = trained("w4c-asym")
    e, last = case.encodings, case.encodings["z"]
    ops = IntegerOps(case.products, e, case.config.rms_norm_eps)
    simulated = jax.jit(
        lambda z, i: apply_level(name_state(z), name_injection(i), case.config, ops).value
    )
    for z, injected, wanted in case.states[::4]:
        found = simulated(quantise_floats(z, e["z"]), quantise_floats(injected, e["injection"]))
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
    found = jax.jit(lambda v: norm_in_float32(v, x, y, 1e-5))(values)
    assert np.array_equal(found, np.clip(steps, -32768, 32767))


@pytest.mark.parametrize("width", [37, 128])
def test_a_row_s_factor_comes_from_its_squares(width: int) -> None:
    """Bit for bit against NumPy: only the mean and its root are float32."""
    squares, inverse = Encoding(scale=0.04, bits=16), Encoding(scale=2e-4, bits=16)
    values = np.random.default_rng(0).integers(0, 32768, (200, width)).astype(np.int16)
    values[:100] //= 4096  # small rows beside large ones
    real = values.astype(np.float32) * np.float32(squares.scale)
    total = np.add.accumulate(real, axis=-1, dtype=np.float32)[:, -1:]
    factor = np.float32(1) / np.sqrt(total / np.float32(width) + np.float32(1e-5))
    steps = np.floor((factor / np.float32(inverse.scale)).astype(np.float64) + 0.5)
    encodings = squares, inverse
    found = jax.jit(lambda v: inverse_root_of_squares(v, encodings, 1e-5))(values)
    assert found.shape == (200, 1)
    assert len(np.unique(found)) > 50
    assert np.array_equal(found, np.clip(steps, -32768, 32767))


def test_only_a_scheme_that_names_norms_has_integers_inside_them() -> None:
    plain, norms = (integers.tiny(f"w8c-sym_a8s_tflm{s}").encodings for s in ("", "+norms"))
    inside = {name for name in norms if name.endswith(("/square", "/inverse"))}
    assert inside == {
        f"L_level/layers_0/{mlp}/norm/{word}"
        for mlp in ("mlp_t", "mlp")
        for word in ("square", "inverse")
    }
    assert {norms[name].bits for name in inside} == {16}
    assert plain.items() <= norms.items()
    assert not any("/square" in name or "/inverse" in name for name in plain)
