"""Injections in fixed point, grids of states and rows, ranges and counts: exact."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from quant.affine import Range
from quant.integer.calibration import encoding, encodings_of
from quant.integer.carry import combine_for, combine_on_host, combine_steps, on_grid, row_scale
from quant.integer.encoding import Encoding
from quant.integer.kernels.matmul import saturate
from quant.integer.operators import name_state
from quant.integer.reasoner import simulate_integers
from quant.integer.saturation import CountingOps, count_rollout
from quant.integer.tensor_names import STATE, TensorName
from tests.support.export import integers
from tests.support.samples import random_batch

SCALES = [
    (16, (2e-4, 0), 3e-4, (5e-4, 0)),
    (16, (1e-3, 0), 1e-6, (1e-4, 0)),  # saturates, and the embedding hardly counts
    (8, (0.05, 7), 0.02, (0.06, -11)),
]


def drawn(bits: int, seed: int) -> np.ndarray:
    dtype = np.dtype(f"int{bits}")
    info = np.iinfo(dtype)
    values = np.random.default_rng(seed).integers(info.min, info.max + 1, 4096).astype(dtype)
    values[:2] = info.min, info.max
    return values


@pytest.mark.slow
@pytest.mark.parametrize(("bits", "z", "e", "injection"), SCALES)
@pytest.mark.parametrize("with_e", [True, False])
def test_jax_injects_what_python_integers_say(bits, z, e, injection, with_e) -> None:
    target = Encoding(scale=injection[0], zero_point=injection[1], bits=bits)
    combine = combine_for(z=z, e=e if with_e else None, injection=injection)
    a, b = drawn(bits, 0), drawn(bits, 1) if with_e else None
    wanted = []
    for i, z_q in enumerate(a.tolist()):  # Python's integers have no width
        total = combine.z_factor * z_q + combine.offset
        total += combine.e_factor * int(b[i]) if b is not None else 0
        wanted.append(min(max(total >> combine.shift, target.q_min), target.q_max))
    wide = [None if x is None else jnp.asarray(x, jnp.int32) for x in (a, b)]
    assert wide[0] is not None
    found = saturate(combine_steps(wide[0], wide[1], combine), target.dtype)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(combine_on_host(a, b, combine, target), wanted)
    real = (a.astype(np.float64) - z[1]) * z[0] + (0 if b is None else b * np.float64(e))
    inside = (np.asarray(wanted) > target.q_min) & (np.asarray(wanted) < target.q_max)
    error = (np.asarray(wanted) - injection[1]) * injection[0] - real
    # half a step of rounding; factors of 30 bits move 2^16 steps by less than 2^-12
    assert np.abs(error[inside]).max() <= (0.5 + 2**-12) * injection[0]


def test_an_injection_that_would_leave_32_bits_is_refused() -> None:
    combine = combine_for(z=(1.0, 0), e=None, injection=(1e-6, 0))
    with pytest.raises(ValueError, match="scale is too small"):
        combine_steps(jnp.zeros(2, jnp.int32), None, combine)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["w4c-asym_a16s_tflm", "w4c-asym_a8s_tflm"])
def test_real_numbers_give_every_integer_back(scheme: str) -> None:
    model = integers.tiny(scheme)
    plain = simulate_integers(model).reasoner
    for name in ("z", "e", "injection"):
        known = model.encodings[name]
        every = jnp.arange(known.q_min, known.q_max + 1, dtype=jnp.int32).astype(known.dtype)
        real = (every.astype(jnp.float32) - known.zero_point) * jnp.float32(known.scale)
        np.testing.assert_array_equal(plain.integers(real, name), every)


def test_rows_share_one_scale_and_states_keep_their_zero() -> None:
    tables = (np.asarray([[0.5, -2.0]], np.float32), np.asarray([[1.0, 4.0]], np.float32))
    assert row_scale(tables, 8) == np.float32(4 / 127)
    grid = Encoding(scale=0.1, zero_point=5, bits=8)
    np.testing.assert_array_equal(on_grid(jnp.asarray([0.0, 1.0, -99.0]), grid), [5, 15, -128])
    wide = Encoding(scale=0.1, bits=16)
    np.testing.assert_array_equal(on_grid(jnp.asarray([0.0, 1.0, -1e9]), wide), [0, 10, -32767])


def test_encodings_cover_their_ranges_with_headroom() -> None:
    assert encoding(-1.0, 3.0, 16).scale == np.float32(3 / 32767)
    eight = encoding(-1.0, 3.0, 8)
    assert (eight.q_min - eight.zero_point) * eight.scale <= -1 + eight.scale / 2
    assert (eight.q_max - eight.zero_point) * eight.scale >= 3 - eight.scale / 2
    assert encoding(2.0, 3.0, 8).zero_point == -128  # 0 is on the grid
    spans = integers.tiny_spans()
    made = encodings_of(spans, integers.TINY, bits=16, headroom=2.0)
    name = TensorName("L_level/layers_0/mlp/gate_up_proj")
    reach = max(-float(spans[name].low), float(spans[name].high))
    assert made[str(name)].scale == np.float32(2 * reach / 32767)
    assert made["z"] == made["L_level/layers_0/mlp/norm"]
    with pytest.raises(ValueError, match="headroom must be at least 1"):
        encodings_of(
            {STATE: Range(jnp.float32(0), jnp.float32(1))}, integers.TINY, bits=8, headroom=0.5
        )


@pytest.mark.slow
def test_saturation_is_counted_where_ranges_are_too_small() -> None:
    model = integers.tiny("w4c-asym_a16s_tflm")
    name = "L_level/layers_0/mlp/silu"
    small = Encoding(scale=model.encodings[name].scale / 50, bits=16)
    tight = dataclasses.replace(model, encodings={**model.encodings, name: small})
    counts = count_rollout(simulate_integers(tight), random_batch(integers.TINY, 2), steps=1)
    assert counts[name] > 0
    assert counts["injection"] == 0
    ops = CountingOps(model.products, model.encodings, 1e-5, integers.TINY.num_heads)
    ops.counted(name_state(jnp.asarray([32767, -32768, 32766, 0], jnp.int16)))
    assert int(ops.counts["z"]) == 2


def test_reasoners_of_different_integers_share_no_compiled_program() -> None:
    first, second = (
        simulate_integers(integers.tiny(f"w4c-asym_{a}_tflm")).reasoner for a in ("a16s", "a8s")
    )
    assert first.config == second.config
    assert first != second
    assert first == dataclasses.replace(first)
    assert hash(first) == hash(dataclasses.replace(first))
