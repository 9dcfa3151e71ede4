"""Small models for the firmware, lines of its protocol, and what the oracle says to them."""

import re
from pathlib import Path

import numpy as np

from export.artifact.host_state import state_checksum
from export.cortex_m import row_file, test_vectors
from export.cortex_m.row_file import PuzzleKind, PuzzleShape, RowFile
from export.cortex_m.test_vectors import Vector, VectorFile
from quant.integer.carry import combine_for
from tests.support.firmware.oracle import DEPTH, DOUBLE_ID, Rollout, Update, rollout, update

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
TYPES = {"float32": np.float32, "int16": np.int16, "int8": np.int8}


SUDOKU = PuzzleShape(PuzzleKind.SUDOKU, 2, 2)
MAZE = PuzzleShape(PuzzleKind.MAZE, 3, 4)


def random_rows(kind: str, seed: int = 0, puzzles: PuzzleShape | None = None) -> RowFile:
    """A small model's rows; integers as large as they get, so that injections saturate.

    Args:
      puzzles: what it solves; None: nothing that has a name, in 11 cells of 7 tokens.
    """
    puzzles = puzzles or PuzzleShape()
    seq, vocab = puzzles.sizes() or (11, 7)
    rng = np.random.default_rng(seed)
    dtype = np.dtype(TYPES[kind])

    def rows(*shape: int) -> np.ndarray:
        if kind == "float32":
            return rng.normal(size=shape).astype(dtype)
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, shape, endpoint=True).astype(dtype)

    return RowFile(
        model_id=DOUBLE_ID,
        seq=seq,
        prefix=2,
        depth=DEPTH,
        H_init=rows(6),
        L_init=rows(6),
        token_rows=rows(vocab, 6),
        puzzle_rows=rows(3, 8),
        combine_L=combine_for(z=(0.7, 3), e=0.9, injection=(0.6, -5)),
        combine_H=combine_for(z=(0.7, 3), e=None, injection=(0.6, -5)),
        puzzles=puzzles,
    )


def solve_line(puzzle: int, inputs: np.ndarray) -> str:
    return f"solve {puzzle} " + "".join(DIGITS[t] for t in inputs)


def expected_line(wanted: Rollout) -> str:
    """What a device must say, without the ticks."""
    return (
        f"solved steps={wanted.steps} halted={int(wanted.halted)}"
        f" q_bits={wanted.q_halt.view(np.uint32):08x} saturated={wanted.saturated}"
        f" states={state_checksum(wanted.z_H):08x},{state_checksum(wanted.z_L):08x}"
        f" tokens={''.join(DIGITS[t] for t in wanted.tokens)}"
    )


def without_ticks(line: str) -> str:
    return re.sub(r" ticks=\d+", "", line)


def write_flash(folder: Path, rows: RowFile, vectors: VectorFile | None = None) -> Path:
    path = folder / "flash.bin"
    tail = b"" if vectors is None else test_vectors.write_vectors(vectors)
    path.write_bytes(row_file.write_rows(rows) + tail)
    return path


def vectors_of(
    rows: RowFile, count: int = 4, has_states: bool = True, update: Update = update
) -> VectorFile:
    """Vectors from the oracle."""
    rng = np.random.default_rng(7)
    made = []
    for i in range(count):
        inputs = rng.integers(0, len(rows.token_rows), rows.seq)
        wanted = rollout(rows, i % len(rows.puzzle_rows), inputs, rows.depth, update)
        states = (state_checksum(wanted.z_H), state_checksum(wanted.z_L))
        made.append(
            Vector(
                puzzle=i % len(rows.puzzle_rows),
                inputs=inputs,
                tokens=wanted.tokens,
                steps=wanted.steps,
                states=states if has_states else None,
            )
        )
    return VectorFile(model_id=DOUBLE_ID, depth=rows.depth, vectors=made)
