"""What a board is given: row files, test vectors, flash, lines of the protocol.

Python's readers are asked in this process; the firmware's C code runs as a program of this computer
with the address and undefined-behaviour sanitizers, whose words on stderr count as a crash.
"""

import functools
import re
import resource
import shutil
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import numpy as np

from tests.fuzz.contract import InputKind
from tests.fuzz.damage import BORDERS, Draw, choose, damage_bytes
from tests.fuzz.documents import mutate_folder, mutate_text

ROWS, VECTORS, FLASH, LINES = "rows.bin", "vectors.bin", "flash.bin", "lines.txt"


PADDING = 4  # behind the three checksums of rows; any bytes may stand there


def without_compiler() -> str:
    """Say why the firmware cannot be built here."""
    missing = [name for name in ("cc", "make") if shutil.which(name) is None]
    return f"{', '.join(missing)} not installed" if missing else ""


# Python's readers


def make_rows(folder: Path) -> None:
    from export.cortex_m.row_file import write_rows
    from tests.support.firmware.cases import random_rows

    (folder / ROWS).write_bytes(write_rows(random_rows("int16")))


def make_vectors(folder: Path) -> None:
    from export.cortex_m.test_vectors import write_vectors
    from tests.support.firmware.cases import random_rows, vectors_of

    (folder / VECTORS).write_bytes(write_vectors(vectors_of(random_rows("int8"))))


