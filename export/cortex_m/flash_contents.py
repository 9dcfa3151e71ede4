"""What an export puts into flash beside its graphs: rows and test vectors in the graphs' formats.

Rows of integers are those of the host loop (artifact/host_state.py): embeddings on one symmetric
grid of their own, initial states on the grid of the state they begin. The constants of the
injections fold these scales (quant/integer/carry.py).

Not here: bytes (row_file.py, test_vectors.py).
"""

import dataclasses

import numpy as np

from export.artifact.host_state import input_tensor, integer_rows
from export.artifact.manifest import HaltedAnswers
from export.artifact.open import Export
from export.cortex_m.row_file import NO_SHAPE, Depth, PuzzleKind, PuzzleShape, RowFile
from export.cortex_m.test_vectors import Vector, VectorFile
from export.graph.ir import DType
from export.lowering.model import blocks_of
from quant.integer.carry import scaled_rows
from trm_jax.data.facts import PuzzleFacts
from trm_jax.halting import NEVER

MOST_SIDE = 255  # a byte of the row file's header
LINE_ROOM = 256  # commands and numbers around the tokens (firmware/protocol.c)


def make_row_file(export: Export, model_id: bytes) -> RowFile:
    """Bring initial states and embeddings into the number format of the graphs' states.

    Raises:
      ValueError: an integer state has no scale.
    """
    c = export.config
    row_file = RowFile(
        model_id=model_id,
        depth=depth_of(export),
        seq=c.seq_len,
        prefix=c.prefix_len,
        H_init=np.asarray(export.host["H_init"], np.float32),
        L_init=np.asarray(export.host["L_init"], np.float32),
        token_rows=scaled_rows(export.host["embed_tokens"], c.hidden_size),
        puzzle_rows=scaled_rows(export.host["puzzle_emb"], c.hidden_size),
        puzzles=shape_of(export.manifest.puzzles),
    )
    update_L = export.model.graph(blocks_of(c)[0])
    if input_tensor(update_L, "z").dtype is DType.FLOAT32:
        return row_file
    rows = integer_rows(export)
    return dataclasses.replace(
        row_file,
        H_init=rows.H_init,
        L_init=rows.L_init,
        token_rows=rows.tokens,
        puzzle_rows=rows.puzzles,
        combine_L=rows.combine_L,
        combine_H=rows.combine_H,
    )


def shape_of(facts: PuzzleFacts | None) -> PuzzleShape:
    """Take what a firmware knows of puzzles from what an export says of them."""
    if facts is not None and facts.box is not None:
        return PuzzleShape(PuzzleKind.SUDOKU, *facts.box)
    if facts is not None and facts.task == "maze" and max(facts.grid) <= MOST_SIDE:
        return PuzzleShape(PuzzleKind.MAZE, *facts.grid)
    return NO_SHAPE


def depth_of(export: Export) -> Depth:
    """Take the configured depth, and the rule of halting that the export was tried with."""
    c, halted = export.config, export.manifest.expected.halted
    return Depth(
        H_cycles=c.H_cycles,
        L_cycles=c.L_cycles,
        halt_max_steps=c.halt_max_steps,
        halting=NEVER if halted is None else halted.rule,
    )


def make_vectors(export: Export) -> list[Vector]:
    """Make test vectors of an export's expected answers, at the step at which the board halts.

    Where the rules of the puzzles are known, answers that break them are left out: a board that
    repeats a wrong answer has passed nothing.
    """
    expected, rules = export.manifest.expected, export.rules
    num = len(expected.inputs)
    halted = expected.halted or HaltedAnswers(
        halting=NEVER.name,
        steps=(expected.steps,) * num,
        tokens=expected.tokens,
        states=expected.states,
    )
    states = halted.states or (None,) * num
    vectors = [
        Vector(
            puzzle=expected.puzzle_identifiers[i],
            inputs=np.asarray(expected.inputs[i]),
            tokens=np.asarray(halted.tokens[i]),
            steps=halted.steps[i],
            states=states[i],
        )
        for i in range(num)
    ]
    return [v for v in vectors if rules is None or rules(v.inputs, v.tokens)]


def make_vector_file(export: Export, depth: Depth, model_id: bytes) -> VectorFile | None:
    """Make the file of an export's test vectors; None where no answer is worth repeating."""
    vectors = make_vectors(export)
    tried = dataclasses.replace(depth, halt_max_steps=export.manifest.expected.steps)
    return VectorFile(model_id=model_id, depth=tried, vectors=vectors) if vectors else None


def count_state_bytes(rows: RowFile) -> int:
    """Count what the firmware takes from its state section: carry and buffers."""
    return carry_bytes(rows) + buffer_bytes(rows)


def carry_bytes(rows: RowFile) -> int:
    """Count z_H and z_L."""
    emb, size = rows.token_rows.shape[1], rows.token_rows.itemsize
    return 2 * padded_size((rows.prefix + rows.seq) * emb * size)


def buffer_bytes(rows: RowFile) -> int:
    """Count a row, three bytes a cell, and a line."""
    emb, size = rows.token_rows.shape[1], rows.token_rows.itemsize
    cells = (rows.seq,) * 3  # puzzle, answer, and what the rule of halting remembers
    return sum(map(padded_size, (emb * size, *cells, rows.seq + LINE_ROOM)))


def padded_size(size: int) -> int:
    """Round up as firmware/bytes.c does."""
    return -(-size // 16) * 16
