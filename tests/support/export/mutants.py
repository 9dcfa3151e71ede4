"""Damages a .tflite file COUNT times and gives what still parses to an interpreter.

Runs in a process of its own (artifact/test_open.py), so that a crash is seen as one. Prints how
many mutants were refused by the reader, refused by the runtime, and run.

    python -m tests.support.export.mutants FILE COUNT
"""

import sys
from collections import Counter
from pathlib import Path

import numpy as np

from export.graph.tflite_reader import read_tflite
from export.graph.tflite_writer import write_tflite
from export.runtimes.litert import LiteRT


def mutant(data: bytes, rng: np.random.Generator) -> bytes:
    """Flip up to four bits, half of the time in the first kilobyte of tables; sometimes cut."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        end = min(len(data), 1024) if rng.random() < 0.5 else len(data)
        changed[rng.integers(end)] ^= 1 << rng.integers(8)
    return bytes(changed[: rng.integers(1, len(data))]) if rng.random() < 0.2 else bytes(changed)


def main(path: str, count: int) -> None:
    data = Path(path).read_bytes()
    rng, outcomes = np.random.default_rng(0), Counter()
    for number in range(count):
        changed = mutant(data, rng)
        try:
            model = read_tflite(changed)
        except ValueError:
            outcomes["refused by the reader"] += 1
            continue
        assert read_tflite(write_tflite(model)).metadata == model.metadata
        if "--run" not in sys.argv:
            outcomes["read"] += 1
            continue
        sys.stdout.write(f"{number}\n")  # the last one before a crash is to blame
        sys.stdout.flush()
        try:
            LiteRT(model, threads=1, xnnpack=False).close()
            outcomes["run"] += 1
        except RuntimeError:
            outcomes["refused by the runtime"] += 1
    sys.stdout.write(f"outcomes {dict(outcomes)}\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
