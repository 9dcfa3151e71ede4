"""Solve a puzzle with an export and print it as a person reads it.

    python -m export.solve runs/int4 --random
    python -m export.solve runs/int4 ..3.1.5..4..1.....6....4.3...2..1.6..

PUZZLE is a string, or a file that holds one. Sudoku: row by row, blanks . or 0. Mazes: # wall,
. or space free, S start, G goal; rows end at line breaks or /. The model thinks for all its
steps, as it is evaluated, or for --steps; with --halt it stops when it believes itself done,
which is only as good as its halting head (the model's card says).
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from export import puzzle_text
from export.artifact.open import Export, open_artifact
from export.artifact.solver import Solver
from export.graph.files import check_format
from export.runtimes.registry import open_runtime
from export.sources import load_puzzles
from export.targets import Target
from trm_jax.command_line import exit_code


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = argparse.ArgumentParser(
        prog="python -m export.solve",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("folder", type=Path, metavar="DIR", help="of an export")
    p.add_argument("puzzle", nargs="?", metavar="PUZZLE", help="a string or a file")
    p.add_argument("--random", action="store_true", help="take one of the bundled puzzles")
    p.add_argument("--seed", type=int, help="of --random (default: another puzzle every time)")
    p.add_argument("--data", type=Path, metavar="DIR", help="where --random takes from")
    p.add_argument(
        "--steps", type=int, metavar="N", help="supervision steps, at most (the model's)"
    )
    p.add_argument("--halt", action="store_true", help="stop when the model believes itself done")
    p.add_argument(
        "--runtime", choices=[t.value for t in Target], help="other than what it was exported for"
    )
    p.add_argument("--threads", type=int, default=1, metavar="N", help="%(default)s")
    return p


def puzzle_of(args: argparse.Namespace, export: Export) -> np.ndarray:
    """Find the puzzle of a command line.

    Raises:
      ValueError: none or two are named, or it is of another size or alphabet.
      OSError: its file cannot be read.
    """
    if (args.puzzle is None) == (not args.random):
        raise ValueError("name one puzzle: a string, a file, or --random")
    if args.random:
        dataset = load_puzzles(args.data, export.config)
        row = int(np.random.default_rng(args.seed).integers(len(dataset)))
        return np.asarray(dataset.inputs[row], np.int32)
    text = args.puzzle
    if len(text) < 256 and Path(text).is_file():
        text = Path(text).read_text(encoding="utf-8")
    return puzzle_text.read(text, export.manifest.task, export.config)


def solve(args: argparse.Namespace) -> str:
    """Solve the puzzle of a command line and draw it.

    Raises:
      ValueError, OSError, RuntimeError: bad input, or a runtime's refusal.
    """
    export = open_artifact(args.folder)
    puzzle = puzzle_of(args, export)
    target = Target(args.runtime) if args.runtime else export.manifest.target
    check_format(export.manifest.target, target)
    runtime = open_runtime(target, export.model, threads=args.threads)
    try:
        start = time.perf_counter()
        solution = Solver(export, runtime).solve(puzzle[None], steps=args.steps, halt=args.halt)
        seconds = time.perf_counter() - start
    finally:
        runtime.close()
    answer, task = solution.tokens[0], export.manifest.task
    verdict = "right" if puzzle_text.is_right(puzzle, answer, task) else "WRONG by the rules"
    return "\n".join(
        [
            puzzle_text.show(puzzle, task),
            "",
            puzzle_text.show(answer, task),
            "",
            f"{verdict}; supervision steps: {solution.steps[0]}; {1e3 * seconds:.1f} ms"
            f" ({export.manifest.model} as {export.manifest.scheme} on {target.value})",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)

    def action() -> None:
        sys.stdout.write(solve(args) + "\n")

    return exit_code(action, (OSError, ValueError, RuntimeError))


if __name__ == "__main__":
    sys.exit(main())
