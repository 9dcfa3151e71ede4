"""One puzzle, solved with an export: found by text, file or chance, answered, judged by the rules.

Not here: the command line and what it prints (export/solve.py), the loop (solver.py).
"""

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from export.artifact.open import Export
from export.artifact.solver import Solver
from export.graph.files import check_format
from export.runtimes.registry import open_runtime
from export.targets import Target
from trm_jax.tasks.task import Task


class PuzzleAnswer(NamedTuple):
    """An answer as text, whether it is right by the rules, and what it cost."""

    question: str
    answer: str
    is_right: bool
    steps: int
    seconds: float


def read_puzzle(text: str, export: Export, task: Task) -> np.ndarray:
    """Read a puzzle from a text, or from the file that the text names.

    Raises:
      ValueError: it is of another size or alphabet than the model's, or the task has no text form.
      OSError: the file cannot be read.
    """
    if len(text) < 256 and Path(text).is_file():
        text = Path(text).read_text(encoding="utf-8")
    return task.need_text().read(text, export.need_facts(task))


def draw_puzzle(data: Path | None, seed: int | None, export: Export, task: Task) -> np.ndarray:
    """Draw one of the puzzles of a data set; None is the bundled one.

    Raises:
      FileNotFoundError, ValueError: missing, or puzzles that the export does not read.
    """
    dataset = export.load_puzzles(data, task).ordered
    row = int(np.random.default_rng(seed).integers(len(dataset)))
    return np.asarray(dataset.inputs[row], np.int32)


def answer_puzzle(
    export: Export,
    puzzle: np.ndarray,
    task: Task | None = None,
    *,
    target: Target | None = None,
    threads: int = 1,
    steps: int | None = None,
    halt: bool = False,
) -> PuzzleAnswer:
    """Solve a puzzle.

    Args:
      task: what the puzzle is; None: what the export says.
      target: runs the graphs; None: what they were exported for.
      steps: supervision steps, at most; None: the model's.
      halt: stop when the model believes itself done.

    Raises:
      ValueError: the target does not take the format of the export, or the task has no text form.
      RuntimeError: the runtime is missing or refuses the graphs.
    """
    task = export.need_task() if task is None else task
    form, facts = task.need_text(), export.need_facts(task)
    target = export.manifest.target if target is None else target
    check_format(export.manifest.target, target)
    runtime = open_runtime(target, export.model, threads=threads)
    try:
        start = time.perf_counter()
        solution = Solver(export, runtime).solve(puzzle[None], steps=steps, halt=halt)
        seconds = time.perf_counter() - start
    finally:
        runtime.close()
    answer = solution.tokens[0]
    return PuzzleAnswer(
        question=form.show(puzzle, facts),
        answer=form.show(answer, facts),
        is_right=form.is_right(puzzle, answer, facts),
        steps=int(solution.steps[0]),
        seconds=seconds,
    )
