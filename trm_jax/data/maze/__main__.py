"""Make maze data sets: from CSV files as published, or from the project's own generator.

    python -m trm_jax.data.maze generate --out data/maze-12 --shape 12x12 --min-path 24 \\
        --num-test 50
    python -m trm_jax.data.maze build --out data/maze-hard \\
        --train hf:sapientinc/maze-30x30-hard-1k/train.csv \\
        --test hf:sapientinc/maze-30x30-hard-1k/test.csv --aug

Tokens: pad 0, wall 1, free 2, start 3, goal 4, path 5 (symbols "# SGo"). `--aug` adds the seven
other turns and mirror images of each training maze; it is off by default, as released.
Generated test mazes are no turns or mirror images of training mazes or each other.
"""

import functools
import sys
from collections.abc import Sequence

from trm_jax.command_line import positive_int
from trm_jax.data import generate as data_generate
from trm_jax.data.maze.dataset import build, generate


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 when done, 2 on bad input."""
    parser, generating, building = data_generate.puzzle_parser("trm_jax.data.maze", __doc__)
    for sub in (generating, building):
        sub.add_argument(
            "--shape", default="30x30", metavar="HxW", help="height x width (%(default)s)"
        )
    generating.add_argument(
        "--min-path", type=positive_int, default=111, metavar="N", help="least moves (%(default)s)"
    )
    generating.add_argument(
        "--walls", default="0.3-0.5", metavar="X-Y", help="share of walls (%(default)s)"
    )
    generating.add_argument("--one-path", action="store_true", help="only one shortest path each")
    building.add_argument("--aug", action="store_true", help="add turns and mirror images")
    data_generate.add_check(building, "refuse paths that are not shortest")
    args = data_generate.parse_words(parser, argv)
    action = {"generate": generate, "build": build}[args.command]
    return data_generate.run(functools.partial(action, args), args.out)


if __name__ == "__main__":
    sys.exit(main())
