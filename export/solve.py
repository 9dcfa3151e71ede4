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
from collections.abc import Sequence

from export.options import artifact_parser
from export.targets import Target
from trm_jax.command_line import exit_code, positive_int, seed_int


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = artifact_parser("export.solve", __doc__, "where --random takes from")
    p.add_argument("puzzle", nargs="?", metavar="PUZZLE", help="a string or a file")
    p.add_argument("--random", action="store_true", help="take one of the bundled puzzles")
    p.add_argument(
        "--seed",
        type=seed_int,
        metavar="N",
        help="of --random (default: another puzzle every time)",
    )
    p.add_argument(
        "--steps", type=positive_int, metavar="N", help="supervision steps, at most (the model's)"
    )
    p.add_argument("--halt", action="store_true", help="stop when the model believes itself done")
    return p


def solve(args: argparse.Namespace) -> str:
    """Solve the puzzle of a command line and write what is printed.

    Raises:
      ValueError, OSError, RuntimeError: bad input, or a runtime's refusal.
    """
    # imports jax: after parsing
    from export.artifact.open import open_artifact
    from export.artifact.single_puzzle import answer_puzzle, draw_puzzle, read_puzzle

    export = open_artifact(args.folder)
    if (args.puzzle is None) == (not args.random):
        raise ValueError("name one puzzle: a string, a file, or --random")
    task = export.need_task(args.task)
    puzzle = (
        draw_puzzle(args.data, args.seed, export, task)
        if args.random
        else read_puzzle(args.puzzle, export, task)
    )
    target = Target(args.runtime) if args.runtime else export.manifest.target
    solved = answer_puzzle(
        export, puzzle, task, target=target, threads=args.threads, steps=args.steps, halt=args.halt
    )
    word = "right" if solved.is_right else "WRONG by the rules"
    return (
        f"{solved.question}\n\n{solved.answer}\n\n"
        f"{word}; supervision steps: {solved.steps}; {1e3 * solved.seconds:.1f} ms"
        f" ({export.manifest.model} as {export.manifest.scheme} on {target.value})"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)

    def action() -> None:
        sys.stdout.write(solve(args) + "\n")

    return exit_code(action, (OSError, ValueError, RuntimeError))


if __name__ == "__main__":
    sys.exit(main())
