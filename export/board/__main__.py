"""Solve a puzzle on a board: the emulated one, or one behind a serial port.

    python -m export.board runs/board --random
    python -m export.board runs/board .2....5.6...2.1.3..5..1....5.....4.1
    python -m export.board runs/board --random --export runs/tflm --port /dev/ttyACM0

PACKAGE is what `export.micro` wrote. PUZZLE is a string, or a file that holds one. Sudoku: row by
row, blanks ., 0 or _. Mazes: # wall, . or space free, S start, G goal; rows end at line breaks or
/. Without --port QEMU emulates the board; its firmware must be built (`make -C export/firmware
solve` does both).

The answer is drawn, judged by the rules, and compared with the simulation: with what --export
gives on this computer, and without --export with the package's test vector of the puzzle, if any.
The board must have the firmware and the flash.bin of this package. Exit code: 0 right, and as the
simulation has it; 1 wrong, or other than the simulation; 2 bad input, or a board that fails.
"""

import argparse
import sys
from collections.abc import Sequence

from trm_jax.command_line import (
    exit_code,
    make_parser,
    number_in,
    positive_float,
    positive_int,
    seed_int,
    user_path,
)

MOST_STEPS = 1024  # as the firmware has it


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = make_parser("export.board", __doc__)
    p.add_argument("package", type=user_path, metavar="PACKAGE", help="folder of a package")
    p.add_argument("puzzle", nargs="?", metavar="PUZZLE", help="a string or a file")
    p.add_argument("--random", action="store_true", help="take one of the bundled puzzles")
    p.add_argument("--seed", type=seed_int, metavar="N", help="of --random (another every time)")
    p.add_argument("--data", type=user_path, metavar="DIR", help="where --random takes from")
    p.add_argument("--port", type=user_path, metavar="DEVICE", help="serial port of a board")
    p.add_argument(
        "--baud", type=positive_int, default=115200, metavar="N", help="of the port (%(default)s)"
    )
    p.add_argument(
        "--elf",
        type=user_path,
        metavar="FILE",
        help="firmware to emulate (the last that was built)",
    )
    p.add_argument(
        "--export", type=user_path, metavar="DIR", help="what the package was made from: compare"
    )
    p.add_argument(
        "--steps",
        type=number_in(int, 1, MOST_STEPS),
        metavar="N",
        help="supervision steps, at most (the package's)",
    )
    p.add_argument(
        "--halt",
        metavar="RULE",
        help="never, q[:B], qc[:B], rules or unchanged[:K] (default: what the board has)",
    )
    p.add_argument(
        "--seconds",
        type=positive_float,
        default=600.0,
        metavar="S",
        help="longest silence of the board (%(default)g)",
    )
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_intermixed_args(argv)  # PUZZLE may follow the options

    def action() -> int:
        from export.board.job import BoardRequest, run  # imports jax: after parsing

        text, is_good = run(BoardRequest(**vars(args)))
        sys.stdout.write(text + "\n")
        return 0 if is_good else 1

    return exit_code(action, (OSError, ValueError, RuntimeError))


if __name__ == "__main__":
    sys.exit(main())
