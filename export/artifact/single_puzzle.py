"""One puzzle, solved with an export: found by text, file or chance, answered, judged by the rules.

Not here: questions of ARC tasks (arc_question.py), the command line and what it prints
(export/solve.py), the loop (solver.py).
"""

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from export.artifact.open import Export
from export.artifact.solver import ReadStep, Solver
from export.graph.files import check_format
from export.runtimes.registry import open_runtime
from export.targets import Target
from trm_jax.halting import Halting
from trm_jax.tasks.task import Task

MAX_TEXT = 1 << 22  # characters of a puzzle's file
MAX_NAME = 255  # characters of a file's name


class PuzzleAnswer(NamedTuple):
    """An answer as text, whether it is right, and what it cost.

    Attributes:
      is_right: by the rules of the puzzle; of ARC by the known answer.
      steps: supervision steps.
      fault: why the puzzle has no answer, or several; None where it has one.
      wrong: what to call an answer that is not right.
    """

    question: str
    answer: str
    is_right: bool
    steps: int
    seconds: float
    fault: str | None = None
    wrong: str = "WRONG by the rules"

    @property
    def verdict(self) -> str:
        """Say in words what the answer is worth."""
        if self.fault is None:
            return "right" if self.is_right else self.wrong
        return f"right, but {self.fault}" if self.is_right else self.fault


def read_puzzle(text: str, export: Export, task: Task) -> np.ndarray:
    """Read a puzzle from a text, or from the file that the text names.

    Raises:
      ValueError: it is of another size or alphabet than the model's, the file is no text, or the
        task has no text form.
      OSError: the file cannot be read.
    """
    form = task.need_text()
    return form.read(read_text(Path(text)) if is_file(text) else text, export.need_facts(task))


def is_file(text: str) -> bool:
    """Return whether a text names a file; puzzles are too long for a name, or none exists."""
    try:
        return len(text) <= MAX_NAME and Path(text).is_file()
    except (OSError, ValueError):  # too long in bytes, or no name at all
        return False


def read_text(file: Path) -> str:
    """Read a file of a puzzle.

    Raises:
      ValueError: too large, or no text in UTF-8.
      OSError: it cannot be read.
    """
    if file.stat().st_size > MAX_TEXT:
        raise ValueError(f"{file} has {file.stat().st_size:,} bytes: that is no puzzle")
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is no text in UTF-8: {error}") from error


def draw_puzzle(data: Path | None, seed: int | None, export: Export, task: Task) -> np.ndarray:
    """Draw one of the puzzles of a data set; None is the bundled one.

    Raises:
      FileNotFoundError, ValueError: missing, or puzzles that the export does not read.
    """
    dataset = export.load_puzzles(data, task).ordered
    row = int(np.random.default_rng(seed).integers(len(dataset)))
    return np.asarray(dataset.inputs[row], np.int32)


class RawAnswer(NamedTuple):
    """The tokens of an answer, and what they cost."""

    tokens: np.ndarray
    steps: int
    seconds: float


def run_once(
    export: Export,
    puzzle: np.ndarray,
    identifier: int = 0,
    *,
    target: Target | None = None,
    threads: int = 1,
    steps: int | None = None,
    halting: Halting | None = None,
    read: ReadStep | None = None,
) -> RawAnswer:
    """Let an export answer one puzzle.

    Args:
      identifier: row of the puzzle table.
      target: runs the graphs; None: what they were exported for.
      steps: supervision steps, at most; None: the model's.
      halting: when to stop thinking; None: the export's default.
      read: sees the answer after every supervision step.

    Raises:
      ValueError: the target does not take the format of the export, or another size of puzzle.
      RuntimeError: the runtime is missing or refuses the graphs.
    """
    target = export.manifest.target if target is None else target
    rule = export.default_halting if halting is None else halting
    check_format(export.manifest.target, target)
    runtime = open_runtime(target, export.model, threads=threads)
    try:
        start = time.perf_counter()
        rows = np.array([identifier], np.int32)
        solver = Solver(export, runtime)
        solution = solver.solve(puzzle[None], rows, steps=steps, halting=rule, read=read)
        seconds = time.perf_counter() - start
    finally:
        runtime.close()
    return RawAnswer(solution.tokens[0], int(solution.steps[0]), seconds)


def answer_puzzle(
    export: Export,
    puzzle: np.ndarray,
    task: Task | None = None,
    *,
    target: Target | None = None,
    threads: int = 1,
    steps: int | None = None,
    halting: Halting | None = None,
    read: ReadStep | None = None,
) -> PuzzleAnswer:
    """Solve a puzzle.

    Args:
      task: what the puzzle is; None: what the export says.
      target: runs the graphs; None: what they were exported for.
      steps: supervision steps, at most; None: the model's.
      halting: when to stop thinking; None: the export's default.
      read: sees the answer after every supervision step.

    Raises:
      ValueError: the target does not take the format of the export, or the task has no text form.
      RuntimeError: the runtime is missing or refuses the graphs.
    """
    task = export.need_task() if task is None else task
    form, facts = task.need_text(), export.need_facts(task)
    raw = run_once(
        export, puzzle, target=target, threads=threads, steps=steps, halting=halting, read=read
    )
    return PuzzleAnswer(
        question=form.show(puzzle, facts),
        answer=form.show(raw.tokens, facts),
        is_right=form.is_right(puzzle, raw.tokens, facts),
        steps=raw.steps,
        seconds=raw.seconds,
        fault=form.fault(puzzle, facts),
    )
