"""Attention in integers is as far from float32 as its rounding; its sum is never fused.

That it has TFLM's bits is in tests/export/lowering/test_integer_attention.py, with the graphs that
ship.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quant.integer.calibration import level_with_spans
from quant.integer.encoding import Encoding
from quant.integer.kernels.elementwise import quantise_floats
from quant.integer.kernels.norm import residual_in_float32
from quant.integer.model import IntegerModel
from quant.integer.network import apply_level
from quant.integer.operators import name_injection, name_state
from quant.integer.tensor_names import INT8, INT16, MIXED, BitWidths
from tests.support.export import attention_models
from tests.support.samples import small
from trm_jax.config import HRMConfig, Mixer, TRMConfig


def distance(model: IntegerModel) -> float:
    """Measure a level's relative distance to float32 on a state of unit mean square."""
    c, e = model.config, model.encodings
    rng = np.random.default_rng(3)
    ends = [
        jnp.asarray(rng.normal(size=(2, c.num_positions, c.hidden_size)), jnp.float32)
        for _ in range(2)
    ]
    span = min(abs(e[name].q_max * e[name].scale) for name in ("z", "injection"))
    z, added = (jnp.clip(x, -span, span) for x in ends)
    wanted = jax.jit(lambda z, i: level_with_spans(z, i, model.products, c)[0])(z, added)
    run = jax.jit(lambda z, i: apply_level(name_state(z), name_injection(i), c, model.ops()).value)
    found = run(quantise_floats(z, e["z"]), quantise_floats(added, e["injection"]))
    real = (np.asarray(found, np.float64) - e["z"].zero_point) * e["z"].scale
    return float(np.linalg.norm(real - np.asarray(wanted)) / np.linalg.norm(wanted))


@pytest.mark.slow
def test_distance_to_float_is_rounding() -> None:
    """Steps of int16 are 256 times finer, so is its distance: within 4, for kernels differ."""
    far, fine, mixed = (distance(attention_models.tiny("w8c-sym", w)) for w in (INT8, INT16, MIXED))
    assert far <= 0.1
    assert fine <= far / 64
    assert mixed <= far


@pytest.mark.parametrize(("bits_h", "bits_y"), [(16, 8), (8, 8), (16, 16)])
def test_residual_adds_rounded_products(bits_h: int, bits_y: int) -> None:
    """Bit for bit against NumPy, which fuses nothing: product, product, sum, each rounded."""
    rng = np.random.default_rng(0)
    h_e, y_e = Encoding(scale=0.013, bits=bits_h), Encoding(scale=0.0071, bits=bits_y)
    end = Encoding(scale=2e-4, bits=16)
    h, y = (rng.integers(e.q_min, e.q_max + 1, (300, 24)).astype(e.dtype) for e in (h_e, y_e))
    total = h.astype(np.float32) * np.float32(h_e.scale) + y.astype(np.float32) * np.float32(
        y_e.scale
    )
    squares = np.add.accumulate(total * total, axis=-1, dtype=np.float32)[:, -1:]
    scaled = total * (np.float32(1) / np.sqrt(squares / np.float32(24) + np.float32(1e-5)))
    steps = (scaled / np.float32(end.scale)).astype(np.float64)
    wanted = np.clip(np.sign(steps) * np.floor(np.abs(steps) + 0.5), -32768, 32767)
    found = jax.jit(lambda h, y: residual_in_float32(h, y, (h_e, y_e, end), 1e-5))(h, y)
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize(
    "config", [HRMConfig(**small()), TRMConfig(**small(mixer=Mixer.LINEAR_ATTENTION))]
)
def test_other_networks_are_refused(config) -> None:
    z = jnp.zeros((1, config.num_positions, config.hidden_size))
    with pytest.raises(ValueError, match="use a float scheme"):
        level_with_spans(z, z, {}, config)


def test_widths_are_checked() -> None:
    with pytest.raises(ValueError, match="state must be one of"):
        BitWidths(state=4, product=8, gate=8, scores=8, share=8)
