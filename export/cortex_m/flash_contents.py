"""What an export puts into flash beside its graphs: rows and test vectors in the graphs' formats.

Integer rows are on one symmetric grid of their own (quant/affine.py), as wide as they need;
initial states on the grid of the state they begin. The constants of the injections fold these
scales (quant/integer/carry.py).

Not here: bytes (row_file.py, test_vectors.py).
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from export.artifact.host_state import BITS, encoding_of, input_tensor
from export.artifact.manifest import Expected
from export.artifact.open import Export
from export.cortex_m.row_file import Depth, Halting, RowFile
from export.cortex_m.test_vectors import Vector, VectorFile
from export.graph.ir import DType, Tensor
from quant.integer.carry import combine_for, on_grid, row_scale, scaled_rows
from quant.integer.encoding import Encoding
from trm_jax.config import Config

LINE_ROOM = 256  # commands and numbers around the tokens (firmware/protocol.c)


def make_row_file(export: Export, roles: Mapping[str, str], model_id: bytes) -> RowFile:
    """Bring initial states and embeddings into the number format of the graphs' states.

    Raises:
      ValueError: an integer state has no scale.
    """
    c = export.config
    update_L, update_H = (export.model.graph(roles[role]) for role in ("update_L", "update_H"))
    z_L, z_H = input_tensor(update_L, "z"), input_tensor(update_H, "z")
    host = {name: np.asarray(value, np.float32) for name, value in export.host.items()}
    tokens = scaled_rows(host["embed_tokens"], c.hidden_size)
    puzzles = scaled_rows(host["puzzle_emb"], c.hidden_size)
    depth = depth_of(c)
    if z_L.dtype is DType.FLOAT32:
        return RowFile(
            model_id=model_id,
            depth=depth,
            seq=c.seq_len,
            prefix=c.prefix_len,
            H_init=host["H_init"],
            L_init=host["L_init"],
            token_rows=tokens,
            puzzle_rows=puzzles,
        )
    e = Encoding(scale=row_scale((tokens, puzzles), BITS[z_L.dtype]), bits=BITS[z_L.dtype])
    return RowFile(
        model_id=model_id,
        depth=depth,
        seq=c.seq_len,
        prefix=c.prefix_len,
        H_init=on_grid(host["H_init"], encoding_of(z_H)),
        L_init=on_grid(host["L_init"], encoding_of(z_L)),
        token_rows=on_grid(tokens, e),
        puzzle_rows=on_grid(puzzles, e),
        combine_L=combine_for(
            z=_scale(z_H), e=e.scale, injection=_scale(input_tensor(update_L, "injection"))
        ),
        combine_H=combine_for(
            z=_scale(z_L), e=None, injection=_scale(input_tensor(update_H, "injection"))
        ),
    )


def depth_of(config: Config) -> Depth:
    """Take the configured depth and halting rule."""
    return Depth(
        H_cycles=config.H_cycles,
        L_cycles=config.L_cycles,
        halt_max_steps=config.halt_max_steps,
        halting=Halting.Q if config.no_ACT_continue else Halting.Q_CONTINUE,
    )


def make_vector_file(expected: Expected, depth: Depth, model_id: bytes) -> VectorFile:
    """Make test vectors of an export's expected answers: all steps, no early halt."""
    fixed = dataclasses.replace(depth, halt_max_steps=expected.steps, halting=Halting.NEVER)
    states = expected.states or (None,) * len(expected.inputs)
    vectors = [
        Vector(
            puzzle=puzzle,
            inputs=np.asarray(inputs),
            tokens=np.asarray(tokens),
            steps=expected.steps,
            states=checksums,
        )
        for puzzle, inputs, tokens, checksums in zip(
            expected.puzzle_identifiers, expected.inputs, expected.tokens, states, strict=True
        )
    ]
    return VectorFile(model_id=model_id, depth=fixed, vectors=vectors)


def count_state_bytes(rows: RowFile) -> int:
    """Count what the firmware takes from its state section: carry and buffers."""
    return carry_bytes(rows) + buffer_bytes(rows)


def carry_bytes(rows: RowFile) -> int:
    """Count z_H and z_L."""
    emb, size = rows.token_rows.shape[1], rows.token_rows.itemsize
    return 2 * padded_size((rows.prefix + rows.seq) * emb * size)


def buffer_bytes(rows: RowFile) -> int:
    """Count a row, puzzle and answer, and a line."""
    emb, size = rows.token_rows.shape[1], rows.token_rows.itemsize
    return sum(map(padded_size, (emb * size, rows.seq, rows.seq, rows.seq + LINE_ROOM)))


def padded_size(size: int) -> int:
    """Round up as firmware/bytes.c does."""
    return -(-size // 16) * 16


def _scale(tensor: Tensor) -> tuple[float, int]:
    encoding = encoding_of(tensor)
    return encoding.scale, encoding.zero_point
