"""Compact encodings against literal bytes and the error bounds that their layout implies."""

import math
import struct

import numpy as np
import pytest

from trm_jax.checkpoints import compact_state as codec

SHAPES = [(1,), (256,), (257,), (3, 200), (2, 3, 128)]


def second_moments(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Numbers over many powers of ten, some of them 0."""
    rng = np.random.default_rng(seed)
    values = 10 ** rng.uniform(-20, 2, shape)
    values[rng.random(shape) < 0.1] = 0
    return values.astype(np.float32)


def test_float32_bytes() -> None:
    values = np.array([[1.0, -2.0]], np.float32)
    data = codec.encode_float32(values)
    assert data == bytes.fromhex("0000803f 000000c0")
    np.testing.assert_array_equal(codec.decode_float32(data, (1, 2)), values)


def test_delta16_bytes() -> None:
    base = np.array([1.0, 4.0, -1.0], np.float32)
    values = np.array([1.5, 3.0, -1.0], np.float32)  # differences 0.5, -1, 0
    data = codec.encode_delta16(values, base)
    assert data == bytes.fromhex("003f 80bf 0000")
    np.testing.assert_array_equal(codec.decode_delta16(data, base), values)


def test_delta16_error_is_that_of_a_bfloat16_difference() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(50, 40)).astype(np.float32)
    delta = (1e-3 * rng.normal(size=base.shape)).astype(np.float32)
    back = codec.decode_delta16(codec.encode_delta16(base + delta, base), base)
    # 8 significant bits of the difference, and one float32 rounding of each of the two sums
    bound = 2.0**-8 * np.abs(delta) * (1 + 1e-3) + 2.0**-23 * (np.abs(base) + np.abs(delta))
    assert (np.abs(back - (base + delta)) <= bound).all()


def test_log8_bytes() -> None:
    # logarithms -100, 27 and -36, and a zero
    values = np.array([2.0**-100, 2.0**27, 0.0, 2.0**-36], np.float32)
    data = codec.encode_log8(values)
    # lo -100, step (27 + 100) / 254 = 0.5; codes 1 + 0, 1 + 254, 0 for zero, 1 + 64 / 0.5
    assert data == struct.pack("<ff", -100.0, 0.5) + bytes([1, 255, 0, 129])
    np.testing.assert_array_equal(codec.decode_log8(data, (4,)), values)


def test_log8_blocks_stand_before_codes() -> None:
    values = np.concatenate([np.full(256, 4.0), np.zeros(3)]).astype(np.float32)
    data = codec.encode_log8(values)
    assert data == struct.pack("<ffff", 2.0, 0.0, 0.0, 0.0) + b"\x01" * 256 + b"\x00" * 3
    np.testing.assert_array_equal(codec.decode_log8(data, (259,)), values)


@pytest.mark.parametrize("shape", SHAPES)
def test_log8_relative_error(shape: tuple[int, ...]) -> None:
    values = second_moments(shape)
    back = codec.decode_log8(codec.encode_log8(values), shape)
    np.testing.assert_array_equal(back == 0, values == 0)
    # at most half a step of 22 decades / 254, plus float32 roundings of exponents up to 70
    half = math.log2(10**22) / 254 / 2
    np.testing.assert_allclose(back, values, rtol=2**half - 1 + 1e-4)


def test_log8_refuses_what_is_no_second_moment() -> None:
    for bad in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="finite values of 0 or more"):
            codec.encode_log8(np.array([1.0, bad], np.float32))


def test_ratio8_bytes() -> None:
    second = np.array([4.0, 1.0, 0.0, 16.0], np.float32)
    first = np.array([2.0, -0.5, 1.0, 0.0], np.float32)  # ratios 1, -0.5, none, 0
    data = codec.encode_ratio8(first, second)
    # scale 1; codes 127, round(-63.5) = -64 to even, 0, 0
    assert data == struct.pack("<f", 1.0) + bytes([127, 256 - 64, 0, 0])
    back = codec.decode_ratio8(data, second)
    np.testing.assert_allclose(back, [2.0, -64 / 127, 0.0, 0.0], rtol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_directions_survive(shape: tuple[int, ...]) -> None:
    """What AdamATan2 makes of decoded moments: atan2(m, sqrt(v)) per weight."""
    second = second_moments(shape)
    rng = np.random.default_rng(1)
    first = (rng.uniform(-1.165, 1.165, shape) * np.sqrt(second)).astype(np.float32)
    v = codec.decode_log8(codec.encode_log8(second), shape)
    m = codec.decode_ratio8(codec.encode_ratio8(first, second), v)
    # half a code of a scale of at most 1.165; atan never steeper than 1; float32 beside it
    directions = [np.arctan2(a, np.sqrt(b)) for a, b in ((m, v), (first, second))]
    np.testing.assert_allclose(*directions, atol=1.165 / 254 + 1e-6)


def test_all_zero_moments_stay_zero() -> None:
    zeros = np.zeros((4, 100), np.float32)
    v = codec.decode_log8(codec.encode_log8(zeros), zeros.shape)
    m = codec.decode_ratio8(codec.encode_ratio8(zeros, zeros), v)
    np.testing.assert_array_equal(v, zeros)
    np.testing.assert_array_equal(m, zeros)


def test_text_round_trip() -> None:
    text = '{"step": 1, "µ": 2}\n' * 100
    data = codec.encode_zlib(text)
    assert len(data) < len(text) / 10
    assert codec.decode_zlib(data) == text
