"""What the emulated board hears and says during a solve: Ctrl-C, lines, progress, a watchdog.

The solve is of a thousand steps of a thousand cycles, so that it is still under way.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from export.board.connection import BoardConnection, start_emulator
from export.cortex_m.console import check_line, read_fields
from export.cortex_m.row_file import PuzzleKind, PuzzleShape
from tests.support.firmware.cases import random_rows, solve_line, vectors_of, write_flash
from tests.support.firmware.machines import SECONDS, Emulated, need
from tests.support.firmware.programs import address_of, change_code
from trm_jax.config import preset

LONG = "set H=1000 L=1000 steps=1000 halt=never"
SOLVE = solve_line(0, np.zeros(11, int))
CTRL_C = "\x03"
LOOP = bytes.fromhex("fee7")  # b to itself
RING = 4096


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need("make", "arm-none-eabi-gcc", "qemu-system-arm")
    return Emulated(tmp_path_factory.mktemp("computing")).elf


@pytest.fixture
def board(elf: Path, tmp_path: Path) -> Iterator[BoardConnection]:
    connection = start_emulator(elf, write_flash(tmp_path, random_rows("int8")))
    yield connection
    connection.close()


def reply(board: BoardConnection) -> str:
    line = board.receive(SECONDS)
    assert line is not None
    content = check_line(line)
    assert content is not None, line
    return content


def ask(board: BoardConnection, line: str) -> str:
    board.send(line, SECONDS)
    return reply(board)


def test_ctrl_c_ends_a_solve_and_lines_of_meanwhile_are_answered(board: BoardConnection) -> None:
    assert ask(board, LONG) == LONG
    board.send(SOLVE, SECONDS)
    for steps in range(1, 100):
        board.send(f"set steps={steps}", SECONDS)
    board.send(CTRL_C, SECONDS)
    assert reply(board) == "error 53 stopped by Ctrl-C after 0 of 1000 steps"
    for steps in range(1, 100):
        assert reply(board) == f"set H=1000 L=1000 steps={steps} halt=never"
    assert ask(board, "set H=1 L=1 steps=1") == "set H=1 L=1 steps=1 halt=never"
    assert ask(board, SOLVE).startswith("solved steps=1 ")


def test_ctrl_c_between_solves_is_a_byte_that_no_line_has(board: BoardConnection) -> None:
    assert "the line has the byte 3," in ask(board, CTRL_C + "set")
    assert ask(board, "set").startswith("set H=2")


def test_more_than_the_console_keeps_is_said_and_never_put_together(board: BoardConnection) -> None:
    lines = [f"set steps={steps}" for steps in range(1, 1000)]
    assert sum(len(line) + 1 for line in lines) > 2 * RING
    assert ask(board, LONG) == LONG
    board.send(SOLVE, SECONDS)
    for line in lines:
        board.send(line, SECONDS)
    board.send(CTRL_C, SECONDS)
    assert reply(board).startswith("error 53 ")
    kept = len("".join(f"{line}\n" for line in lines)[:RING].splitlines()) - 1  # the last is cut
    for steps in range(1, kept + 1):
        assert reply(board) == f"set H=1000 L=1000 steps={steps} halt=never"
    # whatever comes next may be the rest of a line that was lost: it is refused to its end
    assert ask(board, "set steps=7").startswith("error 54 more came than the console keeps")
    assert ask(board, "set steps=7").startswith("set H=1000 L=1000 steps=7 ")


def test_progress_is_told_when_asked_for(board: BoardConnection) -> None:
    assert ask(board, "set halt=never progress=1") == "set H=2 L=3 steps=5 halt=never progress=1"
    board.send(SOLVE, SECONDS)
    assert [reply(board) for _ in range(5)] == [f"step {step} of 5" for step in range(1, 6)]
    assert reply(board).startswith("solved steps=5 ")
    assert "unknown setting" in ask(board, "set progress=2")
    assert ask(board, "set progress=0") == "set H=2 L=3 steps=5 halt=never"
    assert ask(board, SOLVE).startswith("solved ")


@pytest.mark.slow
def test_the_stack_is_enough_for_the_largest_bundled_model(elf: Path, tmp_path: Path) -> None:
    """Sudoku of 9x9 in the shape of the bundled midi, with everything that a session can ask.

    The double's networks take no stack; what TFLM's take was 1,976 bytes in all (docs).
    """
    c = preset("sudoku-trm-mlp-midi")
    rng, emb = np.random.default_rng(0), c.hidden_size

    def rows(*shape: int) -> np.ndarray:
        return rng.integers(-999, 999, shape).astype(np.int16)

    puzzles = PuzzleShape(PuzzleKind.SUDOKU, 3, 3)
    file = dataclasses.replace(
        random_rows("int16", puzzles=puzzles),
        prefix=c.prefix_len,
        H_init=rows(emb),
        L_init=rows(emb),
        token_rows=rows(c.vocab_size, emb),
        puzzle_rows=rows(1, c.puzzle_emb_ndim),
    )
    board = start_emulator(elf, write_flash(tmp_path, file, vectors_of(file, 2)))
    puzzle = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
    try:
        assert "halt=rules" in ask(board, "set steps=2 halt=rules progress=1")
        board.send(f"solve 0 {puzzle}", SECONDS)
        for _ in range(20):
            board.send("info", SECONDS)  # interrupts, and lines that wait
        said = [reply(board) for _ in range(2 + 1 + 20)]
        assert said[2].startswith("solved steps=2 ")
        assert ask(board, f"once 0 {puzzle}").startswith("once ")
        assert ask(board, "test").startswith("vector 0 passed")
        assert [reply(board).split()[0] for _ in range(2)] == ["vector", "tested"]
        used = int(read_fields(ask(board, "info"))["stack_used"])
    finally:
        board.close()
    assert used <= 8192 // 4


@pytest.mark.slow
def test_a_board_that_hangs_starts_again_and_says_what_was_lost(tmp_path: Path) -> None:
    need("make", "arm-none-eabi-gcc", "qemu-system-arm")
    elf = Emulated(tmp_path, "WATCHDOG_SECONDS=0.05").elf
    change_code(elf, "trm_inject", LOOP, tmp_path / "hangs.elf")
    flash = write_flash(tmp_path, random_rows("int8"))
    board = start_emulator(tmp_path / "hangs.elf", flash)
    try:
        line = ask(board, SOLVE)
        at = address_of(elf, "trm_inject")
        assert line.startswith("error 91 the watchdog saw no update end in time; raise WATCHDOG_")
        assert f" exception=2 pc={at:08x} " in line
        assert reply(board) == "lost puzzle=0 steps=0"
        assert ask(board, "set") == "set H=2 L=3 steps=5 halt=q"  # it works, and lost nothing else
    finally:
        board.close()


@pytest.mark.slow
def test_a_watchdog_that_is_fed_waits(tmp_path: Path) -> None:
    """A solve of more than ten times its seconds."""
    elf = Emulated(tmp_path, "WATCHDOG_SECONDS=0.01").elf
    board = start_emulator(elf, write_flash(tmp_path, random_rows("int8")))
    try:
        ask(board, "set H=9 L=9 steps=300 halt=never")
        line = ask(board, SOLVE)
        assert line.startswith("solved steps=300 ")
        assert int(line.split(" ticks=")[1].split()[0]) > 10 * 0.01 * 32e6
    finally:
        board.close()
