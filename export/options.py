"""The options that the export commands share, each declared once.

Nothing here imports jax. Not here: what the options do (pipeline.py, artifact/).
"""

import argparse

from export.targets import BATCH, Target
from trm_jax.command_line import make_parser, positive_int, user_path
from trm_jax.data.calibration import add_calibration
from trm_jax.halting import Halting, parse_halting
from trm_jax.output.ownership import OutputKind
from trm_jax.tasks.table import TASKS

EXPORT = OutputKind(
    "export", "an export", ("manifest.json",), frozenset({"parameters_sha256", "plan", "files"})
)
PACKAGE = OutputKind(
    "export.micro",
    "a package for a board",
    ("package.json",),
    frozenset({"arena_bytes", "flash_sha256"}),
)
"""Folders that the commands write, and what each is known by."""


def export_parser(program: str, description: str | None) -> argparse.ArgumentParser:
    """Declare what a command asks for that makes an export; the target is the command's own."""
    p = make_parser(program, description)
    p.add_argument(
        "--model",
        required=True,
        metavar="NAME|PATH",
        help="bundled name, model directory or PyTorch checkpoint",
    )
    p.add_argument("--task", choices=list(TASKS), help="what it solves (as the model says)")
    p.add_argument(
        "--scheme", required=True, metavar="NAME", help="one for all matrices, or ROLE=SCHEME,..."
    )
    p.add_argument(
        "--out", required=True, type=user_path, metavar="DIR", help="folder of the export"
    )
    p.add_argument(
        "--data",
        type=user_path,
        metavar="DIR",
        help="puzzles to answer, the last of them to calibrate on (default: bundled)",
    )
    add_calibration(p)
    p.add_argument(
        "--batch-size",
        type=positive_int,
        default=BATCH,
        metavar="N",
        help="puzzles per call of the graphs (%(default)s; more where many are answered)",
    )
    p.add_argument(
        "--steps", type=positive_int, metavar="N", help="supervision steps (the model's)"
    )
    add_halt(p, "of a second set of expected answers, for a board's self-test")
    p.add_argument(
        "--positions",
        type=positive_int,
        metavar="N",
        help="of a decoder: tokens of prompt and answer together (the model's)",
    )
    return p


def add_halt(parser: argparse.ArgumentParser, what: str) -> None:
    """Declare --halt; `take_halting` reads it."""
    parser.add_argument(
        "--halt",
        metavar="RULE",
        help=f"{what}: never, q[:B], qc[:B], rules, unchanged[:K] or residual:B (default: rules"
        " where the task has some, else never)",
    )


def take_halting(args: argparse.Namespace) -> Halting | None:
    """Read --halt; None where it was not given.

    Raises:
      ValueError: no rule has this name.
    """
    return None if args.halt is None else parse_halting(args.halt)


def artifact_parser(
    program: str, description: str | None, data_help: str
) -> argparse.ArgumentParser:
    """Declare what a command asks for that opens an export and runs it."""
    p = make_parser(program, description)
    p.add_argument("folder", type=user_path, metavar="DIR", help="of an export")
    p.add_argument("--data", type=user_path, metavar="DIR", help=data_help)
    p.add_argument("--task", choices=list(TASKS), help="what it solves (as the export says)")
    p.add_argument(
        "--runtime", choices=[t.value for t in Target], help="other than what it was exported for"
    )
    p.add_argument(
        "--threads", type=positive_int, default=1, metavar="N", help="of the runtime (%(default)s)"
    )
    return p
