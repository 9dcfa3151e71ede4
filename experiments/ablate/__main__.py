"""Take a recursive reasoner apart, one intervention at a time, and see what survives.

    python -m experiments.ablate --task sudoku
    python -m experiments.ablate --task maze --only pruning,truncation --limit 64 \\
        --out runs/maze-cuts

Studies (all that apply to task and model, unless --only names some):

    activations       dynamic and static int8, with and without the states; carry (Sec. 4.2)
    embedding         the puzzle table as int8, at a low rank, one row streamed (Table 1)
    mixer             MLP mixing, attention and HRM under INT8 and INT4 (Table 10)
    truncation        half and a quarter of the context (Table 12)
    pruning           25 and 50 % of the output neurons (Table 13)
    distillation      a single-cycle student of half the width (Table 14)
    linear_attention  elu+1 attention, zero-shot and retrained (App. J)
    qat               from naive INT4 and INT3, done right and as the paper did it (Sec. 3.7)
    toolkits          Qwix's GPTQ and QEP, ai-edge-quantizer's recipes and QAT beside this project's
                      schemes; only where --only names it, with the packages of extra [toolkits]

Every variant is compared with its study's reference on the same puzzles: exact match with Wilson
interval, paired difference and McNemar's exact test, cell accuracy, carry-trajectory fidelity.
Students, linear attention and QAT train briefly, on fresh puzzles of which none is an image of an
evaluated one.

Into --out go rows.jsonl (one line per study, variant and shard of puzzles, as soon as it is
finished), ablation.json, ablation.md and .csv (a table per study, then those of the paper), and
split.png and .svg, a figure of cells against puzzles right.
A killed run goes on with --resume, which also adds studies or puzzles to a finished one.
"""

import argparse
import sys
from collections.abc import Sequence

from experiments.jobs.engine import add_engine
from experiments.measurement.folders import ABLATION
from experiments.measurement.options import (
    DEFAULT_LIMIT,
    QUICK_LIMIT,
    measurement_parent,
    subject_parent,
)
from trm_jax.command_line import RESUMED, exit_code, make_parser, user_path
from trm_jax.data.calibration import add_calibration
from trm_jax.output.folder import check_named


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    shared = measurement_parent(
        "runs/ablate-TASK-MODEL",
        limit=None,
        limit_note=f"{DEFAULT_LIMIT}; --quick: {QUICK_LIMIT}",
        seed_of="training",
    )
    p = make_parser("experiments.ablate", __doc__, subject_parent(), shared)
    add_calibration(p)
    p.add_argument("--only", metavar="STUDY,...", help="studies; default: all that apply")
    p.add_argument("--models", default="", metavar="A,B,...", help="for mixer: more of them")
    p.add_argument("--train-data", type=user_path, metavar="DIR", help="default: generated puzzles")
    p.add_argument("--quick", action="store_true", help="few puzzles, a twentieth of the training")
    add_engine(p)
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)

    def action() -> None:
        check_named(args.out, ABLATION, resume=args.resume)
        from experiments.ablate.runner import ablate  # imports jax: after parsing

        ablate(args)

    bad_input = (OSError, ValueError, ModuleNotFoundError, FloatingPointError)
    return exit_code(action, bad_input, RESUMED)


if __name__ == "__main__":
    sys.exit(main())
