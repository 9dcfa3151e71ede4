"""The firmware's loop with its test double, in NumPy: what host and device must both compute."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from export.cortex_m.row_file import Depth, PuzzleKind, RowFile
from quant.integer.carry import Combine
from trm_jax.data.facts import settle_facts
from trm_jax.halting import BY_Q, HaltDecision, StepReading
from trm_jax.halting.rules import Rules
from trm_jax.tasks import MAZE, SUDOKU

DOUBLE_ID = b"affine test double, no real one."
DEPTH = Depth(H_cycles=2, L_cycles=3, halt_max_steps=5, halting=BY_Q)


class Rollout(NamedTuple):
    """What a device reports of a solved puzzle."""

    tokens: np.ndarray
    steps: int
    halted: bool
    q_halt: np.float32
    saturated: int
    z_H: np.ndarray
    z_L: np.ndarray


def embedding(file: RowFile, puzzle: int, inputs: np.ndarray) -> np.ndarray:
    """Lay out e: the puzzle's row over the prefix, then a row per token."""
    emb = file.token_rows.shape[1]
    prefix = np.zeros(file.prefix * emb, file.token_rows.dtype)
    prefix[: file.puzzle_rows.shape[1]] = file.puzzle_rows[puzzle]
    return np.concatenate([prefix.reshape(-1, emb), file.token_rows[inputs]])


def inject(z: np.ndarray, e: np.ndarray | None, combine: Combine) -> tuple[np.ndarray, int]:
    """Make an injection by the documented formula; return it and the clamped elements."""
    if z.dtype == np.float32:
        return (z if e is None else z + e), 0
    # Python's integers have no width: an overflow of the device's int64 would show
    added = np.zeros_like(z) if e is None else e
    total = combine.z_factor * z.astype(object) + combine.e_factor * added.astype(object)
    exact = (total + combine.offset) // 2**combine.shift
    limits = np.iinfo(z.dtype)
    value = np.clip(exact, limits.min, limits.max)
    return value.astype(z.dtype), int(np.sum(value != exact))


def update(z: np.ndarray, injection: np.ndarray, is_H: bool) -> np.ndarray:
    """Apply the test double's network."""
    flat, added = z.ravel(), injection.ravel()
    third = np.roll(added if is_H else flat, -(z.shape[1] + 1))
    if z.dtype == np.float32:
        half, quarter, eighth = (np.float32(2.0**-k) for k in (1, 2, 3))
        new = (half * flat + quarter * added) - eighth * third
    else:
        flat, added, third = (a.astype(np.int64) for a in (flat, added, third))
        new = (4 * flat + 2 * added - third + 4) // 8
    return new.astype(z.dtype).reshape(z.shape)


def read_out(z_H: np.ndarray, file: RowFile) -> tuple[np.ndarray, np.float32, np.float32]:
    """Decode: logits, q_halt, q_continue."""
    columns = np.arange(len(file.token_rows)) % z_H.shape[1]
    q_halt = np.add.accumulate(z_H[0].astype(np.float32))[-1]  # in order, each sum rounded
    return z_H[file.prefix :][:, columns], q_halt, np.float32(z_H[0, 0])


def rules_of(file: RowFile) -> Rules | None:
    """Take the rules of the tasks, which check hosts too."""
    kind, rows, columns = file.puzzles
    if kind is PuzzleKind.UNKNOWN:
        return None
    if kind is PuzzleKind.SUDOKU:
        return SUDOKU.rules(settle_facts("sudoku", file.seq, "here", box=(rows, columns)))
    return MAZE.rules(settle_facts("maze", file.seq, "here", grid=(rows, columns)))


Update = Callable[[np.ndarray, np.ndarray, bool], np.ndarray]


def rollout(
    file: RowFile, puzzle: int, inputs: np.ndarray, depth: Depth, update: Update = update
) -> Rollout:
    """Run supervision steps until the rule says halt or the last step is done."""
    decision = HaltDecision(depth.halting, inputs[None], rules_of(file))
    e = embedding(file, puzzle, inputs)
    z_L, z_H = (np.broadcast_to(row, e.shape).copy() for row in (file.L_init, file.H_init))
    saturated, halted, step = 0, False, 0
    while step < depth.halt_max_steps and not halted:
        for _ in range(depth.H_cycles):
            for _ in range(depth.L_cycles):
                injection, clamped = inject(z_H, e, file.combine_L)
                saturated += clamped
                z_L = update(z_L, injection, False)
            injection, clamped = inject(z_L, None, file.combine_H)
            saturated += clamped
            z_H = update(z_H, injection, True)
        logits, q_halt, q_continue = read_out(z_H, file)
        tokens, step = np.argmax(logits, axis=1), step + 1
        reading = StepReading(tokens[None], np.array([q_halt]), np.array([q_continue]))
        halted = bool(decision.step(reading)[0])
    return Rollout(tokens, step, halted, q_halt, saturated, z_H, z_L)
