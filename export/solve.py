"""Solve a puzzle with an export and print it as a person reads it.

    python -m export.solve runs/int4 --random
    python -m export.solve runs/int4 .2....5.6...2.1.3..5..1....5.....4.1
    python -m export.solve runs/arc recolour-7-6 --question 2
    python -m export.solve runs/arc --task-file data/training/007bbfb7.json

PUZZLE is a string, or a file that holds one. Sudoku: row by row, blanks ., 0 or _. Mazes: # wall,
. or space free, S start, G goal; rows end at line breaks or /. A puzzle without an answer, or with
several, is said to be so. ARC: the name of a task, or of one of its augmentations, that the model
was trained on; its question comes from the data's test split or from --task-file.

The model thinks until its answer obeys the rules of the puzzle, for all its steps at most (or for
--steps); a task without rules gets them all. --halt q stops when the model believes itself done,
which is only as good as its halting head (the model's card says).
"""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from export.options import add_halt, artifact_parser, take_halting
from export.targets import Target
from trm_jax.command_line import exit_code, positive_int, seed_int, user_path

if TYPE_CHECKING:
    from export.artifact.open import Export
    from export.artifact.single_puzzle import PuzzleAnswer
    from trm_jax.tasks.task import Task


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = artifact_parser("export.solve", __doc__, "where --random takes from")
    p.add_argument("puzzle", nargs="?", metavar="PUZZLE", help="a string, a file or a task's name")
    p.add_argument("--random", action="store_true", help="take one of the bundled puzzles")
    p.add_argument(
        "--task-file", type=user_path, metavar="FILE", help="of ARC: one task, or several by name"
    )
    p.add_argument("--question", type=positive_int, metavar="N", help="of ARC: which question (1)")
    p.add_argument(
        "--seed",
        type=seed_int,
        metavar="N",
        help="of --random (default: another puzzle every time)",
    )
    p.add_argument(
        "--steps", type=positive_int, metavar="N", help="supervision steps, at most (the model's)"
    )
    add_halt(p, "when to stop thinking")
    return p


def solve(args: argparse.Namespace) -> str:
    """Solve the puzzle of a command line and write what is printed.

    Raises:
      ValueError, OSError, RuntimeError: bad input, or a runtime's refusal.
    """
    from export.artifact.open import open_artifact  # imports jax: after parsing

    named = [args.puzzle is not None or args.task_file is not None, args.random]
    if sum(named) != 1:
        raise ValueError("name one puzzle: a string, a file, a task, or --random")
    export = open_artifact(args.folder)
    task = export.need_task(args.task)
    export.need_facts(task)  # of another task than the export's: refused
    if task.text is not None and (args.task_file or args.question):
        raise ValueError(
            f"--task-file and --question are for ARC; {args.folder} solves {task.name}"
        )
    target = Target(args.runtime) if args.runtime else export.manifest.target
    options = {
        "threads": args.threads,
        "steps": args.steps,
        "halting": take_halting(args),
        "target": target,
    }
    solved = (solve_text if task.text is not None else solve_arc)(args, export, task, options)
    return (
        f"{solved.question}\n\n{solved.answer}\n\n"
        f"{solved.verdict}; supervision steps: {solved.steps};"
        f" {cost_text(solved.seconds, export.manifest.batch)}"
        f" ({export.manifest.model} as {export.manifest.scheme} on {target.value})"
    )


def cost_text(seconds: float, batch: int) -> str:
    """Write the time of an answer; graphs of several puzzles a call compute all of them."""
    text = f"{1e3 * seconds:.1f} ms"
    if batch == 1:
        return text
    return f"{text} for the {batch} puzzles of a call (export with --batch-size 1 for one)"


def solve_text(
    args: argparse.Namespace, export: "Export", task: "Task", options: dict[str, Any]
) -> "PuzzleAnswer":
    """Solve a puzzle that is written as text."""
    from export.artifact.single_puzzle import answer_puzzle, draw_puzzle, read_puzzle

    if args.random:
        puzzle = draw_puzzle(args.data, args.seed, export, task)
    else:
        puzzle = read_puzzle(args.puzzle, export, task)
    return answer_puzzle(export, puzzle, task, **options)


def solve_arc(
    args: argparse.Namespace, export: "Export", task: "Task", options: dict[str, Any]
) -> "PuzzleAnswer":
    """Answer a question of an ARC task."""
    from export.artifact import arc_question

    del task  # there is one
    number = args.question or 1
    if args.random:
        question = arc_question.draw_question(args.data, args.seed, export)
    elif args.task_file is not None:
        question = arc_question.ask_from_file(
            args.task_file, args.puzzle, number, args.data, export
        )
    else:
        question = arc_question.ask_by_name(args.puzzle, number, args.data, export)
    return arc_question.answer_question(export, question, **options)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_intermixed_args(argv)  # PUZZLE may follow the options

    def action() -> None:
        sys.stdout.write(solve(args) + "\n")

    return exit_code(action, (OSError, ValueError, RuntimeError))


if __name__ == "__main__":
    sys.exit(main())
