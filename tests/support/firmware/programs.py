"""Linked programs of the firmware, changed where a function begins: as shipped, with a fault."""

import re
import subprocess
from pathlib import Path


def address_of(elf: Path, name: str) -> int:
    text = subprocess.run(
        ["arm-none-eabi-nm", str(elf)], capture_output=True, text=True, check=True
    ).stdout
    match = re.search(rf"^([0-9a-f]+) \w {name}$", text, re.MULTILINE)
    assert match
    return int(match[1], 16)


def change_code(elf: Path, name: str, code: bytes, changed: Path) -> None:
    """Write a program whose function `name` begins with other instructions."""
    text = subprocess.run(
        ["arm-none-eabi-objdump", "-h", str(elf)], capture_output=True, text=True, check=True
    ).stdout
    match = re.search(r" \.text +\w+ +(\w+) +\w+ +(\w+)", text)
    assert match
    at = int(match[2], 16) + address_of(elf, name) - int(match[1], 16)
    data = elf.read_bytes()
    changed.write_bytes(data[:at] + code + data[at + len(code) :])
