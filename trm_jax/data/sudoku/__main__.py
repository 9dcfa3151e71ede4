"""Make Sudoku data sets: from CSV files as published, or from the project's own generator.

    python -m trm_jax.data.sudoku generate --out data/sudoku-6x6 --box 2x3 --num-train 1000 \\
        --num-test 100
    python -m trm_jax.data.sudoku build --out data/sudoku-extreme \\
        --train hf:sapientinc/sudoku-extreme/train.csv \\
        --test hf:sapientinc/sudoku-extreme/test.csv --subsample 1000 --num-aug 1000

Tokens: pad 0, blank 1, digit + 1. As in the released builder the training set can be cut to a
random subset and augmented (the first puzzle of each group stays as it is), the test set never
is. Every draw here hangs on --seed; the released builder never seeded numpy, so that the
published 1,000-puzzle subset cannot be drawn again. Generated test puzzles are disjoint from
training and each other up to symmetry.
"""

import functools
import sys
from collections.abc import Sequence

from trm_jax.command_line import natural_int
from trm_jax.data import generate as data_generate
from trm_jax.data.sudoku.dataset import build, generate


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 when done, 2 on bad input."""
    parser, generating, building = data_generate.puzzle_parser("trm_jax.data.sudoku", __doc__)
    for sub in (generating, building):
        sub.add_argument(
            "--box", default="3x3", metavar="RxC", help="rows x columns of a box (%(default)s)"
        )
    generating.add_argument(
        "--clues", default="minimal", metavar="N", help="30, 25-37 or %(default)s"
    )
    generating.add_argument(
        "--min-rating",
        type=natural_int,
        default=0,
        metavar="N",
        help="least number of guesses (%(default)s)",
    )
    building.add_argument(
        "--num-aug",
        type=natural_int,
        default=0,
        metavar="N",
        help="copies per training puzzle (%(default)s)",
    )
    data_generate.add_check(building, "prove that every puzzle has exactly one solution")
    args = data_generate.parse_words(parser, argv)
    action = {"generate": generate, "build": build}[args.command]
    return data_generate.run(functools.partial(action, args), args.out)


if __name__ == "__main__":
    sys.exit(main())
