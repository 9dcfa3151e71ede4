"""The vector file against literal bytes."""

import zlib

import numpy as np
import pytest

from export.artifact.host_state import state_checksum
from export.cortex_m.row_file import Depth
from export.cortex_m.test_vectors import Vector, VectorFile, read_vectors, write_vectors
from trm_jax.halting import Halting, HaltRule

ID = bytes(range(32))
DEPTH = Depth(H_cycles=2, L_cycles=3, halt_max_steps=16, halting=Halting(HaltRule.Q, -0.5))


def vector(**changes: object) -> Vector:
    values: dict = {
        "puzzle": 2,
        "inputs": np.asarray([1, 0, 2]),
        "tokens": np.asarray([1, 3, 2]),
        "steps": 4,
        "states": (0x01020304, 0xFFFFFFFE),
    }
    return Vector(**{**values, **changes})


def test_bytes() -> None:
    checked = bytes.fromhex(
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
        "0300 0100 01000000 0200 0300 1000 0100"  # seq, states, count, H, L, steps, halting
        "78ecffff 000000000000000000000000"  # -5000 ten-thousandths; reserved
        "02000000 04000000 04030201 feffffff 010002 010302 0000"
    ) + bytes(8)
    wanted = b"TRMVECT2" + (112).to_bytes(4, "little") + zlib.crc32(checked).to_bytes(4, "little")
    file = VectorFile(model_id=ID, depth=DEPTH, vectors=[vector()])
    assert write_vectors(file) == wanted + checked


@pytest.mark.parametrize("states", [None, (1, 2)])
def test_what_was_written_is_read_back(states: tuple[int, int] | None) -> None:
    made = [vector(puzzle=i, steps=i + 1, states=states) for i in range(3)]
    data = write_vectors(VectorFile(model_id=ID, depth=DEPTH, vectors=made))
    again = read_vectors(data + b"more")
    assert (again.model_id, again.depth, again.has_states) == (ID, DEPTH, states is not None)
    for old, new in zip(made, again.vectors, strict=True):
        assert (old.puzzle, old.steps, old.states) == (new.puzzle, new.steps, new.states)
        np.testing.assert_array_equal(old.inputs, new.inputs)
        np.testing.assert_array_equal(old.tokens, new.tokens)
    assert write_vectors(again) == data


def test_damage_is_a_value_error() -> None:
    data = write_vectors(VectorFile(model_id=ID, depth=DEPTH, vectors=[vector()]))
    for at in range(len(data)):
        mutant = bytearray(data)
        mutant[at] ^= 0x40
        with pytest.raises(ValueError, match="vector file"):
            read_vectors(bytes(mutant))
        with pytest.raises(ValueError, match="vector file"):
            read_vectors(data[:at])


@pytest.mark.parametrize(
    ("vectors", "words"),
    [
        ([], "at least one vector"),
        ([vector(tokens=np.asarray([1, 2]))], r"of one size, got \[2, 3\]"),
        ([vector(tokens=np.asarray([1, 2, 36]))], "tokens must be 0 to 35"),
        ([vector(), vector(states=None)], "all vectors have checksums"),
    ],
)
def test_what_the_format_cannot_hold_is_refused(vectors: list[Vector], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        VectorFile(model_id=ID, depth=DEPTH, vectors=vectors)


def test_checksums_are_of_the_bytes_of_a_state() -> None:
    z = np.asarray([[1, -1], [256, 2]], np.int16)
    assert state_checksum(z) == zlib.crc32(bytes.fromhex("0100ffff00010200"))
    assert state_checksum(np.asfortranarray(z)) == state_checksum(z)


@pytest.mark.parametrize(
    ("at", "words"), [(50, "0 or 1, got 2"), (70, "zeros"), (102, "zeros"), (108, "zeros")]
)
def test_what_holds_nothing_is_zero(at: int, words: str) -> None:
    data = bytearray(write_vectors(VectorFile(model_id=ID, depth=DEPTH, vectors=[vector()])))
    data[at] = 2
    data[12:16] = zlib.crc32(data[16:]).to_bytes(4, "little")
    with pytest.raises(ValueError, match=words):
        read_vectors(bytes(data))
