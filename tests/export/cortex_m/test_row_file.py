"""The row file against literal bytes, and the constants of injections against exact fractions."""

import zlib
from fractions import Fraction

import numpy as np
import pytest

from export.cortex_m.row_file import Depth, PuzzleKind, PuzzleShape, read_rows, write_rows
from quant.integer.carry import combine_for, scaled_rows
from tests.support.export.board import small_row_file
from trm_jax.halting import parse_halting


def test_bytes() -> None:
    checked = bytes.fromhex(
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"  # model id
        "01000000 02000000 01000000 01000000 02000000 02000000 02000000"  # int16, sizes
        "0200 0300 1000 0200 00000000"  # H, L, steps, halting
        "01000000 ffffffff feffffffffffffff 00000000 03000000"
        "04000000 00000000 0000000000010000 00000000 05000000"
        "0000000000000000"
        "0100 ffff 0300 fdff 0500 0600 0001 feff"  # L_init, H_init, tokens 0 and 1
    )
    rows = (bytes.fromhex("0700 0800"), bytes.fromhex("0900 0a00"))
    sums = b"".join(zlib.crc32(row).to_bytes(4, "little") for row in rows)
    wanted = b"TRMROWS1" + (192).to_bytes(4, "little") + zlib.crc32(checked).to_bytes(4, "little")
    wanted += checked + b"".join(rows) + bytes(8) + sums + bytes(8)
    assert write_rows(small_row_file()) == wanted


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.int8])
def test_what_was_written_is_read_back(dtype: type) -> None:
    rng = np.random.default_rng(0)

    def rows(*shape: int) -> np.ndarray:
        return rng.integers(-100, 100, shape).astype(dtype)

    file = small_row_file(
        seq=5,
        prefix=2,
        H_init=rows(3),
        L_init=rows(3),
        token_rows=rows(7, 3),
        puzzle_rows=rows(4, 5),
    )
    data = write_rows(file)
    assert len(data) % 16 == 0
    again = read_rows(data + b"whatever stands behind")
    for name in ("H_init", "L_init", "token_rows", "puzzle_rows"):
        np.testing.assert_array_equal(getattr(again, name), getattr(file, name))
        assert getattr(again, name).dtype == dtype
    for name in ("model_id", "seq", "prefix", "depth", "combine_L", "combine_H", "puzzles"):
        assert getattr(again, name) == getattr(file, name)
    assert write_rows(again) == data


def test_a_puzzle_costs_two_kilobytes_at_hidden_512() -> None:
    def size(ids: int) -> int:
        row = np.zeros(512, np.float32)
        tokens, puzzles = np.zeros((11, 512), np.float32), np.zeros((ids, 512), np.float32)
        file = small_row_file(H_init=row, L_init=row, token_rows=tokens, puzzle_rows=puzzles)
        return len(write_rows(file))

    assert size(9) - size(1) == 8 * (2048 + 4)  # a row and its checksum


