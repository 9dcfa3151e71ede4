"""Pack the rows of finished or stopped sweeps: Parquet in the place of JSON lines, and back.

    python -m experiments.pack runs/sweep-sudoku-sudoku-trm-mlp-mini
    python -m experiments.pack runs/sweep-* --unpack

Every rows.jsonl of a folder becomes a rows.parquet beside it, smaller and read faster; worth it
from about 10^5 rows on (docs/scale.md). Programs that read a sweep take either file, or both: a
packed sweep that goes on with --resume appends to a new rows.jsonl, which the next packing adds.

rows.jsonl goes when rows.parquet was read back and every line of it found equal, byte for byte;
--unpack writes the same bytes again. A kill at any moment leaves a folder that all programs read;
the same command finishes the work. Needs extra [parquet].
"""

import argparse
import sys
from collections.abc import Sequence

from experiments.measurement.folders import SWEEP
from trm_jax.command_line import REPEATED, exit_code, make_parser, user_path
from trm_jax.output.folder import check_named


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = make_parser("experiments.pack", __doc__)
    p.add_argument("folders", nargs="+", type=user_path, metavar="DIR", help="folder of a sweep")
    p.add_argument("--unpack", action="store_true", help="back to rows.jsonl")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)

    def action() -> None:
        for folder in args.folders:
            check_named(folder, SWEEP)
        from experiments.pack.runner import pack, unpack  # imports jax: after parsing

        for folder in args.folders:
            (unpack if args.unpack else pack)(folder)

    return exit_code(action, (OSError, ValueError), REPEATED)


if __name__ == "__main__":
    sys.exit(main())
