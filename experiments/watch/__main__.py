r"""Watch a puzzle being solved and broken: the same puzzle under several schemes, cycle by cycle.

    python -m experiments.watch --task sudoku --model sudoku-trm-mlp-mini --broken
    python -m experiments.watch --task maze --model maze-trm-att-mini --puzzle 3 \
        --schemes fp32,int4_naive,int3_naive --gif

Writes OUT/watch.html, one page without any outside resource: the puzzle side by side under each
scheme with a slider over the H-cycles and a play button; cells that are not the answer's and cells
that break a rule are marked; below, the wrong cells, the halting logit, the fidelity to full
precision and the residual (relative change of the last H-cycle) as curves.

--puzzle takes a number (the puzzles in their order of measurement, from 0) or a puzzle as text
(Sudoku: blanks are ., 0 or _; mazes: # wall, . free, S, G, rows end at /). --broken looks among the
first --limit puzzles for those that full precision solves and a scheme does not, shows --count of
them for each scheme, and names the cycle at which they part: from it on the scheme always has more
mistakes (cells that are wrong or break a rule) than full precision. A puzzle is solved where its
answer is right after the last cycle.

--gif and --frames write the first puzzle of the page as OUT/watch.gif and OUT/cycle-NNN.png.
"""

import argparse
import sys
from collections.abc import Sequence

from experiments.measurement.folders import WATCH
from experiments.measurement.options import DEFAULT_LIMIT, add_data, add_schemes, subject_parent
from trm_jax.command_line import exit_code, make_parser, positive_int, user_path
from trm_jax.data.calibration import add_calibration
from trm_jax.output.folder import check_named

SCHEMES = ("fp32", "int4_naive", "int4_calibrated")
SHOWN = 3
"""Puzzles that --broken shows for each scheme."""


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = make_parser("experiments.watch", __doc__, subject_parent())
    add_data(p)
    add_calibration(p)
    add_schemes(p, SCHEMES, "full precision is always shown; ")
    which = p.add_mutually_exclusive_group()
    which.add_argument(
        "--puzzle", metavar="N|TEXT", help="number of a puzzle, or a puzzle (default: 0)"
    )
    which.add_argument(
        "--broken", action="store_true", help="puzzles that schemes break, and where they part"
    )
    p.add_argument(
        "--limit",
        type=positive_int,
        metavar="N",
        help=f"puzzles that --broken looks among ({DEFAULT_LIMIT})",
    )
    p.add_argument(
        "--count",
        type=positive_int,
        metavar="N",
        help=f"puzzles that --broken shows for each scheme, at most ({SHOWN})",
    )
    p.add_argument(
        "--steps", type=positive_int, metavar="N", help="supervision steps (the model's)"
    )
    p.add_argument("--gif", action="store_true", help="the first puzzle as watch.gif too")
    p.add_argument("--frames", action="store_true", help="and as a sequence of PNG files")
    p.add_argument("--out", type=user_path, metavar="DIR", help="default: runs/watch-TASK-MODEL")
    return p


def settle_broken(args: argparse.Namespace) -> None:
    """Fill in what --broken looks among and shows, where the command line is silent.

    Raises:
      ValueError: options of --broken without it; a puzzle that is named is not looked for.
    """
    for name, usual in (("limit", DEFAULT_LIMIT), ("count", SHOWN)):
        if getattr(args, name) is None:
            setattr(args, name, usual)
        elif not args.broken:
            raise ValueError(f"--{name} is of --broken; add it, or leave --{name} out")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)

    def action() -> None:
        settle_broken(args)
        check_named(args.out, WATCH)
        from experiments.watch.runner import watch  # imports jax: after parsing

        watch(args)

    return exit_code(action, (OSError, ValueError, ModuleNotFoundError))


if __name__ == "__main__":
    sys.exit(main())
