"""Study what a second paper does to decoders, on puzzles: budgets, votes, a switcher, adapters.

    python -m experiments.decode.studies --study budget --task maze --model maze-ar-mini \\
        --train-data data/maze-8x8
    python -m experiments.decode.studies --study lora --task maze --model maze-ar-mini \\
        --train-data data/maze-8x8 --scheme w4c-sym --limit 200

--study budget    reinforcement under a budget of tokens (GRPO), after traces of many lengths
--study parallel  votes of several samples, by majority and by a verifier
--study switch    easy puzzles answered directly, hard ones with a trace
--study lora      one prompt's cache for base and adapter; adapters on quantised weights

The decoder is a folder that experiments.train leaves. It learns from the train split of
--train-data, images of evaluated puzzles left out. Into --out go the answers of every stage, the
weights, and the tables; a killed study goes on with --resume. docs/tokens-studies.md has the
methods and numbers.
"""

import argparse
import sys
from collections.abc import Sequence

from experiments.decode.studies.command import STUDIES, add_study_options, run_study
from experiments.measurement.folders import STUDY
from experiments.measurement.options import measurement_parent, subject_parent
from trm_jax.command_line import RESUMED, exit_code, make_parser
from trm_jax.output.folder import check_named


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    shared = measurement_parent(
        "runs/decode-TASK-STUDY", limit=1000, batch_note="16 in training", seed_of="draws"
    )
    p = make_parser("experiments.decode.studies", __doc__, subject_parent("sudoku or maze"), shared)
    p.add_argument("--study", required=True, choices=STUDIES, help="which")
    add_study_options(p)
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)

    def action() -> None:
        check_named(args.out, STUDY, resume=args.resume)
        run_study(args)

    return exit_code(action, (OSError, ValueError), RESUMED)


if __name__ == "__main__":
    sys.exit(main())