def test_damage_is_a_value_error() -> None:
    data = write_rows(small_row_file())
    for at in range(len(data)):
        mutant = bytearray(data)
        mutant[at] ^= 0x40
        padding = 168 <= at < 176 or at >= 184  # zeros between and behind the puzzle rows
        if padding:
            read_rows(bytes(mutant))
            continue
        with pytest.raises(ValueError, match=r"row file|element type|damaged"):
            read_rows(bytes(mutant))
    for end in range(len(data)):
        with pytest.raises(ValueError, match="row file"):
            read_rows(data[:end])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"H_init": np.zeros(3, np.int16)}, "initial states must have 2 elements"),
        ({"H_init": np.zeros(2, np.int8)}, "must all be float32, int16 or int8"),
        ({"token_rows": np.zeros((37, 2), np.int16)}, "1 to 36 tokens, got vocab=37"),
        ({"puzzle_rows": np.zeros((1, 3), np.int16)}, "3 elements do not fit into 1 prefix"),
        ({"puzzle_rows": np.zeros((0, 2), np.int16)}, "needs a puzzle row"),
        ({"model_id": b"short"}, "SHA-256, got 5 bytes"),
    ],
)
def test_what_the_format_cannot_hold_is_refused(changes: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        small_row_file(**changes)


def test_depths_are_checked() -> None:
    with pytest.raises(ValueError, match="L_cycles must be 1 to 1024, got 0"):
        Depth(H_cycles=1, L_cycles=0, halt_max_steps=1)


def test_one_scale_for_all_is_a_plain_sum() -> None:
    combine = combine_for(z=(0.03, 0), e=0.03, injection=(0.03, 0))
    values = np.arange(-300, 300)
    total = combine.z_factor * values + combine.e_factor * 7 + combine.offset
    np.testing.assert_array_equal(total >> combine.shift, values + 7)


def test_constants_round_the_real_sum_to_the_nearest_step() -> None:
    z, e, injection = (0.0123, 5), 0.0456, (0.021, -9)
    combine = combine_for(z=z, e=e, injection=injection)
    rng = np.random.default_rng(1)
    for zq, eq in rng.integers(-(2**15), 2**15, (500, 2)):
        real = Fraction(z[0]) * int(zq - z[1]) + Fraction(e) * int(eq)
        exact = real / Fraction(injection[0]) + injection[1]
        total = combine.z_factor * int(zq) + combine.e_factor * int(eq) + combine.offset
        # half a step of rounding, and factors of 29 bits and more: 2^16 / 2^28 at most
        assert abs(Fraction(total >> combine.shift) - exact) <= Fraction(1, 2) + Fraction(1, 2**12)


def test_scales_too_far_apart_are_refused() -> None:
    with pytest.raises(ValueError, match="too far apart"):
        combine_for(z=(1e12, 0), e=None, injection=(1e-3, 0))


def test_rows_are_scaled_as_the_model_does() -> None:
    table = np.asarray([[1.0, -0.1]], np.float32)
    wanted = np.float32(np.float64(512) ** 0.5) * table
    np.testing.assert_array_equal(scaled_rows(table, 512), wanted)
    assert scaled_rows(table, 512).dtype == np.float32


@pytest.mark.parametrize("at", [104, 107, 128, 140, 143])
def test_reserved_bytes_are_zero(at: int) -> None:
    data = bytearray(write_rows(small_row_file()))
    data[at] = 1
    end = 160  # of what the checksum covers, before the puzzle rows
    data[12:16] = zlib.crc32(data[16:end]).to_bytes(4, "little")
    with pytest.raises(ValueError, match="reserved bytes"):
        read_rows(bytes(data))


def test_an_unknown_rule_of_halting_is_named() -> None:
    data = bytearray(write_rows(small_row_file()))
    data[82] = 5
    data[12:16] = zlib.crc32(data[16:160]).to_bytes(4, "little")
    with pytest.raises(ValueError, match="halting must be 0 to 4, got 5"):
        read_rows(bytes(data))


@pytest.mark.parametrize(
    ("shape", "stored"),
    [
        (PuzzleShape(PuzzleKind.SUDOKU, 2, 3), "01000203"),
        (PuzzleShape(PuzzleKind.MAZE, 3, 12), "0200030c"),
        (PuzzleShape(), "00000000"),
    ],
)
def test_a_puzzle_s_shape_is_read_back(shape: PuzzleShape, stored: str) -> None:
    seq, vocab = shape.sizes() or (5, 7)
    rows = np.zeros((vocab, 2), np.int16)
    data = write_rows(small_row_file(seq=seq, token_rows=rows, puzzles=shape))
    assert data[84:88] == bytes.fromhex(stored)
    assert read_rows(data).puzzles == shape


def test_a_shape_of_other_sizes_is_refused() -> None:
    with pytest.raises(ValueError, match="no shape of puzzles of 1 cells and 2 tokens"):
        small_row_file(puzzles=PuzzleShape(PuzzleKind.SUDOKU, 2, 2))
    with pytest.raises(ValueError, match="no shape of puzzles"):
        small_row_file(puzzles=PuzzleShape(PuzzleKind.UNKNOWN, 1, 0))


def test_an_unknown_kind_of_puzzle_is_refused() -> None:
    data = bytearray(write_rows(small_row_file()))
    data[84] = 3
    data[12:16] = zlib.crc32(data[16:160]).to_bytes(4, "little")
    with pytest.raises(ValueError, match="kind of puzzle must be 0 to 2, got 3"):
        read_rows(bytes(data))


@pytest.mark.parametrize(
    ("rule", "number", "bound"),
    [
        ("never", "0000", "00000000"),
        ("q:-0.5", "0100", "78ecffff"),
        ("qc", "0200", "00000000"),
        ("rules", "0300", "00000000"),
        ("unchanged:2", "0400", "02000000"),
    ],
)
def test_a_rule_of_halting_is_read_back(rule: str, number: str, bound: str) -> None:
    depth = Depth(H_cycles=1, L_cycles=1, halt_max_steps=1, halting=parse_halting(rule))
    shape = PuzzleShape(PuzzleKind.MAZE, 1, 1)
    rows = np.zeros((6, 2), np.int16)
    data = write_rows(small_row_file(token_rows=rows, depth=depth, puzzles=shape))
    assert (data[82:84], data[136:140]) == (bytes.fromhex(number), bytes.fromhex(bound))
    assert read_rows(data).depth == depth


def test_rules_that_a_board_cannot_check_are_refused() -> None:
    with pytest.raises(
        ValueError, match="a board halts by never, q, qc, rules, unchanged, got res"
    ):
        Depth(H_cycles=1, L_cycles=1, halt_max_steps=1, halting=parse_halting("residual:0.1"))
    depth = Depth(H_cycles=1, L_cycles=1, halt_max_steps=1, halting=parse_halting("rules"))
    with pytest.raises(ValueError, match="needs to know what the puzzles are"):
        small_row_file(depth=depth)
