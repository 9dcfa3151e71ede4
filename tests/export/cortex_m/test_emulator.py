"""Counting on the emulated board, with the test double in place of the networks."""

import re
from pathlib import Path

import numpy as np
import pytest

from export.cortex_m import build as cortex_m_build
from export.cortex_m import emulator
from export.cortex_m.build import FIRMWARE, Counted, link_firmware
from export.cortex_m.emulator import NANOSECONDS, Counts
from tests.support.firmware.cases import random_rows, solve_line, write_flash
from tests.support.firmware.machines import need

SECONDS = 120.0  # a test machine may be busy


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need("make", "arm-none-eabi-gcc", "qemu-system-arm")
    folder = tmp_path_factory.mktemp("emulator")
    cortex_m_build.run_make(folder, "an547", "SEMIHOSTING_EXIT=1")
    return folder


def test_a_puzzle_is_its_updates_and_read_outs(build: Path, tmp_path: Path) -> None:
    """Instructions of a deep solve against those of an update of each state and a read-out.

    What comes before the first step is the same for every solve. Integers are clamped by the same
    number of instructions or a few more or fewer: 4 an element of every update.
    """
    rows = random_rows("int16")
    flash, elf = write_flash(tmp_path, rows), build / "an547" / "double.elf"
    counts = emulator.measure_instructions(elf, flash, [1] * rows.seq, SECONDS)
    assert min(counts) > 0
    asked = ((1, 1, 1), (2, 3, 3))
    sets = [f"set H={H} L={L} steps={steps} halt=never" for H, L, steps in asked]
    lines = [line for first in sets for line in (first, solve_line(0, np.ones(11, int)))]
    said = " ".join(emulator.ask_firmware(elf, flash, [*lines, "quit"], SECONDS))
    shallow, deep = (int(n) * NANOSECONDS / 32e6 for n in re.findall(r"ticks=(\d+)", said))
    elements = (rows.prefix + rows.seq) * rows.token_rows.shape[1]
    start = shallow - counts.puzzle(*asked[0])
    assert abs(start) < shallow
    assert abs(deep - start - counts.puzzle(*asked[1])) <= 4 * elements * (2 + 3 * 2 * 4)


def test_counts_add_up() -> None:
    counts = Counts(update_L=100, update_H=10, rest=1)
    assert counts.puzzle(H_cycles=3, L_cycles=6, steps=2) == 2 * (3 * (6 * 100 + 10) + 1)


def test_a_refusal_is_an_error_with_the_device_s_words(build: Path, tmp_path: Path) -> None:
    flash = write_flash(tmp_path, random_rows("int8"))
    elf = build / "an547" / "double.elf"
    with pytest.raises(RuntimeError, match="puzzle of 3 cells, this model takes 11"):
        emulator.measure_instructions(elf, flash, [1, 2, 3], SECONDS)
    flash.write_bytes(b"nothing")
    with pytest.raises(RuntimeError, match="no row file in flash"):
        emulator.measure_instructions(elf, flash, [1] * 11, SECONDS)


def test_the_firmware_is_weighed_without_its_double(tmp_path: Path) -> None:
    need("make", "arm-none-eabi-gcc")
    found = link_firmware(tmp_path)
    script = (FIRMWARE / "boards" / "mps3_an547" / "memory.ld").read_text()
    stack = re.search(r"STACK_BYTES = (\d+)K;", script)
    assert stack
    assert found.stack == 1024 * int(stack[1])
    assert found.counted is Counted.FIRMWARE
    symbols = sizes(tmp_path / "an547" / "double.elf")
    ours = sum(size for name, size in symbols.items() if name.startswith("trm_"))
    assert ours <= found.code < 64 * 1024  # all of it, and the C library's few functions
    assert found.statics >= sum(symbols[name] for name in ("rows", "machine", "vectors"))


def sizes(elf: Path) -> dict[str, int]:
    """Read the sizes of symbols, the double's left out."""
    text = cortex_m_build.list_symbols(elf)
    found = re.findall(r"^[0-9a-f]+ ([0-9a-f]+) [TtRrBbDd] (\S+)$", text, re.MULTILINE)
    return {name: int(size, 16) for size, name in found if name != "trm_open_block"}


def test_what_does_not_build_is_said(tmp_path: Path) -> None:
    need("make", "arm-none-eabi-gcc")
    with pytest.raises(RuntimeError, match=r"the firmware does not build: .*nothing-like-it"):
        cortex_m_build.run_make(tmp_path, "nothing-like-it")
