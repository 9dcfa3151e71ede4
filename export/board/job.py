"""From the command line to a package, a puzzle and a board, checked; and what is printed.

Not here: the command line itself (__main__.py).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from export.artifact.open import Export, open_artifact
from export.artifact.single_puzzle import PuzzleAnswer, is_file, read_text
from export.board.comparison import Difference, compare, find_vector, simulate_answer
from export.board.connection import BoardConnection, open_port, start_emulator
from export.board.conversation import (
    HELLO_SECONDS,
    BoardAnswer,
    BoardDepth,
    BoardInfo,
    check_board,
    greet,
    set_depth,
    solve,
)
from export.board.package_folder import PackageFolder, check_export, read_package
from export.cortex_m.build import FIRMWARE
from export.cortex_m.emulator import NANOSECONDS
from trm_jax.command_line import progress_bar
from trm_jax.halting import parse_halting
from trm_jax.loading import check_facts_fit, load_puzzles

BUILT = FIRMWARE / "build" / "an547" / "firmware.elf"
NOT_COMPARED = "not compared with the simulation (--export names what the package was made from)"


@dataclass(frozen=True, kw_only=True)
class BoardRequest:
    """A command line (__main__.py).

    Attributes:
      puzzle: a text or a file's name; None with `random`, which draws from `data` by `seed`.
      port: None is the emulated board, with the firmware `elf`.
      export: what the package was made from, to compare with.
      steps, halt: None is the package's, and what the board has.
      seconds: longest silence of the board.
    """

    package: Path
    puzzle: str | None
    random: bool
    seed: int | None
    data: Path | None
    port: Path | None
    baud: int
    elf: Path | None
    export: Path | None
    steps: int | None
    halt: str | None
    seconds: float


class SolvedPuzzle(NamedTuple):
    """What a board made of a puzzle.

    Attributes:
      depth: what the board was set to.
      difference: from the simulation; None where there is none to compare with.
    """

    puzzle: PuzzleAnswer
    answer: BoardAnswer
    depth: BoardDepth
    info: BoardInfo
    difference: Difference | None

    @property
    def is_good(self) -> bool:
        """Return whether it is right by the rules and, as far as known, the simulation's."""
        return self.puzzle.is_right and (self.difference is None or self.difference.is_none)


def run(request: BoardRequest) -> tuple[str, bool]:
    """Solve the puzzle of a command line on a board.

    Returns:
      What is printed, and whether the answer is right and the simulation's.

    Raises:
      ValueError, OSError, RuntimeError: bad input, or a board that fails.
    """
    if (request.puzzle is not None) == request.random:
        raise ValueError("name one puzzle: a string, a file, or --random")
    if request.seed is not None and not request.random:
        raise ValueError("--seed is of --random: a puzzle that is named is not drawn")
    if request.elf is not None and request.port is not None:
        raise ValueError(
            "--elf is emulated, and --port has a board with its own firmware; take one"
        )
    package = read_package(request.package)
    puzzle = find_puzzle(request, package)
    export = None if request.export is None else open_artifact(request.export)
    if export is not None:
        check_export(package, export)
    connection = connect(request, package)
    try:
        solved = solve_on_board(request, package, puzzle, connection, export)
    finally:
        connection.close()
    return show(solved, package, request.port), solved.is_good


def read_rule(text: str | None) -> str | None:
    """Read a rule of halting as the firmware spells it.

    Raises:
      ValueError: no rule has this name.
    """
    return None if text is None else parse_halting(text).name


def find_puzzle(request: BoardRequest, package: PackageFolder) -> np.ndarray:
    """Read the puzzle of a command line, or draw one.

    Raises:
      ValueError, OSError: of another size or alphabet, or no data to draw from.
    """
    if request.puzzle is not None:
        text = read_text(Path(request.puzzle)) if is_file(request.puzzle) else request.puzzle
        return package.form.read(text, package.puzzles)
    puzzles = load_puzzles(package.task, request.data, cells=package.puzzles.cells)
    check_facts_fit(package.puzzles, f"package {package.folder}", puzzles)
    row = int(np.random.default_rng(request.seed).integers(len(puzzles.ordered)))
    return np.asarray(puzzles.ordered.inputs[row], np.int32)


def connect(request: BoardRequest, package: PackageFolder) -> BoardConnection:
    """Open the port of a command line, or start the emulator.

    Raises:
      ValueError, OSError, RuntimeError: there is none, or it may not be used.
    """
    if request.port is not None:
        return open_port(request.port, request.baud)
    return start_emulator(request.elf or BUILT, package.flash)


def solve_on_board(
    request: BoardRequest,
    package: PackageFolder,
    puzzle: np.ndarray,
    connection: BoardConnection,
    export: Export | None,
) -> SolvedPuzzle:
    """Let a board solve a puzzle and judge its answer.

    Raises:
      BoardError: it fails, or is not the package's.
    """
    info = greet(connection, min(request.seconds, HELLO_SECONDS))
    depth, form = package.rows.depth, package.form
    check_board(info, package)
    steps = request.steps or depth.halt_max_steps
    wanted = BoardDepth(depth.H_cycles, depth.L_cycles, steps, read_rule(request.halt))
    known = set_depth(connection, wanted, request.seconds)
    with progress_bar("supervision steps", steps) as advance:
        answer = solve(connection, puzzle, info.vocab, request.seconds, advance)
    simulated = find_vector(package, puzzle, answer.steps)
    if export is not None:
        simulated = simulate_answer(export, puzzle, answer.steps, depth)
    return SolvedPuzzle(
        puzzle=PuzzleAnswer(
            question=form.show(puzzle, package.puzzles),
            answer=form.show(answer.tokens, package.puzzles),
            is_right=form.is_right(puzzle, answer.tokens, package.puzzles),
            steps=answer.steps,
            seconds=answer.seconds,
            fault=form.fault(puzzle, package.puzzles),
        ),
        answer=answer,
        depth=known,
        info=info,
        difference=None if simulated is None else compare(answer, simulated),
    )


def show(solved: SolvedPuzzle, package: PackageFolder, port: Path | None) -> str:
    """Write question, answer, what it is worth and what it cost."""
    puzzle, answer = solved.puzzle, solved.answer
    end = "ended by the rule" if answer.halted else "all of them"
    compared = NOT_COMPARED if solved.difference is None else str(solved.difference)
    return (
        f"{puzzle.question}\n\n{puzzle.answer}\n\n{puzzle.verdict}; {compared}\n"
        f"supervision steps: {answer.steps} of {solved.depth.steps}, {end}"
        f" (halt={solved.depth.halt}); {cost(solved, port)}\n"
        f"{package.facts.model} as {package.facts.scheme} on"
        f" {'the emulated board' if port is None else port}"
    )


def cost(solved: SolvedPuzzle, port: Path | None) -> str:
    """Say what a solve took: cycles of a board's clock, or instructions of the emulator."""
    ticks, rate = solved.answer.ticks, solved.info.ticks_per_second
    if port is None:  # one instruction is one nanosecond there (cortex_m/emulator.py)
        instructions = ticks * NANOSECONDS / rate
        return (
            f"about {instructions / 1e6:,.1f} M instructions, {solved.answer.seconds:.2f} s on this"
            " computer"
        )
    counted = solved.answer.cycles
    cycles = f"{ticks if counted is None else counted:,} cycles"
    by = "the board's clock" if counted is None else "the core's counter"
    return f"{cycles} by {by} at {rate / 1e6:g} MHz, {ticks / rate:.3f} s"
