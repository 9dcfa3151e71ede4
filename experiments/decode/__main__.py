"""Put recursion and tokens on one scale: the same puzzles, under the same schemes.

    python -m experiments.decode --task sudoku
    python -m experiments.decode --task maze --schemes fp32,w4c-sym,w4c-sym_carry8 \\
        --limit 50 --out runs/decode-quick

Without --models the bundled recursive model and the bundled decoder of the task solve bundled
puzzles. The decoder writes greedily until its stop token; recursion runs to its full depth, and
beside it until the answer obeys the puzzle's rules. One table is printed: exact match and its
paired difference (to full precision, and of tokens to recursion), tokens or H-cycles, GFLOPs,
stored bytes, bytes of weights read, bytes of the state, energy by the stated model
(export/footprint/energy.py). Another has fidelity: of z_H, and of the decoder's last states along
full precision's text.

Into --out go rows.jsonl, decode.json, the tables as CSV and Markdown, and figures as PNG and SVG.
A killed run goes on with --resume, which also adds schemes, models or puzzles.
"""

import argparse
import sys
from collections.abc import Sequence

from experiments.decode.studies.command import STUDIES
from experiments.measurement.folders import COMPARISON
from experiments.measurement.options import add_schemes, measurement_parent
from trm_jax.command_line import RESUMED, exit_code, make_parser
from trm_jax.data.calibration import add_calibration
from trm_jax.output.folder import check_named

DEFAULT_SCHEMES = ("fp32", "w8c-sym", "w4c-sym", "w4t-sym", "w3c-sym", "w4c-sym_carry8")


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    shared = measurement_parent(
        "runs/decode-TASK",
        limit_note="%(default)s: the bundled models take under 5 minutes on 2 cores",
        batch_note="50",
        seed_of="draws",
    )
    p = make_parser("experiments.decode", __doc__, shared)
    p.add_argument("--task", required=True, metavar="NAME", help="sudoku or maze")
    p.add_argument(
        "--models",
        metavar="A,B,...",
        help="recursive models and decoders, by name or folder (default: the task's bundled ones)",
    )
    p.add_argument(
        "--study",
        choices=STUDIES,
        help="orders, schemes, parts of another paper; options of their own: --study order --help",
    )
    p.set_defaults(model=None)
    add_schemes(p, DEFAULT_SCHEMES)
    add_calibration(p)
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    if any(word.partition("=")[0] == "--study" for word in words):
        from experiments.decode.studies.__main__ import main as study

        return study(words)
    args = parser().parse_args(words)

    def action() -> None:
        check_named(args.out, COMPARISON, resume=args.resume)
        from experiments.decode.runner import compare  # imports jax: after parsing

        compare(args)

    return exit_code(action, (OSError, ValueError, ModuleNotFoundError), RESUMED)


if __name__ == "__main__":
    sys.exit(main())
