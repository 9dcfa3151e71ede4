"""Faults of the processor and the end of a session, on the emulated board.

The linked program is changed where a function begins: an undefined instruction, or a stack that
grows for ever. So what is tested is what is shipped.
"""

from pathlib import Path

import numpy as np
import pytest

from export.cortex_m import emulator
from tests.support.firmware.cases import random_rows, solve_line, write_flash
from tests.support.firmware.machines import Emulated, collect, make, need
from tests.support.firmware.programs import address_of, change_code

UNDEFINED = bytes.fromhex("00de")  # udf #0
PUSH_FOR_EVER = bytes.fromhex("ffb4 fde7")  # push {r0-r7}; b to it


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need("make", "arm-none-eabi-gcc", "qemu-system-arm")
    return Emulated(tmp_path_factory.mktemp("faults")).elf


def solve_on(elf: Path, folder: Path) -> list[str]:
    flash = write_flash(folder, random_rows("int8"))
    said = collect(
        emulator.emulator_command(elf, flash), ["set", solve_line(0, np.zeros(11, int)), "set"]
    )
    assert said.status == 1
    assert said.lines[0].startswith("set ")
    assert len(said.lines) == 2
    return said.lines


def test_a_fault_says_where_and_has_a_checksum(elf: Path, tmp_path: Path) -> None:
    change_code(elf, "trm_inject", UNDEFINED, tmp_path / "changed.elf")
    line = solve_on(tmp_path / "changed.elf", tmp_path)[1]
    at = address_of(elf, "trm_inject")
    assert line.startswith(f"error 90 processor fault exception=3 pc={at:08x} lr=")
    # UNDEFINSTR of the usage fault's byte; FORCED: it was not enabled and became a hard fault
    assert " cfsr=00010000 hfsr=40000000 " in line


def test_a_stack_that_overflows_is_said(elf: Path, tmp_path: Path) -> None:
    change_code(elf, "trm_inject", PUSH_FOR_EVER, tmp_path / "changed.elf")
    line = solve_on(tmp_path / "changed.elf", tmp_path)[1]
    assert line.startswith("error 90 stack overflow; raise STACK_BYTES in memory.ld exception=")
    assert " cfsr=00100000 " in line


def test_quit_starts_a_board_without_a_debugger_again(tmp_path: Path) -> None:
    """With -no-reboot the emulator ends there; it used to wait for ever."""
    need("make", "arm-none-eabi-gcc", "qemu-system-arm")
    make("an547", f"BUILD={tmp_path}")
    flash = write_flash(tmp_path, random_rows("int8"))
    command = emulator.emulator_command(tmp_path / "an547" / "double.elf", flash)
    said = collect([*command, "-no-reboot"], ["set", "quit"])
    assert said.lines == ["set H=2 L=3 steps=5 halt=q", "bye"]
    assert said.status == 0


def test_a_second_memory_map_links(tmp_path: Path) -> None:
    """Of an Ensemble E7: by its public data, and without a stray section. It is not run."""
    need("make", "arm-none-eabi-gcc")
    make("double", "DEVICE=ensemble_e7", f"BUILD={tmp_path}", "SEMIHOSTING_EXIT=1")
    elf = tmp_path / "ensemble_e7" / "double.elf"
    assert address_of(elf, "trm_solve") >> 16 == 0x8000  # MRAM
    assert address_of(elf, "states") == 0x02000000  # SRAM0
    assert address_of(elf, "stack_top") == 0x20000000 + (1 << 20)  # the end of DTCM
    assert address_of(elf, "flash_start") == 0x80540000
    assert address_of(elf, "flash_end") + (64 << 10) == 0x80000000 + 0x580000  # 5.5 MB