def change_field(data: bytes, rng: Draw, first: int, last: int, checked_to: int) -> bytes:
    """Write a border value into a header and make the checksum fit."""
    at = int(rng.integers(first // 4, last // 4)) * 4
    small = int(rng.integers(0, 64))
    value = choose(rng, (*BORDERS, small, small))
    changed = bytearray(data[:at] + struct.pack("<I", value) + data[at + 4 :])
    changed[12:16] = struct.pack("<I", zlib.crc32(changed[16:checked_to]))
    return bytes(changed)


def mutate_rows(folder: Path, rng: Draw) -> str:
    """Damage a row file; half of the time a field of its header, with its checksum."""
    from export.cortex_m.row_file import HEADER, padding

    if rng.random() < 0.5:
        return mutate_folder(folder, rng)
    file = folder / ROWS
    end = HEADER.size + (2 + 7) * 6 * 2  # as tests/support/firmware/cases.py makes them
    file.write_bytes(change_field(file.read_bytes(), rng, 8, HEADER.size, end + padding(end)))
    return "a field of the header, with its checksum"


def mutate_vectors(folder: Path, rng: Draw) -> str:
    if rng.random() < 0.5:
        return mutate_folder(folder, rng)
    file = folder / VECTORS
    data = file.read_bytes()
    file.write_bytes(change_field(data, rng, 8, 120, len(data)))
    return "a field, with its checksum"


def read_rows(folder: Path) -> Any:
    from export.cortex_m import row_file

    file = folder / ROWS
    whole = row_file.read_rows(file.read_bytes())
    for puzzle, row in enumerate(whole.puzzle_rows):
        np.testing.assert_array_equal(row_file.read_puzzle_row(file, puzzle), row)
    return row_file.write_rows(whole)


def rows_say(folder: Path) -> Any:
    """Take the bytes that count: what is written again is the file, its padding zeros again."""
    data = (folder / ROWS).read_bytes()
    size = int.from_bytes(data[8:12], "little")
    return data[: size - PADDING] + bytes(PADDING)


def read_vectors(folder: Path) -> Any:
    from export.cortex_m.test_vectors import read_vectors as read
    from export.cortex_m.test_vectors import write_vectors

    return write_vectors(read((folder / VECTORS).read_bytes()))


def vectors_say(folder: Path) -> Any:
    data = (folder / VECTORS).read_bytes()
    return data[: int.from_bytes(data[8:12], "little")]


# the firmware


class FirmwareCrash(Exception):
    """The firmware has ended by a signal, or a sanitizer has spoken."""


@functools.cache
def double(build: Path) -> str:
    """Build the firmware with its test double."""
    from tests.support.firmware.machines import make

    make("host", f"BUILD={build}")
    return str(build / "host" / "double")


def make_flash(folder: Path) -> None:
    from tests.support.firmware.cases import random_rows, solve_line, vectors_of, write_flash

    rows = random_rows("int8")
    write_flash(folder, rows, vectors_of(rows))
    cells = np.arange(rows.seq) % 7
    lines = ["info", *(solve_line(puzzle, cells) for puzzle in range(3)), "test", "info"]
    (folder / LINES).write_text("".join(line + "\n" for line in lines))


def talk(folder: Path) -> list[str]:
    """Give the flash and the lines to the firmware; returns its replies without ticks."""
    from tests.support.firmware.cases import without_ticks

    program = double(folder.parent / "build")
    flash, lines = folder / FLASH, folder / LINES
    done = subprocess.run(
        [program, str(flash)],
        input=lines.read_bytes(),
        capture_output=True,
        check=False,
        timeout=10,
        preexec_fn=free_address_space,
    )
    if done.stderr or done.returncode not in (0, 1, 2):
        raise FirmwareCrash(f"exit {done.returncode}: {done.stderr.decode(errors='replace')[:300]}")
    replies = []
    for line in done.stdout.splitlines():
        content, _, crc = line.rpartition(b" *")
        if crc != b"%08x" % zlib.crc32(content):
            raise FirmwareCrash(f"a reply without its checksum: {line[:80]!r}")
        replies.append(without_ticks(content.decode()))
    return replies


def free_address_space() -> None:
    """Take the limit of a case off the firmware: its sanitizer maps terabytes of addresses."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (limits[1], limits[1]))


def read_flash(folder: Path) -> list[str]:
    """Talk to a board with damaged flash: an error among its replies is a refusal."""
    replies = talk(folder)
    if errors := [r for r in replies if re.match("error |tested .* failed [1-9]", r)]:
        raise ValueError(errors[0])
    if not replies:
        raise ValueError("flash.bin: no reply")
    return replies


def mutate_flash(folder: Path, rng: Draw) -> str:
    from export.cortex_m.row_file import HEADER, padding

    file = folder / FLASH
    data = file.read_bytes()
    if rng.random() < 0.5:
        data, said = damage_bytes(data, rng)
    else:
        end = HEADER.size + (2 + 7) * 6
        data, said = change_field(data, rng, 8, HEADER.size, end + padding(end)), "a field"
    file.write_bytes(data)
    return f"{FLASH}: {said}"


def mutate_lines(folder: Path, rng: Draw) -> str:
    file = folder / LINES
    lines = file.read_text().splitlines()
    at = int(rng.integers(len(lines)))
    pieces = ("solve ", "test", "info", "quit", " 1", " 4294967296", "steps=2", "h=1", " *00000000")
    text = mutate_text(lines[at], pieces, rng).replace("\n", "")
    lines[at] = text
    data = "".join(line + "\n" for line in lines).encode()
    if rng.random() < 0.3:
        data, _ = damage_bytes(data, rng)
    file.write_bytes(data)
    return f"{LINES}: {text[:60]!r}"


def read_lines(folder: Path) -> list[str]:
    return [reply.split()[0] if reply.startswith("error") else reply for reply in talk(folder)]


def lines_say(folder: Path) -> Any:
    """Compute answers of well-formed requests in NumPy; every other line is an error.

    Settings (`steps=2` and others) and `quit` have no oracle here: tests/export/firmware has.
    """
    known = valid_replies(folder.parent / "valid")
    replies: list[str] = []
    for line in (folder / LINES).read_bytes().split(b"\n")[:-1]:
        text = line.removesuffix(b"\r").decode("latin-1")
        if any(not " " <= character <= "~" for character in text):
            replies.append("error")
        elif text in known:
            replies += known[text]
        elif answer := solve_says(text, folder):
            replies.append(answer)
        elif not text.strip() or text.startswith(("solve", "quit", "test", "info")) or " *" in text:
            return ANY
        else:
            replies.append("error")
    return replies


def solve_says(text: str, folder: Path) -> str:
    """Compute the reply to `solve PUZZLE CELLS`; empty where the line is another."""
    from export.cortex_m.row_file import read_rows as read
    from tests.support.firmware.cases import expected_line
    from tests.support.firmware.oracle import rollout

    match = re.fullmatch("solve ([0-2]) ([0-6]{11})", text)
    if not match:
        return ""
    rows = read((folder / FLASH).read_bytes())
    return expected_line(
        rollout(rows, int(match[1]), np.asarray([int(c) for c in match[2]]), rows.depth)
    )


@functools.cache
def valid_replies(folder: Path) -> dict[str, list[str]]:
    """Ask the undamaged board: line -> its replies; `test` has one for each vector and a sum."""
    lines, replies = (folder / LINES).read_text().splitlines(), talk(folder)
    tested = len(replies) - len(lines) + 1
    counts = [tested if line == "test" else 1 for line in lines]
    starts = np.cumsum([0, *counts])
    return {line: replies[a : a + n] for line, a, n in zip(lines, starts, counts, strict=False)}


WORDS = (
    "row",
    "byte",
    "vector",
    "flash",
    "size",
    "model",
    "element",
    "value",
    "checksum",
    "must",
    "tested",
)

FIRMWARE = (
    InputKind(
        name="row-file",
        right="written again it is the same bytes; rows read one by one are the same",
        make=make_rows,
        mutate=mutate_rows,
        read=read_rows,
        says=rows_say,
        names=WORDS,
    ),
    InputKind(
        name="vectors",
        right="written again it is the same bytes",
        make=make_vectors,
        mutate=mutate_vectors,
        read=read_vectors,
        says=vectors_say,
        names=WORDS,
    ),
    InputKind(
        name="flash",
        right="the firmware answers as it does with undamaged flash",
        make=make_flash,
        mutate=mutate_flash,
        read=read_flash,
        names=WORDS,
        missing=without_compiler,
        share=0.2,
    ),
    InputKind(
        name="protocol",
        right="requests are answered as NumPy computes; every other line gets an error",
        make=make_flash,
        mutate=mutate_lines,
        read=read_lines,
        says=lines_say,
        names=WORDS,
        missing=without_compiler,
        share=0.2,
    ),
)
