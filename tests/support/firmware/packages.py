"""Packages for the firmware with its test double: a Sudoku whose network copies what is given."""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np

from export.artifact.host_state import state_checksum
from export.cortex_m import row_file, test_vectors
from export.cortex_m.package import PackageFacts
from export.cortex_m.row_file import Depth, RowFile
from export.cortex_m.test_vectors import Vector, VectorFile
from quant.integer.carry import Combine
from tests.support.firmware.cases import SUDOKU, random_rows
from tests.support.firmware.oracle import DOUBLE_ID, rollout
from trm_jax.data.facts import ONE_BLANK, PuzzleFacts
from trm_jax.halting import NEVER

FACTS = PuzzleFacts(task="sudoku", grid=(4, 4), box=(2, 2), identifiers_sha256=ONE_BLANK)
COMPLETE = np.array([int(c) for c in "1234341221434321"], np.int32) + 1
"""A Sudoku that is its own answer; the network copies it."""
DEPTH = Depth(H_cycles=2, L_cycles=3, halt_max_steps=5, halting=NEVER)


def copying_rows() -> RowFile:
    """Rows with which the test double's answer is the puzzle: one-hot tokens, nothing else."""
    rows = random_rows("int16", puzzles=SUDOKU)
    return dataclasses.replace(
        rows,
        depth=DEPTH,
        H_init=np.zeros(6, np.int16),
        L_init=np.zeros(6, np.int16),
        token_rows=4096 * np.eye(6, dtype=np.int16),
        puzzle_rows=np.zeros((1, 8), np.int16),
        combine_L=Combine(z_factor=0, e_factor=1, offset=0, shift=0),
        combine_H=row_file.Z_ONLY,
    )


def write_package(folder: Path, rows: RowFile, puzzle: np.ndarray = COMPLETE) -> Path:
    """Write what the board program reads of a package; one test vector, from the oracle."""
    wanted = rollout(rows, 0, puzzle, rows.depth)
    vector = Vector(
        puzzle=0,
        inputs=puzzle,
        tokens=wanted.tokens.astype(np.int32),
        steps=wanted.steps,
        states=(state_checksum(wanted.z_H), state_checksum(wanted.z_L)),
    )
    vectors = VectorFile(model_id=DOUBLE_ID, depth=rows.depth, vectors=[vector])
    flash = row_file.write_rows(rows) + test_vectors.write_vectors(vectors)
    sizes = [f.name for f in dataclasses.fields(PackageFacts) if f.name.endswith("_bytes")]
    facts = PackageFacts(
        model="copy",
        scheme="double",
        puzzles=FACTS,
        graphs={},
        halting=rows.depth.halting.name,
        flash_sha256=hashlib.sha256(flash).hexdigest(),
        **dict.fromkeys(sizes, 0),  # type: ignore[arg-type]
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "flash.bin").write_bytes(flash)
    (folder / "package.json").write_text(json.dumps(dataclasses.asdict(facts)))
    return folder
