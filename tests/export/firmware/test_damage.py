"""Damaged flash, another model, too little memory: refused in words, never a stray access."""

import dataclasses
import re
import zlib
from pathlib import Path

import numpy as np
import pytest

from export.cortex_m import row_file
from quant.integer.carry import Combine
from tests.support.firmware.cases import (
    expected_line,
    random_rows,
    solve_line,
    vectors_of,
    without_ticks,
    write_flash,
)
from tests.support.firmware.machines import Host, Machine
from tests.support.firmware.oracle import DEPTH, DOUBLE_ID, rollout


def damage(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


@pytest.mark.parametrize(
    ("at", "new", "words"),
    [
        (0, b"X", "no row file in flash"),
        (8, b"\0\0\0\x7f", "row file says 2130706432 bytes, flash has room for"),
        (16, b"Affine", "row file damaged"),
        (48, b"\3", "the value 3 at byte 48 is not supported"),
        (52, b"\x25", "the value 37 at byte 52 is not supported"),
        (56, b"\x0c", "row file damaged"),
        (68, b"\xff\xff", "the value"),
        (76, b"\0\0", "the value 0 at byte 76"),
        (82, b"\3", "the value 3 at byte 82"),
        (84, b"\1", "the value 1 at byte 84"),
        (108, b"\x3f", "the value 63 at byte 108"),
        (200, b"\1\2\3", "row file damaged"),
    ],
)
def test_damaged_row_files_are_refused(
    at: int, new: bytes, words: str, host: Host, tmp_path: Path
) -> None:
    data = row_file.write_rows(random_rows("int16"))
    flash = tmp_path / "flash.bin"
    flash.write_bytes(damage(data, at, new))
    said = host.talk(flash, ["info"])
    assert said.status == 1
    assert len(said.lines) == 1
    assert words in said.lines[0]


def test_a_damaged_puzzle_row_harms_that_puzzle_only(machine: Machine, tmp_path: Path) -> None:
    rows = random_rows("int16")
    data = row_file.write_rows(rows)
    row = rows.puzzle_rows[1].tobytes()
    flash = tmp_path / "flash.bin"
    flash.write_bytes(damage(data, data.index(row) + 3, b"\x55"))
    cells = np.zeros(11, np.int32)
    lines = [solve_line(puzzle, cells) for puzzle in (0, 1, 2)]
    said = machine.talk(flash, [*lines, "quit"]).lines
    assert [line.split()[0] for line in said] == ["solved", "error", "solved", "bye"]
    assert "row of puzzle 1 damaged" in said[1]


@pytest.mark.parametrize(
    ("at", "new", "words"),
    [
        (0, b"X", "no test vectors"),
        (8, b"\0\0\0\x7f", "the value 2130706432 at byte 8"),
        (16, b"B", "flash is for another model"),
        (48, b"\x09", "the value 9 at byte 48"),
        (52, b"\xff\xff\xff\xff", "at byte 52"),
        (60, b"\0", "the value 0 at byte 60"),
        (90, b"\x55", "test vectors damaged"),
    ],
)
def test_damaged_vectors_are_refused(
    at: int, new: bytes, words: str, host: Host, tmp_path: Path
) -> None:
    rows = random_rows("int8")
    flash = write_flash(tmp_path, rows, vectors_of(rows))
    data = flash.read_bytes()
    flash.write_bytes(damage(data, len(row_file.write_rows(rows)) + at, new))
    said = host.talk(flash, ["test", "info"]).lines
    assert words in said[0]
    assert "vectors=0" in said[1]  # the rest still works


def test_random_damage_never_confuses_the_firmware(host: Host, tmp_path: Path) -> None:
    """The sanitizers watch: any flash gives answers or errors, never a stray access."""
    rng = np.random.default_rng(3)
    rows = random_rows("int8")
    path = write_flash(tmp_path, rows, vectors_of(rows))
    data = path.read_bytes()
    for _ in range(30):
        mutant = bytearray(data[: rng.integers(len(data) // 2, len(data) + 1)])
        for at in rng.integers(0, len(mutant), rng.integers(1, 4)):
            mutant[at] = rng.integers(256)
        path.write_bytes(bytes(mutant))
        said = host.talk(path, ["info", solve_line(1, np.zeros(11, np.int32)), "test"])
        assert said.status in (0, 1)
        assert said.lines


def with_checksum(data: bytes) -> bytes:
    """Give a row file the checksum that its fields and bytes now have, where they say one."""
    kind, vocab, _, _, emb, ids, width = row_file.HEADER.unpack_from(data)[4:11]
    if kind >= len(row_file.DTYPES):
        return data
    first, _ = row_file.row_offsets(row_file.DTYPES[kind], vocab, emb, ids, width)
    return damage(data, 12, zlib.crc32(data[row_file.CHECKED_FROM : first]).to_bytes(4, "little"))


EDGES = (0, 1, 2**15, 2**16, 2**24, 2**31 - 1, 2**31, 2**32 - 1)


@pytest.mark.parametrize("kind", ["int16", "int8"])
def test_damage_with_a_valid_checksum_never_confuses_the_firmware(
    kind: str, host: Host, tmp_path: Path
) -> None:
    """Fields at the edges of their types; the sanitizers watch for overflow and stray access."""
    rng = np.random.default_rng(5)
    data = row_file.write_rows(random_rows(kind))
    flash = tmp_path / "flash.bin"
    statuses = []
    for _ in range(30):
        mutant = data
        for at in rng.integers(48 // 4, 144 // 4, rng.integers(1, 3)) * 4:
            mutant = damage(mutant, at, int(rng.choice(EDGES)).to_bytes(4, "little"))
        flash.write_bytes(with_checksum(mutant))
        lines = ["info", "set H=1 L=1 steps=2", solve_line(1, np.zeros(11, np.int32))]
        statuses.append(host.talk(flash, lines).status)
    assert set(statuses) == {0, 1}  # some are fine, some are refused


@pytest.mark.parametrize("at", [96, 120])
@pytest.mark.parametrize("offset", [2**63 - 1, -(2**63), 2**62 + 1, -(2**62) - 1])
def test_offsets_that_would_overflow_are_refused(
    at: int, offset: int, host: Host, tmp_path: Path
) -> None:
    data = damage(
        row_file.write_rows(random_rows("int16")), at, offset.to_bytes(8, "little", signed=True)
    )
    flash = tmp_path / "flash.bin"
    flash.write_bytes(with_checksum(data))
    (said,) = host.talk(flash, [solve_line(1, np.zeros(11, np.int32))]).lines
    assert f"at byte {at + 4} is not supported" in said
    with pytest.raises(ValueError, match=r"offset must be within 2\^62"):
        row_file.read_rows(flash.read_bytes())


def test_the_largest_offset_overflows_nothing(host: Host, tmp_path: Path) -> None:
    low = -(2**31)
    far = Combine(z_factor=low, e_factor=low, offset=2**62, shift=62)
    rows = dataclasses.replace(random_rows("int16"), combine_L=far)
    inputs = np.arange(11) % 7
    said = host.talk(write_flash(tmp_path, rows), [solve_line(0, inputs)]).lines
    assert without_ticks(said[0]) == expected_line(rollout(rows, 0, inputs, DEPTH))


def test_another_model_and_too_little_memory_are_refused(host: Host, tmp_path: Path) -> None:
    rows = random_rows("float32")
    flash = write_flash(tmp_path, dataclasses.replace(rows, model_id=bytes(32)))
    said = host.talk(flash, ["info"])
    assert (
        f"flash is for another model: its id begins 00000000, this firmware's {DOUBLE_ID[:4].hex()}"
        in said.lines[0]
    )
    said = host.talk(write_flash(tmp_path, rows), ["info"], "512")
    assert re.search(
        r"states need \d+ more bytes than the 512 given; raise STATE_BYTES", said.lines[0]
    )
