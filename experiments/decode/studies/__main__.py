"""Study decoders of puzzles: orders, budgets, votes, a switcher, adapters, schemes.

    python -m experiments.decode.studies --study order --task maze
    python -m experiments.decode.studies --study budget --task maze --model maze-ar-mini \\
        --train-data data/maze-8x8
    python -m experiments.decode.studies --study lora --task maze --model maze-ar-mini \\
        --train-data data/maze-8x8 --scheme w4c-sym --limit 200

--study order     in which order to write, compared on validation puzzles
--study budget    reinforcement under a budget of tokens (GRPO), after traces of many lengths
--study parallel  votes of several samples, by majority and by a verifier
--study switch    easy puzzles answered directly, hard ones with a trace
--study lora      one prompt's cache for base and adapter; adapters on quantised weights
--study quant     one decoder under many schemes: exact match, fidelity, bytes

The decoder is a bundled one or a folder that experiments.train leaves. It learns from the train
split of --train-data, images of evaluated puzzles left out; order draws small puzzles where none is
named, quant learns nothing. Into --out go the answers of every stage, the weights, the tables and
figures; a killed study goes on with --resume. docs/tokens-studies.md has the methods and numbers.
"""

import argparse
import sys
from collections.abc import Sequence

from experiments.decode.studies.command import (
    STUDIES,
    add_comparison_options,
    add_study_options,
    check_read,
    run_study,
)
from experiments.measurement.folders import COMPARISON, STUDY
from experiments.measurement.options import measurement_parent, subject_parent
from trm_jax.command_line import RESUMED, exit_code, make_parser
from trm_jax.output.folder import check_named


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    shared = measurement_parent(
        "runs/decode-TASK-STUDY",
        limit=None,
        limit_note="1000; of order 256, of validation; of quant 200",
        batch_note="16 in training, of an order 32",
        seed_of="draws",
    )
    p = make_parser("experiments.decode.studies", __doc__, subject_parent("sudoku or maze"), shared)
    p.add_argument("--study", required=True, choices=STUDIES, help="which")
    add_study_options(p)
    add_comparison_options(p)
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    p = parser()
    args = p.parse_args(argv)

    def action() -> None:
        check_read(args, p)
        kind = COMPARISON if args.study == "quant" else STUDY
        check_named(args.out, kind, resume=args.resume)
        run_study(args)

    return exit_code(action, (OSError, ValueError, ModuleNotFoundError), RESUMED)


if __name__ == "__main__":
    sys.exit(main())
