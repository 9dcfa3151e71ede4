"""Machines that run the firmware in tests: this computer, and an emulated Cortex-M55."""

import shutil
import subprocess
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

from export.cortex_m import emulator

FIRMWARE = Path(__file__).resolve().parents[3] / "export" / "firmware"
SECONDS = 120.0  # a test machine may be busy; a firmware that hangs must still end


class Talk(NamedTuple):
    """Reply lines, checksums already checked and cut off, and the exit status."""

    lines: list[str]
    status: int


class Machine(Protocol):
    """Something that runs the firmware."""

    def talk(self, flash: Path, lines: Sequence[str]) -> Talk:
        """Load a flash file, send lines, collect replies."""
        ...


def make(target: str, *variables: str) -> None:
    """Build a target of the firmware's Makefile."""
    command = ["make", "-s", "-C", str(FIRMWARE), target, *variables]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def collect(command: Sequence[str], lines: Sequence[str]) -> Talk:
    """Run a program, give it lines, check and strip the checksums of its replies."""
    text = "".join(f"{line}\n" for line in lines).encode("latin-1")
    done = subprocess.run(command, input=text, capture_output=True, check=False, timeout=SECONDS)
    assert not done.stderr, done.stderr.decode()
    replies = []
    for line in done.stdout.splitlines():
        content, _, crc = line.rpartition(b" *")
        assert crc == b"%08x" % zlib.crc32(content), line
        replies.append(content.decode())
    return Talk(replies, done.returncode)


class Host:
    """This computer, with address and undefined-behaviour sanitizers."""

    def __init__(self, build: Path, *variables: str) -> None:
        make("host", f"BUILD={build}", *variables)
        self.program = str(build / "host" / "double")

    def talk(self, flash: Path, lines: Sequence[str], *arguments: str) -> Talk:
        return collect([self.program, str(flash), *arguments], lines)


class Emulated:
    """QEMU's mps3-an547. One instruction is one nanosecond, so SysTick counts instructions."""

    def __init__(self, build: Path, *variables: str) -> None:
        make("an547", f"BUILD={build}", "SEMIHOSTING_EXIT=1", *variables)
        self.elf = build / "an547" / "double.elf"
        debugger = "CONSOLE=semihosting" in variables
        self.console = () if debugger else emulator.UART

    def talk(self, flash: Path, lines: Sequence[str]) -> Talk:
        command = emulator.emulator_command(self.elf, flash, self.console)
        return collect(command, lines)


def need(*programs: str) -> None:
    """Skip where a program is missing."""
    if missing := [name for name in programs if shutil.which(name) is None]:
        pytest.skip(
            f"needs {', '.join(missing)}: apt-get install gcc make gcc-arm-none-eabi"
            " libnewlib-arm-none-eabi qemu-system-arm"
        )
