"""Puzzles as people write them, in the firmware's console: understood or refused, never guessed."""

from pathlib import Path

import numpy as np
import pytest

from export.cortex_m.row_file import PuzzleShape
from tests.support.firmware.cases import MAZE, SUDOKU, random_rows, write_flash
from tests.support.firmware.machines import Host, Machine
from tests.support.firmware.oracle import rollout
from trm_jax.data.facts import PuzzleFacts
from trm_jax.tasks.maze import MAZE as MAZE_TASK
from trm_jax.tasks.sudoku import SUDOKU as SUDOKU_TASK
from trm_jax.tasks.task import TextForm

SYMBOLS = {SUDOKU: "?.1234", MAZE: "?#.SGo"}
FACTS = {
    SUDOKU: PuzzleFacts(task="sudoku", grid=(4, 4), box=(2, 2), identifiers_sha256=""),
    MAZE: PuzzleFacts(task="maze", grid=(3, 4), box=None, identifiers_sha256=""),
}
PUZZLES = {
    SUDOKU: ("12..34....34..12", "1200340000340012", "12_03 4....34._12"),
    MAZE: ("S..#/.#.#/...G", "S  # # #   G", "S  #/.# #...G"),
}


def form_of(shape: PuzzleShape) -> TextForm:
    form = (SUDOKU_TASK if shape == SUDOKU else MAZE_TASK).text
    assert form
    return form


@pytest.mark.parametrize("shape", PUZZLES)
def test_a_written_puzzle_is_read_as_the_task_reads_it(
    shape: PuzzleShape, machine: Machine, tmp_path: Path
) -> None:
    rows = random_rows("int16", puzzles=shape)
    lines = [f"solve 1 {text}" for text in PUZZLES[shape]]
    said = machine.talk(write_flash(tmp_path, rows), [*lines, "quit"]).lines
    for text, line in zip(PUZZLES[shape], said, strict=False):
        inputs = form_of(shape).read(text, FACTS[shape])
        wanted = rollout(rows, 1, inputs, rows.depth)
        answer = "".join(SYMBOLS[shape][token] for token in wanted.tokens)
        assert line.startswith(f"solved steps={wanted.steps} ")
        assert line.endswith(f" answer={answer}")


@pytest.mark.parametrize("shape", PUZZLES)
def test_tokens_stay_tokens(shape: PuzzleShape, host: Host, tmp_path: Path) -> None:
    rows = random_rows("int16", puzzles=shape)
    inputs = np.arange(rows.seq) % (len(rows.token_rows) - 1) + 1  # every token but padding
    text = "".join(map(str, inputs))
    (said,) = host.talk(write_flash(tmp_path, rows), [f"solve 0 {text}"]).lines
    wanted = rollout(rows, 0, inputs, rows.depth)
    assert said.endswith(" tokens=" + "".join(map(str, wanted.tokens)))


REFUSED = {
    SUDOKU: {
        "12..34....34..1": "puzzle of 15 cells, this model takes 16",
        "12..34....34..125": "puzzle of 17 cells",
        "15..34....34..12": "cell 1 holds no symbol of this puzzle; Sudoku: . or 0 for blanks",
        "1x..34....34..12": "cell 1 holds no symbol",
        "2311451111451166": "cell 14 holds no token of this model",
    },
    MAZE: {
        "S..#/.#.#/...": "puzzle of 11 cells, this model takes 12",
        "S..#/.#.#/..xG": "cell 10 holds no symbol of this puzzle",
        "322112121222": None,
        "322012121224": "cell 3 holds no token of this model",  # padding
        "322612121224": "cell 3 holds no token of this model",
    },
    PuzzleShape(): {"12..3456123": "cell 2 holds no token of this model"},
}


@pytest.mark.parametrize("shape", REFUSED)
def test_what_no_puzzle_has_is_refused(shape: PuzzleShape, host: Host, tmp_path: Path) -> None:
    flash = write_flash(tmp_path, random_rows("int8", puzzles=shape))
    said = host.talk(flash, [f"once 0 {text}" for text in REFUSED[shape]]).lines
    for (text, words), line in zip(REFUSED[shape].items(), said, strict=True):
        assert line.startswith("error " if words else "once "), text
        assert not words or words in line, text
