"""Mutations of bytes, and of files and folders whatever they hold.

Every mutation draws from one generator, changes the input in place and says what it did.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

Draw = np.random.Generator
BORDERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
"""Values at the ends of integer types, written as 4 bytes little endian."""


def choose(rng: Draw, items: Sequence):
    """Draw one of some items."""
    return items[int(rng.integers(len(items)))]


def block(data: bytes, rng: Draw) -> tuple[int, int]:
    """Draw a short run of bytes: first and end."""
    first = int(rng.integers(max(len(data), 1)))
    return first, min(len(data), first + int(rng.integers(1, 65)))


def damage_bytes(data: bytes, rng: Draw) -> tuple[bytes, str]:
    """Flip, set, cut, insert, repeat, zero, exchange, or write a border value.

    Half of the mutations fall into the first kilobyte, where headers are.
    """
    limit = min(len(data), 1024) if rng.random() < 0.5 else len(data)
    a, b = block(data[:limit], rng)
    other, _ = block(data, rng)
    noise = rng.integers(0, 256, int(rng.integers(1, 33)), np.uint8).tobytes()
    border = choose(rng, BORDERS).to_bytes(4, "little")
    aligned = a - a % 4
    ways: dict[str, Callable[[], bytes]] = {
        "flip a bit": lambda: data[:a] + bytes([data[a] ^ 1 << rng.integers(8)]) + data[a + 1 :],
        "set a byte": lambda: data[:a] + noise[:1] + data[a + 1 :],
        "cut the end": lambda: data[:a],
        "cut a block": lambda: data[:a] + data[b:],
        "insert": lambda: data[:a] + noise + data[a:],
        "append": lambda: data + noise,
        "repeat a block": lambda: data[:b] + data[a:b] + data[b:],
        "zero a block": lambda: data[:a] + bytes(b - a) + data[b:],
        "copy a block": lambda: (data[:other] + data[a:b] + data[other + b - a :])[: len(data)],
        "border value": lambda: data[:aligned] + border + data[aligned + 4 :],
    }
    way = choose(rng, list(ways)) if data else "append"
    return ways[way](), f"{way} at {a}"


def damage_file(file: Path, rng: Draw) -> str:
    """Damage the bytes of a file, once or a few times."""
    data, said = file.read_bytes(), []
    for _ in range(int(rng.integers(1, 4)) if rng.random() < 0.3 else 1):
        data, what = damage_bytes(data, rng)
        said.append(what)
    file.write_bytes(data)
    return f"{file.name}: {', '.join(said)}"


def replace_file(file: Path, others: Sequence[Path], rng: Draw) -> str:
    """Take a file away, empty it, or put something else into its place."""
    other = choose(rng, others)
    ways: dict[str, Callable[[], object]] = {
        "missing": file.unlink,
        "empty": lambda: file.write_bytes(b""),
        "a folder instead": lambda: (file.unlink(), file.mkdir()),
        "a broken link instead": lambda: (file.unlink(), file.symlink_to("nowhere")),
        "a link to itself instead": lambda: (file.unlink(), file.symlink_to(file.name)),
        "random bytes": lambda: file.write_bytes(rng.bytes(200)),
        "zeros": lambda: file.write_bytes(bytes(max(file.stat().st_size, 1))),
        f"the content of {other.name}": lambda: file.write_bytes(other.read_bytes()),
        "not readable": lambda: file.chmod(0),
    }
    if os.geteuid() == 0:
        del ways["not readable"]  # root reads everything
    way = choose(rng, list(ways))
    ways[way]()
    return f"{file.name}: {way}"


def exchange_files(files: Sequence[Path], rng: Draw) -> str:
    """Let two files of a folder change places."""
    a, b = (files[int(i)] for i in rng.permutation(len(files))[:2])
    first, second = a.read_bytes(), b.read_bytes()
    a.write_bytes(second)
    b.write_bytes(first)
    return f"{a.name} and {b.name} exchanged"


def files_of(folder: Path) -> list[Path]:
    """List the files of a folder and those below, in order."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def remove(folder: Path) -> None:
    """Remove a folder, whatever a mutation made of it."""
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
    shutil.rmtree(folder, ignore_errors=True)
