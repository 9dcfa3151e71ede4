"""One puzzle, solved with an export: found by text, file or chance, answered, judged by the rules.

Not here: the command line and what it prints (export/solve.py), the loop (solver.py).
"""

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from export import puzzle_text
from export.artifact.open import Export
from export.artifact.solver import Solver
from export.graph.files import check_format
from export.runtimes.registry import open_runtime
from export.sources import load_puzzles
from export.targets import Target


class PuzzleAnswer(NamedTuple):
    """An answer as text, whether it is right by the rules, and what it cost."""

    question: str
    answer: str
    is_right: bool
    steps: int
    seconds: float


def read_puzzle(text: str, export: Export) -> np.ndarray:
    """Read a puzzle from a text, or from the file that the text names.

    Raises:
      ValueError: it is of another size or alphabet than the model's.
      OSError: the file cannot be read.
    """
    if len(text) < 256 and Path(text).is_file():
        text = Path(text).read_text(encoding="utf-8")
    return puzzle_text.read(text, export.manifest.task, export.config)


def draw_puzzle(data: Path | None, seed: int | None, export: Export) -> np.ndarray:
    """Draw one of the puzzles of a data set; None is the bundled one."""
    dataset = load_puzzles(data, export.config)
    row = int(np.random.default_rng(seed).integers(len(dataset)))
    return np.asarray(dataset.inputs[row], np.int32)


def answer_puzzle(
    export: Export,
    puzzle: np.ndarray,
    *,
    target: Target,
    threads: int = 1,
    steps: int | None = None,
    halt: bool = False,
) -> PuzzleAnswer:
    """Solve a puzzle.

    Args:
      target: runs the graphs.
      steps: supervision steps, at most; None: the model's.
      halt: stop when the model believes itself done.

    Raises:
      ValueError: the target does not take the format of the export.
      RuntimeError: the runtime is missing or refuses the graphs.
    """
    check_format(export.manifest.target, target)
    runtime = open_runtime(target, export.model, threads=threads)
    try:
        start = time.perf_counter()
        solution = Solver(export, runtime).solve(puzzle[None], steps=steps, halt=halt)
        seconds = time.perf_counter() - start
    finally:
        runtime.close()
    answer, task = solution.tokens[0], export.manifest.task
    return PuzzleAnswer(
        question=puzzle_text.show(puzzle, task),
        answer=puzzle_text.show(answer, task),
        is_right=puzzle_text.is_right(puzzle, answer, task),
        steps=int(solution.steps[0]),
        seconds=seconds,
    )
