"""Packed bytes against literal bytes and a loop over bits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant.affine import WEIGHT_BITS, Grid, Symmetry
from quant.packing import pack, packed_bytes, stored_bytes, unpack

LITERAL = [
    # int4 as TFLite stores it: low nibble first, an odd count padded with zero
    (4, np.int8, [1, -2, 7], "e1 07"),
    (4, np.int8, [-7, 7, 0, -1], "79 f0"),
    (4, np.uint8, [15, 0, 10], "0f 0a"),
    (2, np.int8, [1, -1, 0, 1], "4d"),
    (2, np.uint8, [3, 2, 1, 0, 3], "1b 03"),
    (8, np.int8, [-127, 0, 127], "81 00 7f"),
    (8, np.uint8, [255, 1], "ff 01"),
    # 1, 2, 3, 4, 5, 6, 7, 0 in 3 bits: 001 010 011 100 101 110 111 000 from the low end
    (3, np.uint8, [1, 2, 3, 4, 5, 6, 7, 0], "d1 58 1f"),
    (3, np.int8, [-3], "05"),
    (5, np.uint8, [31, 0, 1], "1f 04"),
    (6, np.int8, [-1, 1], "7f 00"),
    (7, np.uint8, [127, 127], "ff 3f"),
]


@pytest.mark.parametrize(("bits", "dtype", "values", "expected"), LITERAL)
def test_literal_bytes(bits, dtype, values, expected):
    data = pack(np.array(values, dtype), bits)
    assert data.tobytes() == bytes.fromhex(expected)


@settings(max_examples=100, deadline=None)
@given(st.data(), st.sampled_from(WEIGHT_BITS), st.sampled_from(list(Symmetry)))
def test_round_trip_and_bit_loop(data, bits, symmetry):
    grid = Grid(bits=bits, symmetry=symmetry)
    values = data.draw(st.lists(st.integers(grid.q_min, grid.q_max), max_size=20))
    packed = pack(np.array(values, grid.dtype), bits)
    stream = sum((v % 2**bits) << (i * bits) for i, v in enumerate(values))
    size = (len(values) * bits + 7) // 8
    assert packed.tobytes() == stream.to_bytes(size, "little")
    assert packed.size == packed_bytes(len(values), bits) == size
    back = unpack(packed, grid, (len(values),))
    assert back.dtype == grid.dtype
    assert back.tolist() == values


def test_sizes_of_a_tensor():
    shape = (97, 5)  # 485 integers: an odd count of nibbles
    for symmetry, zero_points in ((Symmetry.SYMMETRIC, 0), (Symmetry.ASYMMETRIC, 5)):
        channel = Grid(bits=4, symmetry=symmetry, channel_axes=(-1,))
        assert stored_bytes(shape, channel) == (243, 20, zero_points, 0)
        assert stored_bytes(shape, channel).total == 263 + zero_points
    assert stored_bytes(shape, Grid(bits=3)) == (182, 4, 0, 0)  # 1455 bits


def test_misfits_are_refused():
    with pytest.raises(ValueError, match=r"fit 4 bits, got -9 to 1"):
        pack(np.array([-9, 1], np.int8), 4)
    with pytest.raises(ValueError, match="packed bits must be one of"):
        pack(np.array([1], np.int8), 16)
    with pytest.raises(ValueError, match="need 2 bytes, got 1"):
        unpack(np.zeros(1, np.uint8), Grid(bits=4), (3,))
