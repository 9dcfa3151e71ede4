"""Solve a puzzle with an export and print it as a person reads it.

    python -m export.solve runs/int4 --random
    python -m export.solve runs/int4 .2....5.6...2.1.3..5..1....5.....4.1
    python -m export.solve runs/arc recolour-7-6 --question 2
    python -m export.solve runs/arc --task-file data/training/007bbfb7.json
    python -m export.solve runs/int4 --random --watch --compare fp32

PUZZLE is a string, or a file that holds one. Sudoku: row by row, blanks ., 0 or _. Mazes: # wall,
. or space free, S start, G goal; rows end at line breaks or /. A puzzle without an answer, or with
several, is said to be so. ARC: the name of a task, or of one of its augmentations, that the model
was trained on; its question comes from the data's test split or from --task-file.

The model thinks until its answer obeys the rules of the puzzle, for all its steps at most (or for
--steps); a task without rules gets them all. --halt q stops when the model believes itself done,
which is only as good as its halting head (the model's card says).

--watch prints the answer after every supervision step. --compare SCHEME says how far the same model
under another scheme ends from it, simulated; with --watch its answers stand beside. A page with
every H-cycle is made by python -m experiments.watch.

A decoder (docs/tokens-deploy.md) writes tokens until it stops, so that none of these options is
for it.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from export.options import add_halt, artifact_parser, take_halting
from export.targets import Target
from trm_jax.command_line import exit_code, positive_int, seed_int, user_path

if TYPE_CHECKING:
    import numpy as np

    from export.artifact.open import Export
    from export.artifact.single_puzzle import PuzzleAnswer
    from quant.scheme import Scheme
    from trm_jax.halting import StepReading
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
    p.add_argument("--watch", action="store_true", help="print the answer after every step")
    p.add_argument(
        "--compare", metavar="SCHEME", help="simulate the exported model under another scheme too"
    )
    return p


def solve(args: argparse.Namespace) -> str:
    """Solve the puzzle of a command line and write what is printed.

    Raises:
      ValueError, OSError, RuntimeError: bad input, or a runtime's refusal.
    """
    from export.artifact.open import open_artifact  # imports jax: after parsing
    from export.decoder.manifest import is_decoder_export
    from quant.recipe import parse_given

    compared = None if args.compare is None else parse_given(args.compare)
    named = [args.puzzle is not None or args.task_file is not None, args.random]
    if sum(named) != 1:
        raise ValueError("name one puzzle: a string, a file, a task, or --random")
    if args.seed is not None and not args.random:
        raise ValueError("--seed is of --random: a puzzle that is named is not drawn")
    if is_decoder_export(args.folder):
        return solve_tokens(args)
    export = open_artifact(args.folder)
    task = export.need_task(args.task)
    export.need_facts(task)  # of another task than the export's: refused
    if task.text is not None and (args.task_file or args.question):
        raise ValueError(
            f"--task-file and --question are for ARC; {args.folder} solves {task.name}"
        )
    target = Target(args.runtime) if args.runtime else export.manifest.target
    readings: list[StepReading] = []
    options = {
        "threads": args.threads,
        "steps": args.steps,
        "halting": take_halting(args),
        "target": target,
        "read": readings.append if args.watch or compared else None,
    }
    asked = (ask_text if task.text is not None else ask_arc)(args, export, task)
    solved = asked.answer(options)
    return (
        f"{solved.question}\n\n{watched_text(args, export, asked, readings, compared)}"
        f"{solved.answer}\n\n"
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


def solve_tokens(args: argparse.Namespace) -> str:
    """Let a decoder answer a puzzle.

    Raises:
      ValueError, OSError, RuntimeError: bad input, an option that says nothing of decoders, or a
        runtime's refusal.
    """
    from export.decoder.solving import solve_with_decoder

    given = ("task_file", "question", "steps", "halt", "watch", "compare")
    wrong = [f"--{name.replace('_', '-')}" for name in given if getattr(args, name)]
    if wrong:
        raise ValueError(
            f"{args.folder} is a decoder, which writes tokens until it stops; leave"
            f" {', '.join(wrong)} out"
        )
    return solve_with_decoder(
        args.folder,
        args.puzzle,
        asked=args.task,
        data=args.data,
        seed=args.seed,
        target=Target(args.runtime) if args.runtime else None,
        threads=args.threads,
    )


class AskedPuzzle(NamedTuple):
    """A puzzle that was found, and how it is answered and shown.

    Attributes:
      identifier: row of the puzzle table.
      answer: (options of the solver) -> the answer.
      show: tokens of an answer -> lines of text.
    """

    tokens: "np.ndarray"
    identifier: int
    answer: "Callable[[dict[str, Any]], PuzzleAnswer]"
    show: "Callable[[np.ndarray], str]"


def ask_text(args: argparse.Namespace, export: "Export", task: "Task") -> AskedPuzzle:
    """Find a puzzle that is written as text."""
    from export.artifact.single_puzzle import answer_puzzle, draw_puzzle, read_puzzle

    if args.random:
        puzzle = draw_puzzle(args.data, args.seed, export, task)
    else:
        puzzle = read_puzzle(args.puzzle, export, task)
    form, facts = task.need_text(), export.need_facts(task)
    return AskedPuzzle(
        puzzle,
        0,
        lambda options: answer_puzzle(export, puzzle, task, **options),
        lambda tokens: form.show(tokens, facts),
    )


def ask_arc(args: argparse.Namespace, export: "Export", task: "Task") -> AskedPuzzle:
    """Find a question of an ARC task."""
    from export.artifact import arc_question
    from trm_jax.data.arc import canvas

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
    return AskedPuzzle(
        question.tokens,
        question.identifier,
        lambda options: arc_question.answer_question(export, question, **options),
        lambda tokens: arc_question.show_grid(canvas.crop(tokens)),
    )


def watched_text(
    args: argparse.Namespace,
    export: "Export",
    asked: AskedPuzzle,
    readings: "Sequence[StepReading]",
    compared: "Scheme | None",
) -> str:
    """Write what --watch and --compare ask for; nothing where neither does."""
    if not args.watch and compared is None:
        return ""
    from export.artifact.watching import describe_difference, show_steps, simulate_steps
    from quant.scheme import short_name

    others, lines = [], []
    if compared is not None:
        others = simulate_steps(export, compared, asked.tokens, asked.identifier, len(readings))
    if args.watch:
        lines.append(show_steps(readings, asked.show, others))
    if compared is not None:
        far = describe_difference(readings, others)
        lines.append(f"{short_name(compared.name)}, simulated: {far}")
    return "\n\n".join(lines) + "\n\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_intermixed_args(argv)  # PUZZLE may follow the options

    def action() -> None:
        sys.stdout.write(solve(args) + "\n")

    return exit_code(action, (OSError, ValueError, RuntimeError))


if __name__ == "__main__":
    sys.exit(main())
