"""Runs a package's firmware on an emulated Cortex-M55 (QEMU, machine mps3-an547) and counts.

One instruction takes one nanosecond of the emulated board's time (`-icount shift=0`), so the
firmware's ticks are instructions: exact and repeatable, but no cycles. The firmware's `once` runs
an update of either state and a read-out; a puzzle is as many of each as its depth says.

Not here: building the firmware (build.py), and a model of instruction counts (instructions.py).
"""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from export.cortex_m.console import DIGITS, MESSAGE, check_line, read_fields
from export.cortex_m.package import Package, reserved_arena_bytes

FLASH_BASE = 0x28700000  # DATA in firmware/boards/mps3_an547/memory.ld
UART = ("-serial", "stdio")
EMULATOR = "qemu-system-arm"
NANOSECONDS = 1_000_000_000


ROOM = {"graphs": 7 << 20, "flash file": 1 << 20, "arena and states": 4 << 20}
"""Bytes of the emulated board's MODEL, DATA and SRAM in memory.ld."""


class Counts(NamedTuple):
    """Instructions.

    Attributes:
      update_L, update_H: a block with its injection.
      rest: what a supervision step needs besides: read-out and answer.
    """

    update_L: int
    update_H: int
    rest: int

    def puzzle(self, H_cycles: int, L_cycles: int, steps: int) -> int:
        """Count a puzzle of so many supervision steps."""
        return steps * (H_cycles * (L_cycles * self.update_L + self.update_H) + self.rest)


def has_emulator() -> bool:
    """Return whether QEMU is installed."""
    return shutil.which(EMULATOR) is not None


def has_room(package: Package) -> bool:
    """Return whether the emulated board has room for a package."""
    needed = {
        "graphs": sum(map(len, package.graphs.values())),
        "flash file": len(package.flash),
        "arena and states": reserved_arena_bytes(package.arena) + package.state_bytes,
    }
    return all(needed[name] <= ROOM[name] for name in ROOM)


def emulator_command(elf: Path, flash: Path, console: Sequence[str] = UART) -> tuple[str, ...]:
    """Write the command that starts the emulated board with a program and a flash file."""
    return (
        EMULATOR,
        "-machine",
        "mps3-an547",
        "-display",
        "none",
        "-monitor",
        "none",
        *console,
        "-semihosting-config",
        "enable=on,target=native",
        "-icount",
        "shift=0",
        "-kernel",
        str(elf),
        "-device",
        f"loader,file={flash},addr={FLASH_BASE:#x},force-raw=on",
    )


def ask_firmware(elf: Path, flash: Path, lines: Sequence[str], seconds: float) -> list[str]:
    """Send lines to the firmware and collect its replies, checksums checked and cut off.

    Args:
      seconds: after which the emulator is given up.

    Raises:
      RuntimeError: it failed, sent a damaged line, or took too long.
    """
    text = "".join(f"{line}\n" for line in lines).encode()
    try:
        done = subprocess.run(
            emulator_command(elf, flash),
            input=text,
            capture_output=True,
            check=False,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"the emulated board gave no answer in {seconds:.0f} s") from error
    lines_sent = [line for line in done.stdout.splitlines() if not line.startswith(MESSAGE)]
    replies = [_checked(line) for line in lines_sent]
    if refused := [line for line in replies if line.startswith("error ")]:
        raise RuntimeError(f"the emulated board refuses: {refused[0]}")
    if len(replies) < len(lines):
        raise RuntimeError(f"the emulated board stopped: {done.stderr.decode()[:200]}")
    return replies


def measure_arena_bytes(elf: Path, flash: Path, seconds: float = 600.0) -> int:
    """Ask a firmware what of its arena the networks use: with 32-bit pointers and its own kernels.

    Raises:
      RuntimeError: as `ask_firmware`.
    """
    return _number(ask_firmware(elf, flash, ["info", "quit"], seconds)[0], "arena_bytes")


def measure_instructions(
    elf: Path, flash: Path, tokens: Sequence[int], seconds: float = 600.0
) -> Counts:
    """Count the instructions of a firmware on what a puzzle repeats.

    Raises:
      RuntimeError: as `ask_firmware`.
    """
    once = "once 0 " + "".join(DIGITS[token] for token in tokens)
    replies = ask_firmware(elf, flash, ["info", once, "quit"], seconds)
    unit = NANOSECONDS / _number(replies[0], "ticks_per_second")
    update_L, update_H, rest = (
        round(_number(replies[1], name) * unit) for name in ("update_L", "update_H", "read_out")
    )
    return Counts(update_L=update_L, update_H=update_H, rest=rest)


def _checked(line: bytes) -> str:
    content = check_line(line)
    if content is None:
        raise RuntimeError(f"the emulated board sent a damaged line: {line[:80]!r}")
    return content


def _number(line: str, name: str) -> int:
    value = read_fields(line).get(name, "")
    if not value.isdecimal():
        raise RuntimeError(f"the emulated board did not say {name}: {line[:80]}")
    return int(value)
